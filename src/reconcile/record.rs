//! A pass as it is kept in the history: who, from what, and what came of each key; and, while it is under way, what
//! it is about to write. Pure.

pub mod document;

use std::collections::BTreeMap;

use super::apply::Outcome;
use super::plan::{Held, Plan, Step, digest::plan_digest};
use crate::model::Key;
use crate::model::pass::{
    BegunPass, KeyAction, KeyOutcome, KeyResult, PassCounts, PassOutcome, PassRecord,
};

/// Who runs a pass and from where, for its record.
pub struct Cause<'a> {
    /// Where the declaration came from, as people are shown it.
    pub source: &'a str,
    /// Who asked for it.
    pub actor: &'a str,
}

/// Returns the record of a pass. `times` are its beginning and its end.
#[must_use]
pub fn record(
    plan: &Plan,
    outcomes: &[Outcome],
    cause: &Cause<'_>,
    times: (jiff::Timestamp, jiff::Timestamp),
) -> PassRecord {
    let by_key: BTreeMap<&Key, &Outcome> = outcomes
        .iter()
        .map(|outcome| (outcome.key(), outcome))
        .collect();
    let steps = plan
        .steps
        .iter()
        .map(|step| of_step(step, by_key.get(&step.key).copied()));
    let keys: Vec<KeyOutcome> = steps.chain(plan.held.iter().filter_map(of_held)).collect();
    let counts = count(plan, &keys);
    PassRecord {
        id: None,
        started_at: times.0,
        finished_at: times.1,
        source: cause.source.to_owned(),
        revision: plan.revision.clone(),
        actor: cause.actor.to_owned(),
        plan_digest: plan_digest(plan),
        outcome: outcome(&counts, &keys),
        counts,
        chain: None,
        keys,
    }
}

/// Returns what is kept of a pass that is about to carry out a plan, in case that nothing more is heard of it.
#[must_use]
pub fn begun(plan: &Plan, cause: &Cause<'_>, began: jiff::Timestamp) -> BegunPass {
    let unknown = |step: &Step| KeyOutcome {
        outcome: KeyResult::Unknown,
        why: Some("it may have been written".to_owned()),
        ..of_step(step, None)
    };
    BegunPass {
        started_at: began,
        source: cause.source.to_owned(),
        revision: plan.revision.clone(),
        actor: cause.actor.to_owned(),
        plan_digest: plan_digest(plan),
        keys: plan.steps.iter().map(unknown).collect(),
    }
}

fn of_step(step: &Step, outcome: Option<&Outcome>) -> KeyOutcome {
    let (result, why) = match outcome {
        Some(Outcome::Done(_)) => (KeyResult::Done, None),
        Some(Outcome::Failed(_, error)) => (KeyResult::Failed, Some(error.told())),
        Some(Outcome::NotReached { behind, .. }) => {
            (KeyResult::NotReached, Some(format!("waits for {behind}")))
        }
        Some(Outcome::OutOfTime(_)) => {
            (KeyResult::NotReached, Some("the time was over".to_owned()))
        }
        None => (KeyResult::NotReached, None),
    };
    let slug = step.slug.as_ref().map(ToString::to_string);
    KeyOutcome {
        key: step.key.to_string(),
        slug,
        action: step.action.word(),
        outcome: result,
        why,
    }
}

/// Kept data is kept in every pass and no outcome of any.
fn of_held(held: &Held) -> Option<KeyOutcome> {
    let slug = held.slug().map(ToString::to_string);
    let (key, why) = match held {
        Held::Retained { .. } => return None,
        Held::Unlisted { kind, why, .. } => (format!("all {kind} objects"), why),
        Held::Unrecorded { why } => ("all registry rows".to_owned(), why),
        Held::Withheld { slug, why } | Held::RolledBack { slug, why } => {
            (format!("challenge {slug}"), why)
        }
        // It was neither to be done nor refused.
        Held::Suspended { .. } => return None,
        Held::Foreign { key, why, .. }
        | Held::Unknown { key, why, .. }
        | Held::Refused { key, why, .. }
        | Held::Drifted { key, why, .. }
        | Held::Waits { key, why, .. } => (key.to_string(), why),
    };
    Some(KeyOutcome {
        key,
        slug,
        action: KeyAction::None,
        outcome: KeyResult::Held,
        why: Some(why.to_string()),
    })
}

fn count(plan: &Plan, keys: &[KeyOutcome]) -> PassCounts {
    let done = |action: KeyAction| {
        let is_done = |key: &&KeyOutcome| key.action == action && key.outcome == KeyResult::Done;
        keys.iter().filter(is_done).count() as u64
    };
    let ended = |result: KeyResult| keys.iter().filter(|key| key.outcome == result).count() as u64;
    PassCounts {
        created: done(KeyAction::Create),
        updated: done(KeyAction::Update),
        deleted: done(KeyAction::Delete),
        unchanged: plan.unchanged as u64,
        // What waits for another object is the next pass's.
        held: ended(KeyResult::Held) + ended(KeyResult::NotReached),
        failed: ended(KeyResult::Failed),
        unknown: ended(KeyResult::Unknown),
    }
}

/// A pass that did all it could is no partial one because the next pass goes on from there.
fn outcome(counts: &PassCounts, keys: &[KeyOutcome]) -> PassOutcome {
    let done = counts.created + counts.updated + counts.deleted;
    let is_held = |key: &&KeyOutcome| key.outcome == KeyResult::Held;
    let held = keys.iter().filter(is_held).count();
    match (done, counts.failed, held) {
        (0, 0, 0) => PassOutcome::Converged,
        (0, _, _) => PassOutcome::Failed,
        (_, 0, 0) => PassOutcome::Changed,
        _ => PassOutcome::Partial,
    }
}

//! Passes until everything is as declared and ready: a wait is no sleep inside a pass but the next pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::apply::{Outcome, Progress};
use super::desired::Wanted;
use super::live::{Readiness, Seen};
use super::plan::{Held, Plan, Request, Step};
use super::{Cause, Edges, Planned, Why, plan_source, run_plan};
use crate::model::{Key, ObjectKey, Slug};
use crate::spec::Platform;

/// The pause before the first look; a pod that is there at once is seen at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two looks, each of which is one list per kind.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Times a key may fail before it is left.
const MAX_FAILURES: u32 = 3;

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything is as declared and ready.
    Converged,
    /// What was asked for is done; nobody waited for the rest.
    NotWaited,
    /// The time is over.
    TimedOut,
    /// What is left will not happen by itself.
    Stuck,
    /// Something could not be read to the end.
    Unknown,
}

/// What came of it.
pub struct Converged {
    /// How far it came.
    pub state: State,
    /// The last outcome of each key.
    pub outcomes: BTreeMap<Key, Outcome>,
    /// The last look.
    pub last: Planned,
}

/// How long it may go on.
pub struct Patience {
    /// Whether it goes on after the first plan at all.
    pub waits: bool,
    /// When it ends.
    pub deadline: tokio::time::Instant,
}

/// Is told how things stand between passes, and of each step.
pub struct Told<'a> {
    /// Each step as it ends.
    pub step: Progress<'a>,
    /// Each look between passes.
    pub look: &'a (dyn Fn(&Planned) + Sync),
    /// The time, for records.
    pub clock: &'a (dyn Fn() -> jiff::Timestamp + Sync),
}

/// Carries out a plan, then looks and continues until everything is ready. Only what the first plan showed
/// is written: a change that somebody makes meanwhile is the next plan's.
///
/// # Errors
/// The registry is not there to write to.
pub async fn converge(
    platform: &Platform,
    request: &Request,
    edges: &Edges,
    first: Planned,
    cause: &Cause<'_>,
    patience: &Patience,
    told: &Told<'_>,
) -> Result<Converged, Why> {
    let shown = shown_keys(&first.plan);
    let mut outcomes: BTreeMap<Key, Outcome> = BTreeMap::new();
    let mut failures: BTreeMap<Key, u32> = BTreeMap::new();
    let mut planned = first;
    let mut pause = FIRST_PAUSE;
    if planned.plan.steps.is_empty()
        && let Some(state) = judge(&planned, &request.only, &failures, patience)
    {
        return Ok(Converged {
            state,
            outcomes,
            last: planned,
        });
    }
    loop {
        let ended = match planned.plan.steps.is_empty() {
            true => Vec::new(),
            false => {
                run_plan(
                    &planned,
                    edges,
                    cause,
                    (told.clock)(),
                    told.clock,
                    told.step,
                )
                .await?
            }
        };
        let made_progress = ended
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Done(_)));
        for outcome in ended {
            if matches!(outcome, Outcome::Failed(..)) {
                *failures.entry(outcome.key().clone()).or_default() += 1;
            }
            outcomes.insert(outcome.key().clone(), outcome);
        }
        if !patience.waits {
            return Ok(Converged {
                state: State::NotWaited,
                outcomes,
                last: planned,
            });
        }
        pause = if made_progress {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LONGEST_PAUSE)
        };
        tokio::time::sleep(pause).await;
        planned = plan_source(
            platform,
            &Request {
                now: (told.clock)(),
                ..request.clone()
            },
            edges,
        )
        .await;
        keep_only(&mut planned.plan, &shown, &failures);
        (told.look)(&planned);
        if let Some(state) = judge(&planned, &request.only, &failures, patience) {
            return Ok(Converged {
                state,
                outcomes,
                last: planned,
            });
        }
    }
}

fn shown_keys(plan: &Plan) -> BTreeSet<Key> {
    let waiting = plan
        .held
        .iter()
        .filter(|held| matches!(held, Held::Waits { .. }));
    let waiting = waiting.filter_map(Held::key).cloned();
    plan.steps
        .iter()
        .map(|step| step.key.clone())
        .chain(waiting)
        .collect()
}

/// Leaves the steps that were shown. Behind a key that is given up, its challenge is given up: what would
/// follow relies on it.
fn keep_only(plan: &mut Plan, shown: &BTreeSet<Key>, failures: &BTreeMap<Key, u32>) {
    let given_up = |step: &&Step| {
        failures
            .get(&step.key)
            .is_some_and(|count| *count >= MAX_FAILURES)
    };
    let lost: BTreeSet<Option<Slug>> = plan
        .steps
        .iter()
        .filter(given_up)
        .map(|step| step.slug.clone())
        .collect();
    plan.steps.retain(|step| {
        let is_lost = lost.contains(&step.slug) || lost.contains(&None);
        shown.contains(&step.key) && !is_lost
    });
}

/// Tells whether a wait may end by itself: not when what it is for is held until somebody helps.
fn may_end(plan: &Plan) -> bool {
    let needs_help = |held: &&Held| {
        matches!(
            held,
            Held::Foreign { .. } | Held::Refused { .. } | Held::Drifted { .. }
        )
    };
    let mut stuck: BTreeSet<&Key> = plan
        .held
        .iter()
        .filter(needs_help)
        .filter_map(Held::key)
        .collect();
    loop {
        let waiting: Vec<(&Key, &Key)> = plan
            .held
            .iter()
            .filter_map(|held| match held {
                Held::Waits { key, on, .. } if !stuck.contains(key) => Some((key, on)),
                _ => None,
            })
            .collect();
        let before = stuck.len();
        let in_vain = waiting.iter().filter(|(_, on)| stuck.contains(on));
        let in_vain: Vec<&Key> = in_vain.map(|(key, _)| *key).collect();
        stuck.extend(in_vain);
        if stuck.len() == before {
            return !waiting.is_empty();
        }
    }
}

/// Decides whether to go on; `None` means yes.
fn judge(
    planned: &Planned,
    only: &BTreeSet<Slug>,
    failures: &BTreeMap<Key, u32>,
    patience: &Patience,
) -> Option<State> {
    let plan = &planned.plan;
    let waits = may_end(plan);
    let is_over = tokio::time::Instant::now() >= patience.deadline;
    let gave_up = failures.values().any(|count| *count >= MAX_FAILURES);
    let pending = !plan.steps.is_empty() || waits || !unready(planned, only).is_empty();
    match (plan.has_unknown(), pending, is_over) {
        (true, _, true) => Some(State::Unknown),
        (_, true, true) => Some(State::TimedOut),
        (true, _, false) => None,
        (false, true, false) if gave_up && plan.steps.is_empty() && !waits => Some(State::Stuck),
        (false, true, false) => None,
        (false, false, _) if plan.is_empty() && !gave_up => Some(State::Converged),
        (false, false, _) => Some(State::Stuck),
    }
}

/// Returns the wanted objects of these challenges, or of all when empty, that are there and not ready.
#[must_use]
pub fn unready<'a>(planned: &'a Planned, only: &BTreeSet<Slug>) -> Vec<(&'a ObjectKey, &'a str)> {
    let is_in = |wanted: &Wanted| {
        let slug = wanted.item.ownership().map(|owner| &owner.slug);
        only.is_empty() || slug.is_some_and(|slug| only.contains(slug))
    };
    let wanted = planned
        .desired
        .items
        .iter()
        .filter(|(_, wanted)| is_in(wanted));
    wanted
        .filter_map(|(key, _)| key.object())
        .filter_map(
            |key| match planned.live.seen.get(&Key::Object(key.clone()))? {
                Seen::Object(observed) => match &observed.readiness {
                    Readiness::NotReady(state) => Some((key, state.as_str())),
                    Readiness::Ready => None,
                },
                Seen::Absent { .. } | Seen::Row(_) | Seen::Unknown(_) => None,
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClusterName, Kind, Revision};
    use crate::reconcile::plan::Action;

    fn key(kind: Kind, name: &str) -> Key {
        Key::Object(ObjectKey {
            cluster: ClusterName::Local,
            kind,
            namespace: "platform".to_owned(),
            name: name.to_owned(),
        })
    }

    fn plan(steps: Vec<Step>, held: Vec<Held>) -> Plan {
        Plan {
            revision: Revision {
                digest: "sha256:0".to_owned(),
                commit: None,
            },
            steps,
            held,
            unchanged: 0,
            guards: Vec::new(),
            shares: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    fn step(slug: &str, key: Key) -> Step {
        Step {
            key,
            slug: Some(Slug::parse(slug).unwrap()),
            action: Action::Delete { seen: None },
            wave: 0,
            after: Vec::new(),
        }
    }

    #[test]
    fn nothing_follows_a_key_that_is_given_up() {
        let (secret, set) = (key(Kind::Secret, "a"), key(Kind::StatefulSet, "a"));
        let other = key(Kind::Secret, "b");
        let steps = vec![
            step("aa", secret.clone()),
            step("aa", set),
            step("bb", other.clone()),
        ];
        let mut plan = plan(steps, Vec::new());
        let shown = shown_keys(&plan);
        let failures = BTreeMap::from([(secret, MAX_FAILURES)]);
        keep_only(&mut plan, &shown, &failures);
        let left: Vec<&Key> = plan.steps.iter().map(|step| &step.key).collect();
        assert_eq!(left, [&other]);
    }

    #[test]
    fn nobody_waits_for_what_needs_help() {
        let (secret, postgres) = (key(Kind::Secret, "a"), key(Kind::StatefulSet, "pg"));
        let workload = key(Kind::StatefulSet, "a");
        let waits = |key: &Key, on: &Key| Held::Waits {
            key: key.clone(),
            slug: None,
            on: on.clone(),
            why: Why::from("that is held"),
        };
        let chain = vec![
            waits(&workload, &postgres),
            waits(&postgres, &secret),
            Held::Refused {
                key: secret.clone(),
                slug: None,
                why: Why::from("no"),
            },
        ];
        assert!(!may_end(&plan(Vec::new(), chain.clone())));
        assert!(may_end(&plan(Vec::new(), chain[..2].to_vec())));
        let deleted = waits(&secret, &secret);
        assert!(may_end(&plan(Vec::new(), vec![deleted])));
    }
}

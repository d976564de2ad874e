//! Passes until everything is as declared and ready: a wait is no sleep inside a pass but the next pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::apply::{Outcome, Progress};
use super::desired::Wanted;
use super::live::{Readiness, Seen};
use super::plan::{Held, Plan, Request};
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

fn keep_only(plan: &mut Plan, shown: &BTreeSet<Key>, failures: &BTreeMap<Key, u32>) {
    let given_up = |key: &Key| {
        failures
            .get(key)
            .is_some_and(|count| *count >= MAX_FAILURES)
    };
    plan.steps
        .retain(|step| shown.contains(&step.key) && !given_up(&step.key));
}

/// Tells whether something waits for what may come by itself. What waits for a key that was refused, is
/// foreign or was changed by others waits for a person.
fn is_waiting(plan: &Plan) -> bool {
    let is_final = |held: &&Held| {
        matches!(
            held,
            Held::Refused { .. } | Held::Foreign { .. } | Held::Drifted { .. }
        )
    };
    let mut settled: BTreeSet<&Key> = plan
        .held
        .iter()
        .filter(is_final)
        .filter_map(Held::key)
        .collect();
    loop {
        let behind = plan.held.iter().find_map(|held| match held {
            Held::Waits { key, on, .. } if settled.contains(on) && !settled.contains(key) => {
                Some(key)
            }
            _ => None,
        });
        match behind {
            Some(key) => settled.insert(key),
            None => break,
        };
    }
    let waits = |held: &Held| matches!(held, Held::Waits { key, .. } if !settled.contains(key));
    plan.held.iter().any(waits)
}

/// Decides whether to go on; `None` means yes.
fn judge(
    planned: &Planned,
    only: &BTreeSet<Slug>,
    failures: &BTreeMap<Key, u32>,
    patience: &Patience,
) -> Option<State> {
    let plan = &planned.plan;
    let waits = is_waiting(plan);
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

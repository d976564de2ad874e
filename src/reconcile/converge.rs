//! Passes until everything is as declared and ready: a wait is no sleep inside a pass but the next pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::apply::{ApplyError, Outcome, Permits, Progress};
use super::desired::Wanted;
use super::lease::turn::Fence;
use super::live::{Depth, Readiness, Seen};
use super::plan::{Held, Plan, Request, Step};
use super::{
    Cause, Edges, Planned, Registry, Run, Tags, Why, find_facts, plan_with, read_registered,
    rollout, run_plan,
};
use crate::model::rollout::Rollouts;
use crate::model::{Key, ObjectKey, Slug};
use crate::spec::Platform;

/// The pause before the first look; a pod that is there at once is seen at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two looks, unless a look itself takes longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long after the end a last look may take, which tells how things stand: the usual one takes a second.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How often one look asks about what the answers before let go on.
const QUESTIONS: usize = 3;
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
    /// It is no longer its turn to write.
    Deposed,
}

/// What came of it.
pub struct Converged {
    /// How far it came.
    pub state: State,
    /// The last outcome of each key.
    pub outcomes: BTreeMap<Key, Outcome>,
    /// Why the last pass could not begin, where that is so.
    pub hindrance: Option<Why>,
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
/// is written: a change that somebody makes meanwhile is the next plan's. A later pass that cannot begin is tried again,
/// for as long as there is time.
///
/// # Errors
/// The registry is not there to write to, and nothing was done.
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
    let was_unknown = first.plan.has_unknown();
    let mut planned = first;
    let mut pause = FIRST_PAUSE;
    let mut looking = Duration::ZERO;
    let permits = Arc::new(Permits::default());
    let before = Before {
        failures: &failures,
        was_unknown,
        has_left: false,
        has_more: false,
    };
    if planned.plan.steps.is_empty()
        && let Some(state) = judge(&planned, &request.only, &before, patience)
    {
        return Ok(Converged {
            state,
            outcomes,
            hindrance: None,
            last: planned,
        });
    }
    let mut hindrance;
    let state = loop {
        let run = Run {
            cause,
            clock: told.clock,
            deadline: Some(patience.deadline),
            progress: told.step,
            permits: permits.clone(),
        };
        let ended = match carry_out(&planned, edges, &run).await {
            Err(why) if outcomes.is_empty() && !is_deposed(&planned.plan, edges) => {
                return Err(why);
            }
            Err(why) => {
                tracing::warn!(%why, "a pass could not begin; it is tried again");
                hindrance = Some(why);
                Vec::new()
            }
            Ok(ended) => {
                hindrance = None;
                ended
            }
        };
        let made_progress = note(ended, &mut outcomes, &mut failures);
        if is_deposed(&planned.plan, edges) {
            break State::Deposed;
        }
        if !patience.waits {
            break not_waited(was_unknown, &outcomes);
        }
        pause = if made_progress {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LONGEST_PAUSE)
        };
        // For as long as a look takes nothing is looked at, so that those who make things ready come to it.
        let next = tokio::time::Instant::now() + pause.max(looking);
        tokio::time::sleep_until(next.min(patience.deadline)).await;
        let began = tokio::time::Instant::now();
        let now = Request {
            now: (told.clock)(),
            ..request.clone()
        };
        let look = look_again(platform, &now, edges);
        let limit = patience.deadline + LAST_LOOK;
        let Ok((looked, has_more)) = tokio::time::timeout_at(limit, look).await else {
            break State::TimedOut;
        };
        (planned, looking) = (looked, began.elapsed());
        if planned.live.blindness().is_some() {
            // Seen again, it goes on; what is not seen is not written.
            planned.plan.steps.clear();
        }
        let has_left = keep_only(&mut planned.plan, &shown, &failures);
        (told.look)(&planned);
        let before = Before {
            failures: &failures,
            was_unknown,
            has_left,
            has_more,
        };
        if let Some(state) = judge(&planned, &request.only, &before, patience) {
            break state;
        }
    };
    if state == State::Converged {
        remember_images(&planned, edges, (told.clock)()).await;
    }
    Ok(Converged {
        state,
        outcomes,
        hindrance,
        last: planned,
    })
}

/// Keeps the last outcome of each key and counts failures. Tells whether something was done.
fn note(
    ended: Vec<Outcome>,
    outcomes: &mut BTreeMap<Key, Outcome>,
    failures: &mut BTreeMap<Key, u32>,
) -> bool {
    let mut is_something_done = false;
    for outcome in ended {
        is_something_done |= matches!(outcome, Outcome::Done(_));
        if matches!(outcome, Outcome::Failed(..)) {
            *failures.entry(outcome.key().clone()).or_default() += 1;
        }
        outcomes.insert(outcome.key().clone(), outcome);
    }
    is_something_done
}

/// Looks again. The server is asked about what may be written now, and not about what only waits: each look would ask
/// for all of that. What its answers, or others meanwhile, let go on is asked about in turn, a few times over. Returns also
/// whether more may be written; the next look asks about that.
async fn look_again(platform: &Platform, request: &Request, edges: &Edges) -> (Planned, bool) {
    let known = read_registered(&edges.registry, &request.scope).await;
    let facts = find_facts(platform, &request.revision, Tags::Kept, edges, &known.rows).await;
    let facts = Arc::new(facts);
    let look = async |depth: Depth<'_>| {
        plan_with(
            platform,
            facts.clone(),
            request,
            depth,
            edges,
            known.clone(),
        )
        .await
    };
    let mut planned = look(Depth::Survey).await;
    let mut asked = BTreeSet::new();
    for _ in 0..QUESTIONS {
        let undecided = undecided_keys(&planned.plan);
        if undecided.is_subset(&asked) {
            return (planned, false);
        }
        asked.extend(undecided);
        planned = look(Depth::About(&asked)).await;
    }
    let is_asked = |step: &Step| asked.contains(&step.key);
    let has_more = leave_out(&mut planned.plan, |step| !is_asked(step));
    (planned, has_more)
}

/// Returns the keys that are to be written, or held, unless the server says otherwise.
fn undecided_keys(plan: &Plan) -> BTreeSet<Key> {
    let is_held = |held: &&Held| !matches!(held, Held::Waits { .. } | Held::Retained { .. });
    let held = plan.held.iter().filter(is_held).filter_map(Held::key);
    let steps = plan.steps.iter().map(|step| &step.key);
    steps.chain(held).cloned().collect()
}

async fn carry_out(planned: &Planned, edges: &Edges, run: &Run<'_>) -> Result<Vec<Outcome>, Why> {
    match planned.plan.steps.is_empty() {
        true => Ok(Vec::new()),
        false => run_plan(planned, edges, run).await,
    }
}

/// Remembers which images are ready now: a controller that starts later knows where to return to.
async fn remember_images(planned: &Planned, edges: &Edges, now: jiff::Timestamp) {
    let (Registry::Ready(database), Some(fence)) = (&edges.registry, &edges.fence) else {
        return;
    };
    let news: Rollouts = rollout::news(planned).collect();
    if news.is_empty() {
        return;
    }
    if let Err(error) = database.write_rollouts(fence.token(), &news, now).await {
        tracing::warn!(%error, "which images are ready is not remembered");
    }
}

fn not_waited(was_unknown: bool, outcomes: &BTreeMap<Key, Outcome>) -> State {
    match (was_unknown, outcomes.values().any(is_cut)) {
        (true, _) => State::Unknown,
        (false, true) => State::TimedOut,
        (false, false) => State::NotWaited,
    }
}

/// Tells whether the end of the time left a step without an answer, or untried.
fn is_cut(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::OutOfTime(_) | Outcome::Failed(_, ApplyError::CutOff)
    )
}

/// Tells whether a plan that writes was carried out without the turn to.
fn is_deposed(plan: &Plan, edges: &Edges) -> bool {
    let is_lost = |fence: &Fence| fence.check().is_err();
    !plan.steps.is_empty() && edges.fence.as_ref().is_some_and(is_lost)
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

/// Leaves out what the first plan did not show and what failed too often, each with what stands behind it.
/// Returns whether something is left for another plan.
fn keep_only(plan: &mut Plan, shown: &BTreeSet<Key>, failures: &BTreeMap<Key, u32>) -> bool {
    let given_up = |key: &Key| {
        failures
            .get(key)
            .is_some_and(|count| *count >= MAX_FAILURES)
    };
    let failed: Vec<(Option<Slug>, u8)> = plan
        .steps
        .iter()
        .filter(|step| given_up(&step.key))
        .map(|step| (step.slug.clone(), step.wave))
        .collect();
    // As in one pass: a failure holds back what comes later in the same challenge.
    let is_behind = |step: &Step| {
        failed
            .iter()
            .any(|(slug, wave)| *slug == step.slug && *wave <= step.wave)
    };
    plan.steps
        .retain(|step| !given_up(&step.key) && !is_behind(step));
    leave_out(plan, |step| !shown.contains(&step.key))
}

/// Leaves steps out, each with what stands behind it. Returns whether there were any.
fn leave_out(plan: &mut Plan, is_left: impl Fn(&Step) -> bool) -> bool {
    let mut left: BTreeSet<Key> = BTreeSet::new();
    loop {
        let before = left.len();
        for step in &plan.steps {
            let needs = |on: &ObjectKey| left.contains(&Key::Object(on.clone()));
            if is_left(step) || step.after.iter().any(needs) {
                left.insert(step.key.clone());
            }
        }
        if left.len() == before {
            break;
        }
    }
    plan.steps.retain(|step| !left.contains(&step.key));
    plan.drop_orphans();
    !left.is_empty()
}

/// What the judgement of a look needs to know of the passes before it.
struct Before<'a> {
    /// How often each key failed.
    failures: &'a BTreeMap<Key, u32>,
    /// Whether the first plan could not show everything.
    was_unknown: bool,
    /// Whether steps are left for another plan.
    has_left: bool,
    /// Whether steps are left for the next look.
    has_more: bool,
}

/// Decides whether to go on; `None` means yes.
fn judge(
    planned: &Planned,
    only: &BTreeSet<Slug>,
    before: &Before<'_>,
    patience: &Patience,
) -> Option<State> {
    let plan = &planned.plan;
    let is_over = tokio::time::Instant::now() >= patience.deadline;
    let gave_up = before.failures.values().any(|count| *count >= MAX_FAILURES);
    let waits = plan
        .held
        .iter()
        .any(|held| matches!(held, Held::Waits { .. }));
    let is_unready = !unready(planned, only).is_empty();
    let has_steps = !plan.steps.is_empty() || before.has_more;
    let is_moving = has_steps || has_hope(plan) || (is_unready && !gave_up);
    let is_pending = has_steps || waits || is_unready;
    // What the first plan could not show is not written under it, however well it can be read by now.
    let is_final = is_over || (before.was_unknown && !is_moving);
    if (plan.has_unknown() || (before.was_unknown && before.has_left)) && is_final {
        return Some(State::Unknown);
    }
    match (is_over, is_pending) {
        (true, true) => Some(State::TimedOut),
        (false, _) if is_moving || plan.has_unknown() => None,
        _ if plan.is_settled() && !gave_up && !before.has_left => Some(State::Converged),
        _ => Some(State::Stuck),
    }
}

/// Tells whether something waits for what can still happen. What waits for a key that is refused, foreign or
/// unknown waits for a person.
fn has_hope(plan: &Plan) -> bool {
    let waits: BTreeMap<&Key, &Key> = plan
        .held
        .iter()
        .filter_map(|held| match held {
            Held::Waits { key, on, .. } => Some((key, on)),
            _ => None,
        })
        .collect();
    let held: BTreeSet<&Key> = plan.held.iter().filter_map(Held::key).collect();
    let ends_well = |first: &&Key| {
        let mut key = *first;
        // A chain is no longer than there are waits; an object that is being deleted waits for itself.
        for _ in 0..waits.len() {
            match waits.get(key) {
                Some(on) if *on != key => key = on,
                Some(_) => return true,
                None => break,
            }
        }
        waits.contains_key(key) || !held.contains(key)
    };
    waits.values().any(ends_well)
}

/// Returns the wanted objects of these challenges, or of all when empty, that are there and not ready.
#[must_use]
pub fn unready<'a>(planned: &'a Planned, only: &BTreeSet<Slug>) -> Vec<(&'a ObjectKey, &'a str)> {
    let is_in = |wanted: &Wanted| {
        let slug = wanted.item.slug();
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

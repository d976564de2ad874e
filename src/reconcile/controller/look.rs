//! One look at one challenge, from the rows to the writes; and the record of looks that begin together.

mod image;
mod sheet;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use self::image::{Kept, sight_of};
use self::sheet::Sheet;
pub(super) use self::survey::{Surveyed, Weighed};
use super::agenda::Ended;
use super::asks::{ASK_INTERVAL, Asked, GATHER_TOLD};
use super::board::Done;
use super::follow::Declared;
use super::sleep_until;
use super::trials::{Overdue, Sight};
use super::turns::{PATIENCE, Turns};
use crate::edge::database::{Database, DatabaseError};
use crate::model::act::Suspension;
use crate::model::pass::{Begun, PassSummary};
use crate::model::rollout::FailedImage;
use crate::model::{FenceToken, Key, Revision, RowKey, Scope, Slug};
use crate::reconcile::apply::{self, Outcome, Permits, Writers};
use crate::reconcile::lease::turn::Fence;
use crate::reconcile::live::{Depth, Rows, Why};
use crate::reconcile::plan::{Action, Plan, Request, Step};
use crate::reconcile::resolve::Facts;
use crate::reconcile::status::{self, ChallengeStatus, Condition};
use crate::reconcile::{
    Cause, Edges, Planned, Registered, begin_pass, plan_with, read_registered, record,
};

/// What a revision means: the declaration, and what was found out about it.
pub(super) struct World {
    pub(super) declared: Arc<Declared>,
    facts: Arc<Facts>,
    /// The challenges of which the survey, and so the guards, saw something to delete.
    deletes: BTreeSet<Slug>,
}

impl World {
    /// Tells whether a plan for these challenges would delete what no guard has weighed.
    fn is_unguarded(&self, scope: &Scope, plan: &Plan) -> bool {
        let is_weighed = self.deletes.iter().any(|slug| scope.contains(slug));
        has_deletes(plan) && !is_weighed
    }
}

/// What a look at one challenge found and did.
pub struct Looked {
    /// The challenge.
    pub slug: Slug,
    /// How it ended.
    pub ended: Ended,
    /// Where the challenge stands, if anything is left of it.
    pub status: Option<ChallengeStatus>,
    /// Whether a freeze window held its steps.
    pub is_frozen: bool,
    /// Why nothing could be begun, if there was something to do.
    pub hindrance: Option<Why>,
    /// What was seen of its image.
    pub sight: Sight,
    /// What it went by of what people ask for, where that could be read.
    pub(super) went_by: Option<WentBy>,
    /// Whether it would delete what no guard has weighed yet: a survey comes first.
    pub wants_survey: bool,
    /// The pass in which somebody else applied another revision than the one looked at: the source comes first.
    pub superseded: Option<i64>,
    /// Whether its tokens are other ones than before: a survey sees to what is made of all tokens.
    pub has_new_tokens: bool,
    /// What was done.
    pub done: Done,
}

/// What decided a look beside the declaration.
pub(super) struct WentBy {
    /// Whether and why it was suspended.
    pub(super) suspension: Option<Suspension>,
    /// The image that was not tried; unknown where nothing is wanted of it.
    pub(super) given_up: Option<Option<FailedImage>>,
}

/// What a look did, for the record of its pass.
#[derive(Default)]
struct Worked {
    outcomes: Vec<Outcome>,
    /// What was kept of it before it wrote.
    begun: Option<Begun>,
    /// The token it wrote under, with a ticket that is handed back once that is recorded.
    token: Option<FenceToken>,
    /// Why nothing could be begun.
    why: Option<Why>,
    /// Whether another writer was at work while a newer revision waits for a person, or applied another revision.
    is_overtaken: bool,
    /// The pass in which somebody else applied another revision.
    superseded: Option<i64>,
    /// Whether the plan that was made again would delete what no guard has weighed.
    is_unguarded: bool,
}

/// Since when the world is known to a look.
#[derive(Clone, Copy)]
struct Since {
    /// The token that the database showed then.
    seen: Option<FenceToken>,
    /// Whether a guard held a newer revision then. Whoever writes after that may have let it through.
    is_guarded: bool,
}

/// Looks at challenges.
pub(super) struct Looker {
    edges: Edges,
    database: Arc<dyn Database>,
    permits: Arc<Permits>,
    pub(super) turns: Turns,
    actor: String,
    /// The newest pass of somebody else since which the source was read.
    answered: AtomicI64,
    pub(super) clock: fn() -> Timestamp,
}

impl Looker {
    pub(super) fn new(
        edges: Edges,
        database: Arc<dyn Database>,
        turns: Turns,
        actor: String,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            edges,
            database,
            permits: Arc::default(),
            turns,
            actor,
            answered: AtomicI64::new(0),
            clock,
        }
    }

    /// Returns the newest pass if it is somebody else's, of another revision than the one that is kept, and the source was
    /// not read since: this may be the older one of the two, and is not to be put back.
    fn superseded(&self, world: &World, newest: Option<&PassSummary>) -> Option<i64> {
        let newest = newest.filter(|newest| newest.id > self.answered.load(Ordering::Relaxed))?;
        let is_other = newest.revision.digest != world.declared.snapshot.revision.digest;
        (is_other && newest.actor != self.actor).then_some(newest.id)
    }

    /// Takes that the source was read since a pass.
    pub(super) fn answer(&self, pass: i64) {
        self.answered.fetch_max(pass, Ordering::Relaxed);
    }

    fn writers(&self, fence: Fence) -> Writers {
        Writers {
            clusters: self.edges.clusters.clone(),
            database: self.database.clone(),
            fence,
            deadline: None,
            permits: self.permits.clone(),
        }
    }

    /// Asks, once the database tells of it or after a while, what people ask for; nothing where that is not known.
    pub(super) async fn ask(self: Arc<Self>) -> Option<Asked> {
        tokio::select! {
            // Whoever tells of much is answered by few questions.
            () = self.database.act_told() => tokio::time::sleep(GATHER_TOLD).await,
            () = tokio::time::sleep(ASK_INTERVAL) => {}
        }
        let both = async {
            let suspended = self.database.suspensions(&Scope::All).await?;
            let given_up = self.database.rollouts(&Scope::All).await?.into_iter();
            let given_up = given_up.filter_map(|(slug, known)| Some((slug, known.failed?)));
            Ok(Asked {
                suspended,
                given_up: given_up.collect(),
                controller: self.database.controller_suspension().await?,
                acts: self.database.pending_acts().await?,
                fence: self.database.fence().await?,
            })
        };
        let asked: Result<Asked, DatabaseError> = both.await;
        // A registry that is away shows in every pass.
        asked
            .inspect_err(|error| tracing::debug!(%error, "acts could not be read"))
            .ok()
    }

    /// Keeps what came of acts.
    pub(super) async fn end_acts(self: Arc<Self>, acts: BTreeSet<i64>, outcome: String) {
        for id in acts {
            let ended = self.database.end_act(id, &outcome, (self.clock)());
            if let Err(error) = ended.await {
                tracing::warn!(%error, act = id, "an act was done, which could not be kept; it is done again");
            }
        }
    }

    /// Looks at challenges side by side, tells of each as it ends, and records them as one pass.
    pub(super) async fn pass(
        self: Arc<Self>,
        world: Arc<World>,
        due: BTreeMap<Slug, Option<Overdue>>,
        told: mpsc::UnboundedSender<Looked>,
        weighed: Option<Weighed>,
    ) {
        let revision = &world.declared.snapshot.revision;
        let span = tracing::debug_span!("pass", %revision, challenges = due.len());
        self.run(&world, due, told, weighed).instrument(span).await;
    }

    async fn run(
        &self,
        world: &World,
        due: BTreeMap<Slug, Option<Overdue>>,
        told: mpsc::UnboundedSender<Looked>,
        weighed: Option<Weighed>,
    ) {
        let began = (self.clock)();
        let since = Since {
            is_guarded: weighed.is_some(),
            seen: match weighed {
                Some(Weighed(seen)) => seen,
                None => self.turns.newest_token().await,
            },
        };
        let scope = Scope::Only(due.keys().cloned().collect());
        let known = read_registered(&self.edges.registry, &scope).await;
        let Registered { rows, standing } = known;
        let mut rows = by_challenge(rows, due.keys());
        let mut looks: FuturesUnordered<_> = due
            .into_iter()
            .map(|(slug, overdue)| {
                let known = Registered {
                    rows: rows.remove(&slug).unwrap_or_else(|| Ok(BTreeMap::new())),
                    standing: standing.of(&slug),
                };
                let span = tracing::debug_span!("look", %slug);
                self.look((world, began), slug, (known, since), overdue)
                    .instrument(span)
            })
            .collect();
        let mut records = FuturesUnordered::new();
        let mut sheet = Sheet::new(world);
        loop {
            let due = sheet.due.filter(|_| !looks.is_empty());
            tokio::select! {
                Some((looked, plan, worked)) = looks.next() => {
                    sheet.take(plan, worked);
                    // Nobody listens any more when the controller ends.
                    drop(told.send(looked));
                }
                // What is done is recorded; what hangs has a record of its own when it ends. The others go on meanwhile:
                // one of them may hold what the record waits for.
                () = sleep_until(due), if due.is_some() => {
                    let sheet = std::mem::replace(&mut sheet, Sheet::new(world));
                    records.push(self.record_sheet(world, sheet, began));
                }
                Some(()) = records.next() => {}
                else => break,
            }
        }
        self.record_sheet(world, sheet, began).await;
    }

    async fn record_sheet(&self, world: &World, sheet: Sheet, began: Timestamp) {
        let Sheet {
            plan,
            outcomes,
            begun,
            token,
            tickets,
            due: _,
        } = sheet;
        if let Some(token) = token {
            let times = (began, token);
            self.record(world, &plan, &outcomes, times, &begun).await;
        }
        self.turns.leave(tickets).await;
    }

    async fn look(
        &self,
        (world, began): (&World, Timestamp),
        slug: Slug,
        (known, since): (Registered, Since),
        overdue: Option<Overdue>,
    ) -> (Looked, Plan, Worked) {
        let scope = Scope::Only(BTreeSet::from([slug.clone()]));
        let mut planned = self.plan(world, &scope, known).await;
        let kept = self.keep_image(&planned, &slug, overdue.as_ref(), since);
        let kept = kept.await;
        if kept == Kept::GivenUp {
            let known = read_registered(&self.edges.registry, &scope).await;
            planned = self.plan(world, &scope, known).await;
        }
        let is_unguarded = world.is_unguarded(&scope, &planned.plan);
        let (planned, worked) = match may_begin(&planned) && !is_unguarded {
            true => self.work((world, began), &scope, planned, since).await,
            false => (planned, Worked::default()),
        };
        let status = status::challenges(&world.declared.platform, &planned, &scope).remove(&slug);
        let ended = match (&worked.why, planned.live.blindness()) {
            _ if worked.is_overtaken => Ended::Wrote(Vec::new()),
            (None, None) => match ended(&planned, &worked.outcomes, status.as_ref()) {
                Ended::AtRest if kept == Kept::Later => Ended::Unkept,
                ended => ended,
            },
            _ => Ended::Failed,
        };
        let looked = Looked {
            sight: sight_of(&planned, &slug),
            went_by: WentBy::of(&planned, &slug),
            slug,
            ended,
            status,
            is_frozen: !planned.plan.guards.is_empty(),
            hindrance: worked.why.clone(),
            wants_survey: is_unguarded || worked.is_unguarded || worked.is_overtaken,
            superseded: worked.superseded,
            has_new_tokens: has_new_tokens(&worked.outcomes),
            done: Done::of(&planned.plan, &worked.outcomes),
        };
        (looked, planned.plan, worked)
    }

    async fn plan(&self, world: &World, scope: &Scope, known: Registered) -> Planned {
        let declared = &world.declared;
        let request = self.request(&declared.snapshot.revision, scope.clone());
        let facts = world.facts.clone();
        plan_with(
            &declared.platform,
            facts,
            &request,
            Depth::Full,
            &self.edges,
            known,
        )
        .await
    }

    /// Carries out a plan in a turn; one that was made before somebody else's turn is made again.
    async fn work(
        &self,
        (world, began): (&World, Timestamp),
        scope: &Scope,
        mut planned: Planned,
        since: Since,
    ) -> (Planned, Worked) {
        let ticket = match self.turns.enter(since.seen, PATIENCE).await {
            Ok(ticket) => ticket,
            Err(why) => return (planned, Worked::hindered(why)),
        };
        let superseded = self.superseded(world, ticket.newest.as_ref());
        if superseded.is_some() || (!ticket.is_current && since.is_guarded) {
            self.turns.leave(1).await;
            let overtaken = Worked {
                is_overtaken: true,
                superseded,
                ..Worked::default()
            };
            return (planned, overtaken);
        }
        if !ticket.is_current || self.was_suspended(scope).await {
            let known = read_registered(&self.edges.registry, scope).await;
            planned = self.plan(world, scope, known).await;
        }
        let is_unguarded = world.is_unguarded(scope, &planned.plan);
        let worked = match may_begin(&planned) && !is_unguarded {
            true => {
                self.write((world, began), &planned.plan, ticket.fence)
                    .await
            }
            false => Ok(Worked::default()),
        };
        let mut worked = worked.unwrap_or_else(Worked::hindered);
        worked.is_unguarded = is_unguarded;
        // Who wrote hands the ticket back once that is recorded.
        if worked.token.is_none() {
            self.turns.leave(1).await;
        }
        (planned, worked)
    }

    /// Writes what a plan says, once it is kept that this was begun.
    async fn write(
        &self,
        (world, began): (&World, Timestamp),
        plan: &Plan,
        fence: Fence,
    ) -> Result<Worked, Why> {
        let token = fence.token();
        let begun = self.begin(world, plan, (began, token)).await?;
        let writers = self.writers(fence);
        Ok(Worked {
            outcomes: apply::apply(plan, &writers, (self.clock)(), &|_, _| {}).await,
            begun,
            token: Some(token),
            ..Worked::default()
        })
    }

    /// Tells whether a challenge of a plan was suspended since it was made, as far as that can be known: a look
    /// may take a while, and whoever suspends expects nothing to be written from then on.
    async fn was_suspended(&self, scope: &Scope) -> bool {
        let suspended = self.database.suspensions(scope).await;
        suspended.map_or(true, |suspended| !suspended.is_empty())
    }

    fn request(&self, revision: &Revision, scope: Scope) -> Request {
        Request {
            revision: revision.clone(),
            only: BTreeSet::new(),
            scope,
            now: (self.clock)(),
        }
    }

    fn cause<'a>(&'a self, world: &'a World) -> Cause<'a> {
        Cause {
            source: &world.declared.snapshot.origin,
            actor: &self.actor,
        }
    }

    async fn begin(
        &self,
        world: &World,
        plan: &Plan,
        times: (Timestamp, FenceToken),
    ) -> Result<Option<Begun>, Why> {
        begin_pass(plan, &self.cause(world), times, self.database.as_ref()).await
    }

    async fn record(
        &self,
        world: &World,
        plan: &Plan,
        outcomes: &[Outcome],
        (began, token): (Timestamp, FenceToken),
        begun: &[Begun],
    ) {
        let cause = self.cause(world);
        let record = record::record(plan, outcomes, &cause, (began, (self.clock)()));
        tracing::info!(
            revision = %plan.revision, outcome = ?record.outcome, created = record.counts.created, updated = record.counts.updated,
            deleted = record.counts.deleted, failed = record.counts.failed, held = record.counts.held, "pass"
        );
        if let Err(error) = self.database.record_pass(token, &record, begun).await {
            tracing::warn!(%error, "a pass was carried out and not recorded");
        }
    }
}

impl Worked {
    fn hindered(why: Why) -> Self {
        Self {
            why: Some(why),
            ..Self::default()
        }
    }
}

impl WentBy {
    fn of(planned: &Planned, slug: &Slug) -> Option<Self> {
        let Planned { desired, live, .. } = planned;
        live.rows_unknown.is_none().then(|| Self {
            suspension: desired.suspended.get(slug).cloned(),
            given_up: desired
                .rollouts
                .get(slug)
                .map(|rolled| rolled.known.failed.clone()),
        })
    }
}

/// The row with their hashes is written whenever they are.
fn has_new_tokens(outcomes: &[Outcome]) -> bool {
    let is_it = |outcome: &Outcome| matches!(outcome, Outcome::Done(Key::Row(RowKey::Tokens(_))));
    outcomes.iter().any(is_it)
}

fn has_deletes(plan: &Plan) -> bool {
    plan.steps.iter().any(is_delete)
}

fn is_delete(step: &Step) -> bool {
    matches!(step.action, Action::Delete { .. })
}

/// Tells whether a plan has something to do and may be begun.
fn may_begin(planned: &Planned) -> bool {
    let Plan { steps, guards, .. } = &planned.plan;
    !steps.is_empty() && guards.is_empty() && planned.live.blindness().is_none()
}

/// Gives each challenge its rows.
fn by_challenge<'a>(rows: Rows, slugs: impl Iterator<Item = &'a Slug>) -> BTreeMap<Slug, Rows> {
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            return slugs.map(|slug| (slug.clone(), Err(why.clone()))).collect();
        }
    };
    let mut parts: BTreeMap<Slug, BTreeMap<RowKey, _>> = BTreeMap::new();
    for (key, row) in rows {
        if let Some(slug) = key.slug() {
            parts.entry(slug.clone()).or_default().insert(key, row);
        }
    }
    parts
        .into_iter()
        .map(|(slug, rows)| (slug, Ok(rows)))
        .collect()
}

fn ended(planned: &Planned, outcomes: &[Outcome], status: Option<&ChallengeStatus>) -> Ended {
    let is_failure =
        |outcome: &Outcome| matches!(outcome, Outcome::Failed(..) | Outcome::OutOfTime(_));
    if outcomes.iter().any(is_failure) || planned.plan.has_unknown() {
        return Ended::Failed;
    }
    let done = |outcome: &Outcome| match outcome {
        Outcome::Done(key) => Some(key.clone()),
        _ => None,
    };
    let written: Vec<Key> = outcomes.iter().filter_map(done).collect();
    if !written.is_empty() {
        return Ended::Wrote(written);
    }
    match status.map(|status| status.condition) {
        Some(Condition::Progressing | Condition::Held | Condition::Unknown) => Ended::Waits,
        Some(Condition::Ready | Condition::Stopped | Condition::Suspended | Condition::Removed)
        | None => Ended::AtRest,
    }
}

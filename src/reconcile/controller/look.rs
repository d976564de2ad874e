//! One look at one challenge, from the rows to the writes; and the survey of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::agenda::Ended;
use super::board::Done;
use super::follow::Declared;
use crate::edge::database::Database;
use crate::model::{Key, Revision, RowKey, Scope, Slug};
use crate::reconcile::apply::{self, Outcome, Permits, Writers};
use crate::reconcile::live::{Depth, Rows};
use crate::reconcile::plan::{Held, Plan, Request};
use crate::reconcile::resolve::Facts;
use crate::reconcile::status::{self, ChallengeStatus, Condition};
use crate::reconcile::{
    Cause, Edges, Planned, find_facts, plan_with, read_rows, record, remember_digests,
};

/// What a revision means: the declaration, and what was found out about it.
pub(super) struct World {
    pub(super) declared: Arc<Declared>,
    facts: Arc<Facts>,
}

/// Everything as lists alone tell it.
pub(super) struct Surveyed {
    pub(super) world: Arc<World>,
    pub(super) planned: Planned,
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
    /// What was done.
    pub done: Done,
}

/// Looks at challenges.
pub(super) struct Looker {
    edges: Edges,
    database: Arc<dyn Database>,
    writers: Writers,
    actor: String,
    pub(super) clock: fn() -> Timestamp,
}

impl Looker {
    pub(super) fn new(
        edges: Edges,
        database: Arc<dyn Database>,
        actor: String,
        clock: fn() -> Timestamp,
    ) -> Self {
        let writers = Writers {
            clusters: edges.clusters.clone(),
            database: database.clone(),
            deadline: None,
            permits: Permits::default(),
        };
        Self {
            edges,
            database,
            writers,
            actor,
            clock,
        }
    }

    /// Surveys everything: which keys differ, and what the guards say.
    pub(super) async fn survey(self: Arc<Self>, declared: Arc<Declared>) -> Surveyed {
        let platform = &declared.platform;
        let revision = &declared.snapshot.revision;
        let rows = read_rows(&self.edges.registry).await;
        let facts = Arc::new(find_facts(platform, revision, &self.edges, &rows).await);
        let request = self.request(revision, Scope::All);
        let planned = plan_with(
            platform,
            facts.clone(),
            &request,
            Depth::Survey,
            &self.edges,
            rows,
        )
        .await;
        Surveyed {
            world: Arc::new(World { declared, facts }),
            planned,
        }
    }

    /// Does what belongs to no challenge, and keeps what was found out about a new revision.
    pub(super) async fn begin_revision(self: Arc<Self>, surveyed: &Surveyed, is_new: bool) {
        let began = (self.clock)();
        let mut plan = surveyed.planned.plan.clone();
        plan.steps.retain(|step| step.slug.is_none());
        plan.held.retain(|held| held.slug().is_none());
        if is_new {
            let revision = &surveyed.world.declared.snapshot.revision;
            remember_digests(
                &surveyed.world.facts,
                revision,
                self.database.as_ref(),
                began,
            )
            .await;
        }
        let outcomes = apply::apply(&plan, &self.writers, began, &|_, _| {}).await;
        let has_nothing_else = surveyed
            .planned
            .plan
            .steps
            .iter()
            .all(|step| step.slug.is_none());
        if !plan.steps.is_empty() || (is_new && has_nothing_else) {
            self.record(&surveyed.world, &plan, &outcomes, began).await;
        }
    }

    /// Looks at challenges side by side, tells of each as it ends, and records them as one pass.
    pub(super) async fn pass(
        self: Arc<Self>,
        world: Arc<World>,
        slugs: BTreeSet<Slug>,
        told: mpsc::UnboundedSender<Looked>,
    ) {
        let began = (self.clock)();
        let mut rows = by_challenge(read_rows(&self.edges.registry).await, &slugs);
        let looks: FuturesUnordered<_> = slugs
            .into_iter()
            .map(|slug| {
                let rows = rows.remove(&slug).unwrap_or_else(|| Ok(BTreeMap::new()));
                self.look(&world, slug, rows)
            })
            .collect();
        let mut plan = Plan::empty(world.declared.snapshot.revision.clone());
        let mut outcomes = Vec::new();
        let mut looks = std::pin::pin!(looks);
        while let Some((looked, its_plan, its_outcomes)) = looks.next().await {
            plan.absorb(its_plan);
            outcomes.extend(its_outcomes);
            // Nobody listens any more when the controller ends.
            drop(told.send(looked));
        }
        if !outcomes.is_empty() {
            self.record(&world, &plan, &outcomes, began).await;
        }
    }

    async fn look(&self, world: &World, slug: Slug, rows: Rows) -> (Looked, Plan, Vec<Outcome>) {
        let began = (self.clock)();
        let declared = &world.declared;
        let scope = Scope::Only(BTreeSet::from([slug.clone()]));
        let request = self.request(&declared.snapshot.revision, scope.clone());
        let planned = plan_with(
            &declared.platform,
            world.facts.clone(),
            &request,
            Depth::Full,
            &self.edges,
            rows,
        )
        .await;
        let is_frozen = !planned.plan.guards.is_empty();
        let is_blind = planned.live.blindness().is_some();
        let outcomes = match is_frozen || is_blind {
            true => Vec::new(),
            false => apply::apply(&planned.plan, &self.writers, began, &|_, _| {}).await,
        };
        let status = status::challenges(&declared.platform, &planned, &scope).remove(&slug);
        let ended = match is_blind {
            true => Ended::Failed,
            false => ended(&planned, &outcomes, status.as_ref()),
        };
        let looked = Looked {
            slug,
            ended,
            status,
            is_frozen,
            done: Done::of(&planned.plan, &outcomes),
        };
        (looked, planned.plan, outcomes)
    }

    fn request(&self, revision: &Revision, scope: Scope) -> Request {
        Request {
            revision: revision.clone(),
            only: BTreeSet::new(),
            scope,
            now: (self.clock)(),
        }
    }

    async fn record(&self, world: &World, plan: &Plan, outcomes: &[Outcome], began: Timestamp) {
        let cause = Cause {
            source: &world.declared.snapshot.origin,
            actor: &self.actor,
        };
        let record = record::record(plan, outcomes, &cause, (began, (self.clock)()));
        tracing::info!(
            revision = %plan.revision, outcome = ?record.outcome, created = record.counts.created, updated = record.counts.updated,
            deleted = record.counts.deleted, failed = record.counts.failed, held = record.counts.held, "pass"
        );
        if let Err(error) = self.database.record_pass(&record).await {
            tracing::warn!(%error, "a pass was carried out and not recorded");
        }
    }
}

impl Surveyed {
    pub(super) fn revision(&self) -> &Revision {
        &self.world.declared.snapshot.revision
    }

    /// Tells whether everything could be seen and decided.
    pub(super) fn is_whole(&self) -> bool {
        !self.planned.plan.has_unknown() && self.planned.desired.withheld.is_empty()
    }

    /// Returns the challenges that need a look: with something to do, held back, or not ready.
    pub(super) fn busy(&self) -> BTreeSet<Slug> {
        let plan = &self.planned.plan;
        let steps = plan.steps.iter().filter_map(|step| step.slug.clone());
        let is_open = |held: &&Held| !matches!(held, Held::Retained { .. });
        let held = plan
            .held
            .iter()
            .filter(is_open)
            .filter_map(|held| held.slug().cloned());
        let statuses =
            status::challenges(&self.world.declared.platform, &self.planned, &Scope::All);
        let is_moving = |status: &ChallengeStatus| status.condition == Condition::Progressing;
        let moving = statuses
            .into_iter()
            .filter(|(_, status)| is_moving(status))
            .map(|(slug, _)| slug);
        steps.chain(held).chain(moving).collect()
    }
}

/// Gives each challenge its rows.
fn by_challenge(rows: Rows, slugs: &BTreeSet<Slug>) -> BTreeMap<Slug, Rows> {
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            return slugs
                .iter()
                .map(|slug| (slug.clone(), Err(why.clone())))
                .collect();
        }
    };
    let mut parts: BTreeMap<Slug, BTreeMap<RowKey, _>> = BTreeMap::new();
    for (key, row) in rows {
        if let Some(slug) = key.slug().filter(|slug| slugs.contains(*slug)) {
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
        Some(Condition::Ready | Condition::Stopped | Condition::Removed) | None => Ended::AtRest,
    }
}

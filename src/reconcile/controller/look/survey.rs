//! The survey of everything, which tells what challenges have work; and what a new revision begins with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::Instrument as _;

use super::{Looker, World, is_delete};
use crate::model::act::Suspension;
use crate::model::{FenceToken, Revision, Scope, Slug};
use crate::reconcile::apply::{self, Outcome};
use crate::reconcile::controller::asks::GivenUp;
use crate::reconcile::controller::follow::Declared;
use crate::reconcile::lease::turn::Fence;
use crate::reconcile::live::{Depth, Why};
use crate::reconcile::plan::{Held, Plan};
use crate::reconcile::status::{self, ChallengeStatus, Condition};
use crate::reconcile::{
    Planned, Tags, find_facts, plan_with, read_registered, remember_digests, rollout,
};

/// How long another writer is waited for: the turn of one who was killed is over by then. Nothing else is done
/// meanwhile, and who has the turn for longer is waited for by the next survey.
const PATIENCE: Duration = Duration::from_secs(6);

/// Everything as lists alone tell it.
pub(in crate::reconcile::controller) struct Surveyed {
    pub(in crate::reconcile::controller) world: Arc<World>,
    pub(in crate::reconcile::controller) planned: Planned,
    /// The token that the database showed before anything was read.
    seen: Option<FenceToken>,
    tags: Tags,
    /// Why nothing of it is to be begun, if the controller is suspended.
    pub(in crate::reconcile::controller) suspension: Option<Suspension>,
    /// The pass in which somebody else applied another revision: the source comes first.
    pub(in crate::reconcile::controller) superseded: Option<i64>,
}

/// The token that the database showed when a guard was last found to hold a newer revision.
#[derive(Clone, Copy)]
pub(in crate::reconcile::controller) struct Weighed(pub(super) Option<FenceToken>);

impl Weighed {
    /// Tells whether somebody wrote since.
    pub(in crate::reconcile::controller) fn is_before(self, fence: FenceToken) -> bool {
        self.0.is_some_and(|seen| seen < fence)
    }
}

impl Looker {
    /// Surveys everything: which keys differ, and what the guards say.
    pub(in crate::reconcile::controller) async fn survey(
        self: Arc<Self>,
        declared: Arc<Declared>,
        tags: Tags,
    ) -> Surveyed {
        let platform = &declared.platform;
        let revision = &declared.snapshot.revision;
        let seen = self.turns.newest_token().await;
        // A registry that does not say is seen by what follows, and gives no turn.
        let suspension = self.database.controller_suspension().await.ok().flatten();
        let newest = self.turns.newest_pass().await.ok().flatten();
        let known = read_registered(&self.edges.registry, &Scope::All).await;
        let facts = find_facts(platform, revision, tags, &self.edges, &known.rows).await;
        let facts = Arc::new(facts);
        let request = self.request(revision, Scope::All);
        let planned = plan_with(
            platform,
            facts.clone(),
            &request,
            Depth::Survey,
            &self.edges,
            known,
        );
        let span = tracing::debug_span!("survey", %revision);
        let planned = planned.instrument(span).await;
        let world = World {
            declared,
            facts,
            deletes: with_deletes(&planned),
        };
        Surveyed {
            superseded: self.superseded(&world, newest.as_ref()),
            world: Arc::new(world),
            planned,
            seen,
            tags,
            suspension,
        }
    }

    /// Does what belongs to no challenge, keeps what was found out about a new revision, and records it.
    /// A revision that changes nothing is recorded without a turn, by the token that was seen. Tells whether all of it was
    /// done.
    ///
    /// # Errors
    /// The turn to write was not to be had, somebody else wrote since the survey, or what was begun could not be kept.
    pub(in crate::reconcile::controller) async fn begin_revision(
        &self,
        surveyed: &Surveyed,
        is_new: bool,
    ) -> Result<bool, Why> {
        let began = (self.clock)();
        let mut plan = surveyed.planned.plan.clone();
        // A freeze window holds what belongs to no challenge too; a survey after it goes on from here.
        let is_frozen = !plan.guards.is_empty();
        let has_nothing_else = !is_frozen && plan.steps.iter().all(|step| step.slug.is_none());
        plan.steps.retain(|step| step.slug.is_none() && !is_frozen);
        // Challenges are looked at after this; what they make is the next survey's.
        plan.drop_orphans();
        plan.held.retain(|held| held.slug().is_none());
        let is_resolved = is_new || surveyed.tags == Tags::Anew;
        let finds = is_resolved && !surveyed.world.facts.known_digests().is_empty();
        if plan.steps.is_empty() && !finds {
            let recorded = (is_new && has_nothing_else).then_some(&plan);
            return self.begin_nothing(surveyed, recorded, began).await;
        }
        let ticket = self.turns.enter(surveyed.seen, PATIENCE).await?;
        let done = match ticket.is_current {
            true => self.do_common(surveyed, &plan, ticket.fence, began).await,
            false => Err(overtaken()),
        };
        self.turns.leave(1).await;
        done
    }

    /// Records a revision that changes nothing. Where passes were begun and not recorded a turn is taken, if it is to
    /// be had: that puts those that never ended into the history.
    async fn begin_nothing(
        &self,
        surveyed: &Surveyed,
        recorded: Option<&Plan>,
        began: Timestamp,
    ) -> Result<bool, Why> {
        let open = self.database.begun_passes().await.unwrap_or_default();
        let ticket = match open {
            0 => None,
            _ => self.turns.enter(surveyed.seen, PATIENCE).await.ok(),
        };
        let taken = ticket.as_ref().map(|ticket| ticket.fence.token());
        let is_current = ticket.as_ref().is_none_or(|ticket| ticket.is_current);
        // The survey took its time, and whoever leads since may have had no turn yet.
        let seen = surveyed.seen.filter(|_| self.turns.may_begin());
        if let (true, Some(plan), Some(token)) = (is_current, recorded, taken.or(seen)) {
            let times = (began, token);
            self.record(&surveyed.world, plan, &[], times, &[]).await;
        }
        self.turns.leave(usize::from(ticket.is_some())).await;
        match is_current {
            true => Ok(true),
            false => Err(overtaken()),
        }
    }

    async fn do_common(
        &self,
        surveyed: &Surveyed,
        plan: &Plan,
        fence: Fence,
        began: Timestamp,
    ) -> Result<bool, Why> {
        let token = fence.token();
        let world = &surveyed.world;
        let revision = &world.declared.snapshot.revision;
        let database = self.database.as_ref();
        let begun = self.begin(world, plan, (began, token)).await?;
        remember_digests(&world.facts, revision, token, database, began).await;
        let outcomes = apply::apply(plan, &self.writers(fence), began, &|_, _| {}).await;
        if !outcomes.is_empty() {
            let times = (began, token);
            self.record(world, plan, &outcomes, times, begun.as_slice())
                .await;
        }
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Done(_));
        Ok(outcomes.iter().all(is_done))
    }
}

impl Surveyed {
    /// Returns since when its guards are known to hold.
    pub(in crate::reconcile::controller) fn weighed(&self) -> Weighed {
        Weighed(self.seen)
    }

    pub(in crate::reconcile::controller) fn revision(&self) -> &Revision {
        &self.world.declared.snapshot.revision
    }

    /// Returns the images that it took for given up.
    pub(in crate::reconcile::controller) fn given_up(&self) -> GivenUp {
        let rolled = self.planned.desired.rollouts.iter();
        let given_up =
            rolled.filter_map(|(slug, rolled)| Some((slug.clone(), rolled.known.failed.clone()?)));
        given_up.collect()
    }

    /// Tells whether everything could be seen and decided.
    pub(in crate::reconcile::controller) fn is_whole(&self) -> bool {
        !self.planned.plan.has_unknown() && self.planned.desired.withheld.is_empty()
    }

    /// Returns the challenges that need a look: with something to do, held back, not ready, or ready
    /// with an image that is not remembered.
    pub(in crate::reconcile::controller) fn busy(&self) -> BTreeSet<Slug> {
        let plan = &self.planned.plan;
        let steps = plan.steps.iter().filter_map(|step| step.slug.clone());
        let is_open =
            |held: &&Held| !matches!(held, Held::Retained { .. } | Held::Suspended { .. });
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
        let news = rollout::news(&self.planned).map(|(slug, _)| slug);
        steps.chain(held).chain(moving).chain(news).collect()
    }
}

fn overtaken() -> Why {
    Why::from("another writer was at work meanwhile")
}

/// Returns the challenges of which a survey has something to delete, now or when a wait is over.
fn with_deletes(planned: &Planned) -> BTreeSet<Slug> {
    let plan = &planned.plan;
    let deleted = plan.steps.iter().filter(|step| is_delete(step));
    let wanted = &planned.desired.items;
    let is_unwanted =
        |held: &&Held| matches!(held, Held::Waits { key, .. } if !wanted.contains_key(key));
    let waiting = plan.held.iter().filter(is_unwanted);
    let slugs = deleted
        .map(|step| step.slug.as_ref())
        .chain(waiting.map(Held::slug));
    slugs.flatten().cloned().collect()
}

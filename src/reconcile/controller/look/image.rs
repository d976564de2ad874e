//! What a look does about a new image: one that is ready is remembered, one whose time is over is given up, and
//! what is seen of the others is told.

use std::time::Duration;

use super::{Looker, Since};
use crate::model::rollout::{FailedImage, Rollout, Rollouts};
use crate::model::{FIELD_MANAGER, Key, Slug};
use crate::reconcile::Planned;
use crate::reconcile::controller::trials::{Overdue, Sight};
use crate::reconcile::desired::rollout::Rolled;
use crate::reconcile::live::owned::{Comparison, compare};
use crate::reconcile::live::reduce::reduce;
use crate::reconcile::live::{Readiness, Seen};
use crate::reconcile::rollout::{is_as_wanted, ready};

/// How long the turn is waited for to remember that an image is ready: another writer may keep it for minutes, and
/// the next look does as well.
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of remembering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// There was nothing new.
    Nothing,
    /// It is kept.
    Ready,
    /// An image was given up: the plan is another.
    GivenUp,
    /// It could not be kept now.
    Later,
}

impl Looker {
    /// Keeps what is new about the image of a challenge.
    pub(super) async fn keep_image(
        &self,
        planned: &Planned,
        slug: &Slug,
        overdue: Option<&Overdue>,
        since: Since,
    ) -> Kept {
        let Some(rolled) = planned.desired.rollouts.get(slug) else {
            return Kept::Nothing;
        };
        let (news, then) = match self.give_up(planned, rolled, overdue).await {
            Some(failed) => (Some(failed), Kept::GivenUp),
            None => (ready(planned, rolled), Kept::Ready),
        };
        match news {
            None => Kept::Nothing,
            Some(news) if self.keep(slug, news.clone(), since).await => {
                tell_kept(slug, &news, then);
                then
            }
            Some(_) => Kept::Later,
        }
    }

    /// Returns what is to be kept of an image whose time is over, if the server itself says that it is there as
    /// wanted and not ready. What is remembered may be old where a watch fell silent.
    async fn give_up(
        &self,
        planned: &Planned,
        rolled: &Rolled,
        overdue: Option<&Overdue>,
    ) -> Option<Rollout> {
        let Overdue { trial, revision } = overdue?;
        let is_due = sight(planned, rolled) == Sight::OnTrial(trial.clone())
            && planned.plan.guards.is_empty()
            && planned.live.blindness().is_none();
        if !is_due || !self.is_failing(planned, rolled).await {
            return None;
        }
        Some(Rollout {
            good: rolled.known.good.clone(),
            failed: Some(FailedImage {
                image: trial.image.clone(),
                declared: trial.declared.clone(),
                revision: revision.short().to_owned(),
                seconds: trial.seconds,
                at: (self.clock)(),
            }),
        })
    }

    async fn is_failing(&self, planned: &Planned, rolled: &Rolled) -> bool {
        let key = &rolled.workload;
        let Some(Ok(cluster)) = self.edges.clusters.get(&key.cluster) else {
            return false;
        };
        let wanted = planned.desired.items.get(&Key::Object(key.clone()));
        let manifest = wanted.and_then(|wanted| wanted.item.manifest());
        let (Some(manifest), Ok(Some(object))) = (manifest, cluster.get(key).await) else {
            return false;
        };
        compare(&manifest, &object, FIELD_MANAGER) == Comparison::Equal
            && reduce(key.kind, &object).readiness.is_failing()
    }

    async fn keep(&self, slug: &Slug, rollout: Rollout, since: Since) -> bool {
        let ticket = match self.turns.enter(since.seen, PATIENCE).await {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::debug!(%slug, why = %error, "what came of an image is kept later");
                return false;
            }
        };
        let token = ticket.fence.token();
        let news = Rollouts::from([(slug.clone(), rollout)]);
        let kept = self.database.write_rollouts(token, &news, (self.clock)());
        let kept = kept.await;
        self.turns.leave(1).await;
        kept.inspect_err(|error| tracing::warn!(%slug, %error, "what came of an image is not kept"))
            .is_ok()
    }
}

fn tell_kept(slug: &Slug, news: &Rollout, then: Kept) {
    if let (Kept::GivenUp, Some(failed)) = (then, &news.failed) {
        tracing::warn!(%slug, image = %failed.image, seconds = failed.seconds, "the image did not become ready in its time; the one before it comes back");
    }
}

/// Tells what a look saw of the image of a challenge.
pub(super) fn sight_of(planned: &Planned, slug: &Slug) -> Sight {
    match planned.desired.rollouts.get(slug) {
        Some(rolled) => sight(planned, rolled),
        None if planned.live.blindness().is_some() => Sight::Unknown,
        None => Sight::Settled,
    }
}

fn sight(planned: &Planned, rolled: &Rolled) -> Sight {
    let Some(trial) = &rolled.trial else {
        return Sight::Settled;
    };
    let database = rolled.database.as_ref();
    let is_alone = database.is_none_or(|key| {
        let database = planned.live.object(key);
        database.is_some_and(|database| database.readiness == Readiness::Ready)
    });
    match planned.live.seen.get(&Key::Object(rolled.workload.clone())) {
        None | Some(Seen::Unknown(_)) => Sight::Unknown,
        Some(Seen::Object(observed))
            if is_as_wanted(observed) && observed.readiness.is_failing() && is_alone =>
        {
            Sight::OnTrial(trial.clone())
        }
        Some(Seen::Object(_) | Seen::Absent { .. } | Seen::Row(_)) => Sight::Settled,
    }
}

//! Which images are ready and not remembered yet. Pure.

use super::Planned;
use super::desired::rollout::Rolled;
use super::live::{Observed, Readiness};
use crate::model::Slug;
use crate::model::rollout::Rollout;

/// Returns what is to be remembered: the images that are ready now and were not the last ones.
pub fn news(planned: &Planned) -> impl Iterator<Item = (Slug, Rollout)> {
    let rolled = planned.desired.rollouts.iter();
    rolled.filter_map(|(slug, rolled)| Some((slug.clone(), ready(planned, rolled)?)))
}

/// Returns what is to be remembered of one challenge, if its image is ready and that is news.
#[must_use]
pub fn ready(planned: &Planned, rolled: &Rolled) -> Option<Rollout> {
    let workload = planned.live.object(&rolled.workload)?;
    let is_ready = is_as_wanted(workload) && workload.readiness == Readiness::Ready;
    rolled.when_ready().filter(|_| is_ready)
}

/// Tells whether an object is ours and there as it is wanted.
#[must_use]
pub fn is_as_wanted(observed: &Observed) -> bool {
    observed.changes.is_empty() && !observed.terminating && observed.owner.is_some()
}

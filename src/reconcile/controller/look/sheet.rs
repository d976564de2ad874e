//! What a pass of the controller did and has not recorded yet.

use super::{Worked, World};
use crate::model::FenceToken;
use crate::reconcile::apply::Outcome;
use crate::reconcile::plan::Plan;

/// What looks of one pass did that is not recorded yet.
pub(super) struct Sheet {
    pub(super) plan: Plan,
    pub(super) outcomes: Vec<Outcome>,
    /// The newest token that was written under, if anything was.
    pub(super) token: Option<FenceToken>,
}

impl Sheet {
    pub(super) fn new(world: &World) -> Self {
        Self {
            plan: Plan::empty(world.declared.snapshot.revision.clone()),
            outcomes: Vec::new(),
            token: None,
        }
    }

    pub(super) fn take(&mut self, plan: Plan, worked: Worked) {
        self.plan.absorb(plan);
        self.outcomes.extend(worked.outcomes);
        self.token = self.token.max(worked.token);
    }
}

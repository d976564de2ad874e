//! What a pass of the controller did and has not recorded yet.

use std::time::Duration;

use tokio::time::Instant;

use super::{Worked, World};
use crate::model::FenceToken;
use crate::model::pass::Begun;
use crate::reconcile::apply::Outcome;
use crate::reconcile::plan::Plan;

/// How long what is done waits for looks of the same pass before it is recorded. Its turn is kept for as long.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// What looks of one pass did that is not recorded yet.
pub(super) struct Sheet {
    pub(super) plan: Plan,
    pub(super) outcomes: Vec<Outcome>,
    /// What was begun and is to be recorded.
    pub(super) begun: Vec<Begun>,
    /// The newest token that was written under, if anything was.
    pub(super) token: Option<FenceToken>,
    /// The tickets of those who wrote: the turn must not end before the record, which would be refused.
    pub(super) tickets: usize,
    /// When it is recorded at the latest, if there is anything to record.
    pub(super) due: Option<Instant>,
}

impl Sheet {
    pub(super) fn new(world: &World) -> Self {
        Self {
            plan: Plan::empty(world.declared.snapshot.revision.clone()),
            outcomes: Vec::new(),
            begun: Vec::new(),
            token: None,
            tickets: 0,
            due: None,
        }
    }

    pub(super) fn take(&mut self, plan: Plan, worked: Worked) {
        self.plan.absorb(plan);
        self.outcomes.extend(worked.outcomes);
        self.begun.extend(worked.begun);
        if worked.token.is_some() {
            self.token = self.token.max(worked.token);
            self.tickets += 1;
            self.due = Some(Instant::now() + RECORD_WITHIN);
        }
    }
}

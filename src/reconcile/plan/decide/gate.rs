//! What is held back because of something else: what would be written before the objects that it needs, and
//! what would be taken away before that which replaces it. Pure.

use super::{Decision, Decisions, World};
use crate::model::{Key, ObjectKey};
use crate::reconcile::live::{Readiness, Why};
use crate::reconcile::plan::{Action, Held};

impl World<'_> {
    /// Holds back what would be written before the objects that it needs are there and ready.
    pub(super) fn gate(&self, decisions: &mut Decisions<'_>) {
        loop {
            let blocked: Vec<(usize, Held)> = (decisions.0.iter().enumerate())
                .filter_map(|(index, (key, decision))| {
                    Some((index, self.blocked(key, decision, decisions)?))
                })
                .collect();
            if blocked.is_empty() {
                return;
            }
            // Each round holds at least one more key, and what is held blocks what waits for it.
            for (index, held) in blocked {
                decisions.0[index].1 = Decision::Held(held);
            }
        }
    }

    fn blocked(&self, key: &Key, decision: &Decision, decisions: &Decisions<'_>) -> Option<Held> {
        let Decision::Do { after, action } = decision else {
            return None;
        };
        if matches!(action, Action::Delete { .. }) {
            return self.needed_still(key, decisions);
        }
        let slug = self.slug(key).cloned();
        let wait = |on: &ObjectKey, why: Why| Held::Waits {
            key: key.clone(),
            slug: slug.clone(),
            on: Key::Object(on.clone()),
            why,
        };
        after.iter().find_map(|on| match decisions.of_object(on)? {
            Decision::Held(_) => Some(wait(on, Why::from("that is held"))),
            Decision::Unchanged => match &self.live.object(on)?.readiness {
                Readiness::Ready => None,
                Readiness::NotReady(state) => Some(wait(on, Why(state.clone()))),
            },
            Decision::Do { .. } | Decision::Nothing => None,
        })
    }

    /// What a challenge runs with is not taken away while the workload that is to run without it is held:
    /// the old workload when the mode changes, its database when that moves elsewhere.
    fn needed_still(&self, key: &Key, decisions: &Decisions<'_>) -> Option<Held> {
        let slug = match key {
            Key::Object(_) => self.slug(key)?,
            Key::Row(_) => return None,
        };
        let workload = *self.workloads.get(slug)?;
        matches!(decisions.get(workload)?, Decision::Held(_)).then(|| Held::Waits {
            key: key.clone(),
            slug: Some(slug.clone()),
            on: workload.clone(),
            why: Why::from("that is held; this is deleted when that is done"),
        })
    }
}

//! What is held back because of something else: what would be written before the objects that it needs, and
//! what would be taken away before that which replaces it. Pure.

use super::{Decision, Decisions, World};
use crate::model::{Key, Kind, ObjectKey, RowKey};
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
        let wait = |on: Key, why: Why| Held::Waits {
            key: key.clone(),
            slug: slug.clone(),
            on,
            why,
        };
        if let Some((on, why)) = self.old_autoscaler(key, decisions) {
            return Some(wait(on, Why::from(why)));
        }
        after.iter().find_map(|on| match decisions.of_object(on)? {
            Decision::Held(_) => Some(wait(Key::Object(on.clone()), Why::from("that is held"))),
            Decision::Unchanged => match &self.live.object(on)?.readiness {
                Readiness::Ready => None,
                Readiness::NotReady(state) => {
                    Some(wait(Key::Object(on.clone()), Why(state.clone())))
                }
            },
            Decision::Do { .. } | Decision::Nothing => None,
        })
    }

    /// Returns what tells that an autoscaler of the other kind is there, or may be, and is not deleted by this plan: two
    /// would scale one workload.
    fn old_autoscaler(&self, key: &Key, decisions: &Decisions<'_>) -> Option<(Key, &'static str)> {
        let new = key.object()?;
        let kind = match new.kind {
            Kind::HorizontalPodAutoscaler => Kind::ScaledObject,
            Kind::ScaledObject => Kind::HorizontalPodAutoscaler,
            _ => return None,
        };
        let old = ObjectKey {
            kind,
            ..new.clone()
        };
        let is_ours = |old| self.live.object(old).is_some_and(|old| old.owner.is_some());
        let is_deleted = |old| matches!(decisions.of_object(old), Some(Decision::Do { .. }));
        if is_ours(&old) && !is_deleted(&old) {
            return Some((Key::Object(old), "it is to go first"));
        }
        let row = Key::Row(RowKey::Challenge(self.slug(key)?.clone()));
        let is_held = matches!(decisions.get(&row), Some(Decision::Held(_)));
        is_held.then_some((row, "it may tell of another autoscaler"))
    }

    /// What a challenge runs with is not taken away while the workload that is to run without it is held:
    /// the old workload when the mode changes, its database when that moves elsewhere. It runs without an autoscaler
    /// too; and one of KEDA's that stayed would be listed no more, once the row of its challenge tells of none.
    fn needed_still(&self, key: &Key, decisions: &Decisions<'_>) -> Option<Held> {
        if is_autoscaler(key.object()?.kind) {
            return None;
        }
        let slug = self.slug(key)?;
        let workload = *self.workloads.get(slug)?;
        matches!(decisions.get(workload)?, Decision::Held(_)).then(|| Held::Waits {
            key: key.clone(),
            slug: Some(slug.clone()),
            on: workload.clone(),
            why: Why::from("that is held; this is deleted when that is done"),
        })
    }
}

fn is_autoscaler(kind: Kind) -> bool {
    matches!(kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject)
}

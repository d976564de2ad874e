//! Since when something is so, as far as a controller noted it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::edge::database::revision_id;
use crate::model::Slug;
use crate::model::condition::{AllConditions, ConditionType, Truth};
use crate::reconcile::Planned;
use crate::reconcile::status::conditions::{Found, conditions, telling};
use crate::reconcile::status::{ChallengeStatus, Condition};

/// The conditions of challenges, as a controller kept them and as they are.
pub struct Conditions {
    /// As they were kept.
    pub kept: AllConditions,
    /// As they are; those that were kept tell since when.
    pub found: AllConditions,
    now: Timestamp,
}

impl Conditions {
    /// Finds the conditions of each challenge as they are now.
    pub fn find(
        challenges: &BTreeMap<Slug, ChallengeStatus>,
        kept: AllConditions,
        planned: &Planned,
        deadline: Duration,
        now: Timestamp,
    ) -> Self {
        let found = |(slug, status): (&Slug, &ChallengeStatus)| {
            let found = Found {
                status,
                kept: None,
                revision: revision_id(&planned.plan.revision),
                deadline,
                now,
            };
            (slug.clone(), conditions(kept.get(slug), &found))
        };
        let found = challenges.iter().map(found).collect();
        Self { kept, found, now }
    }

    /// Returns for how long a condition is known to have its status.
    pub fn since(&self, slug: &Slug, of: ConditionType, truth: Truth) -> Option<String> {
        let kept = self.kept.get(slug)?.of.get(&of)?;
        let now = self.found.get(slug)?.of.get(&of)?;
        let is_same = kept.status == truth && now.status == truth;
        is_same.then(|| ago(now.since, self.now))
    }

    /// Returns for how long challenges that are held, or wait, are known to do so.
    pub fn held_for(&self, challenges: &BTreeMap<Slug, ChallengeStatus>) -> BTreeMap<Slug, String> {
        let waiting = challenges
            .iter()
            .filter(|(_, status)| waits(status.condition));
        let held_for = |(slug, status): (&Slug, &ChallengeStatus)| {
            let (of, truth) = telling(status.condition);
            Some((slug.clone(), self.since(slug, of, truth)?))
        };
        waiting.filter_map(held_for).collect()
    }
}

/// Tells whether a challenge in this condition is held, or waits, and does not say since when.
pub fn waits(condition: Condition) -> bool {
    match condition {
        Condition::Held | Condition::Progressing | Condition::Unknown => true,
        // A suspension says so itself; in the others nothing is held that was held before.
        Condition::Suspended | Condition::Ready | Condition::Stopped | Condition::Removed => false,
    }
}

/// Returns a span up to now in the one unit that tells it best.
pub fn ago(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_tells_it_best() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, told) in [
            (-5, "0 s"),
            (119, "119 s"),
            (180, "3 min"),
            (7200, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(ago(at(0), at(seconds)), told);
        }
    }
}

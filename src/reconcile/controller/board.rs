//! How things stand: the source, each challenge and since when, for the status page, metrics and people.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;
use serde::Serialize;

use super::follow::{Bad, Followed};
use super::look::{Looked, Surveyed};
use crate::model::{Revision, Scope, Slug};
use crate::reconcile::apply::Outcome;
use crate::reconcile::live::Why;
use crate::reconcile::plan::{Action, Guard, Plan};
use crate::reconcile::status::{self, ChallengeStatus, Condition};

/// How things stand.
#[derive(Default)]
pub struct Board(RwLock<Standing>);

/// How everything stands.
#[derive(Clone, Default)]
pub struct Standing {
    /// The revision that is kept.
    pub revision: Option<Revision>,
    /// When the source was last read to the end.
    pub source_read_at: Option<Timestamp>,
    /// What is newer and cannot be used.
    pub bad: Option<Bad>,
    /// The guards that hold a newer revision.
    pub guards: Vec<Guard>,
    /// Why not everything can be seen.
    pub blindness: Option<Why>,
    /// Who else runs the loop, where this process waits to do so.
    pub led_by: Option<String>,
    /// When everything was last surveyed.
    pub surveyed_at: Option<Timestamp>,
    /// Each challenge.
    pub challenges: BTreeMap<Slug, Stands>,
    /// What was done since the start.
    pub done: Done,
}

/// How one challenge stands.
#[derive(Clone, Debug, Serialize)]
pub struct Stands {
    /// How it is and why.
    pub status: ChallengeStatus,
    /// Since when its condition is that.
    pub since: Timestamp,
    /// Who keeps changing it back, if somebody does.
    pub fight: Option<Why>,
    /// Whether a freeze window holds its steps.
    pub is_frozen: bool,
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Looks at challenges.
    pub looks: u64,
    /// Keys made.
    pub created: u64,
    /// Keys changed.
    pub updated: u64,
    /// Keys deleted.
    pub deleted: u64,
    /// Steps that failed.
    pub failed: u64,
}

impl Board {
    /// Returns how everything stands now.
    #[must_use]
    pub fn read(&self) -> Standing {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Standing> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is known of the source.
    pub fn take_source(&self, followed: &Followed) {
        let mut standing = self.write();
        standing.source_read_at = followed.read_at;
        standing.bad.clone_from(&followed.bad);
    }

    /// Takes who else runs the loop; nobody else where this process does.
    pub fn take_leader(&self, other: Option<String>) {
        self.write().led_by = other;
    }

    /// Takes why not everything can be seen, and tells whether that is new.
    pub(super) fn take_blindness(&self, why: Why) -> bool {
        let old = self.write().blindness.replace(why.clone());
        old.as_ref() != Some(&why)
    }

    /// Takes a survey, and tells whether the guards that hold it are others than before.
    pub(super) fn take_survey(
        &self,
        surveyed: &Surveyed,
        guards: &[Guard],
        now: Timestamp,
    ) -> bool {
        let statuses = status::challenges(
            &surveyed.world.declared.platform,
            &surveyed.planned,
            &Scope::All,
        );
        let mut standing = self.write();
        standing.blindness = None;
        standing.surveyed_at = Some(now);
        let old = std::mem::replace(&mut standing.guards, guards.to_vec());
        let are_other = old != guards;
        if !guards.is_empty() {
            return are_other;
        }
        standing.revision = Some(surveyed.revision().clone());
        standing
            .challenges
            .retain(|slug, _| statuses.contains_key(slug));
        for (slug, status) in statuses {
            standing.put(slug, status, now);
        }
        are_other
    }

    pub(super) fn take_look(&self, looked: Looked, fight: Option<Why>, now: Timestamp) {
        let mut standing = self.write();
        standing.done.add(looked.done);
        match looked.status {
            Some(mut status) => {
                status.why.splice(..0, looked.hindrance.map(|why| why.0));
                let stands = standing.put(looked.slug, status, now);
                (stands.fight, stands.is_frozen) = (fight, looked.is_frozen);
            }
            None => {
                standing.challenges.remove(&looked.slug);
            }
        }
    }
}

impl Standing {
    fn put(&mut self, slug: Slug, status: ChallengeStatus, now: Timestamp) -> &mut Stands {
        let old = self.challenges.remove(&slug);
        let old = old.filter(|old| old.status.condition == status.condition);
        let stands = match old {
            Some(old) => Stands { status, ..old },
            None => Stands {
                status,
                since: now,
                fight: None,
                is_frozen: false,
            },
        };
        self.challenges.entry(slug).or_insert(stands)
    }

    /// Returns how many challenges are in each condition.
    #[must_use]
    pub fn conditions(&self) -> BTreeMap<Condition, usize> {
        let mut counts = BTreeMap::new();
        for stands in self.challenges.values() {
            *counts.entry(stands.status.condition).or_default() += 1;
        }
        counts
    }
}

impl Done {
    /// Counts what one look did.
    #[must_use]
    pub fn of(plan: &Plan, outcomes: &[Outcome]) -> Self {
        let mut done = Self {
            looks: 1,
            ..Self::default()
        };
        for (step, outcome) in plan.steps.iter().zip(outcomes) {
            let counter = match (outcome, &step.action) {
                (Outcome::Done(_), Action::Create(_)) => &mut done.created,
                (Outcome::Done(_), Action::Update { .. }) => &mut done.updated,
                (Outcome::Done(_), Action::Delete { .. }) => &mut done.deleted,
                (Outcome::Failed(..) | Outcome::OutOfTime(_), _) => &mut done.failed,
                (Outcome::NotReached { .. }, _) => continue,
            };
            *counter += 1;
        }
        done
    }

    fn add(&mut self, other: Self) {
        self.looks += other.looks;
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.failed += other.failed;
    }
}

//! How things stand: the source, each challenge and since when, for the status page, metrics and people; and
//! what of it is news for who keeps the conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::agenda::Ended;
use super::follow::{Bad, Followed};
use super::look::{Looked, Surveyed};
use super::notices::Matters;
use super::tellers::{Channel, Fate};
use crate::edge::database::revision_id;
use crate::model::act::Suspension;
use crate::model::condition::{ConditionType, Truth};
use crate::model::health::AllHealth;
use crate::model::{Key, Revision, Scope, Slug};
use crate::reconcile::apply::Outcome;
use crate::reconcile::live::Why;
use crate::reconcile::plan::{Action, Guard, Plan};
use crate::reconcile::status::conditions::Kept;
use crate::reconcile::status::{self, ChallengeStatus, Condition, Reason, Word};

/// How things stand.
#[derive(Default)]
pub struct Board {
    standing: RwLock<Standing>,
    news: Mutex<News>,
    notify: Notify,
}

/// What happened since news were last taken.
#[derive(Debug, Default)]
pub struct News {
    /// The challenges that were looked at.
    pub slugs: BTreeSet<Slug>,
    /// Whether everything was.
    pub is_survey: bool,
    /// What others had changed and was put right.
    pub corrected: BTreeMap<Slug, BTreeSet<Key>>,
}

/// How everything stands.
#[derive(Clone, Default)]
pub struct Standing {
    /// The revision that is kept.
    pub revision: Option<Revision>,
    /// When the source was last read to the end.
    pub source_read_at: Option<Timestamp>,
    /// When the database last answered.
    pub database_read_at: Option<Timestamp>,
    /// What is newer and cannot be used.
    pub bad: Option<Bad>,
    /// The guards that hold a newer revision.
    pub guards: Vec<Guard>,
    /// The revision that they hold.
    pub guarded: Option<Revision>,
    /// Why not everything can be seen.
    pub blindness: Option<Why>,
    /// Who else runs the loop, where this process waits to do so.
    pub led_by: Option<String>,
    /// Why nothing is written, while the controller is suspended.
    pub suspended: Option<Suspension>,
    /// When everything was last surveyed.
    pub surveyed_at: Option<Timestamp>,
    /// Each challenge.
    pub challenges: BTreeMap<Slug, Stands>,
    /// How challenges were found when they were asked.
    pub health: AllHealth,
    /// How many challenges are in each status of each condition.
    pub conditions: BTreeMap<(ConditionType, Truth), u64>,
    /// What was done since the start.
    pub done: Done,
    /// What came of telling since the start.
    pub told: BTreeMap<(Channel, Fate), u64>,
}

/// How one challenge stands.
#[derive(Clone, Debug)]
pub struct Stands {
    /// How it is and why.
    pub status: ChallengeStatus,
    /// The same before it was asked how it is itself.
    looked: ChallengeStatus,
    /// Since when its condition is that.
    pub since: Timestamp,
    /// What only who keeps it knows.
    pub kept: Kept,
    /// The revision it was looked at for.
    pub revision: String,
    /// Whether it was as that revision declares it before: what is written then puts right what others changed.
    has_settled: bool,
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
        self.standing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Standing> {
        self.standing
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something new.
    pub(super) async fn told(&self) {
        self.notify.notified().await;
    }

    /// Takes what is new.
    pub(super) fn take_news(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns how these challenges stand; nothing for those that are no more.
    pub(super) fn stands(&self, slugs: &BTreeSet<Slug>) -> BTreeMap<Slug, Option<Stands>> {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        let stands = |slug: &Slug| (slug.clone(), standing.challenges.get(slug).cloned());
        slugs.iter().map(stands).collect()
    }

    /// Returns what is true of the platform as a whole.
    pub(super) fn matters(&self) -> Matters {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        let mut challenges = standing.challenges.values();
        let is_done = |stands: &Stands| {
            let revision = standing.revision.as_ref().map(revision_id);
            stands.status.condition.is_done() && Some(stands.revision.as_str()) == revision
        };
        let kept = standing.revision.clone();
        let is_done = kept.is_some() && challenges.all(is_done);
        Matters {
            converged: kept.clone().filter(|_| is_done),
            kept,
            is_done,
            guarded: standing.guarded.clone(),
            bad: standing.bad.clone(),
            guards: standing.guards.clone(),
            blindness: standing.blindness.clone(),
        }
    }

    /// Counts what came of telling.
    pub(super) fn count(&self, channel: Channel, fate: Fate) {
        *self.write().told.entry((channel, fate)).or_default() += 1;
    }

    /// Takes how many challenges are in each status of each condition.
    pub(super) fn take_conditions(&self, counts: BTreeMap<(ConditionType, Truth), u64>) {
        self.write().conditions = counts;
    }

    /// Takes how challenges were found when they were asked; what is too old by now says nothing any more.
    pub(super) fn take_health(&self, health: AllHealth, now: Timestamp) {
        let mut standing = self.write();
        standing.health = health;
        let Standing {
            challenges, health, ..
        } = &mut *standing;
        let mut changed = BTreeSet::new();
        for (slug, stands) in challenges {
            let status = stands.looked.clone().judged(health.get(slug), now);
            if status.condition != stands.status.condition {
                stands.since = now;
            }
            if status != stands.status {
                stands.status = status;
                changed.insert(slug.clone());
            }
        }
        drop(standing);
        if !changed.is_empty() {
            self.tell(|news| news.slugs.extend(changed));
        }
    }

    fn tell(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.notify.notify_one();
    }

    /// Takes what is known of the source.
    pub(super) fn take_source(&self, followed: &Followed) {
        let mut standing = self.write();
        if standing.bad == followed.bad {
            return;
        }
        standing.bad.clone_from(&followed.bad);
        drop(standing);
        self.tell(|_| {});
    }

    /// Takes that the source was read to the end, which is no news.
    pub(super) fn take_reading(&self, now: Timestamp) {
        self.write().source_read_at = Some(now);
    }

    /// Takes that the database answered, which is no news.
    pub(super) fn take_database(&self, now: Timestamp) {
        self.write().database_read_at = Some(now);
    }

    /// Takes who else runs the loop; nobody else where this process does.
    pub fn take_leader(&self, other: Option<String>) {
        self.write().led_by = other;
    }

    /// Takes whether and why the controller is suspended.
    pub(super) fn take_suspension(&self, suspension: Option<Suspension>) {
        self.write().suspended = suspension;
    }

    /// Takes why not everything can be seen, and tells whether that is new.
    pub(super) fn take_blindness(&self, why: Why) -> bool {
        let old = self.write().blindness.replace(why.clone());
        let is_new = old.as_ref() != Some(&why);
        if is_new {
            self.tell(|_| {});
        }
        is_new
    }

    /// Takes that everything was surveyed, and tells whether the guards that hold it are others than before.
    pub(super) fn take_survey(
        &self,
        surveyed: &Surveyed,
        guards: &[Guard],
        now: Timestamp,
    ) -> bool {
        let mut standing = self.write();
        standing.blindness = None;
        standing.surveyed_at = Some(now);
        let old = std::mem::replace(&mut standing.guards, guards.to_vec());
        standing.guarded = (!guards.is_empty()).then(|| surveyed.revision().clone());
        drop(standing);
        self.tell(|_| {});
        old != guards
    }

    /// Takes that the surveyed revision is the one that is kept, and how its challenges stand.
    pub(super) fn take_revision(&self, surveyed: &Surveyed, now: Timestamp) {
        let statuses = status::challenges(
            &surveyed.world.declared.platform,
            &surveyed.planned,
            &Scope::All,
        );
        let mut standing = self.write();
        standing.revision = Some(surveyed.revision().clone());
        standing
            .challenges
            .retain(|slug, _| statuses.contains_key(slug));
        let slugs: BTreeSet<Slug> = statuses.keys().cloned().collect();
        for (slug, status) in statuses {
            if !standing.knows_more(&slug, &status) {
                standing.put(slug, status, now);
            }
        }
        drop(standing);
        self.tell(|news| {
            news.slugs.extend(slugs);
            news.is_survey = true;
        });
    }

    pub(super) fn take_look(
        &self,
        looked: Looked,
        fight: Option<Why>,
        is_exhausted: bool,
        now: Timestamp,
    ) {
        let mut standing = self.write();
        standing.done.add(looked.done);
        let slug = looked.slug;
        let mut corrected = BTreeSet::new();
        match looked.status {
            Some(mut status) => {
                let hindrance = looked.hindrance.map(|why| Reason::new(Word::NoTurn, why.0));
                status.why.splice(..0, hindrance);
                let stands = standing.put(slug.clone(), status, now);
                stands.kept = Kept {
                    fight,
                    is_frozen: looked.is_frozen,
                    is_exhausted,
                };
                if let (true, Ended::Wrote(keys)) = (stands.has_settled, looked.ended) {
                    corrected.extend(keys);
                }
            }
            None => {
                standing.challenges.remove(&slug);
            }
        }
        drop(standing);
        self.tell(|news| {
            if !corrected.is_empty() {
                let keys = news.corrected.entry(slug.clone()).or_default();
                keys.extend(corrected);
            }
            news.slugs.insert(slug);
        });
    }
}

impl Standing {
    fn put(&mut self, slug: Slug, looked: ChallengeStatus, now: Timestamp) -> &mut Stands {
        let revision = self.revision.as_ref().map_or("", revision_id).to_owned();
        let is_settled = matches!(looked.condition, Condition::Ready | Condition::Stopped);
        let status = looked.clone().judged(self.health.get(&slug), now);
        let old = self.challenges.remove(&slug);
        let stands = match old {
            Some(old) => {
                let is_same = old.revision == revision && old.status.image == status.image;
                let stays = old.status.condition == status.condition;
                Stands {
                    since: if stays { old.since } else { now },
                    kept: if stays { old.kept } else { Kept::default() },
                    has_settled: is_settled || (is_same && old.has_settled),
                    revision,
                    status,
                    looked,
                }
            }
            None => Stands {
                status,
                looked,
                since: now,
                kept: Kept::default(),
                revision,
                has_settled: is_settled,
            },
        };
        self.challenges.entry(slug).or_insert(stands)
    }

    /// Tells whether a look found out more than a survey can: of what is to be done it asks the server.
    fn knows_more(&self, slug: &Slug, surveyed: &ChallengeStatus) -> bool {
        let is_to_do = |reason: &Reason| matches!(reason.word, Word::Applying | Word::Deleting);
        let revision = self.revision.as_ref().map_or("", revision_id);
        let has_more = |old: &Stands| {
            old.revision == revision
                && old.status.image == surveyed.image
                && old.status.condition != Condition::Unknown
        };
        surveyed.why.iter().any(is_to_do) && self.challenges.get(slug).is_some_and(has_more)
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

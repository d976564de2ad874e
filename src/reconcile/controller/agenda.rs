//! When each challenge is looked at next. Pure: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Key, Slug};

/// Events that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(2);
/// The first pause after a failure; it doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often a challenge that waits is looked at without an event: an event may have been missed.
const RECHECK: Duration = Duration::from_secs(60);
/// How soon a challenge is looked at again of which something could not be kept.
const KEEP_AGAIN: Duration = Duration::from_secs(5);
/// Times that one key may be written before it is at rest again. More is a fight with another writer, or an
/// admission policy that rewrites what is applied.
const MAX_WRITES: u32 = 6;
/// Writes of a key are forgotten once it was let alone for so long, beyond the pause that they led to.
const AT_REST: Duration = Duration::from_secs(60);

/// When each challenge is looked at next.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BTreeMap<Slug, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    is_busy: bool,
    /// Passes in a row that failed.
    failures: u32,
    /// How often each key was written of late.
    writes: BTreeMap<Key, Writes>,
}

#[derive(Debug)]
struct Writes {
    count: u32,
    last: Instant,
}

/// How a look at a challenge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is as it should be.
    AtRest,
    /// These were written: the next look tells what came of it.
    Wrote(Vec<Key>),
    /// It waits for something that will be told, or for a person.
    Waits,
    /// Everything is as it should be, and what was found out could not be kept yet.
    Unkept,
    /// Something failed or could not be read.
    Failed,
}

impl Agenda {
    /// Puts a challenge on the agenda: something happened to it.
    pub fn touch(&mut self, slug: &Slug, now: Instant) {
        let entry = self.entries.entry(slug.clone()).or_default();
        let due = now + TOGETHER.max(entry.pause());
        entry.due = Some(entry.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Puts a challenge on the agenda at once, whatever happened to it before: it is declared anew.
    pub fn renew(&mut self, slug: &Slug, now: Instant) {
        let entry = self.entries.entry(slug.clone()).or_default();
        entry.failures = 0;
        entry.writes.clear();
        entry.due = Some(now);
    }

    /// Takes the challenges that are due and not being looked at; from then on they are.
    pub fn take(&mut self, now: Instant) -> BTreeSet<Slug> {
        let is_due = |entry: &Entry| !entry.is_busy && entry.due.is_some_and(|due| due <= now);
        let due = self.entries.iter_mut().filter(|(_, entry)| is_due(entry));
        let take = |(slug, entry): (&Slug, &mut Entry)| {
            (entry.is_busy, entry.due) = (true, None);
            slug.clone()
        };
        due.map(take).collect()
    }

    /// Returns when the next challenge is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let waiting = self.entries.values().filter(|entry| !entry.is_busy);
        waiting.filter_map(|entry| entry.due).min()
    }

    /// Tells how a look ended, and returns the pause that follows from it, if it is put off.
    pub fn end(&mut self, slug: &Slug, ended: Ended, now: Instant) -> Option<Duration> {
        let entry = self.entries.entry(slug.clone()).or_default();
        entry.is_busy = false;
        entry.count(&ended, now);
        let pause = entry.pause();
        let next = match ended {
            Ended::AtRest => None,
            Ended::Wrote(_) => Some(now + pause),
            Ended::Waits => Some(now + RECHECK),
            Ended::Unkept => Some(now + KEEP_AGAIN),
            Ended::Failed => Some(now + pause),
        };
        // What happened during the look stays on the agenda.
        entry.due = match (entry.due, next) {
            (Some(due), Some(next)) => Some(due.max(now + pause).min(next)),
            (due, next) => due.or(next),
        };
        (!pause.is_zero()).then_some(pause)
    }

    /// Has a challenge looked at by a time, though not before the pause that it is put off for.
    pub fn put(&mut self, slug: &Slug, by: Instant, now: Instant) {
        let entry = self.entries.entry(slug.clone()).or_default();
        let by = by.max(now + FIRST_PAUSE.max(entry.pause()));
        entry.due = Some(entry.due.map_or(by, |earlier| earlier.min(by)));
    }

    /// Returns the key of a challenge that is written again and again without end, if there is one.
    #[must_use]
    pub fn fought_over(&self, slug: &Slug) -> Option<&Key> {
        let writes = self.entries.get(slug)?.writes.iter();
        let most = writes.max_by_key(|(_, writes)| writes.count)?;
        (most.1.count > MAX_WRITES).then_some(most.0)
    }

    /// Tells whether a challenge failed, or was fought over, until its pauses grew no more.
    #[must_use]
    pub fn is_exhausted(&self, slug: &Slug) -> bool {
        let entry = self.entries.get(slug);
        entry.is_some_and(|entry| entry.pause() >= LONGEST_PAUSE)
    }

    /// Tells whether nothing is being looked at.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.entries.values().all(|entry| !entry.is_busy)
    }
}

impl Entry {
    fn count(&mut self, ended: &Ended, now: Instant) {
        self.failures = match ended {
            Ended::Failed => self.failures.saturating_add(1),
            Ended::AtRest | Ended::Wrote(_) | Ended::Waits | Ended::Unkept => 0,
        };
        let is_recent =
            |writes: &Writes| now.duration_since(writes.last) <= AT_REST + writes.pause();
        self.writes.retain(|_, writes| is_recent(writes));
        if let Ended::Wrote(keys) = ended {
            for key in keys {
                let first = Writes {
                    count: 0,
                    last: now,
                };
                let writes = self.writes.entry(key.clone()).or_insert(first);
                (writes.count, writes.last) = (writes.count.saturating_add(1), now);
            }
        }
    }

    /// Returns how long it is put off: not at all while all goes well.
    fn pause(&self) -> Duration {
        let fights = self.writes.values().map(Writes::pause).max();
        doubled(self.failures).max(fights.unwrap_or_default())
    }
}

impl Writes {
    fn pause(&self) -> Duration {
        doubled(self.count.saturating_sub(MAX_WRITES))
    }
}

/// Returns the pause after so many failures in a row: none after none.
fn doubled(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE
            .saturating_mul(1 << doublings.min(16))
            .min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RowKey;

    fn slug() -> Slug {
        Slug::parse("demo").unwrap()
    }

    fn after(now: Instant, pause: Duration) -> Instant {
        now + pause
    }

    #[test]
    fn a_challenge_is_looked_at_once_at_a_time_and_again_for_what_happened_meanwhile() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.touch(&slug(), now);
        assert!(agenda.take(now).is_empty());
        let now = after(now, TOGETHER);
        assert_eq!(agenda.take(now), BTreeSet::from([slug()]));
        agenda.touch(&slug(), now);
        let now = after(now, TOGETHER);
        assert!(agenda.take(now).is_empty());
        assert!(!agenda.is_idle());
        assert_eq!(agenda.end(&slug(), Ended::AtRest, now), None);
        assert_eq!(agenda.take(now), BTreeSet::from([slug()]));
        agenda.end(&slug(), Ended::AtRest, now);
        assert_eq!(agenda.next(), None);
        assert!(agenda.is_idle());
    }

    #[test]
    fn failures_put_off_longer_each_time_and_a_new_declaration_forgives_them() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let pauses: Vec<u64> = (0..12)
            .map(|_| agenda.end(&slug(), Ended::Failed, now).unwrap().as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert!(agenda.is_exhausted(&slug()));
        agenda.touch(&slug(), now);
        assert!(agenda.take(after(now, Duration::from_secs(299))).is_empty());
        agenda.renew(&slug(), now);
        assert!(!agenda.is_exhausted(&slug()));
        assert_eq!(agenda.take(now), BTreeSet::from([slug()]));
    }

    #[test]
    fn endless_writes_are_a_fight_and_slow_down() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let key = |name: &str| Key::Row(RowKey::Challenge(Slug::parse(name).unwrap()));
        let wrote = || Ended::Wrote(vec![key("demo")]);
        for _ in 0..MAX_WRITES {
            assert_eq!(agenda.end(&slug(), wrote(), now), None);
            let other = Ended::Wrote(vec![key("other")]);
            assert_eq!(agenda.end(&slug(), other, now), None);
        }
        assert_eq!(agenda.fought_over(&slug()), None);
        assert_eq!(agenda.end(&slug(), wrote(), now), Some(FIRST_PAUSE));
        assert_eq!(agenda.fought_over(&slug()), Some(&key("demo")));
        // A look that finds nothing to do between two blows does not end a fight.
        agenda.end(&slug(), Ended::AtRest, now);
        assert_eq!(agenda.fought_over(&slug()), Some(&key("demo")));
        let later = after(now, AT_REST + FIRST_PAUSE + Duration::from_secs(1));
        agenda.end(&slug(), Ended::AtRest, later);
        assert_eq!(agenda.fought_over(&slug()), None);
    }

    #[test]
    fn a_fight_that_goes_on_after_each_pause_slows_down_to_the_longest() {
        let (mut agenda, mut now) = (Agenda::default(), Instant::now());
        let key = Key::Row(RowKey::Challenge(slug()));
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let wrote = Ended::Wrote(vec![key.clone()]);
            let pause = agenda.end(&slug(), wrote, now).unwrap_or_default();
            pauses.push(pause.as_secs());
            now = after(now, pause + Duration::from_secs(1));
        }
        assert_eq!(pauses[12..17], [64, 128, 256, 300, 300]);
    }

    #[test]
    fn changes_that_are_put_right_now_and_then_are_no_fight() {
        let (mut agenda, mut now) = (Agenda::default(), Instant::now());
        let keys: Vec<Key> = ["one", "two"]
            .map(|name| Key::Row(RowKey::Challenge(Slug::parse(name).unwrap())))
            .into();
        for round in 0..40 {
            let wrote = Ended::Wrote(vec![keys[round % 2].clone()]);
            assert_eq!(agenda.end(&slug(), wrote, now), None);
            now = after(now, AT_REST / 2 + Duration::from_secs(1));
        }
    }

    #[test]
    fn what_waits_is_looked_at_now_and_then_and_what_is_not_kept_sooner() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.end(&slug(), Ended::Unkept, now);
        assert_eq!(agenda.next(), Some(after(now, KEEP_AGAIN)));
        assert_eq!(agenda.take(after(now, KEEP_AGAIN)).len(), 1);
        agenda.end(&slug(), Ended::Waits, now);
        assert_eq!(agenda.next(), Some(after(now, RECHECK)));
    }
}

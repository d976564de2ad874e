//! When everything is surveyed next. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How often everything is surveyed without an event: rows of the registry have no watch.
const INTERVAL: Duration = Duration::from_secs(300);
/// How soon a survey follows one that could not see or decide everything, or whose guards refused. It doubles with each
/// that follows up to [`INTERVAL`]: a tag that is mistyped stays so until somebody mends it, and that is told.
const AGAIN: Duration = Duration::from_secs(5);
/// How long new tokens wait for those of other challenges that are being looked at, before a survey follows; and how
/// soon the next one may, for somebody may change what is made of them again and again.
const TOKENS_TOGETHER: Duration = Duration::from_secs(1);

/// When everything is surveyed next.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    due: Option<Instant>,
    /// Surveys in a row that could not see or decide everything.
    troubles: u32,
    /// When new tokens are surveyed at the latest, while there are any.
    tokens_due: Option<Instant>,
    /// When that was last.
    tokens_seen: Option<Instant>,
}

impl Surveys {
    /// Has everything surveyed at once: it is another world than the one that the last survey saw.
    pub(super) fn renew(&mut self, now: Instant) {
        (self.due, self.troubles) = (Some(now), 0);
    }

    /// Has everything surveyed soon: what happened may let through what could not be done.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.troubles = 0;
        self.retry(now + AGAIN);
    }

    /// Has everything surveyed soon, for what was surveyed could not be begun: another writer had the turn, or wrote
    /// meanwhile, which was often this process itself.
    pub(super) fn put_off(&mut self, is_new: bool, now: Instant) {
        self.retry(now + if is_new { AGAIN } else { TOKENS_TOGETHER });
    }

    fn retry(&mut self, by: Instant) {
        self.due = Some(self.due.map_or(by, |due| due.min(by)));
    }

    /// Takes that there are new tokens. What is made of all of them belongs to no challenge, so a survey sees to it.
    pub(super) fn take_tokens(&mut self, now: Instant) {
        self.tokens_due.get_or_insert(now + TOKENS_TOGETHER);
    }

    /// Has new tokens surveyed as soon as nobody is looked at who may have new ones too.
    pub(super) fn gather_tokens(&mut self, is_idle: bool, now: Instant) {
        let is_rested = self
            .tokens_seen
            .is_none_or(|seen| seen + TOKENS_TOGETHER <= now);
        let is_due = |due: Instant| due <= now || (is_rested && is_idle);
        if self.tokens_due.is_some_and(is_due) {
            (self.tokens_due, self.tokens_seen) = (None, Some(now));
            self.due = Some(now);
        }
    }

    /// Tells whether a survey is due.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Returns when the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due
    }

    /// Returns when new tokens are due.
    pub(super) fn next_tokens(&self) -> Option<Instant> {
        self.tokens_due
    }

    /// Begins a survey if one is due, and tells whether it did.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let is_due = self.are_due(now);
        if is_due {
            self.due = None;
        }
        is_due
    }

    /// Tells that a survey ended, and whether everything was seen and decided. What happened meanwhile stays due.
    pub(super) fn end(&mut self, is_whole: bool, now: Instant) {
        let pause = match is_whole {
            true => INTERVAL,
            false => AGAIN
                .saturating_mul(1 << self.troubles.min(16))
                .min(INTERVAL),
        };
        self.troubles = if is_whole { 0 } else { self.troubles + 1 };
        self.retry(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns after how many seconds the next survey is due.
    fn pause(surveys: &Surveys, now: Instant) -> u64 {
        (surveys.next().unwrap() - now).as_secs()
    }

    #[test]
    fn what_cannot_be_decided_is_surveyed_later_and_later_until_something_happens() {
        let (mut surveys, mut now) = (Surveys::default(), Instant::now());
        surveys.renew(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(surveys.begin(now));
            surveys.end(false, now);
            pauses.push(pause(&surveys, now));
            now = surveys.next().unwrap();
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(surveys.begin(now));
        surveys.end(false, now);
        surveys.hasten(now);
        assert_eq!(pause(&surveys, now), 5);
        now = surveys.next().unwrap();
        assert!(surveys.begin(now));
        surveys.end(false, now);
        assert_eq!(pause(&surveys, now), 5, "it begins anew");
        surveys.renew(now);
        assert!(surveys.begin(now) && !surveys.begin(now));
        surveys.end(true, now);
        assert_eq!(pause(&surveys, now), 300);
    }

    #[test]
    fn what_happens_during_a_survey_is_not_forgotten_at_its_end() {
        let (mut surveys, now) = (Surveys::default(), Instant::now());
        surveys.renew(now);
        assert!(surveys.begin(now));
        surveys.renew(now);
        surveys.end(true, now);
        assert!(surveys.begin(now));
        surveys.end(true, now);
        surveys.put_off(false, now);
        assert_eq!(pause(&surveys, now), 1);
    }

    #[test]
    fn new_tokens_wait_for_those_who_may_have_more_and_not_for_long() {
        let (mut surveys, now) = (Surveys::default(), Instant::now());
        surveys.take_tokens(now);
        surveys.gather_tokens(false, now);
        assert!(!surveys.are_due(now));
        surveys.gather_tokens(true, now);
        assert!(surveys.begin(now));
        surveys.take_tokens(now);
        surveys.gather_tokens(true, now);
        assert!(!surveys.are_due(now), "one was just made of them");
        let now = surveys.next_tokens().unwrap();
        surveys.gather_tokens(false, now);
        assert!(surveys.begin(now));
    }
}

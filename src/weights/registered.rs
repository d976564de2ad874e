//! Who is registered, as last read: how long that holds, and when it is read again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{Metagraph, Subnet};
use crate::model::clock::Moment;

/// The pause after the first reading that failed; it doubles with each one after.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Which subnet weights are for, and by which file who is registered there is known: nothing that was learned of one
/// holds for another.
pub type Origin<'a> = (&'a Subnet, Option<&'a Path>);

/// How long a metagraph holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// When it is read again.
    pub life: Duration,
    /// How long the last one is used while it cannot be read.
    pub stale: Duration,
}

/// The metagraph as last read.
#[derive(Clone, Debug)]
pub struct Registered {
    limits: Limits,
    /// What it is of, as soon as that is known.
    origin: Option<(Subnet, Option<PathBuf>)>,
    kept: Option<(Metagraph, Moment)>,
    failures: u32,
    /// When reading it failed last, and for how long it is left alone after that.
    failed: Option<(Moment, Duration)>,
}

impl Registered {
    /// Begins with nothing known.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            origin: None,
            kept: None,
            failures: 0,
            failed: None,
        }
    }

    /// Makes it of this subnet and place. Nothing that was learned of another holds: UIDs of one subnet mean nothing in
    /// another.
    pub fn turn_to(&mut self, origin: Origin<'_>) {
        let own = self.origin.as_ref();
        if own.map(|(subnet, file)| (subnet, file.as_deref())) != Some(origin) {
            let (subnet, file) = origin;
            *self = Self {
                origin: Some((subnet.clone(), file.map(PathBuf::from))),
                ..Self::new(self.limits)
            };
        }
    }

    /// Tells whether it is to be read now.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        let may = self
            .failed
            .is_none_or(|(failed, pause)| now.since(failed) >= pause);
        let is_old = self.age(now).is_none_or(|age| age >= self.limits.life);
        may && is_old
    }

    /// Takes what was read. One that is empty is none: nothing is learned of it.
    pub fn take(&mut self, metagraph: Option<Metagraph>, now: Moment) {
        let known = metagraph.filter(|metagraph| !metagraph.is_empty());
        let Some(mut metagraph) = known else {
            let pause = FIRST_PAUSE * 2_u32.pow(self.failures.min(10));
            self.failures += 1;
            let pause = pause.min(self.limits.life.max(FIRST_PAUSE));
            self.failed = Some((now, pause));
            return;
        };
        metagraph.read_at = Some(now.wall);
        *self = Self {
            kept: Some((metagraph, now)),
            origin: self.origin.take(),
            ..Self::new(self.limits)
        };
    }

    /// Returns who is registered, as far as that is still to be relied on.
    #[must_use]
    pub fn known(&self, now: Moment) -> Option<&Metagraph> {
        let (metagraph, _) = self.kept.as_ref()?;
        let is_stale = self.age(now).is_none_or(|age| age > self.limits.stale);
        (!is_stale).then_some(metagraph)
    }

    /// Returns when it was read.
    #[must_use]
    pub fn read_at(&self) -> Option<Timestamp> {
        self.kept.as_ref().map(|(_, read_at)| read_at.wall)
    }

    fn age(&self, now: Moment) -> Option<Duration> {
        let (_, read_at) = self.kept.as_ref()?;
        Some(now.since(*read_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        life: Duration::from_secs(300),
        stale: Duration::from_secs(3600),
    };

    fn at(second: u64) -> Moment {
        at_wall(second.cast_signed(), second)
    }

    /// A moment whose time of day was set.
    fn at_wall(wall: i64, steady: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(1_900_000_000 + wall).unwrap(),
            steady: Duration::from_secs(steady),
        }
    }

    fn some() -> Option<Metagraph> {
        Some(Metagraph::of(["owner", "hk1"]))
    }

    #[test]
    fn it_is_read_at_once_and_again_after_its_life() {
        let mut registered = Registered::new(LIMITS);
        assert!(registered.is_due(at(0)) && registered.known(at(0)).is_none());
        registered.take(some(), at(0));
        assert!(!registered.is_due(at(299)) && registered.is_due(at(300)));
        let known = registered.known(at(299)).unwrap();
        assert_eq!(known.read_at, Some(at(0).wall));
    }

    #[test]
    fn the_last_one_is_used_for_an_hour_while_it_cannot_be_read() {
        let mut registered = Registered::new(LIMITS);
        registered.take(some(), at(0));
        for failed in [None, Some(Metagraph::default())] {
            registered.take(failed, at(300));
            assert!(registered.known(at(3600)).is_some(), "a good one stays");
        }
        assert!(registered.known(at(3601)).is_none());
        registered.take(some(), at(4000));
        assert!(registered.known(at(4000)).is_some());
    }

    #[test]
    fn what_was_learned_of_one_origin_holds_for_no_other() {
        let subnet = |netuid| Subnet {
            netuid,
            chain_endpoint: String::new(),
        };
        let (own, other) = (subnet(1), subnet(2));
        let file = Some(Path::new("metagraph.json"));
        let mut registered = Registered::new(LIMITS);
        registered.turn_to((&own, file));
        registered.take(some(), at(0));
        registered.turn_to((&own, file));
        assert!(registered.known(at(1)).is_some(), "nothing has changed");
        for origin in [(&other, file), (&own, None)] {
            let mut registered = registered.clone();
            registered.turn_to(origin);
            assert!(registered.known(at(1)).is_none() && registered.is_due(at(1)));
        }
    }

    #[test]
    fn pauses_grow_up_to_its_life() {
        let mut registered = Registered::new(LIMITS);
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..9 {
            registered.take(None, at(now));
            let pause = (0..)
                .find(|pause| registered.is_due(at(now + pause)))
                .unwrap();
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        registered.take(some(), at(now));
        registered.take(None, at(now + 300));
        assert!(
            registered.is_due(at(now + 305)),
            "a good one ends the pauses"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_makes_it_hold_no_longer() {
        let mut registered = Registered::new(LIMITS);
        registered.take(some(), at(7200));
        let back = |steady: u64| at_wall(0, 7200 + steady);
        assert!(registered.known(back(0)).is_some() && !registered.is_due(back(299)));
        assert!(registered.is_due(back(300)));
        registered.take(None, back(300));
        assert!(!registered.is_due(back(304)) && registered.is_due(back(305)));
        assert!(registered.known(back(3600)).is_some() && registered.known(back(3601)).is_none());
    }

    #[test]
    fn a_clock_that_was_set_forward_has_it_read_anew() {
        let mut registered = Registered::new(LIMITS);
        registered.take(some(), at(0));
        let forward = at_wall(86_400, 1);
        assert!(registered.is_due(forward) && registered.known(forward).is_none());
        registered.take(some(), forward);
        assert!(registered.known(at_wall(86_401, 2)).is_some());
    }
}

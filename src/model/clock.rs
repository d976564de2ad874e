//! Clocks and moments: a time of day, which anybody may set, beside a time that only goes on.

use std::time::Duration;

use jiff::Timestamp;

/// Where times come from.
#[derive(Clone, Copy)]
pub struct Clock {
    /// The time of day. It is what people read and what other machines have too; it may be wrong, and be put right.
    pub wall: fn() -> Timestamp,
    /// The time since some beginning. It never goes back, and it goes on while this process is stopped and
    /// while its machine sleeps.
    pub steady: fn() -> Duration,
}

/// A moment by both times of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// The time since some beginning.
    pub steady: Duration,
}

impl Clock {
    /// Returns the moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            wall: (self.wall)(),
            steady: (self.steady)(),
        }
    }
}

impl Moment {
    /// Returns how long ago another moment was, by whichever time has gone on further: a time of day that was set
    /// back makes nothing younger.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall);
        let wall = Duration::try_from(wall).unwrap_or_default();
        wall.max(self.steady.saturating_sub(earlier.steady))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, steady: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(1_900_000_000 + wall).unwrap(),
            steady: Duration::from_secs(steady),
        }
    }

    #[test]
    fn what_is_old_by_either_time_is_old() {
        let since = |later: Moment| later.since(at(0, 100)).as_secs();
        assert_eq!(since(at(60, 160)), 60);
        assert_eq!(since(at(-3600, 160)), 60, "the time of day was set back");
        assert_eq!(since(at(3600, 160)), 3600, "it was set forward");
        assert_eq!(since(at(-5, 100)), 0);
    }
}

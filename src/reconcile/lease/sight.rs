//! A lease as one process sees it over time: whether its holder is still there. Pure.
//!
//! Clocks of two machines are never compared. A holder that lives changes its record again and again; one whose
//! record has not changed for as long as it says that it holds, by our own clock, is gone.

use std::time::Duration;

use crate::edge::cluster::leases::LeaseRecord;

/// The longest time that a record may claim.
const LONGEST: i64 = 3600;

/// The newest record that was seen, and since when.
#[derive(Default)]
pub struct Sight {
    seen: Option<(LeaseRecord, Duration)>,
}

/// Whether a lease may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody holds it, or whoever did is gone.
    Free,
    /// Its holder may still be there for so long, unless its record changes.
    Held(Duration),
}

impl Sight {
    /// Takes in the record as it was read at `now`, and says how it stands. `usual` is for how long a record
    /// holds that does not say.
    pub fn look(&mut self, record: &LeaseRecord, now: Duration, usual: Duration) -> Standing {
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => {
                self.seen = Some((record.clone(), now));
                now
            }
        };
        if record.holder.is_empty() {
            return Standing::Free;
        }
        let holds = match u64::try_from(record.seconds.min(LONGEST)) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            _ => usual,
        };
        match (since + holds).checked_sub(now) {
            Some(left) if !left.is_zero() => Standing::Held(left),
            _ => Standing::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(4);

    fn record(renewed: &str, seconds: i64) -> LeaseRecord {
        LeaseRecord {
            holder: "a".to_owned(),
            renewed: renewed.to_owned(),
            seconds,
            ..LeaseRecord::default()
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn left(seconds: u64) -> Standing {
        Standing::Held(Duration::from_secs(seconds))
    }

    #[test]
    fn a_record_that_does_not_change_is_over_after_its_own_time_and_whatever_its_date() {
        for renewed in ["", "1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "soon"] {
            let mut sight = Sight::default();
            let record = record(renewed, 3);
            assert_eq!(sight.look(&record, at(0), USUAL), left(3));
            assert_eq!(sight.look(&record, at(2), USUAL), left(1));
            assert_eq!(sight.look(&record, at(3), USUAL), Standing::Free);
        }
    }

    #[test]
    fn each_change_begins_anew() {
        let mut sight = Sight::default();
        for second in 0..100 {
            let record = record(&second.to_string(), 3);
            assert_eq!(sight.look(&record, at(second), USUAL), left(3));
        }
    }

    #[test]
    fn a_lease_that_was_released_is_free_at_once() {
        let mut sight = Sight::default();
        assert_eq!(sight.look(&record("1", 3), at(0), USUAL), left(3));
        let released = LeaseRecord::default();
        assert_eq!(sight.look(&released, at(0), USUAL), Standing::Free);
    }

    #[test]
    fn a_record_without_a_time_of_its_own_holds_for_the_usual_one_and_none_for_ever() {
        for (seconds, expected) in [(0, 4), (-1, 4), (i64::MIN, 4), (i64::MAX, 3600)] {
            let mut sight = Sight::default();
            assert_eq!(
                sight.look(&record("1", seconds), at(0), USUAL),
                left(expected)
            );
        }
    }
}

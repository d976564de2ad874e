//! The two clocks of a lease: one that people read, which is written into records and never compared, and one that
//! waits are measured by. After a stop or a sleep the process must see that its lease is over.

use std::time::Duration;

use jiff::Timestamp;

pub use crate::model::clock::Clock;

impl Clock {
    /// Returns the clocks of this machine; the time of day comes from the caller.
    #[must_use]
    pub fn of_machine(wall: fn() -> Timestamp) -> Self {
        Self {
            wall,
            steady: since_boot,
        }
    }
}

/// Not the standard library's clock, which stands still while a machine sleeps.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_goes_on() {
        let first = since_boot();
        std::thread::sleep(Duration::from_millis(2));
        assert!(since_boot() >= first + Duration::from_millis(2));
    }
}

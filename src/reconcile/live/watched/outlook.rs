//! For how long everything could be seen: who judges by what did not happen must not count the time in which
//! nobody looked.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Place;

/// For how long everything could be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The time in all in which a watch did not work.
    pub unseen: Duration,
    /// Since when every watch works; none while one does not.
    pub since: Option<Instant>,
}

/// Which watches do not work, and for how long.
#[derive(Default)]
pub(super) struct Lookout(Mutex<Watching>);

struct Watching {
    blind: BTreeSet<Place>,
    /// When it last became clear or dark.
    turned: Instant,
    unseen: Duration,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            blind: BTreeSet::new(),
            turned: Instant::now(),
            unseen: Duration::ZERO,
        }
    }
}

impl Lookout {
    /// Tells whether a watch works.
    pub(super) fn tell(&self, place: &Place, works: bool) {
        let mut watching = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watching.tell(place, works, Instant::now());
    }

    pub(super) fn outlook(&self) -> Outlook {
        let watching = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watching.outlook(Instant::now())
    }
}

impl Watching {
    fn tell(&mut self, place: &Place, works: bool, now: Instant) {
        let was_dark = !self.blind.is_empty();
        match works {
            true => self.blind.remove(place),
            false => self.blind.insert(place.clone()),
        };
        let is_dark = !self.blind.is_empty();
        if was_dark && !is_dark {
            self.unseen += now - self.turned;
        }
        if was_dark != is_dark {
            self.turned = now;
        }
    }

    fn outlook(&self, now: Instant) -> Outlook {
        match self.blind.is_empty() {
            true => Outlook {
                unseen: self.unseen,
                since: Some(self.turned),
            },
            false => Outlook {
                unseen: self.unseen + (now - self.turned),
                since: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn the_time_in_which_any_watch_does_not_work_is_counted_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let place = |kind| (kind, "platform".to_owned());
        let mut watching = Watching::default();
        watching.tell(&place(Kind::Service), false, at(10));
        watching.tell(&place(Kind::Secret), false, at(12));
        watching.tell(&place(Kind::Service), true, at(15));
        let dark = watching.outlook(at(17));
        assert_eq!((dark.unseen.as_secs(), dark.since), (7, None));
        watching.tell(&place(Kind::Secret), true, at(20));
        watching.tell(&place(Kind::Secret), true, at(25));
        let clear = watching.outlook(at(60));
        assert_eq!((clear.unseen.as_secs(), clear.since), (10, Some(at(20))));
    }
}

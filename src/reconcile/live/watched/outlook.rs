//! For how long everything could be seen: who judges by what did not happen must not count the time in which
//! nobody looked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Place;
use crate::model::Told;

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
    /// The watches that do not work, and what was told of each.
    blind: BTreeMap<Place, Told>,
    /// When it last became clear or dark.
    turned: Instant,
    unseen: Duration,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            blind: BTreeMap::new(),
            turned: Instant::now(),
            unseen: Duration::ZERO,
        }
    }
}

impl Lookout {
    /// Notes that a watch does not work yet.
    pub(super) fn begins(&self, place: &Place) {
        self.watching().darken(place, Instant::now());
    }

    /// Notes that a watch does not work, and tells whether that is news: many watches of one server fail together.
    pub(super) fn fails(&self, place: &Place, why: &str) -> bool {
        self.watching().fails(place, why, Instant::now())
    }

    /// Notes that a watch works, and tells whether it is the last of those that failed.
    pub(super) fn works(&self, place: &Place) -> bool {
        self.watching().works(place, Instant::now())
    }

    /// Notes that nothing is watched there any more.
    pub(super) fn ends(&self, place: &Place) {
        self.watching().works(place, Instant::now());
    }

    pub(super) fn outlook(&self) -> Outlook {
        self.watching().outlook(Instant::now())
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    fn darken(&mut self, place: &Place, now: Instant) -> &mut Told {
        if self.blind.is_empty() {
            self.turned = now;
        }
        self.blind.entry(place.clone()).or_default()
    }

    fn fails(&mut self, place: &Place, why: &str, now: Instant) -> bool {
        let is_known = self.blind.values().any(|told| told.knows(why));
        self.darken(place, now).is_news(why) && !is_known
    }

    fn works(&mut self, place: &Place, now: Instant) -> bool {
        let Some(mut told) = self.blind.remove(place) else {
            return false;
        };
        let is_clear = self.blind.is_empty();
        if is_clear {
            self.unseen += now - self.turned;
            self.turned = now;
        }
        told.ends() && is_clear
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
        watching.darken(&place(Kind::Service), at(10));
        watching.darken(&place(Kind::Secret), at(12));
        watching.works(&place(Kind::Service), at(15));
        let dark = watching.outlook(at(17));
        assert_eq!((dark.unseen.as_secs(), dark.since), (7, None));
        watching.works(&place(Kind::Secret), at(20));
        watching.works(&place(Kind::Secret), at(25));
        let clear = watching.outlook(at(60));
        assert_eq!((clear.unseen.as_secs(), clear.since), (10, Some(at(20))));
    }

    #[test]
    fn what_many_watches_fail_of_is_news_once_and_so_is_its_end() {
        let now = Instant::now();
        let [service, secret] =
            [Kind::Service, Kind::Secret].map(|kind| (kind, "platform".to_owned()));
        let mut watching = Watching::default();
        watching.darken(&service, now);
        assert!(!watching.works(&service, now), "a beginning is no failure");
        for _ in 0..2 {
            assert!(watching.fails(&service, "no answer", now));
            assert!(!watching.fails(&secret, "no answer", now));
            assert!(!watching.fails(&service, "no answer", now));
            assert!(watching.fails(&secret, "Secret: not allowed", now));
            assert!(!watching.works(&service, now));
            assert!(watching.works(&secret, now));
        }
    }
}

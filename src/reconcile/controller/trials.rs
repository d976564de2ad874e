//! How long each new image has had to become ready. Pure: the time is an argument.
//!
//! Only time counts in which everything could be seen. It counts by this process's own clock, which no change of
//! the time of day moves; with another process it begins anew, so that nothing is given up early.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Revision, Slug};
use crate::reconcile::desired::rollout::Trial;
use crate::reconcile::live::watched::Outlook;

/// How long everything has to be seen again before an image is given up: while an API server was away, nodes could
/// not tell it what became ready.
const SETTLE: Duration = Duration::from_secs(30);

/// What a look saw of a challenge's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is new, it was tried, and it is not ready.
    OnTrial(Trial),
    /// It is ready, or there is nothing to return to, or something else is not ready first.
    Settled,
    /// It could not be seen.
    Unknown,
}

/// An image whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) trial: Trial,
    /// The revision that it came with.
    pub(super) revision: Revision,
}

/// The images on trial.
#[derive(Debug, Default)]
pub(super) struct Trials {
    entries: BTreeMap<Slug, Entry>,
}

#[derive(Debug)]
struct Entry {
    trial: Trial,
    revision: Revision,
    since: Instant,
    /// The time in all that was unseen then.
    unseen: Duration,
}

impl Trials {
    /// Takes what a look saw, and returns when the time of an image on trial is over, as far as that is known.
    pub(super) fn take(
        &mut self,
        slug: &Slug,
        sight: Sight,
        revision: &Revision,
        (now, outlook): (Instant, Outlook),
    ) -> Option<Instant> {
        match sight {
            Sight::Settled => {
                self.entries.remove(slug);
            }
            Sight::OnTrial(trial) => {
                let is_known = |entry: &Entry| entry.trial == trial;
                if !self.entries.get(slug).is_some_and(is_known) {
                    let entry = Entry {
                        trial,
                        revision: revision.clone(),
                        since: now,
                        unseen: outlook.unseen,
                    };
                    self.entries.insert(slug.clone(), entry);
                }
            }
            Sight::Unknown => {}
        }
        self.entries.get(slug)?.ends(outlook)
    }

    /// Returns the image of a challenge whose time is over, if it is.
    pub(super) fn overdue(&self, slug: &Slug, now: Instant, outlook: Outlook) -> Option<Overdue> {
        let entry = self.entries.get(slug)?;
        let ends = entry.ends(outlook)?;
        (ends <= now).then(|| Overdue {
            trial: entry.trial.clone(),
            revision: entry.revision.clone(),
        })
    }
}

impl Entry {
    /// Returns when its time is over, unless more of it goes unseen.
    fn ends(&self, outlook: Outlook) -> Option<Instant> {
        let limit = Duration::from_secs(self.trial.seconds.into());
        let unseen = outlook.unseen.saturating_sub(self.unseen);
        Some((self.since + limit + unseen).max(outlook.since? + limit.min(SETTLE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ImageRef;

    fn trial(tag: &str) -> Trial {
        Trial {
            image: ImageRef::parse(&format!("ghcr.io/o/demo:{tag}")).unwrap(),
            declared: "d".to_owned(),
            seconds: 600,
        }
    }

    fn revision(digest: &str) -> Revision {
        Revision {
            digest: digest.to_owned(),
            commit: None,
        }
    }

    struct World {
        trials: Trials,
        start: Instant,
        outlook: Outlook,
    }

    impl World {
        fn new() -> Self {
            let start = Instant::now();
            let outlook = Outlook {
                unseen: Duration::ZERO,
                since: Some(start),
            };
            Self {
                trials: Trials::default(),
                start,
                outlook,
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn take(&mut self, sight: Sight, by: &str, seconds: u64) -> Option<u64> {
            let when = (self.at(seconds), self.outlook);
            let ends = self.trials.take(&slug(), sight, &revision(by), when);
            ends.map(|ends| (ends - self.start).as_secs())
        }

        fn overdue(&self, seconds: u64) -> Option<String> {
            let overdue = self
                .trials
                .overdue(&slug(), self.at(seconds), self.outlook)?;
            Some(overdue.revision.digest)
        }
    }

    fn slug() -> Slug {
        Slug::parse("demo").unwrap()
    }

    #[test]
    fn an_image_has_its_time_from_when_it_was_first_seen_waiting() {
        let mut world = World::new();
        assert_eq!(world.take(Sight::OnTrial(trial("2")), "r1", 5), Some(605));
        assert_eq!(world.take(Sight::OnTrial(trial("2")), "r2", 300), Some(605));
        assert_eq!(world.take(Sight::Unknown, "r2", 400), Some(605));
        assert_eq!(world.overdue(604), None);
        assert_eq!(world.overdue(605), Some("r1".to_owned()), "it came with r1");
        assert_eq!(
            world.take(Sight::OnTrial(trial("3")), "r3", 606),
            Some(1206)
        );
        assert_eq!(world.take(Sight::Settled, "r3", 700), None);
        assert_eq!(world.overdue(5000), None);
    }

    #[test]
    fn time_that_nobody_saw_does_not_count_and_what_comes_after_it_is_waited_for() {
        let mut world = World::new();
        world.take(Sight::OnTrial(trial("2")), "r1", 0);
        // Away from 500 to 595.
        world.outlook.since = None;
        assert_eq!(
            (world.take(Sight::Unknown, "r1", 550), world.overdue(9999)),
            (None, None)
        );
        world.outlook = Outlook {
            unseen: Duration::from_secs(95),
            since: Some(world.at(595)),
        };
        assert_eq!(
            (world.overdue(694), world.overdue(695)),
            (None, Some("r1".to_owned()))
        );
        // A blip at the very end: nodes have to tell first what became ready meanwhile.
        world.outlook = Outlook {
            unseen: Duration::from_secs(96),
            since: Some(world.at(695)),
        };
        assert_eq!(
            (world.overdue(724), world.overdue(725)),
            (None, Some("r1".to_owned()))
        );
    }
}

//! What came of making weights since the start of this process: epochs, and rounds of asking each challenge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Answer;
use crate::model::Slug;

/// Counts what comes of making weights.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Epochs by what came of them.
    pub epochs: BTreeMap<Made, u64>,
    /// The challenges of the last epoch.
    pub challenges: BTreeMap<Slug, Rounds>,
}

/// The rounds of one challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// How many there were, by the category of what came of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How long the last one took, with all its attempts, where it was asked at all.
    pub took: Option<Duration>,
}

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// A vector, which is published.
    Published,
    /// None: another process has kept a newer one.
    Overtaken,
    /// None: nothing has been applied yet.
    NotApplied,
    /// None: what came in is no ground for one.
    Outage,
    /// None: something failed.
    Failed,
}

impl Made {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Published,
        Self::Overtaken,
        Self::NotApplied,
        Self::Outage,
        Self::Failed,
    ];

    /// Returns its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Overtaken => "overtaken",
            Self::NotApplied => "not_applied",
            Self::Outage => "outage",
            Self::Failed => "failed",
        }
    }
}

impl Tally {
    /// Returns what was counted.
    #[must_use]
    pub fn read(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts an epoch.
    pub fn count_epoch(&self, made: Made) {
        self.change(|counts| *counts.epochs.entry(made).or_default() += 1);
    }

    /// Counts a round. A challenge that takes no part in it is forgotten.
    pub fn take_answers(&self, answers: &[Answer]) {
        let slugs: BTreeSet<&Slug> = answers.iter().map(|answer| &answer.slug).collect();
        self.change(|counts| {
            counts.challenges.retain(|slug, _| slugs.contains(slug));
            for answer in answers {
                let outcome = match &answer.outcome {
                    Ok(_) => "ok",
                    Err(failure) => failure.as_str(),
                };
                let rounds = counts.challenges.entry(answer.slug.clone()).or_default();
                *rounds.outcomes.entry(outcome).or_default() += 1;
            }
        });
    }

    /// Takes how long a challenge was asked.
    pub fn take_time(&self, slug: &Slug, took: Duration) {
        self.change(|counts| {
            let rounds = counts.challenges.entry(slug.clone()).or_default();
            rounds.took = Some(took);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Emission;
    use crate::weights::{Failure, Scores};

    fn answer(slug: &str, outcome: Result<Scores, Failure>) -> Answer {
        Answer {
            slug: Slug::parse(slug).unwrap(),
            emission: Emission::parse("1").unwrap(),
            outcome,
        }
    }

    #[test]
    fn rounds_are_counted_by_category_and_a_challenge_that_is_gone_is_forgotten() {
        let tally = Tally::default();
        let one = Slug::parse("one").unwrap();
        tally.take_time(&one, Duration::from_secs(2));
        let good = || answer("one", Ok(Scores::default()));
        tally.take_answers(&[good(), answer("two", Err(Failure::Http(503)))]);
        let other = Failure::Other("text of somebody else".to_owned());
        tally.take_answers(&[answer("one", Err(other))]);
        let counts = tally.read();
        let rounds = Rounds {
            outcomes: BTreeMap::from([("ok", 1), ("other", 1)]),
            took: Some(Duration::from_secs(2)),
        };
        assert_eq!(counts.challenges, BTreeMap::from([(one, rounds)]));
    }
}

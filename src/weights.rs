//! From the challenges' scores to one weight vector.
//!
//! ```text
//! collect ─▶ aggregate ─▶ publish ─▶ routes
//!  (IO)       (pure)       (IO)      (serve)
//! ```
//!
//! Each challenge answers for itself ([`Answer`]): with [`Scores`], or with why it gave none, which is never taken
//! for "no scores". What they come to among who is registered is a [`Vector`] with its [`Explanation`], the same
//! bytes on every machine. [`Published`] is a vector as it is kept and served, with what it was made of.

pub mod aggregate;
pub mod collect;
pub mod document;
pub mod epoch;
pub mod health;
pub mod inputs;
mod json;
pub mod metrics;
pub mod publish;
pub mod registered;
pub mod roster;
pub mod routes;
pub mod scores;
pub mod serving;
pub mod shelf;
pub mod signature;
pub mod tally;
pub mod tokens;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::sorted::Sorted;
use crate::model::{Emission, Slug};

pub use crate::model::failure::Failure;
pub use crate::model::metagraph::Metagraph;

/// What one challenge answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The challenge.
    pub slug: Slug,
    /// Its relative share, as declared.
    pub emission: Emission,
    /// Its scores, or why it gave none.
    pub outcome: Result<Scores, Failure>,
}

/// The scores of one challenge, any scale: finite numbers in the byte order of their hotkeys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    scores: Sorted<f64>,
    dropped: Sorted<()>,
}

/// What applies to every challenge alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// The UID that stands for nobody: its hotkey gets nothing, and a vector of nothing names it alone.
    pub burn_uid: u16,
    /// Where a share goes that nobody registered has earned.
    pub unassigned: Unassigned,
}

/// Where a share goes that nobody registered has earned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unassigned {
    /// To all who have earned something, in proportion, across challenges.
    #[default]
    Spread,
    /// To those who have earned something in the same challenge.
    WithinChallenge,
    /// To the burn UID.
    Burn,
}

/// What each registered neuron has earned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vector {
    /// The UIDs, ascending.
    pub uids: Vec<u16>,
    /// The weight of each; together one.
    pub weights: Vec<f64>,
    /// What each hotkey has earned of all there was, before the weights are made to come to one.
    pub hotkey_weights: Sorted<f64>,
    /// Whether nobody registered has earned anything, so that everything goes to the burn UID.
    pub is_burn: bool,
}

/// What became of each challenge's share, in the order of slugs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The challenges.
    pub challenges: Vec<Contribution>,
}

/// What became of one challenge's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The challenge.
    pub slug: Slug,
    /// Why it takes no part, when it does not.
    pub failure: Option<Failure>,
    /// What part of the whole it decides, 0 to 1.
    pub share: f64,
    /// What part of the whole went to registered hotkeys through it, 0 to [`Self::share`].
    pub assigned: f64,
    /// How many hotkeys have earned something through it.
    pub earning: usize,
    /// How many of its entries count for nothing, and why.
    pub dropped: Dropped,
}

/// How many entries count for nothing, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Null, not a number, infinite, or beyond the range of doubles.
    pub not_finite: usize,
    /// Zero or below.
    pub not_positive: usize,
    /// Of a hotkey that is not registered.
    pub unregistered: usize,
    /// Of the hotkey of the burn UID.
    pub burn: usize,
}

/// The subnet that weights are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// Its number.
    pub netuid: u16,
    /// The chain's address; empty where none is set.
    pub chain_endpoint: String,
}

/// A vector with all it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The subnet.
    pub subnet: Subnet,
    /// The vector.
    pub vector: Vector,
    /// What became of each challenge's share.
    pub explanation: Explanation,
    /// What the challenges answered, in the order of slugs.
    pub answers: Vec<Answer>,
    /// When its making began.
    pub computed_at: Timestamp,
    /// When it is too old to be used.
    pub expires_at: Timestamp,
    /// When the registered hotkeys were read.
    pub metagraph_updated_at: Timestamp,
}

impl Unassigned {
    /// Reads it as it is written in settings.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "spread" => Some(Self::Spread),
            "within_challenge" => Some(Self::WithinChallenge),
            "burn" => Some(Self::Burn),
            _ => None,
        }
    }
}

impl Scores {
    /// Takes scores in any order; of a hotkey that comes twice the last holds, and one that is not finite stands for
    /// none.
    #[must_use]
    pub fn of<T: AsRef<str>>(pairs: &[(T, f64)]) -> Self {
        Sorted::of(pairs).into()
    }

    /// Returns hotkeys and scores in the byte order of the hotkeys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> + Clone {
        self.scores.iter()
    }

    /// Returns how many scores there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Returns how many bytes they take in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.scores.size() + self.dropped.size()
    }

    /// Tells whether there is no score.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Returns the hotkeys that had something that is no finite number.
    #[must_use]
    pub fn dropped(&self) -> &Sorted<()> {
        &self.dropped
    }
}

/// What is not finite stands for no score.
impl From<Sorted<f64>> for Scores {
    fn from(all: Sorted<f64>) -> Self {
        if all.values().all(f64::is_finite) {
            return Self {
                scores: all,
                dropped: Sorted::default(),
            };
        }
        let (kept, dropped): (Vec<_>, Vec<_>) =
            all.iter().partition(|(_, score)| score.is_finite());
        Self {
            scores: Sorted::of(&kept),
            dropped: dropped.iter().map(|(hotkey, _)| (*hotkey, ())).collect(),
        }
    }
}

impl<T: AsRef<str>> FromIterator<(T, f64)> for Scores {
    fn from_iter<I: IntoIterator<Item = (T, f64)>>(pairs: I) -> Self {
        Self::of(&pairs.into_iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_dropped_after_the_last_of_a_hotkey_is_found() {
        let scores: Scores = [
            ("b", 1.0),
            ("a", f64::NAN),
            ("b", f64::INFINITY),
            ("c", -1.0),
        ]
        .into_iter()
        .collect();
        let kept: Vec<_> = scores.iter().collect();
        assert_eq!(kept, [("c", -1.0)]);
        let dropped: Vec<_> = scores.dropped().iter().map(|(hotkey, ())| hotkey).collect();
        assert_eq!(dropped, ["a", "b"]);
    }
}

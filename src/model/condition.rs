//! Conditions of a challenge: what is true of it, since when and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Slug;

/// The conditions of every challenge that was looked at.
pub type AllConditions = BTreeMap<Slug, Conditions>;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionType {
    /// Everything is as declared and answers.
    Ready,
    /// Something is being done, or becomes ready.
    Progressing,
    /// Something is not done, and will not be without somebody's help.
    Held,
    /// Somebody else changed it, and that stays or comes back.
    Drifted,
    /// Somebody suspended it.
    Suspended,
    /// Nothing moves any more: no progress in time, or one failure after the other.
    Stalled,
}

impl ConditionType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Progressing,
        Self::Held,
        Self::Drifted,
        Self::Suspended,
        Self::Stalled,
    ];

    /// Returns its name, as the database and every form of output spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Held => "Held",
            Self::Drifted => "Drifted",
            Self::Suspended => "Suspended",
            Self::Stalled => "Stalled",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// It could not be found out.
    Unknown,
}

impl Truth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// Returns its name, as the database and every form of output spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition of a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeCondition {
    /// Whether it holds.
    pub status: Truth,
    /// Why, as one word in camel case.
    pub reason: String,
    /// Why, for people: short, and without anything secret.
    pub message: String,
    /// Since when the status is this.
    pub since: Timestamp,
    /// The revision that it was found for: the commit, or the digest of the content.
    pub revision: String,
}

/// How far a challenge has come on its way to being ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many keys were left to do or to become ready.
    pub left: u32,
    /// When that last became less, or its counting began.
    pub at: Timestamp,
}

/// The conditions of one challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Each by its type.
    pub of: BTreeMap<ConditionType, ChallengeCondition>,
    /// How far it has come, while it is on its way.
    pub progress: Option<Progress>,
}

impl Conditions {
    /// Tells whether a condition is known to hold.
    #[must_use]
    pub fn holds(&self, of: ConditionType) -> bool {
        self.of
            .get(&of)
            .is_some_and(|condition| condition.status == Truth::True)
    }
}

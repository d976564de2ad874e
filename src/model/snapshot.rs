//! A weight vector as it is kept: the bytes that are served, with what they were made of; or why there is none.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far the clock of whoever made a vector may be ahead: validators refuse what is from further on.
const AHEAD: SignedDuration = SignedDuration::from_secs(30);

/// A weight vector as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, and what of.
    #[serde(flatten)]
    pub summary: SnapshotSummary,
    /// The document as it is served, to the byte: signatures are over bytes.
    pub document: String,
    /// What became of each challenge's share.
    pub explanation: Value,
}

/// When a weight vector was made, and what of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WeightsSummary")]
pub struct SnapshotSummary {
    /// The subnet.
    pub netuid: u16,
    /// When its making began; UTC.
    pub computed_at: Timestamp,
    /// When it is too old to be used; UTC.
    pub expires_at: Timestamp,
    /// The declaration it was made under: a commit, or the digest of the content.
    pub revision: String,
    /// The block at which the registered hotkeys were read, where that is known.
    pub metagraph_block: Option<u64>,
    /// When they were read.
    pub metagraph_updated_at: Timestamp,
    /// The digest of all answers, of the registered hotkeys and of the rules.
    pub inputs_digest: String,
}

/// Why no vector is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It is not known who is registered.
    Metagraph,
    /// No challenge answered, or none of those that did has anything to give.
    Challenges,
}

impl Outage {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Metagraph, Self::Challenges];

    /// Returns the word that a row has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metagraph => "metagraph",
            Self::Challenges => "challenges",
        }
    }

    /// Reads the word of a row.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outage| outage.as_str() == word)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metagraph => "metagraph unavailable",
            Self::Challenges => "no challenge provided weights",
        })
    }
}

impl SnapshotSummary {
    /// Tells whether it was made by a clock that is too far ahead of this time for anybody to use it.
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.computed_at > latest_believed(now)
    }
}

/// Returns the latest time at which a vector may have been made, seen from this one.
#[must_use]
pub fn latest_believed(now: Timestamp) -> Timestamp {
    now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX)
}

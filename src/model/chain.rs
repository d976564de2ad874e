//! The chain that the kept passes form: each carries the hash of the one before it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a pass stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The hash of the pass before it, which may be dropped by now.
    pub previous: String,
    /// The SHA-256 of all that is kept of it, `previous` included.
    pub hash: String,
}

impl Link {
    /// Returns as much of the hash as people need to tell passes apart.
    #[must_use]
    pub fn short(&self) -> &str {
        shortened(&self.hash)
    }

    /// Returns as much of the hash of the pass before it.
    #[must_use]
    pub fn short_previous(&self) -> &str {
        shortened(&self.previous)
    }
}

fn shortened(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// What the kept passes are found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Chain {
    /// Each follows from the one before it, up to the newest.
    Unbroken(Unbroken),
    /// Something was changed, added or taken away.
    Broken(Break),
}

/// An unbroken chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unbroken {
    /// How many passes it has.
    pub passes: u64,
    /// The oldest.
    pub since: Option<i64>,
    /// The newest.
    pub newest: Option<i64>,
    /// The hash of the newest, which stands for all before it.
    pub head: Option<String>,
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The first pass that is not as it was recorded.
    pub pass: i64,
    /// What is wrong with it.
    pub fault: Fault,
    /// How many passes before it are as they were recorded.
    pub unbroken: u64,
}

/// What is wrong with a pass of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its content, or that of its keys, is not what its hash was made of.
    Altered,
    /// It does not follow from the one before it: one between them is gone, or was made anew.
    Detached,
    /// It was recorded last, and is gone.
    Gone,
    /// It has the number of the pass that was recorded last, and is another.
    Replaced,
    /// Passes older than it are gone that were kept.
    Shortened,
    /// It is newer than the pass that was recorded last.
    Added,
}

impl Fault {
    /// Returns what is wrong, as people are told it after the pass's number.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "is not as it was recorded",
            Self::Detached => {
                "does not follow from the pass before it: one between them is gone, or one was made anew"
            }
            Self::Gone => "was recorded last, and is gone",
            Self::Replaced => "is not the pass that was recorded last",
            Self::Shortened => {
                "is the oldest that is left, and passes before it are gone that were kept"
            }
            Self::Added => "was added past the pass that was recorded last",
        }
    }
}

//! A pass as it is kept: which revision, who, what came of it, and the outcome for each key.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Revision;
use super::chain::Link;

/// A pass with its outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PassRecord {
    /// Its number; given by the database, so absent in a new record.
    pub id: Option<i64>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; of one that was interrupted, when that was found.
    pub finished_at: Timestamp,
    /// Where the declaration came from, as people are shown it.
    pub source: String,
    /// What it worked from.
    pub revision: Revision,
    /// Who started it.
    pub actor: String,
    /// The digest of its plan.
    pub plan_digest: String,
    /// What came of it.
    pub outcome: PassOutcome,
    /// How many of what.
    pub counts: PassCounts,
    /// Where it stands in the chain; given by the database, so absent in a new record.
    pub chain: Option<Link>,
    /// What came of each key that was to change or was held.
    pub keys: Vec<KeyOutcome>,
}

/// A pass, or a part of one, that is about to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunPass {
    /// When the pass began.
    pub started_at: Timestamp,
    /// Where the declaration came from, as people are shown it.
    pub source: String,
    /// What it works from.
    pub revision: Revision,
    /// Who started it.
    pub actor: String,
    /// The digest of its plan.
    pub plan_digest: String,
    /// What it is about to write, each key with the outcome that it has if nothing more is heard of it.
    pub keys: Vec<KeyOutcome>,
}

/// The number of a part of a pass that was begun, until it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun(pub i64);

/// A pass without its outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PassSummary {
    /// Its number.
    pub id: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; of one that was interrupted, when that was found.
    pub finished_at: Timestamp,
    /// Where the declaration came from, as people are shown it.
    pub source: String,
    /// What it worked from.
    pub revision: Revision,
    /// Who started it.
    pub actor: String,
    /// The digest of its plan.
    pub plan_digest: String,
    /// What came of it.
    pub outcome: PassOutcome,
    /// How many of what.
    pub counts: PassCounts,
    /// How many keys had an outcome; more than are kept when it had very many.
    pub key_count: u64,
    /// Where it stands in the chain.
    pub chain: Link,
}

/// What came of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassOutcome {
    /// Nothing was to be done.
    Converged,
    /// Everything was done.
    Changed,
    /// Some of it was done.
    Partial,
    /// Nothing could be done.
    Failed,
    /// A guard or a check did not let it begin.
    Refused,
    /// It began to write, and was not heard of again; the next writer recorded it.
    Interrupted,
}

/// How many keys of each sort a pass had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PassCounts {
    /// Made.
    pub created: u64,
    /// Changed.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
    /// As they should be.
    pub unchanged: u64,
    /// Not touched, for a reason, or waiting for another key.
    pub held: u64,
    /// Tried without success.
    pub failed: u64,
    /// About to be written when the pass was interrupted.
    pub unknown: u64,
}

/// What came of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyOutcome {
    /// The key, as people are shown it.
    pub key: String,
    /// The challenge it belongs to, if any.
    pub slug: Option<String>,
    /// What was to be done.
    pub action: KeyAction,
    /// What came of it.
    pub outcome: KeyResult,
    /// Why, when it was not done.
    pub why: Option<String>,
}

/// What was to be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Delete it.
    Delete,
    /// Nothing: it was held.
    None,
}

/// What came of what was to be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyResult {
    /// It was done.
    Done,
    /// It was tried.
    Failed,
    /// Something before it failed.
    NotReached,
    /// It was not to be done.
    Held,
    /// The pass was interrupted: it may have been done.
    Unknown,
}

impl PassSummary {
    /// Adds the outcomes.
    #[must_use]
    pub fn with_keys(self, keys: Vec<KeyOutcome>) -> PassRecord {
        PassRecord {
            id: Some(self.id),
            started_at: self.started_at,
            finished_at: self.finished_at,
            source: self.source,
            revision: self.revision,
            actor: self.actor,
            plan_digest: self.plan_digest,
            outcome: self.outcome,
            counts: self.counts,
            chain: Some(self.chain),
            keys,
        }
    }
}

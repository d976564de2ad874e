//! A target: another cluster, usually with GPUs, that may take a challenge or a job.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A target's id: 1 to 63 letters, digits and `_.-`, never `local`, which names the cluster of the platform itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetId(String);

/// The text is no target id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a target id is 1 to 63 letters, digits, `_`, `.` or `-`, and not `local`")]
pub struct TargetIdError;

impl TargetId {
    /// Parses a target id.
    ///
    /// # Errors
    /// The text is empty, too long, reserved or holds another character.
    pub fn parse(text: &str) -> Result<Self, TargetIdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if text.is_empty() || text.len() > 63 || text == "local" || !text.bytes().all(allowed) {
            return Err(TargetIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TargetId {
    type Error = TargetIdError;

    fn try_from(text: String) -> Result<Self, TargetIdError> {
        Self::parse(&text)
    }
}

impl From<TargetId> for String {
    fn from(id: TargetId) -> Self {
        id.0
    }
}

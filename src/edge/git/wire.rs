//! What passes between this process and its worker: one question in, one answer out, both JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Bounds, GitError, GitSnapshot, History};
use crate::model::CommitId;

/// The most bytes of an answer: the files of a source in base64, and their names.
pub const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// A question with all that the worker needs. It may hold a password, so it is never shown.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// The address, as [`super::GitAddress`] parses it.
    pub address: String,
    /// What is asked.
    pub ask: Ask,
    /// The user for HTTP.
    pub username: Option<String>,
    /// The password for HTTP.
    pub password: Option<String>,
    /// A file that holds it.
    pub password_file: Option<PathBuf>,
    /// The private key for SSH.
    pub ssh_key: Option<PathBuf>,
    /// The host keys that are accepted.
    pub known_hosts: Option<PathBuf>,
    /// The folder of this repository: its objects, its lock, and the home that libraries look into.
    pub folder: PathBuf,
    /// How long the answer may take.
    pub seconds: u64,
    /// Whether all history is fetched.
    pub wants_history: bool,
}

/// What is asked.
#[derive(Serialize, Deserialize)]
pub enum Ask {
    /// Where the reference stands.
    Tip,
    /// What a commit holds.
    Snapshot {
        /// The commit.
        commit: CommitId,
        /// The most it may hold.
        bounds: Bounds,
    },
    /// The commits between two.
    Between {
        /// The one below.
        old: Option<CommitId>,
        /// The one above.
        new: CommitId,
    },
}

/// What is answered.
#[derive(Serialize, Deserialize)]
pub enum Told {
    /// Where the reference stands.
    Tip(CommitId),
    /// What the commit holds.
    Snapshot(GitSnapshot),
    /// The commits.
    Between(History),
}

/// The whole answer.
pub type Answer = Result<Told, GitError>;

/// Bytes as base64, which is a third longer; as a list of numbers they would be three times as long.
pub mod base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes bytes.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// No base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

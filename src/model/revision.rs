//! Which version of the source a pass worked from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The revision of a source: a digest of the files' content and, from git, the commit with its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// `sha256:` and 64 hex digits over the names and bytes of the files read.
    pub digest: String,
    /// The commit, when the source is git.
    pub commit: Option<Commit>,
}

/// A git commit as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commit {
    /// The full object id in hex.
    pub id: String,
    /// The first line of the message.
    pub subject: String,
}

/// The name of a git commit: 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// Parses a full id; a short one may come to mean another commit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 40 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl TryFrom<String> for CommitId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a commit is named by 40 hex digits")
    }
}

/// A commit object as git keeps it, for whoever checks signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawCommit {
    /// Its name.
    pub id: CommitId,
    /// Its bytes, without git's own header.
    pub bytes: Vec<u8>,
}

impl Revision {
    /// Returns the short form: seven digits of the commit, or of the content digest.
    #[must_use]
    pub fn short(&self) -> &str {
        let id = match &self.commit {
            Some(commit) => commit.id.as_str(),
            None => self.digest.strip_prefix("sha256:").unwrap_or(&self.digest),
        };
        id.get(..7).unwrap_or(id)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.commit {
            Some(commit) => write!(f, "{} \"{}\"", self.short(), commit.subject),
            None => f.write_str(self.short()),
        }
    }
}

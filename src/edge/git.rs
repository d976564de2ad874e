//! Git: which commit a source stands at, what that commit holds, and a changed file committed. Sole user of `git2`.
//!
//! Nothing is checked out and no `git` program runs: a bare repository is fetched, and blobs are read from
//! its objects. The library that does it is C, fetches over blocking calls and trusts what a server sends
//! to be of sensible size, so it runs in a process of its own ([`worker`]) with limits on memory, disk and
//! time. [`RemoteGit`] starts that process for each question and ends it when time is over: a server that
//! hangs, or a pack made to fill memory, costs one question.

pub mod address;
pub mod error;
mod remote;
mod wire;
pub mod worker;
pub mod working;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use address::{GitAddress, is_address};
pub use error::GitError;
pub use remote::RemoteGit;

use crate::model::revision::{Commit, RawCommit};
use crate::model::{CommitId, Secret};

/// What a process asks of a git source. Every call has a time limit and bounds on what it takes in.
#[async_trait]
pub trait GitSource: Send + Sync {
    /// Returns the commit that the source stands at. One small request, which transfers no object; none at
    /// all when the address names a commit.
    ///
    /// # Errors
    /// The host does not answer or refuses, or there is no such branch or tag.
    async fn tip(&self) -> Result<CommitId, GitError>;

    /// Returns the files of a commit, and fetches it where it is not there yet.
    ///
    /// # Errors
    /// As [`Self::tip`]; also a commit that goes over a bound, or holds a link, a submodule or a name that
    /// could hide part of a declaration. A commit is read whole or not at all.
    async fn snapshot(&self, commit: &CommitId) -> Result<GitSnapshot, GitError>;

    /// Returns the commits that `new` has and `old` has not, for their signatures to be checked. `new` is
    /// fetched where it is not there yet, and is always among them.
    ///
    /// # Errors
    /// As [`Self::snapshot`]; also more commits than are looked at.
    async fn commits_between(
        &self,
        old: Option<&CommitId>,
        new: &CommitId,
    ) -> Result<History, GitError>;
}

/// What a commit holds at the path of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSnapshot {
    /// The commit as shown to people; its subject is safe to print.
    pub commit: Commit,
    /// `platform.yaml` first, then by name.
    pub files: Vec<GitFile>,
}

/// Commits for their signatures to be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The commits; the new one alone where the old one is not below it.
    pub commits: Vec<RawCommit>,
    /// Whether the old one is below the new one, or is it. True without an old one.
    pub contains_old: bool,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitFile {
    /// Its path in the repository.
    pub name: String,
    /// Its path below the directory that was asked for.
    pub relative: String,
    /// Its content.
    #[serde(with = "wire::base64")]
    pub bytes: Vec<u8>,
}

/// The most that a snapshot holds; whoever reads one says how much it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of all files together.
    pub bytes: u64,
    /// YAML files.
    pub files: usize,
    /// Directories below the one asked for.
    pub depth: usize,
    /// Entries of directories that are looked at.
    pub entries: usize,
}

/// How a repository is reached: credentials by reference, and where what was fetched is kept.
#[derive(Clone, Debug)]
pub struct Access {
    /// The user for HTTP; `git` unless set, which is fine wherever the password is a token.
    pub username: Option<String>,
    /// The password or token for HTTP.
    pub password: Option<Secret<String>>,
    /// A file that holds it, read for each question.
    pub password_file: Option<PathBuf>,
    /// The private key for SSH, without a passphrase.
    pub ssh_key: Option<PathBuf>,
    /// The host keys that are accepted. Without them no SSH host is.
    pub known_hosts: Option<PathBuf>,
    /// The authorities that are trusted for HTTPS instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where repositories are kept.
    pub cache: Option<PathBuf>,
    /// Where a repository is kept for one question when the cache cannot be written.
    pub scratch: PathBuf,
    /// How long one question may take.
    pub timeout: Duration,
    /// Whether all history is fetched, as [`GitSource::commits_between`] needs it, or the newest commit alone.
    pub wants_history: bool,
}

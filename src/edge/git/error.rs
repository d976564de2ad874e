//! Why git gave no answer. An error crosses from the worker's process, so its cause is a text, which the
//! worker has made safe to print and freed of credentials.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a git source could not be read. Nothing is concluded from it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum GitError {
    /// The address itself.
    #[error("the address {address} is refused: {why}")]
    Address {
        /// The address, masked.
        address: String,
        /// What is wrong with it.
        #[serde(skip)]
        why: &'static str,
    },
    /// No connection, or no git behind it.
    #[error("{host} gives no repository: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the transport said.
        why: String,
    },
    /// The host wants other credentials, or has no such repository for these.
    #[error("{host} refuses the credentials, or hides the repository from them: {why}")]
    Refused {
        /// The host.
        host: String,
        /// What it said.
        why: String,
    },
    /// The host wants credentials and there are none.
    #[error("{host} asks for credentials, and none are set")]
    NoCredentials {
        /// The host.
        host: String,
        /// Whether it asks for an SSH key.
        for_ssh: bool,
    },
    /// The SSH host has a key that is not known.
    #[error("the host key of {host} ({fingerprint}) is not among the known hosts")]
    HostKey {
        /// The host.
        host: String,
        /// The fingerprint of what it showed.
        fingerprint: String,
    },
    /// The certificate of the host is not trusted.
    #[error("the certificate of {host} is not trusted: {why}")]
    Certificate {
        /// The host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// Time is over.
    #[error("{host} did not deliver within {seconds} s")]
    Timeout {
        /// The host.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// More was sent than is taken.
    #[error("{host} sent more than the {megabytes} MiB that are taken of a repository")]
    TooMuch {
        /// The host.
        host: String,
        /// The limit.
        megabytes: u64,
    },
    /// The worker ran into a limit of its process, or fell over.
    #[error("reading the repository of {host} was ended: {why}")]
    Ended {
        /// The host.
        host: String,
        /// Which limit, where that is known.
        why: String,
    },
    /// No branch or tag of this name, or no commit at all.
    #[error("the repository has no branch or tag {reference}")]
    NoReference {
        /// The name.
        reference: String,
    },
    /// The repository has no commit.
    #[error("the repository is empty")]
    NoCommits,
    /// The commit is not in the repository.
    #[error("the repository has no commit {commit} that it would hand out")]
    NoCommit {
        /// The commit.
        commit: String,
    },
    /// Nothing has this path.
    #[error("the commit has no {path}")]
    NoPath {
        /// The path.
        path: String,
    },
    /// A symbolic link where a declaration is looked for.
    #[error("{path} is a symbolic link")]
    Link {
        /// The path.
        path: String,
    },
    /// A submodule where a declaration is looked for.
    #[error("{path} is a submodule")]
    Submodule {
        /// The path.
        path: String,
    },
    /// A name that no checkout could hold, or that would deceive.
    #[error("{directory} holds an entry with the name {name}")]
    Name {
        /// The directory.
        directory: String,
        /// The name, escaped.
        name: String,
    },
    /// A file with nothing in it.
    #[error("{path} is empty")]
    Empty {
        /// The path.
        path: String,
    },
    /// Over one of the bounds of a source.
    #[error("{path} goes over a bound: {bound}")]
    Bound {
        /// Where.
        path: String,
        /// Which bound.
        bound: String,
    },
    /// More was committed since the last apply than is checked at once.
    #[error(
        "more was committed since the last apply than is checked at once: {commits} commits, or {megabytes} MiB of them"
    )]
    ManyCommits {
        /// The most commits.
        commits: usize,
        /// The most of them together.
        megabytes: usize,
    },
    /// More commits than are looked through.
    #[error("the history has more than the {commits} commits that are looked through")]
    LongHistory {
        /// The most commits.
        commits: usize,
    },
    /// Objects that are not what they should be.
    #[error("the repository is damaged: {why}")]
    Damaged {
        /// What was found.
        why: String,
    },
    /// Something of this machine: a key, a file, the cache.
    #[error("{what} cannot be used: {why}")]
    Local {
        /// What.
        what: String,
        /// Why not.
        why: String,
    },
}

impl GitError {
    /// Says what to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Address { why, .. } if why.contains("it holds a") => {
                "credentials come from the settings: git.password_file, git.password, git.username"
            }
            Self::Address { .. } => {
                "write https://HOST/REPOSITORY, ssh://… or file:///…, then #BRANCH and :PATH if need be"
            }
            Self::Unreachable { .. } => "check the address, and that the host is up",
            Self::Refused { .. } => {
                "check the address, and what git.password or git.ssh_key may read"
            }
            Self::NoCredentials { for_ssh: true, .. } => "name a private key with git.ssh_key",
            Self::NoCredentials { .. } => {
                "name a file that holds a token with git.password_file, or set git.password"
            }
            Self::HostKey { .. } => {
                "compare the fingerprint with the one its operator publishes, then add the key to the file that git.known_hosts names"
            }
            Self::Certificate { .. } => {
                "name the authority of a host of your own with git.ca_file; of another host, do not trust it"
            }
            Self::Timeout { .. } => "try again, or give it more time with git.timeout_seconds",
            Self::TooMuch { .. } | Self::Ended { .. } | Self::LongHistory { .. } => {
                "keep the declaration in a repository of its own"
            }
            Self::NoReference { .. } | Self::NoCommits => "check what stands behind `#`",
            Self::NoCommit { .. } => "name a branch, or a commit that one still holds",
            Self::NoPath { .. } => "name the directory of platform.yaml, or the file, behind a `:`",
            Self::Link { .. } | Self::Submodule { .. } => {
                "put the files themselves there, or name a directory without it behind a `:`; neither links nor submodules are followed"
            }
            Self::Name { .. } => "rename it",
            Self::Empty { .. } => {
                "a declaration of nothing says `challenges: {}`; an empty file is refused"
            }
            Self::Bound { .. } => "name the directory that holds only the declaration behind a `:`",
            Self::ManyCommits { .. } => {
                "apply a commit in between first: `platform apply …#COMMIT`, its whole id"
            }
            Self::Damaged { .. } => "run `git fsck` on the repository",
            Self::Local { .. } => "check what it is and who may read it",
        }
    }

    /// Tells whether whoever wrote the address or the commit has to act, not whoever runs host or network.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::NoReference { .. }
            | Self::NoCommits
            | Self::NoCommit { .. }
            | Self::NoPath { .. }
            | Self::Link { .. }
            | Self::Submodule { .. }
            | Self::Name { .. }
            | Self::Empty { .. }
            | Self::Bound { .. }
            | Self::ManyCommits { .. }
            | Self::LongHistory { .. } => true,
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::NoCredentials { .. }
            | Self::HostKey { .. }
            | Self::Certificate { .. }
            | Self::Timeout { .. }
            | Self::TooMuch { .. }
            | Self::Ended { .. }
            | Self::Damaged { .. }
            | Self::Local { .. } => false,
        }
    }
}

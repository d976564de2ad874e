//! Whether the commits of a git source may be taken: signed by somebody who may, and none taken back.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::edge::files::{self, FileError, Links};
use crate::edge::git::{GitError, GitSource};
use crate::model::CommitId;
use crate::reconcile::verify::{AllowedSigners, Keyring, Refusal, Signers, SignersError, verify};

/// The largest file of signers.
const MAX_FILE: u64 = 1024 * 1024;

/// Who may sign commits. It never comes from the repository.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The file of those who may, in the form of `ssh-keygen`'s allowed signers; read for each check.
    pub allowed_signers: Option<PathBuf>,
    /// The file of those who may by an OpenPGP key: their certificates in armour; read for each check.
    pub openpgp_keys: Option<PathBuf>,
    /// A file of keys that may not, whatever the first says.
    pub revoked_keys: Option<PathBuf>,
    /// Whether a commit may be taken that does not descend from the one applied last.
    pub allows_rewind: bool,
}

/// Why a commit is not taken.
#[derive(Debug, Error)]
pub enum Distrust {
    /// Nobody is named who may sign, or the files name nobody.
    #[error("commits have to be signed, and nobody is allowed to sign")]
    Nobody,
    /// A file of keys could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// A file of keys that is no text.
    #[error("{} is not UTF-8", .0.display())]
    NoText(PathBuf),
    /// A file of signers is malformed.
    #[error("{} cannot be used", .0.display())]
    Signers(PathBuf, #[source] SignersError),
    /// The commits could not be fetched.
    #[error("the commits since the one applied last cannot be read")]
    Git(#[source] GitError),
    /// A commit is not signed as it has to be.
    #[error(transparent)]
    Refused(Refusal),
    /// The history was rewritten.
    #[error("it stands at {tip}, which does not descend from {last}, the commit applied last")]
    Rewound {
        /// The commit it stands at.
        tip: CommitId,
        /// The commit applied last.
        last: CommitId,
    },
}

impl Distrust {
    /// Says what to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Nobody => {
                "name a file of signers with git.allowed_signers, or of OpenPGP keys with git.openpgp_keys"
            }
            Self::File { .. } | Self::NoText(_) | Self::Signers(..) => {
                "check git.allowed_signers, git.openpgp_keys and git.revoked_keys"
            }
            Self::Git(error) => error.remedy(),
            Self::Refused(_) => {
                "every commit since the last apply is signed by a key in git.allowed_signers or git.openpgp_keys, or nothing is applied"
            }
            Self::Rewound { .. } => {
                "somebody may have taken commits back; if it is meant: `platform apply --allow-rewind`, or git.allow_rewind for a process that follows it"
            }
        }
    }
}

/// Checks the commits between the one applied last and the one to read.
///
/// # Errors
/// A commit is refused, the new one does not descend from the last, or nobody may sign.
pub(super) async fn check(
    git: &dyn GitSource,
    trust: &Trust,
    (last, tip): (Option<&CommitId>, &CommitId),
) -> Result<(), Distrust> {
    let signers = read_signers(trust)?;
    let history = git
        .commits_between(last, tip)
        .await
        .map_err(Distrust::Git)?;
    if let (false, false, Some(last)) = (history.contains_old, trust.allows_rewind, last) {
        return Err(Distrust::Rewound {
            tip: tip.clone(),
            last: last.clone(),
        });
    }
    verify(&history.commits, tip, &signers).map_err(Distrust::Refused)
}

fn read_signers(trust: &Trust) -> Result<Signers, Distrust> {
    let read = |path: &Option<PathBuf>| match path {
        Some(path) => read(path).map(|text| (path.clone(), text)),
        None => Ok(Default::default()),
    };
    let malformed = |path| move |error| Distrust::Signers(path, error);
    let (path, allowed) = read(&trust.allowed_signers)?;
    let (revoked_path, revoked) = read(&trust.revoked_keys)?;
    AllowedSigners::parse("", &revoked).map_err(malformed(revoked_path))?;
    let ssh = AllowedSigners::parse(&allowed, &revoked).map_err(malformed(path))?;
    let (path, certificates) = read(&trust.openpgp_keys)?;
    let openpgp = Keyring::parse(&certificates).map_err(malformed(path))?;
    match ssh.is_empty() && openpgp.is_empty() {
        true => Err(Distrust::Nobody),
        false => Ok(Signers { ssh, openpgp }),
    }
}

fn read(path: &Path) -> Result<String, Distrust> {
    let bytes =
        files::read_regular(path, MAX_FILE, Links::Follow).map_err(|source| Distrust::File {
            path: path.to_owned(),
            source,
        })?;
    String::from_utf8(bytes).map_err(|_| Distrust::NoText(path.to_owned()))
}

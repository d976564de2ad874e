//! Whether the commits of a git source may be taken: signed by somebody who may, and none taken back.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::edge::files::{self, FileError, Links};
use crate::edge::git::{GitError, GitSource};
use crate::model::CommitId;
use crate::reconcile::verify::{AllowedSigners, Refusal, SignersError, verify};

/// The largest file of signers.
const MAX_FILE: u64 = 1024 * 1024;

/// Who may sign commits. It never comes from the repository.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The file of those who may, in the form of `ssh-keygen`'s allowed signers; read for each check.
    pub allowed_signers: Option<PathBuf>,
    /// A file of keys that may not, whatever the first says.
    pub revoked_keys: Option<PathBuf>,
    /// Whether a commit may be taken that does not descend from the one applied last.
    pub allows_rewind: bool,
}

/// Why a commit is not taken.
#[derive(Debug, Error)]
pub enum Distrust {
    /// Nobody is named who may sign.
    #[error("commits have to be signed, and nobody is allowed to sign")]
    Nobody,
    /// A file that names nobody.
    #[error("{} allows nobody to sign", .0.display())]
    Empty(PathBuf),
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
    /// The allowed signers or the revoked keys are malformed.
    #[error("the allowed signers, or the revoked keys, cannot be read")]
    Signers(#[source] SignersError),
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
            Self::Nobody | Self::Empty(_) => "name a file of signers with git.allowed_signers",
            Self::File { .. } | Self::NoText(_) | Self::Signers(_) => {
                "check git.allowed_signers and git.revoked_keys"
            }
            Self::Git(error) => error.remedy(),
            Self::Refused(_) => {
                "every commit since the last apply is signed by a key in git.allowed_signers, or nothing is applied"
            }
            Self::Rewound { .. } => {
                "somebody may have taken commits back; if it is meant: --allow-rewind"
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

fn read_signers(trust: &Trust) -> Result<AllowedSigners, Distrust> {
    let allowed = trust.allowed_signers.as_deref().ok_or(Distrust::Nobody)?;
    let revoked = trust.revoked_keys.as_deref().map(read).transpose()?;
    let signers = AllowedSigners::parse(&read(allowed)?, &revoked.unwrap_or_default());
    let signers = signers.map_err(Distrust::Signers)?;
    match signers.is_empty() {
        true => Err(Distrust::Empty(allowed.to_owned())),
        false => Ok(signers),
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

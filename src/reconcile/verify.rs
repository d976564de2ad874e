//! Whether commits were signed by somebody who may. Pure: bytes in, verdict out.
//!
//! Every commit since the one applied last has to carry one signature, by a key that the operator of this
//! process allows; which keys these are never comes from the repository. What cannot be told counts as no.

mod commit;
mod openpgp;
mod ssh;

use thiserror::Error;

pub use openpgp::Keyring;
pub use ssh::{AllowedSigners, SignersError};

use crate::model::CommitId;
use crate::model::revision::RawCommit;
use commit::Signed;

/// What begins a signature by an SSH key.
const SSH: &[u8] = b"-----BEGIN SSH SIGNATURE-----";

/// Who may sign.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    /// By SSH keys.
    pub ssh: AllowedSigners,
    /// By OpenPGP keys.
    pub openpgp: Keyring,
}

/// Why a commit is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The object is no commit as git writes them, or not the one of this name.
    #[error("it is no well-formed commit")]
    Malformed,
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// More than one signature: which of them counts would be a guess.
    #[error("it carries more than one signature")]
    Several,
    /// A signature of a form that is not known, or cut short.
    #[error("its signature cannot be read")]
    Unreadable,
    /// A signature made for something else than git.
    #[error("its signature was made for another purpose")]
    Namespace,
    /// A signature by a key that nobody allowed.
    #[error("it is signed by a key that is not allowed")]
    UnknownKey,
    /// A signature by a key that was revoked.
    #[error("it is signed by a key that was revoked")]
    RevokedKey,
    /// A signature by a key that is allowed for others, for other purposes or at other times.
    #[error("it is signed by a key that is not allowed for its committer, for git, or at its time")]
    NotForThis,
    /// A signature that does not fit the commit.
    #[error("its signature does not fit")]
    Invalid,
}

/// A commit that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("commit {commit} is refused")]
pub struct Refusal {
    /// The commit.
    pub commit: CommitId,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// Checks every commit; `tip`, the one that is to be read, has to be among them.
///
/// # Errors
/// The first commit that is not signed by somebody who may.
pub fn verify(commits: &[RawCommit], tip: &CommitId, signers: &Signers) -> Result<(), Refusal> {
    if !commits.iter().any(|commit| &commit.id == tip) {
        return Err(Refusal {
            commit: tip.clone(),
            fault: Fault::Malformed,
        });
    }
    commits.iter().try_for_each(|commit| {
        verify_commit(commit, signers).map_err(|fault| Refusal {
            commit: commit.id.clone(),
            fault,
        })
    })
}

fn verify_commit(raw: &RawCommit, signers: &Signers) -> Result<(), Fault> {
    let signed = Signed::parse(raw)?;
    match &signed.signature {
        signature if signature.starts_with(SSH) => signers.ssh.check(&signed),
        signature if signature.starts_with(openpgp::SIGNATURE) => signers.openpgp.check(&signed),
        _ => Err(Fault::Unreadable),
    }
}

#[cfg(test)]
mod tests;

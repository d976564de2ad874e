//! A file of a working copy, committed by itself: nothing else that is changed or staged there goes along.
//!
//! The repository is its user's own, so this runs in our process. No hook, filter program or signing program of it is
//! run; where commits are signed nothing is committed.

use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FileMode, Index, Oid, Repository, RepositoryState, Signature, Status};
use thiserror::Error;

use crate::model::CommitId;

/// A file that is as the newest commit of its repository has it.
pub struct Committed {
    repository: Repository,
    /// Its path in the repository.
    path: PathBuf,
    mode: FileMode,
}

/// Why a file is not committed.
#[derive(Debug, Error)]
pub enum WorkingError {
    /// There is no repository around it, or one without a work tree.
    #[error("it is in no working copy of a git repository")]
    NoRepository,
    /// Its repository does not have it, or another content of it.
    #[error("it is not as the newest commit has it")]
    NotCommitted,
    /// A merge, a rebase or the like has begun.
    #[error("its repository is in the middle of a merge, a rebase or the like")]
    Busy,
    /// Nobody is named who commits.
    #[error("git does not know who commits")]
    NoIdentity,
    /// Commits there are to be signed.
    #[error("commits of its repository are signed")]
    Signed,
    /// What git's library says.
    #[error("git refused")]
    Git(#[source] git2::Error),
}

impl Committed {
    /// Finds the repository that a file is in, and whether a change of it could be committed.
    ///
    /// # Errors
    /// Any [`WorkingError`]; nothing is changed.
    pub fn find(file: &Path) -> Result<Self, WorkingError> {
        let file = file
            .canonicalize()
            .map_err(|_| WorkingError::NoRepository)?;
        let repository = Repository::discover(&file).map_err(|error| match error.code() {
            ErrorCode::NotFound => WorkingError::NoRepository,
            _ => WorkingError::Git(error),
        })?;
        let root = repository
            .workdir()
            .and_then(|root| root.canonicalize().ok());
        let path = root.and_then(|root| file.strip_prefix(root).ok().map(Path::to_owned));
        let path = path.ok_or(WorkingError::NoRepository)?;
        if repository.state() != RepositoryState::Clean {
            return Err(WorkingError::Busy);
        }
        let mode = find_mode(&repository, &path)?;
        drop(find_identity(&repository)?);
        Ok(Self {
            repository,
            path,
            mode,
        })
    }

    /// Commits the file as it is now on what is checked out, and returns the commit.
    ///
    /// # Errors
    /// `Git`; also where somebody committed meanwhile. Nothing is committed then.
    pub fn commit(&self, message: &str) -> Result<CommitId, WorkingError> {
        let mut index = self.repository.index().map_err(WorkingError::Git)?;
        index.add_path(&self.path).map_err(WorkingError::Git)?;
        let id = self.commit_of(&index, message)?;
        // The commit is there; an index that could not be written is refreshed by git's next command.
        drop(index.write().inspect_err(|error| {
            tracing::warn!(%error, "the index of the working copy was not written");
        }));
        CommitId::parse(&id.to_string()).ok_or(WorkingError::NotCommitted)
    }

    fn commit_of(&self, index: &Index, message: &str) -> Result<Oid, WorkingError> {
        let entry = index.get_path(&self.path, 0);
        let blob = entry.ok_or(WorkingError::NotCommitted)?.id;
        let author = find_identity(&self.repository)?;
        let commit = || {
            let parent = self.repository.head()?.peel_to_commit()?;
            let tree = TreeUpdateBuilder::new()
                .upsert(&self.path, blob, self.mode)
                .create_updated(&self.repository, &parent.tree()?)?;
            let tree = self.repository.find_tree(tree)?;
            self.repository
                .commit(Some("HEAD"), &author, &author, message, &tree, &[&parent])
        };
        commit().map_err(WorkingError::Git)
    }
}

/// Returns the mode of a file that is as the newest commit has it.
fn find_mode(repository: &Repository, path: &Path) -> Result<FileMode, WorkingError> {
    let status = repository.status_file(path);
    if status != Ok(Status::CURRENT) {
        return Err(WorkingError::NotCommitted);
    }
    let head = repository.head().and_then(|head| head.peel_to_tree());
    let head = head.map_err(|_| WorkingError::NotCommitted)?;
    let entry = head
        .get_path(path)
        .map_err(|_| WorkingError::NotCommitted)?;
    match entry.filemode() {
        mode if mode == i32::from(FileMode::BlobExecutable) => Ok(FileMode::BlobExecutable),
        _ => Ok(FileMode::Blob),
    }
}

/// Returns who commits, where commits need no signature.
fn find_identity(repository: &Repository) -> Result<Signature<'static>, WorkingError> {
    let config = repository.config().and_then(|mut config| config.snapshot());
    let config = config.map_err(WorkingError::Git)?;
    if config.get_bool("commit.gpgsign").unwrap_or(false) {
        return Err(WorkingError::Signed);
    }
    repository.signature().map_err(|error| match error.code() {
        ErrorCode::NotFound => WorkingError::NoIdentity,
        _ => WorkingError::Git(error),
    })
}

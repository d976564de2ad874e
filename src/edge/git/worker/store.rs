//! Where a repository is kept: one folder each, one process at a time, thrown away when in doubt.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use git2::{Repository, RepositoryInitOptions};

use super::{GitError, damaged, limits::MAX_RECEIVED_MIB};

/// What libgit2 reads as its user's configuration. A redirect to another host is not followed; a repository
/// of another user is read, because nothing in it is ever run.
const CONFIGURATION: &str = "[safe]\n\tdirectory = *\n[http]\n\tfollowRedirects = false\n";
/// The largest file of known hosts.
const MAX_KNOWN_HOSTS: u64 = 1024 * 1024;
/// The most packs and bytes that are kept; beyond, the repository is fetched anew, which needs one small pack.
const MAX_PACKS: usize = 60;
const MAX_KEPT: u64 = 2 * MAX_RECEIVED_MIB * 1024 * 1024;

/// A locked folder. The lock ends with the process.
pub(super) struct Store {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Waits for the folder's lock and prepares it. What a process left that was ended is dropped.
    pub(super) fn lock(folder: &Path, known_hosts: Option<&Path>) -> Result<Self, GitError> {
        let failed = |error| local(folder, &error);
        let lock = File::options()
            .append(true)
            .create(true)
            .open(folder.join("lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let store = Self {
            folder: folder.to_owned(),
            _lock: lock,
        };
        if store.unfinished().exists() || store.is_grown() {
            store.drop_repository()?;
        }
        store.prepare_home(known_hosts)?;
        Ok(store)
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository.git")
    }

    fn unfinished(&self) -> PathBuf {
        self.folder.join("unfinished")
    }

    /// Tells whether something was kept from an earlier question.
    pub(super) fn is_there(&self) -> bool {
        self.repository().exists()
    }

    /// Opens the repository, or makes an empty one, and marks it as in work.
    pub(super) fn open(&self) -> Result<Repository, GitError> {
        let mark = self.unfinished();
        fs::write(&mark, "").map_err(|error| local(&mark, &error))?;
        let path = self.repository();
        match self.is_there() {
            true => Repository::open_bare(&path),
            false => Repository::init_opts(&path, &empty()),
        }
        .map_err(|error| damaged(&error))
    }

    /// Takes the mark away: what is kept is whole.
    pub(super) fn finish(&self) -> Result<(), GitError> {
        let mark = self.unfinished();
        fs::remove_file(&mark).map_err(|error| local(&mark, &error))
    }

    /// Drops what was kept.
    pub(super) fn drop_repository(&self) -> Result<(), GitError> {
        for path in [self.repository(), self.unfinished()] {
            let dropped = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            match dropped {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(local(&path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_grown(&self) -> bool {
        let packs = self.repository().join("objects/pack");
        let Ok(entries) = fs::read_dir(packs) else {
            return false;
        };
        let sizes = entries
            .flatten()
            .filter_map(|entry| Some(entry.metadata().ok()?.len()));
        let (mut count, mut bytes) = (0, 0);
        for size in sizes {
            count += 1;
            bytes += size;
        }
        // A pack is two files.
        count > 2 * MAX_PACKS || bytes > MAX_KEPT
    }

    /// Writes the home that the libraries look into: their configuration, and the host keys to accept.
    fn prepare_home(&self, known_hosts: Option<&Path>) -> Result<(), GitError> {
        let home = self.folder.join("home");
        replace(&home.join(".gitconfig"), CONFIGURATION.as_bytes())?;
        let hosts = match known_hosts {
            Some(path) => read_bounded(path, MAX_KNOWN_HOSTS)?,
            None => Vec::new(),
        };
        let folder = home.join(".ssh");
        fs::create_dir_all(&folder).map_err(|error| local(&folder, &error))?;
        replace(&folder.join("known_hosts"), &hosts)
    }
}

/// A bare repository without the system's template, which holds hooks.
fn empty() -> RepositoryInitOptions {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    options
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| local(path, &error))
}

/// Reads a file of this machine up to a bound.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, GitError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| local(path, &error))?;
    match bytes.len() as u64 > limit {
        true => Err(local(path, &std::io::Error::other("it is too large"))),
        false => Ok(bytes),
    }
}

pub(super) fn local(path: &Path, error: &std::io::Error) -> GitError {
    GitError::Local {
        what: path.display().to_string(),
        why: error.to_string(),
    }
}

//! Files: bounded reads that never wait, and replacements that are never half done.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;
use thiserror::Error;

/// Why a file was not read or not replaced.
#[derive(Debug, Error)]
pub enum FileError {
    /// Nothing has this name.
    #[error("no such file")]
    Missing,
    /// A directory, pipe, device or socket.
    #[error("not a regular file")]
    NotRegular,
    /// A symbolic link where links are not followed.
    #[error("a symbolic link, which is not followed here")]
    Link,
    /// More bytes than may be read.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// Marked or mounted read-only, or not this user's to write.
    #[error("read-only")]
    ReadOnly,
    /// Somebody else wrote it since it was read.
    #[error("changed by somebody else meanwhile")]
    Changed,
    /// Not this user's to read, or in a directory that is not.
    #[error("permission denied")]
    Denied,
    /// Any other answer of the file system.
    #[error("the file system refused")]
    Io(#[source] io::Error),
}

/// Whether the last part of a path may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is followed; for names that a person typed.
    Follow,
    /// It is refused; for names that were found.
    Refuse,
}

/// Reads a regular file of at most `limit` bytes. Never waits on a pipe or a device, and counts what it
/// reads, so that a file which grows meanwhile is refused too.
///
/// # Errors
/// Missing, not regular, a link where none is followed, too large, or not readable.
pub fn read_regular(path: &Path, limit: u64, links: Links) -> Result<Vec<u8>, FileError> {
    let no_follow = match links {
        Links::Follow => 0,
        Links::Refuse => libc::O_NOFOLLOW,
    };
    // O_NONBLOCK: without it, opening a pipe waits for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | no_follow)
        .open(path)
        .map_err(open_error)?;
    if !file.metadata().map_err(FileError::Io)?.is_file() {
        return Err(FileError::NotRegular);
    }
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let read = u64::try_from(read.map_err(FileError::Io)?).unwrap_or(u64::MAX);
    if read > limit {
        return Err(FileError::TooLarge(limit));
    }
    Ok(bytes)
}

fn open_error(error: io::Error) -> FileError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => FileError::Missing,
        Some(libc::EACCES | libc::EPERM) => FileError::Denied,
        Some(libc::ELOOP) => FileError::Link,
        // A socket, or a device without a driver.
        Some(libc::ENXIO | libc::ENODEV) => FileError::NotRegular,
        Some(libc::EROFS) => FileError::ReadOnly,
        _ => FileError::Io(error),
    }
}

/// Replaces a file's content at once: whoever reads it sees all of the old or all of the new, also after
/// a crash. Mode and owner stay; a symbolic link stays, and what it points at is replaced.
///
/// # Errors
/// `Changed` when the file no longer holds `old`; `ReadOnly` when it may not be written; otherwise what
/// the file system says. Nothing is changed then.
pub fn replace(path: &Path, old: &[u8], new: &[u8]) -> Result<(), FileError> {
    let target = fs::canonicalize(path).map_err(open_error)?;
    let current = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(&target)
        .map_err(write_error)?;
    let facts = current.metadata().map_err(FileError::Io)?;
    if !facts.is_file() {
        return Err(FileError::NotRegular);
    }
    // The superuser can write anyway; a file that is marked read-only is meant to be.
    if facts.permissions().readonly() {
        return Err(FileError::ReadOnly);
    }
    let beside = Beside::create(&target)?;
    beside.fill(new, &facts)?;
    if read_regular(&target, facts.len(), Links::Follow)
        .ok()
        .as_deref()
        != Some(old)
    {
        return Err(FileError::Changed);
    }
    beside.rename(&target)
}

/// Makes a file that only its owner may read, whole or not at all; tells whether it did. One that is there
/// stays as it is.
///
/// # Errors
/// What the file system says; nothing is made then.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let beside = Beside::create(path)?;
    (&beside.file).write_all(bytes).map_err(FileError::Io)?;
    beside.file.sync_all().map_err(FileError::Io)?;
    // A link is made only where nothing has its name, which a rename does not care about.
    match fs::hard_link(&beside.path, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(write_error(error)),
    }
}

fn write_error(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FileError::ReadOnly,
        _ => open_error(error),
    }
}

/// A new file in the same directory, removed again unless it is renamed.
struct Beside {
    path: PathBuf,
    file: File,
    is_placed: bool,
}

impl Beside {
    fn create(target: &Path) -> Result<Self, FileError> {
        let name = target.file_name().ok_or(FileError::NotRegular)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        let number = OsRng
            .try_next_u64()
            .map_err(|error| FileError::Io(io::Error::other(error.to_string())))?;
        hidden.push(format!(".{number:016x}"));
        let path = target.with_file_name(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(write_error)?;
        Ok(Self {
            path,
            file,
            is_placed: false,
        })
    }

    fn fill(&self, bytes: &[u8], like: &fs::Metadata) -> Result<(), FileError> {
        let mine = self.file.metadata().map_err(FileError::Io)?;
        if (mine.uid(), mine.gid()) != (like.uid(), like.gid()) {
            fchown(&self.file, Some(like.uid()), Some(like.gid())).map_err(write_error)?;
        }
        let mode: Permissions = like.permissions();
        self.file.set_permissions(mode).map_err(FileError::Io)?;
        (&self.file).write_all(bytes).map_err(FileError::Io)?;
        self.file.sync_all().map_err(FileError::Io)
    }

    fn rename(mut self, target: &Path) -> Result<(), FileError> {
        fs::rename(&self.path, target).map_err(write_error)?;
        self.is_placed = true;
        let directory = target.parent().unwrap_or(Path::new("/"));
        let directory = File::open(directory).map_err(FileError::Io)?;
        directory.sync_all().map_err(FileError::Io)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_placed {
            // Nothing more can be done about a leftover that cannot be removed; it is hidden and never read.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_replaced_file_keeps_mode_and_link() {
        let scratch = tempfile::tempdir().unwrap();
        let (file, link) = (scratch.path().join("a.yaml"), scratch.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("a.yaml", &link).unwrap();
        replace(&link, b"old", b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_private_file_is_made_once() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("key");
        assert!(create_private(&file, b"first").unwrap());
        assert!(!create_private(&file, b"second").unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"first");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_changed_meanwhile_or_read_only_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a.yaml");
        fs::write(&file, "theirs").unwrap();
        let changed = replace(&file, b"old", b"new");
        assert!(matches!(changed, Err(FileError::Changed)));
        fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
        let refused = replace(&file, b"theirs", b"new");
        assert!(matches!(refused, Err(FileError::ReadOnly)));
        assert_eq!(fs::read(&file).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}

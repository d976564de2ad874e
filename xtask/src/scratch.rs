//! Scratch folders that do not stay behind.
//!
//! A folder goes when it is dropped. One whose process was killed outright is
//! recognised by its lock, which nobody holds any more, and goes the next time
//! any of these commands runs.

use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "platform-cluster-";
const LOCK: &str = "lock";

/// A folder without a lock may be about to get one for this long.
const YOUNG: Duration = Duration::from_secs(60);

/// A scratch folder; removed when dropped.
pub struct Scratch {
    folder: TempDir,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Scratch {
    /// Makes a new folder, and removes those that killed processes left.
    ///
    /// Others may pass through it but not list it: PostgreSQL runs as another user.
    ///
    /// # Errors
    ///
    /// Fails when the temporary folder of the system cannot be written.
    pub fn new() -> Result<Self> {
        remove_abandoned(&env::temp_dir());
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .context("make a scratch folder")?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))
            .context("set the mode of the scratch folder")?;
        let lock = File::create(folder.path().join(LOCK)).context("create a lock")?;
        lock.lock().context("lock the scratch folder")?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes and returns a folder inside, which only we may enter.
    ///
    /// # Errors
    ///
    /// Fails when it is there already or cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .with_context(|| format!("set the mode of {}", path.display()))?;
        Ok(path)
    }
}

fn remove_abandoned(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && is_abandoned(&entry.path()) {
            // Another user's folder cannot be removed, and need not be.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => folder
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| at.elapsed().ok())
            .is_some_and(|age| age > YOUNG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_in_use_is_not_abandoned() {
        let scratch = Scratch::new().unwrap();
        assert!(!is_abandoned(scratch.path()));
    }

    #[test]
    fn folder_whose_lock_nobody_holds_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("platform-cluster-gone");
        fs::create_dir(&folder).unwrap();
        File::create(folder.join(LOCK)).unwrap();
        remove_abandoned(temporary.path());
        assert!(!folder.exists());
    }

    #[test]
    fn folders_of_others_stay() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("something-else");
        fs::create_dir(&folder).unwrap();
        remove_abandoned(temporary.path());
        assert!(folder.exists());
    }

    #[test]
    fn scratch_goes_when_dropped() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}

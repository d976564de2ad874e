//! Where a declaration comes from: a file, a directory or a git commit, read whole, within bounds, and given a
//! revision.

mod applied;
mod identity;
mod signed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub use applied::last_applied;
pub use identity::identify;
pub use signed::{Distrust, Trust};

use crate::edge::files::{self, FileError, Links};
use crate::edge::git::{self, Bounds, GitError, GitSource};
use crate::model::revision::Commit;
use crate::model::{CommitId, Revision, address};
use crate::spec::SourceFile;

/// The most bytes all files of a source hold together.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The most files of a source.
pub const MAX_FILES: usize = 1_000;
/// The deepest directory below a source.
pub const MAX_DEPTH: usize = 8;
/// The most directory entries looked at, so that a source such as `/` ends soon.
const MAX_ENTRIES: usize = 20_000;
/// The name of the declaration.
const MAIN: &str = "platform.yaml";

/// Everything one source said at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which version this is.
    pub revision: Revision,
    /// The files; of a directory `platform.yaml` first, then by name. A name is for messages and is the
    /// path that opens the file from where the program was called.
    pub files: Vec<SourceFile>,
    /// The source as shown to people.
    pub origin: String,
}

/// Why a source could not be read. Nothing is concluded from it: least of all that nothing is declared.
#[derive(Debug, Error)]
pub enum SourceError {
    /// An address where a path is due.
    #[error("{0} is an address, and only a file or a directory can be written")]
    Address(String),
    /// Git gave no answer, or one that is refused.
    #[error("cannot read {name}")]
    Git {
        /// The address, masked.
        name: String,
        /// Why not.
        #[source]
        source: GitError,
    },
    /// Nothing is there.
    #[error("{0} does not exist")]
    Missing(String),
    /// A directory without its main file.
    #[error("{0} has no platform.yaml")]
    NoMain(String),
    /// A file with nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// More bytes than [`MAX_BYTES`].
    #[error("{0} goes over the 4 MiB that all files of a source may hold")]
    TooLarge(String),
    /// More files than [`MAX_FILES`].
    #[error("{0} holds more than {MAX_FILES} YAML files, or too many entries to look at")]
    TooMany(String),
    /// Directories deeper than [`MAX_DEPTH`].
    #[error("{0} is more than {MAX_DEPTH} directories deep")]
    TooDeep(String),
    /// A name that is not UTF-8.
    #[error("{0} holds a name that is not UTF-8")]
    Name(String),
    /// One file could not be read.
    #[error("cannot read {name}")]
    File {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// A commit is not to be trusted.
    #[error("{name} cannot be trusted")]
    Distrust {
        /// The source.
        name: String,
        /// Why not.
        #[source]
        source: Distrust,
    },
    /// A directory could not be listed.
    #[error("cannot list {name}")]
    List {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl SourceError {
    /// Tells whether the source gave no answer, rather than one that is refused.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Git { source, .. }
            | Self::Distrust {
                source: Distrust::Git(source),
                ..
            } => !source.is_input(),
            _ => false,
        }
    }

    /// Tells whether it stands at a commit that does not descend from the one applied last.
    #[must_use]
    pub fn is_rewound(&self) -> bool {
        let Self::Distrust { source, .. } = self else {
            return false;
        };
        matches!(source, Distrust::Rewound { .. })
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Address(_) => "check the repository out and name the path of the checkout",
            Self::Git { source, .. } => source.remedy(),
            Self::Missing(_) | Self::NoMain(_) => {
                "name a file, or a directory that holds platform.yaml, as SOURCE or in PLATFORM_SOURCE"
            }
            Self::Empty(_) => {
                "a declaration of nothing says `challenges: {}`; an empty file is refused"
            }
            Self::TooLarge(_) | Self::TooMany(_) | Self::TooDeep(_) => {
                "name the directory that holds only the declaration, not one above it"
            }
            Self::Distrust { source, .. } => source.remedy(),
            Self::Name(_) => "rename it",
            Self::File {
                source: FileError::Link,
                ..
            } => "put the file itself there; links in a source are not followed",
            Self::File { .. } | Self::List { .. } => "check what it is and who may read it",
        }
    }
}

/// Reads a source: a file, or a directory with `platform.yaml` and any `*.yaml` below it. Blocks on the
/// file system, never on a pipe. Hidden names are skipped; a link given as the source is followed, links
/// found below it are refused, because skipping one would look like a declaration that is gone.
///
/// # Errors
/// Any [`SourceError`]; a source is read whole or not at all.
pub fn read_source(source: &str) -> Result<Snapshot, SourceError> {
    if git::is_address(source) {
        return Err(SourceError::Address(address::masked(source)));
    }
    // `./platform.yaml` is shown as `platform.yaml`, and opens the same.
    let source = source
        .strip_prefix("./")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(source);
    let path = Path::new(source);
    let facts = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            SourceError::Missing(source.to_owned())
        }
        _ => SourceError::List {
            name: source.to_owned(),
            source: error,
        },
    })?;
    let found = if facts.is_dir() {
        list_mount(path)?
    } else {
        let name = path.file_name().map(|name| name.to_string_lossy());
        vec![Found {
            relative: name.unwrap_or_default().into_owned(),
            name: path.display().to_string(),
            path: path.to_owned(),
            links: Links::Follow,
        }]
    };
    read_all(found, source)
}

/// The bounds of a source, as git is told them.
#[must_use]
pub fn bounds() -> Bounds {
    Bounds {
        bytes: MAX_BYTES,
        files: MAX_FILES,
        depth: MAX_DEPTH,
        entries: MAX_ENTRIES,
    }
}

/// Where a declaration comes from.
pub enum Origin {
    /// A file or directory.
    Path(String),
    /// A git source.
    Git(GitOrigin),
}

/// A git source with what its commits have to prove.
pub struct GitOrigin {
    /// The repository.
    pub git: Arc<dyn GitSource>,
    /// Its address as shown.
    pub shown: String,
    /// Who has to have signed; nobody when absent.
    pub trust: Option<Trust>,
}

impl GitOrigin {
    /// Returns the commit that the source stands at: one small request.
    ///
    /// # Errors
    /// What git says.
    pub async fn find_tip(&self) -> Result<CommitId, SourceError> {
        self.git
            .tip()
            .await
            .map_err(|source| failed(&self.shown, source))
    }

    /// Reads a commit, once those since `last`, the one applied last, are checked; without one it alone is.
    ///
    /// # Errors
    /// As [`read_commit`]; also a commit that is not to be trusted.
    pub async fn read(
        &self,
        last: Option<&CommitId>,
        tip: &CommitId,
    ) -> Result<Snapshot, SourceError> {
        if let Some(trust) = &self.trust {
            let checked = signed::check(self.git.as_ref(), trust, (last, tip)).await;
            checked.map_err(|source| SourceError::Distrust {
                name: self.shown.clone(),
                source,
            })?;
        }
        read_commit(self.git.as_ref(), tip, &self.shown).await
    }
}

/// Reads one commit of a git source. `origin` is its address as shown. A file is named by its path in the
/// repository; the content digest is that of a directory with the same files.
///
/// # Errors
/// What git says; a commit is read whole or not at all.
async fn read_commit(
    git: &dyn GitSource,
    commit: &CommitId,
    origin: &str,
) -> Result<Snapshot, SourceError> {
    let snapshot = git
        .snapshot(commit)
        .await
        .map_err(|source| failed(origin, source))?;
    let (mut files, mut content) = (Vec::new(), Content::default());
    for file in snapshot.files {
        content.add(&file.relative, &file.bytes);
        files.push(SourceFile::new(file.name, file.bytes));
    }
    Ok(Snapshot {
        revision: content.revision(Some(snapshot.commit)),
        files,
        origin: origin.to_owned(),
    })
}

fn failed(origin: &str, source: GitError) -> SourceError {
    SourceError::Git {
        name: origin.to_owned(),
        source,
    }
}

/// The digest over names and bytes.
#[derive(Default)]
struct Content(Sha256);

impl Content {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            // The length first, so that no two lists of files have one digest.
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    fn revision(self, commit: Option<Commit>) -> Revision {
        Revision {
            digest: format!("sha256:{}", hex::encode(self.0.finalize())),
            commit,
        }
    }
}

struct Found {
    /// The name that enters the revision, the same wherever the source stands.
    relative: String,
    /// The name for messages.
    name: String,
    path: PathBuf,
    links: Links,
}

fn read_all(found: Vec<Found>, source: &str) -> Result<Snapshot, SourceError> {
    let (mut files, mut left, mut content) = (Vec::new(), MAX_BYTES, Content::default());
    for Found {
        relative,
        name,
        path,
        links,
    } in found
    {
        let bytes = match files::read_regular(&path, left, links) {
            Ok(bytes) if bytes.is_empty() => return Err(SourceError::Empty(name)),
            Ok(bytes) => bytes,
            Err(FileError::TooLarge(_)) => return Err(SourceError::TooLarge(name)),
            Err(FileError::Missing) => return Err(SourceError::Missing(name)),
            Err(source) => return Err(SourceError::File { name, source }),
        };
        left = left.saturating_sub(bytes.len() as u64);
        content.add(&relative, &bytes);
        files.push(SourceFile::new(name, bytes));
    }
    Ok(Snapshot {
        revision: content.revision(None),
        files,
        origin: source.to_owned(),
    })
}

/// Lists a directory, or what a mounted ConfigMap shows in it: there each file is a link by way of `..data`,
/// which is swapped as one. Read behind that link, all files are of one version.
fn list_mount(root: &Path) -> Result<Vec<Found>, SourceError> {
    let Some(behind) = behind_mount(root) else {
        return list_directory(root);
    };
    let mut found = list_directory(&behind)?;
    for file in &mut found {
        file.name = root.join(&file.relative).display().to_string();
    }
    Ok(found)
}

/// Returns where a mount keeps its files: a directory beside the link, with a name that begins as the link's.
fn behind_mount(root: &Path) -> Option<PathBuf> {
    let target = fs::read_link(root.join("..data")).ok()?;
    let is_beside = target.components().count() == 1;
    let name = target.to_str()?;
    (is_beside && name.len() > 2 && name.starts_with("..")).then(|| root.join(name))
}

fn list_directory(root: &Path) -> Result<Vec<Found>, SourceError> {
    let mut walk = Walk::default();
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        for below in walk.list(root, &directory)? {
            if depth >= MAX_DEPTH {
                return Err(SourceError::TooDeep(below.display().to_string()));
            }
            waiting.push((below, depth + 1));
        }
    }
    walk.found.sort_by(|a, b| {
        let rank = |found: &Found| (found.relative != MAIN, found.relative.clone());
        rank(a).cmp(&rank(b))
    });
    match walk.found.first() {
        Some(first) if first.relative == MAIN => Ok(walk.found),
        _ => Err(SourceError::NoMain(root.display().to_string())),
    }
}

#[derive(Default)]
struct Walk {
    found: Vec<Found>,
    entries: usize,
}

impl Walk {
    /// Keeps the YAML files of one directory and returns the directories in it.
    fn list(&mut self, root: &Path, directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
        let failed = |source| SourceError::List {
            name: directory.display().to_string(),
            source,
        };
        let mut below = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.count(root)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            let name = entry.file_name();
            let name = name.to_str();
            let is_yaml = path.extension().is_some_and(|end| end == "yaml");
            if name.is_some_and(|name| name.starts_with('.')) {
                continue;
            }
            if kind.is_symlink() && (is_yaml || path.is_dir()) {
                return Err(SourceError::File {
                    name: path.display().to_string(),
                    source: FileError::Link,
                });
            }
            if kind.is_dir() {
                below.push(path);
            } else if is_yaml {
                self.keep(root, path)?;
            }
        }
        Ok(below)
    }

    fn count(&mut self, root: &Path) -> Result<(), SourceError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES || self.found.len() > MAX_FILES {
            return Err(SourceError::TooMany(root.display().to_string()));
        }
        Ok(())
    }

    fn keep(&mut self, root: &Path, path: PathBuf) -> Result<(), SourceError> {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_str();
        let Some(relative) = relative.map(str::to_owned) else {
            return Err(SourceError::Name(root.display().to_string()));
        };
        self.found.push(Found {
            relative,
            name: path.display().to_string(),
            path,
            links: Links::Refuse,
        });
        if self.found.len() > MAX_FILES {
            return Err(SourceError::TooMany(root.display().to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch(files: &[(&str, &str)]) -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        scratch
    }

    fn read(scratch: &tempfile::TempDir) -> Result<Snapshot, SourceError> {
        read_source(scratch.path().to_str().unwrap())
    }

    #[test]
    fn a_directory_gives_its_main_file_first_and_the_rest_by_name() {
        let scratch = scratch(&[
            ("b/two.yaml", "b"),
            ("a.yaml", "a"),
            ("platform.yaml", "p"),
            ("notes.md", "-"),
            (".hidden.yaml", "-"),
            (".git/x.yaml", "-"),
        ]);
        let snapshot = read(&scratch).unwrap();
        let names = snapshot.files.iter().map(|file| {
            let relative = Path::new(&file.name).strip_prefix(scratch.path());
            relative.unwrap().to_str().unwrap().to_owned()
        });
        let names: Vec<_> = names.collect();
        assert_eq!(names, ["platform.yaml", "a.yaml", "b/two.yaml"]);
    }

    #[test]
    fn the_revision_depends_on_names_and_bytes_and_nothing_else() {
        let one = scratch(&[("platform.yaml", "p"), ("ab.yaml", "c")]);
        let same = scratch(&[("platform.yaml", "p"), ("ab.yaml", "c")]);
        let other_name = scratch(&[("platform.yaml", "p"), ("a.yaml", "c")]);
        let other_text = scratch(&[("platform.yaml", "p"), ("ab.yaml", "d")]);
        let revision = |scratch| read(scratch).unwrap().revision;
        assert_eq!(revision(&one), revision(&same));
        assert_ne!(revision(&one), revision(&other_name));
        assert_ne!(revision(&one), revision(&other_text));
        let file = one.path().join("platform.yaml");
        let alone = scratch(&[("platform.yaml", "p")]);
        let file = read_source(file.to_str().unwrap()).unwrap();
        assert_eq!(file.revision, revision(&alone));
    }

    #[test]
    fn what_is_no_declaration_is_refused() {
        let refused = |files: &[(&str, &str)]| read(&scratch(files)).unwrap_err();
        assert!(matches!(refused(&[]), SourceError::NoMain(_)));
        assert!(matches!(
            refused(&[("a.yaml", "x")]),
            SourceError::NoMain(_)
        ));
        assert!(matches!(
            refused(&[("platform.yaml", "")]),
            SourceError::Empty(_)
        ));
        let deep = "d/".repeat(MAX_DEPTH + 1) + "x.yaml";
        assert!(matches!(
            refused(&[("platform.yaml", "p"), (&deep, "x")]),
            SourceError::TooDeep(_)
        ));
        let half = "#".repeat(2 * 1024 * 1024 + 1);
        assert!(matches!(
            refused(&[("platform.yaml", &half), ("a.yaml", &half)]),
            SourceError::TooLarge(_)
        ));
        assert!(matches!(
            read_source("/nowhere/at/all").unwrap_err(),
            SourceError::Missing(_)
        ));
    }

    #[test]
    fn too_many_files_are_refused() {
        let scratch = scratch(&[("platform.yaml", "p")]);
        for number in 0..MAX_FILES {
            fs::write(scratch.path().join(format!("{number}.yaml")), "x").unwrap();
        }
        assert!(matches!(read(&scratch), Err(SourceError::TooMany(_))));
    }

    #[test]
    fn a_link_below_a_source_is_refused_and_the_source_itself_may_be_one() {
        let scratch = scratch(&[("real/platform.yaml", "p")]);
        symlink("real", scratch.path().join("link")).unwrap();
        let link = scratch.path().join("link");
        assert!(read_source(link.to_str().unwrap()).is_ok());
        fs::write(scratch.path().join("platform.yaml"), "p").unwrap();
        let refused = read(&scratch).unwrap_err();
        assert!(matches!(
            refused,
            SourceError::File {
                source: FileError::Link,
                ..
            }
        ));
    }

    #[test]
    fn a_mounted_config_map_is_read_behind_its_link() {
        let scratch = scratch(&[("..2026_1/platform.yaml", "p"), ("..2026_1/a.yaml", "a")]);
        let at = |name: &str| scratch.path().join(name);
        symlink("..2026_1", at("..data")).unwrap();
        for name in ["platform.yaml", "a.yaml"] {
            symlink(format!("..data/{name}"), at(name)).unwrap();
        }
        let snapshot = read(&scratch).unwrap();
        let names: Vec<&String> = snapshot.files.iter().map(|file| &file.name).collect();
        let shown = |name: &str| at(name).display().to_string();
        assert_eq!(names, [&shown("platform.yaml"), &shown("a.yaml")]);
        fs::remove_file(at("..data")).unwrap();
        symlink("/etc", at("..data")).unwrap();
        assert!(matches!(read(&scratch), Err(SourceError::File { .. })));
    }

    #[test]
    fn devices_and_directories_named_like_files_do_not_block() {
        let device = read_source("/dev/zero").unwrap_err();
        assert!(matches!(
            device,
            SourceError::File {
                source: FileError::NotRegular,
                ..
            }
        ));
        let scratch = scratch(&[("platform.yaml", "p")]);
        let pipe = scratch.path().join("pipe.yaml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let refused = read(&scratch).unwrap_err();
        assert!(matches!(
            refused,
            SourceError::File {
                source: FileError::NotRegular,
                ..
            }
        ));
    }

    #[test]
    fn an_address_is_refused_without_its_password() {
        for address in [
            "https://u:canary@host/repo",
            "git@host:repo",
            "file:///tmp/x",
        ] {
            let refused = read_source(address).unwrap_err();
            assert!(matches!(refused, SourceError::Address(_)));
            assert!(!refused.to_string().contains("canary"));
        }
    }
}

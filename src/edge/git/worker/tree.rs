//! The files of a commit, read from its objects: the rules of a directory source, and those that a checkout
//! would have enforced. Every size is known from an object's header before the object is read.

use std::collections::BTreeSet;

use git2::{ObjectType, Odb, Oid, Repository};

use super::{GitError, damaged, printable};
use crate::edge::git::{Bounds, GitFile};

/// The name of the declaration.
const MAIN: &str = "platform.yaml";
/// The largest tree object: some 40 000 names.
const MAX_TREE: usize = 2 * 1024 * 1024;
/// The longest target of a link that is looked at.
const MAX_TARGET: usize = 4096;

/// What an entry of a tree is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
    Submodule,
}

struct Entry {
    name: String,
    id: Oid,
    kind: Kind,
}

struct Reader<'a> {
    repository: &'a Repository,
    objects: Odb<'a>,
    root: Oid,
    bounds: &'a Bounds,
    entries: usize,
}

/// Reads what stands at a path of a tree: a file, or a directory with `platform.yaml` and any `*.yaml` below.
pub(super) fn read(
    repository: &Repository,
    root: Oid,
    path: &str,
    bounds: &Bounds,
) -> Result<Vec<GitFile>, GitError> {
    let objects = repository.odb().map_err(|error| damaged(&error))?;
    let mut reader = Reader {
        repository,
        objects,
        root,
        bounds,
        entries: 0,
    };
    let (kind, id) = reader.descend(path)?;
    let found = match kind {
        Kind::Directory => reader.list(path, id)?,
        Kind::File => {
            let name = path.rsplit('/').next().unwrap_or(path);
            vec![(name.to_owned(), id)]
        }
        Kind::Link => {
            return Err(GitError::Link {
                path: path.to_owned(),
            });
        }
        Kind::Submodule => {
            return Err(GitError::Submodule {
                path: path.to_owned(),
            });
        }
    };
    let mut left = bounds.bytes;
    let is_file = kind == Kind::File;
    let file = |(relative, id): (String, Oid)| {
        let name = if is_file {
            path.to_owned()
        } else {
            join(path, &relative)
        };
        let bytes = reader.blob(&name, id, left)?;
        left = left.saturating_sub(bytes.len() as u64);
        Ok(GitFile {
            name,
            relative,
            bytes,
        })
    };
    found.into_iter().map(file).collect()
}

impl<'a> Reader<'a> {
    /// Follows a path from the root, never through a link.
    fn descend(&self, path: &str) -> Result<(Kind, Oid), GitError> {
        let mut at = (Kind::Directory, self.root);
        let mut passed = String::new();
        for step in path.split('/').filter(|step| !step.is_empty()) {
            match at.0 {
                Kind::Directory => {}
                Kind::File => return Err(no_path(path)),
                Kind::Link => return Err(GitError::Link { path: passed }),
                Kind::Submodule => return Err(GitError::Submodule { path: passed }),
            }
            passed = join(&passed, step);
            let tree = self.tree(at.1)?;
            let mut named = tree
                .iter()
                .filter(|entry| entry.name_bytes() == step.as_bytes());
            let entry = named.next().ok_or_else(|| no_path(path))?;
            if named.next().is_some() {
                return Err(twice(&passed));
            }
            at = (kind_of(&entry, &passed)?, entry.id());
        }
        Ok(at)
    }

    /// Returns the YAML files below a directory, `platform.yaml` first.
    fn list(&mut self, path: &str, id: Oid) -> Result<Vec<(String, Oid)>, GitError> {
        let (mut found, mut waiting) = (Vec::new(), vec![(String::new(), id, 0)]);
        while let Some((directory, id, depth)) = waiting.pop() {
            for entry in self.entries(&join(path, &directory), id)? {
                if entry.name.starts_with('.') {
                    continue;
                }
                let relative = join(&directory, &entry.name);
                match self.sort(path, &relative, &entry)? {
                    Some(Kind::Directory) if depth >= self.bounds.depth => {
                        return Err(bound(
                            &join(path, &relative),
                            format!("{} directories deep", self.bounds.depth),
                        ));
                    }
                    Some(Kind::Directory) => waiting.push((relative, entry.id, depth + 1)),
                    Some(_) => found.push((relative, entry.id)),
                    None => {}
                }
                if found.len() > self.bounds.files {
                    return Err(bound(
                        shown(path),
                        format!("{} YAML files", self.bounds.files),
                    ));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| (a != MAIN, a).cmp(&(b != MAIN, b)));
        match found.first() {
            Some((first, _)) if first == MAIN => Ok(found),
            _ => Err(no_path(&join(path, MAIN))),
        }
    }

    /// Tells what an entry is to a declaration: a directory to look into, a file of it, or nothing. What
    /// could hide a part of it is refused.
    fn sort(&self, path: &str, relative: &str, entry: &Entry) -> Result<Option<Kind>, GitError> {
        let is_yaml = entry.name.ends_with(".yaml");
        match entry.kind {
            Kind::Directory => Ok(Some(Kind::Directory)),
            Kind::File => Ok(is_yaml.then_some(Kind::File)),
            Kind::Submodule => Err(GitError::Submodule {
                path: join(path, relative),
            }),
            Kind::Link if !is_yaml && self.leads_to_file(&join(path, relative), entry.id)? => {
                Ok(None)
            }
            Kind::Link => Err(GitError::Link {
                path: join(path, relative),
            }),
        }
    }

    /// Tells whether a link leads to a file of the same commit, so that no directory of YAML hides behind it.
    fn leads_to_file(&self, path: &str, id: Oid) -> Result<bool, GitError> {
        let (size, kind) = self
            .objects
            .read_header(id)
            .map_err(|error| damaged(&error))?;
        if kind != ObjectType::Blob || size > MAX_TARGET {
            return Ok(false);
        }
        let target = self.objects.read(id).map_err(|error| damaged(&error))?;
        let Ok(target) = std::str::from_utf8(target.data()) else {
            return Ok(false);
        };
        let mut steps: Vec<&str> = path.split('/').collect();
        steps.pop();
        for step in target.split('/') {
            match step {
                "" | "." if !target.starts_with('/') => {}
                ".." if !steps.is_empty() => drop(steps.pop()),
                "" | ".." => return Ok(false),
                name => steps.push(name),
            }
        }
        Ok(matches!(
            self.descend(&steps.join("/")),
            Ok((Kind::File, _))
        ))
    }

    /// Returns the entries of a tree, each with a name that a person can read and a checkout could hold.
    fn entries(&mut self, directory: &str, id: Oid) -> Result<Vec<Entry>, GitError> {
        let tree = self.tree(id)?;
        let (mut names, mut entries) = (BTreeSet::new(), Vec::new());
        for entry in tree.iter() {
            self.entries += 1;
            if self.entries > self.bounds.entries {
                return Err(bound(
                    shown(directory),
                    format!("{} entries", self.bounds.entries),
                ));
            }
            let name = check_name(directory, entry.name_bytes())?;
            if !names.insert(name.clone()) {
                return Err(twice(&join(directory, &name)));
            }
            let kind = kind_of(&entry, &join(directory, &name))?;
            entries.push(Entry {
                name,
                id: entry.id(),
                kind,
            });
        }
        Ok(entries)
    }

    fn tree(&self, id: Oid) -> Result<git2::Tree<'a>, GitError> {
        let (size, kind) = self
            .objects
            .read_header(id)
            .map_err(|error| damaged(&error))?;
        if kind != ObjectType::Tree {
            return Err(wrong(id));
        }
        if size > MAX_TREE {
            return Err(bound("a directory", "2 MiB for a list of names".to_owned()));
        }
        self.repository
            .find_tree(id)
            .map_err(|error| damaged(&error))
    }

    fn blob(&self, name: &str, id: Oid, left: u64) -> Result<Vec<u8>, GitError> {
        let (size, kind) = self
            .objects
            .read_header(id)
            .map_err(|error| damaged(&error))?;
        if kind != ObjectType::Blob {
            return Err(wrong(id));
        }
        if size == 0 {
            return Err(GitError::Empty {
                path: name.to_owned(),
            });
        }
        if size as u64 > left {
            let megabytes = self.bounds.bytes / (1024 * 1024);
            return Err(bound(
                name,
                format!("{megabytes} MiB for all files of a source"),
            ));
        }
        let object = self.objects.read(id).map_err(|error| damaged(&error))?;
        Ok(object.data().to_vec())
    }
}

fn kind_of(entry: &git2::TreeEntry<'_>, path: &str) -> Result<Kind, GitError> {
    match entry.filemode_raw() {
        0o040_000 => Ok(Kind::Directory),
        0o100_644 | 0o100_664 | 0o100_755 => Ok(Kind::File),
        0o120_000 => Ok(Kind::Link),
        0o160_000 => Ok(Kind::Submodule),
        mode => Err(GitError::Damaged {
            why: format!("{path} has the mode {mode:o}"),
        }),
    }
}

fn check_name(directory: &str, name: &[u8]) -> Result<String, GitError> {
    let refused = || GitError::Name {
        directory: shown(directory).to_owned(),
        name: name.escape_ascii().to_string().chars().take(100).collect(),
    };
    let text = std::str::from_utf8(name).map_err(|_| refused())?;
    let is_special = matches!(text, "" | "." | "..") || text.eq_ignore_ascii_case(".git");
    let is_deceptive = text.contains(['/', '\\']) || printable(text, 255) != text;
    match is_special || is_deceptive {
        true => Err(refused()),
        false => Ok(text.to_owned()),
    }
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}/{name}"),
    }
}

fn shown(directory: &str) -> &str {
    if directory.is_empty() {
        "the repository"
    } else {
        directory
    }
}

fn no_path(path: &str) -> GitError {
    GitError::NoPath {
        path: path.to_owned(),
    }
}

fn bound(path: &str, bound: String) -> GitError {
    GitError::Bound {
        path: path.to_owned(),
        bound,
    }
}

fn twice(path: &str) -> GitError {
    GitError::Damaged {
        why: format!("{path} stands twice in its directory"),
    }
}

fn wrong(id: Oid) -> GitError {
    GitError::Damaged {
        why: format!("object {id} is not of the kind that its directory says"),
    }
}

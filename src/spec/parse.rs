//! Bytes to [`Written`], with a place for every value.
//!
//! Each file is read once, piece by piece ([`super::yaml`]) into a tree that is bounded in depth and weight
//! ([`tree`]). The trees of several files are joined at their
//! top-level keys. The joined tree is compared with the shape that the JSON Schema describes
//! ([`shape`]); everything that does not fit is noted at once, and what fits becomes the written types.
//!
//! There is one parse and one tree, so no two readers of the same bytes can disagree about what a file
//! says or where it says it. Edits in place read the same pieces.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::path::{Path, shown};
use super::problem::{Place, Problem, Problems, Severity};
use super::types::File;
/// The most bytes of all files together.
pub use super::yaml::MAX_BYTES;
use shape::Misfit;
pub(super) use shape::nearest;
use tree::{At, Entry, Fault, Kind, Node};

pub(super) mod shape;
#[cfg(test)]
mod tests;
mod text;
pub(super) mod tree;

/// The most files of one declaration.
pub const MAX_FILES: usize = 1000;
/// How many problems are kept before they are only counted.
pub(super) const KEPT: usize = 2000;

/// One file of a declaration.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name as messages show it, such as `platform.yaml` or `challenges/prism.yaml`.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// Names some content.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// A declaration as written. It may still be wrong in every way that [`super::check`] knows; what had
/// the wrong shape is left out of `file` and noted for `check`, which reports it with the rest.
#[derive(Clone, Debug)]
pub struct Written {
    /// The content.
    pub file: File,
    pub(super) noted: Vec<Problem>,
    pub(super) dropped: usize,
    names: Arc<[Arc<str>]>,
    root: Node,
}

impl Written {
    /// Wraps content that came from elsewhere than files, such as a registry document. Its problems have
    /// the source's name for a place.
    #[must_use]
    pub fn from_file(file: File, source: &str) -> Self {
        Self {
            file,
            noted: Vec::new(),
            dropped: 0,
            names: Arc::new([source.into()]),
            root: Node {
                at: At::start(0),
                kind: Kind::Map(Vec::new()),
            },
        }
    }

    /// Returns the place of what a path leads to, or of the nearest thing above it.
    #[must_use]
    pub fn place(&self, path: &Path<'_>) -> Place {
        place_of(self.root.find(&path.steps()).0, &self.names)
    }

    /// Tells whether anything stands at a path, well-formed or not.
    pub(super) fn holds(&self, path: &Path<'_>) -> bool {
        self.root.find(&path.steps()).1
    }

    /// Returns the keys below a top-level key, well-formed or not.
    pub(super) fn keys<'w>(&'w self, top: &str) -> impl Iterator<Item = &'w str> {
        let entries = match self.root.get(top).map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// Returns the place and path of every text that has a property, at most [`KEPT`] of them.
    pub(super) fn leaves(&self, has: fn(&str) -> bool) -> Vec<(Place, String)> {
        let mut found = Vec::new();
        self.root.visit(&Path::ROOT, &mut |text, at, path| {
            if found.len() < KEPT && has(text) {
                found.push((place_of(at, &self.names), path.to_string()));
            }
        });
        found
    }
}

/// Reads the files of a declaration and joins them. Unknown fields and wrong types do not stop it: they
/// are noted in the result, which only [`super::check`] turns into something usable.
///
/// # Errors
/// A file is no YAML or not whole, the same key stands in two files, the files are too large, or there
/// is nothing in them.
pub fn parse(files: &[SourceFile]) -> Result<Written, Problems> {
    let names: Arc<[Arc<str>]> = match files {
        [] => Arc::new(["platform.yaml".into()]),
        _ => files.iter().map(|f| f.name.as_str().into()).collect(),
    };
    let refuse = |faults: Vec<Fault>| {
        let found = faults.into_iter().map(|f| problem_of(f, &names)).collect();
        Problems::new(found, 0)
    };
    check_sizes(files).map_err(|fault| refuse(vec![fault]))?;
    let mut trees = Vec::new();
    let mut faults = Vec::new();
    for (index, file) in (0u16..).zip(files) {
        let text = text::check_text(&file.bytes, index).map_err(|fault| vec![fault]);
        match text.and_then(|text| tree::read(text, index)) {
            Ok(tree) => trees.push(tree),
            Err(more) if faults.len() < KEPT => faults.extend(more),
            Err(_) => {}
        }
    }
    if !faults.is_empty() {
        return Err(refuse(faults));
    }
    let root = join(trees, &names).map_err(refuse)?;
    Ok(fit(root, names))
}

fn check_sizes(files: &[SourceFile]) -> Result<(), Fault> {
    if files.is_empty() {
        return Err(Fault::new(
            At::start(0),
            "there is no file to read: a missing file never means \"delete everything\"",
            "to declare no challenges write `challenges: {}`",
        ));
    }
    if files.len() > MAX_FILES {
        let message = format!("there are more than {MAX_FILES} files");
        return Err(Fault::new(At::start(0), message, "join some of them"));
    }
    let mut total = 0usize;
    for (index, file) in (0u16..).zip(files) {
        total = total.saturating_add(file.bytes.len());
        if total > MAX_BYTES {
            return Err(Fault::new(
                At::start(index),
                "the declaration is larger than 4 MiB",
                "split what is declared over several platforms",
            ));
        }
    }
    Ok(())
}

/// Joins files at their top-level keys: mappings are joined, anything declared twice is refused.
fn join(trees: Vec<Node>, names: &[Arc<str>]) -> Result<Node, Vec<Fault>> {
    let mut joined = Joined::default();
    let root = trees.first().map_or(At::start(0), |tree| tree.at);
    for tree in trees {
        if let Kind::Map(entries) = tree.kind {
            for entry in entries {
                joined.take(entry, names);
            }
        }
    }
    if joined.faults.is_empty() {
        let kind = Kind::Map(joined.entries);
        Ok(Node { at: root, kind })
    } else {
        Err(joined.faults)
    }
}

#[derive(Default)]
struct Joined {
    entries: Vec<Entry>,
    /// Position in `entries` by key.
    tops: HashMap<String, usize>,
    /// Where each key below a top-level key stands; filled when a second file has that key.
    below: HashMap<String, HashMap<String, At>>,
    faults: Vec<Fault>,
}

impl Joined {
    fn take(&mut self, entry: Entry, names: &[Arc<str>]) {
        let Some(position) = self.tops.get(&entry.key) else {
            self.tops.insert(entry.key.clone(), self.entries.len());
            self.entries.push(entry);
            return;
        };
        let Some(first) = self.entries.get_mut(*position) else {
            return;
        };
        let (Kind::Map(all), Kind::Map(more)) = (&mut first.value.kind, entry.value.kind) else {
            self.faults
                .push(declared_twice(&entry.key, entry.at, first.at, names));
            return;
        };
        let known = || all.iter().map(|e| (e.key.clone(), e.at)).collect();
        let seen: &mut HashMap<String, At> = self.below.entry(entry.key).or_insert_with(known);
        for one in more {
            match seen.insert(one.key.clone(), one.at) {
                None => all.push(one),
                Some(first) if self.faults.len() < KEPT => {
                    self.faults
                        .push(declared_twice(&one.key, one.at, first, names));
                }
                Some(_) => {}
            }
        }
    }
}

fn declared_twice(key: &str, at: At, first: At, names: &[Arc<str>]) -> Fault {
    let message = format!("the key `{}` is declared twice", shown(key));
    let remedy = format!("it also stands at {}: keep one", place_of(first, names));
    Fault::new(at, message, remedy)
}

fn fit(root: Node, names: Arc<[Arc<str>]>) -> Written {
    let fitted = shape::fit(&root);
    let misfits = fitted.misfits.into_iter();
    let mut noted: Vec<Problem> = misfits.map(|m| misfit_of(m, &names)).collect();
    let file = File::deserialize(fitted.value).unwrap_or_else(|_| {
        // The shape comes from the same types, so this is not reached; if it ever is, refusing is right.
        noted.push(Problem {
            place: place_of(root.at, &names),
            path: String::new(),
            severity: Severity::Error,
            message: "the declaration has a form that this program cannot hold".to_owned(),
            remedy: "this is a bug: report it with the file".to_owned(),
        });
        File::default()
    });
    Written {
        file,
        noted,
        dropped: fitted.dropped,
        names,
        root,
    }
}

fn place_of(at: At, names: &[Arc<str>]) -> Place {
    Place {
        file: names
            .get(usize::from(at.file))
            .cloned()
            .unwrap_or_else(|| "".into()),
        line: at.line,
        column: at.column,
    }
}

fn misfit_of(misfit: Misfit, names: &[Arc<str>]) -> Problem {
    Problem {
        place: place_of(misfit.at, names),
        path: misfit.path,
        severity: Severity::Error,
        message: misfit.message,
        remedy: misfit.remedy,
    }
}

fn problem_of(fault: Fault, names: &[Arc<str>]) -> Problem {
    Problem {
        place: place_of(fault.at, names),
        path: String::new(),
        severity: Severity::Error,
        message: fault.message,
        remedy: fault.remedy,
    }
}

//! The commits between two others, as objects. Parents are read from the objects themselves: neither grafts
//! nor replaced objects nor the edge of a shallow repository can hide one.

use std::collections::BTreeSet;

use git2::{ObjectType, Odb, Oid, Repository};

use super::{GitError, MAX_COMMIT, damaged};
use crate::edge::git::History;
use crate::model::CommitId;
use crate::model::revision::RawCommit;

/// The most commits that are handed out.
const MAX_COMMITS: usize = 1_000;
/// The most bytes of these commits.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most commits that are passed on the way.
const MAX_WALKED: usize = 200_000;

/// Returns every commit that `new` has and `old` has not, `new` itself first and always, and whether `old`
/// is among the ancestors of `new`. Without that, or without an `old`, it is `new` alone.
pub(super) fn between(
    repository: &Repository,
    old: Option<Oid>,
    new: Oid,
) -> Result<History, GitError> {
    let objects = repository.odb().map_err(|error| damaged(&error))?;
    let alone = |contains_old| {
        Ok(History {
            commits: vec![named(new, read(&objects, new)?)?],
            contains_old,
        })
    };
    let Some(old) = old else {
        return alone(true);
    };
    if old == new {
        return alone(true);
    }
    if !objects.exists(old) {
        return alone(false);
    }
    let known = ancestors(&objects, old)?;
    let (mut seen, mut waiting) = (BTreeSet::from([new]), vec![new]);
    let (mut commits, mut bytes, mut contains_old) = (Vec::new(), 0, false);
    while let Some(id) = waiting.pop() {
        let commit = read(&objects, id)?;
        for parent in parents(&commit) {
            contains_old |= parent == old;
            if !known.contains(&parent) && seen.insert(parent) {
                waiting.push(parent);
            }
        }
        bytes += commit.len();
        commits.push(named(id, commit)?);
        if commits.len() > MAX_COMMITS || bytes > MAX_BYTES {
            return Err(GitError::ManyCommits {
                commits: MAX_COMMITS,
                megabytes: MAX_BYTES / (1024 * 1024),
            });
        }
    }
    match contains_old {
        true => Ok(History {
            commits,
            contains_old,
        }),
        false => alone(false),
    }
}

/// Returns a commit and everything below it.
fn ancestors(objects: &Odb<'_>, from: Oid) -> Result<BTreeSet<Oid>, GitError> {
    let (mut seen, mut waiting) = (BTreeSet::from([from]), vec![from]);
    while let Some(id) = waiting.pop() {
        for parent in parents(&read(objects, id)?) {
            if seen.insert(parent) {
                waiting.push(parent);
            }
        }
        if seen.len() > MAX_WALKED {
            return Err(GitError::LongHistory {
                commits: MAX_WALKED,
            });
        }
    }
    Ok(seen)
}

fn read(objects: &Odb<'_>, id: Oid) -> Result<Vec<u8>, GitError> {
    let (size, kind) = objects.read_header(id).map_err(|error| damaged(&error))?;
    if kind != ObjectType::Commit || size > MAX_COMMIT {
        return Err(GitError::Damaged {
            why: format!("{id} is no commit, or one of more than 1 MiB"),
        });
    }
    let object = objects.read(id).map_err(|error| damaged(&error))?;
    Ok(object.data().to_vec())
}

/// Returns the parents that a commit object names in its head.
fn parents(commit: &[u8]) -> Vec<Oid> {
    let lines = commit.split(|byte| *byte == b'\n');
    let head = lines.take_while(|line| !line.is_empty());
    let named = head.filter_map(|line| std::str::from_utf8(line.strip_prefix(b"parent ")?).ok());
    named.filter_map(|id| Oid::from_str(id).ok()).collect()
}

fn named(id: Oid, bytes: Vec<u8>) -> Result<RawCommit, GitError> {
    let id = CommitId::parse(&id.to_string()).ok_or(GitError::NoCommits)?;
    Ok(RawCommit { id, bytes })
}

#[cfg(test)]
mod tests {
    use git2::Signature;

    use super::*;

    #[test]
    fn more_commits_than_are_checked_at_once_are_taken_in_parts() {
        let scratch = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(scratch.path()).unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let ada = Signature::now("ada", "ada@example.org").unwrap();
        let mut ids: Vec<Oid> = Vec::new();
        for _ in 0..MAX_COMMITS + 2 {
            let parents: Vec<_> = ids
                .last()
                .map(|id| repository.find_commit(*id).unwrap())
                .into_iter()
                .collect();
            let parents: Vec<_> = parents.iter().collect();
            ids.push(
                repository
                    .commit(None, &ada, &ada, "one", &tree, &parents)
                    .unwrap(),
            );
        }
        let (old, between_them, new) = (ids[0], ids[1], ids[MAX_COMMITS + 1]);
        let refused = between(&repository, Some(old), new).err();
        let many = GitError::ManyCommits {
            commits: MAX_COMMITS,
            megabytes: 4,
        };
        assert!(many.remedy().contains("#COMMIT"));
        assert_eq!(refused, Some(many));
        let taken = between(&repository, Some(between_them), new).unwrap();
        assert_eq!(taken.commits.len(), MAX_COMMITS);
    }
}

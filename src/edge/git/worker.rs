//! The worker's side: one question, answered with `git2` inside limits that the kernel keeps.
//!
//! Whatever a server or a pack does happens here: memory, disk and computing are bounded for the whole
//! process before the first byte arrives, and the parent ends it when time is over.

mod history;
mod limits;
mod store;
mod transport;
mod tree;

use git2::{Oid, Repository};

use self::store::Store;
use self::transport::Transport;
use super::address::{GitAddress, Reference};
use super::wire::{Answer, Ask, Question, Told};
use super::{Bounds, GitError, GitSnapshot};
use crate::model::CommitId;
use crate::model::revision::Commit;

/// The largest commit that is looked at; git's own are a few hundred bytes.
const MAX_COMMIT: usize = 1024 * 1024;
/// The longest subject that is kept, in characters.
const MAX_SUBJECT: usize = 100;

/// Answers one question. The process is of no other use afterwards: its limits cannot be taken back.
///
/// # Errors
/// No question, or limits that the system does not grant.
pub fn answer(question: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let question: Question = serde_json::from_slice(question)?;
    limits::set(question.seconds)?;
    let answer: Answer = answer_question(&question);
    Ok(serde_json::to_vec(&answer)?)
}

fn answer_question(question: &Question) -> Answer {
    let address = GitAddress::parse(&question.address)?;
    let store = Store::lock(&question.folder, question.known_hosts.as_deref())?;
    let transport = Transport::new(&address, question)?;
    let was_there = store.is_there();
    match ask(question, &address, &transport, &store) {
        // What is kept may be at fault: fetched anew, it is not.
        Err(GitError::Damaged { .. } | GitError::NoCommit { .. }) if was_there => {
            store.drop_repository()?;
            ask(question, &address, &transport, &store)
        }
        answer => answer,
    }
}

fn ask(question: &Question, address: &GitAddress, transport: &Transport, store: &Store) -> Answer {
    let mut repository = store.open()?;
    if question.wants_history && repository.is_shallow() {
        drop(repository);
        store.drop_repository()?;
        repository = store.open()?;
    }
    let told = told(question, address, transport, &repository);
    // The mark of an unfinished question stays behind only when the process is ended.
    store.finish()?;
    told
}

fn told(
    question: &Question,
    address: &GitAddress,
    transport: &Transport,
    repository: &Repository,
) -> Answer {
    match &question.ask {
        Ask::Tip => transport.tip(repository).map(Told::Tip),
        Ask::Snapshot { commit, bounds } => {
            let id = have(repository, address, transport, commit)?;
            snapshot(repository, &address.path, id, bounds).map(Told::Snapshot)
        }
        Ask::Between { old, new } => {
            let new = have(repository, address, transport, new)?;
            let old = old.as_ref().map(parse).transpose()?;
            history::between(repository, old, new).map(Told::Between)
        }
    }
}

/// Makes sure that a commit is there.
fn have(
    repository: &Repository,
    address: &GitAddress,
    transport: &Transport,
    commit: &CommitId,
) -> Result<Oid, GitError> {
    let id = parse(commit)?;
    if !holds(repository, id)? {
        let is_pinned = matches!(address.reference, Reference::Commit(_));
        transport.fetch(repository, id, is_pinned)?;
    }
    match holds(repository, id)? {
        true => Ok(id),
        false => Err(GitError::NoCommit {
            commit: commit.to_string(),
        }),
    }
}

fn parse(commit: &CommitId) -> Result<Oid, GitError> {
    Oid::from_str(commit.as_str()).map_err(|error| damaged(&error))
}

fn snapshot(
    repository: &Repository,
    path: &str,
    id: Oid,
    bounds: &Bounds,
) -> Result<GitSnapshot, GitError> {
    let found = repository
        .find_commit(id)
        .map_err(|error| damaged(&error))?;
    let subject = found.summary_bytes().unwrap_or_default();
    let files = tree::read(repository, found.tree_id(), path, bounds)?;
    Ok(GitSnapshot {
        commit: Commit {
            id: id.to_string(),
            subject: printable(&String::from_utf8_lossy(subject), MAX_SUBJECT),
        },
        files,
    })
}

/// Tells whether the commit is there. A fetch keeps a whole pack or none of it, so its files are too.
fn holds(repository: &Repository, id: Oid) -> Result<bool, GitError> {
    let objects = repository.odb().map_err(|error| damaged(&error))?;
    if !objects.exists(id) {
        return Ok(false);
    }
    let (size, kind) = objects.read_header(id).map_err(|error| damaged(&error))?;
    match kind {
        git2::ObjectType::Commit if size <= MAX_COMMIT => Ok(true),
        git2::ObjectType::Commit => Err(GitError::Bound {
            path: format!("commit {id}"),
            bound: "1 MiB for a commit".to_owned(),
        }),
        _ => Err(GitError::NoCommit {
            commit: id.to_string(),
        }),
    }
}

fn damaged(error: &git2::Error) -> GitError {
    GitError::Damaged {
        why: printable(error.message(), 200),
    }
}

/// Returns a text that others chose as one line without characters that command a terminal or reorder text.
fn printable(text: &str, limit: usize) -> String {
    let is_plain = |c: char| !c.is_control() && !is_format(c);
    let shown: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| is_plain(*c))
        .take(limit + 1)
        .collect();
    match shown.chars().count() > limit {
        true => shown.chars().take(limit).chain(['…']).collect(),
        false => shown.trim().to_owned(),
    }
}

/// Characters without a shape of their own that change how others are shown.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_one_line_that_is_safe_to_print() {
        let subject = "raise\u{1b}[31m prism\u{202e} to\t35";
        assert_eq!(printable(subject, 100), "raise[31m prism to 35");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}

//! The hashes that chain the passes, and the walk that finds where a chain is broken. Pure.
//!
//! A hash is made of what the database keeps, in one form that neither engine decides: so a pass read back
//! gives the hash it was recorded with, or somebody changed it.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::model::chain::{Break, Chain, Fault, Unbroken};

/// What the first pass follows.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the chain, and the borders of what there is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct End {
    /// The hash of the pass that was recorded last.
    pub(super) hash: String,
    /// Its number.
    pub(super) newest: i64,
    /// How many passes are kept.
    pub(super) kept: i64,
    /// The lowest number there is.
    pub(super) first: Option<i64>,
    /// The highest number there is.
    pub(super) last: Option<i64>,
}

/// A pass as the chain sees it: its number, its place, and all else that is kept of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Record {
    pub(super) id: i64,
    pub(super) previous: String,
    pub(super) hash: String,
    pub(super) head: Value,
    pub(super) keys: Value,
}

impl Record {
    /// Returns the hash that this pass has behind another.
    pub(super) fn hash_behind(&self, previous: &str) -> String {
        link(previous, self.id, &self.head, &digest(&self.keys))
    }
}

/// Returns the hash of a pass: of what came before it, its number, its columns and the digest of its keys.
pub(super) fn link(previous: &str, id: i64, head: &Value, keys: &str) -> String {
    digest(&json!(["platform pass 1", previous, id, head, keys]))
}

/// Reads the end of the chain out of the rows of the statement that holds it.
pub(super) fn parse_end(rows: &[String]) -> Option<End> {
    serde_json::from_str(rows.first()?).ok()
}

/// Returns the columns of the pass that is recorded behind the end of the chain.
pub(super) fn next_document(end: &[String], mut head: Value, keys: &str) -> Option<Vec<String>> {
    let End {
        hash, newest, last, ..
    } = parse_end(end)?;
    let id = newest.max(last.unwrap_or(0)) + 1;
    let its_hash = link(&hash, id, &head, keys);
    let columns = head.as_object_mut()?;
    columns.insert("id".to_owned(), json!(id));
    columns.insert("previous".to_owned(), json!(hash));
    columns.insert("hash".to_owned(), json!(its_hash));
    Some(vec![head.to_string()])
}

/// Returns the places of passes that have none yet, up to one that has.
pub(super) fn links_document(end: &[String], records: &[String]) -> Option<Vec<String>> {
    let mut previous = parse_end(end)?.hash;
    let mut links = Vec::with_capacity(records.len());
    for record in records {
        let record: Record = serde_json::from_str(record).ok()?;
        if !record.hash.is_empty() {
            break;
        }
        let hash = record.hash_behind(&previous);
        links.push(json!({"id": record.id, "previous": previous, "hash": hash}));
        previous = hash;
    }
    Some(vec![Value::Array(links).to_string()])
}

/// Returns how the end of the chain moves when passes, given as number and hash, were added and some dropped.
pub(super) fn advance(added: &[String], dropped: usize) -> Option<Vec<String>> {
    let parse = |text: &String| serde_json::from_str::<(i64, String)>(text).ok();
    let added: Vec<(i64, String)> = added.iter().map(parse).collect::<Option<_>>()?;
    let more = i64::try_from(added.len()).ok()? - i64::try_from(dropped).ok()?;
    let (id, hash) = added.into_iter().max().unwrap_or_default();
    Some(vec![hash, id.to_string(), more.to_string()])
}

/// Returns the SHA-256 of a value, whatever the order of its members.
pub(super) fn digest(value: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, value);
    hex::encode(hash.finalize())
}

/// Feeds a value so that no two values feed the same bytes: each begins with its kind and its length.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(is_true) => hash.update(if *is_true { b"t" } else { b"f" }),
        Value::Number(number) => feed_text(hash, b'd', &number.to_string()),
        Value::String(text) => feed_text(hash, b's', text),
        Value::Array(items) => {
            feed_length(hash, b'a', items.len());
            items.iter().for_each(|item| feed(hash, item));
        }
        Value::Object(members) => {
            feed_length(hash, b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            for (name, value) in members {
                feed_text(hash, b's', name);
                feed(hash, value);
            }
        }
    }
}

fn feed_text(hash: &mut Sha256, kind: u8, text: &str) {
    feed_length(hash, kind, text.len());
    hash.update(text);
}

fn feed_length(hash: &mut Sha256, kind: u8, length: usize) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
}

/// A walk along the chain, from the oldest kept pass to the one that was the newest when it began.
pub(super) struct Walk {
    end: End,
    last: Option<(i64, String)>,
    first: Option<i64>,
    passed: u64,
}

impl Walk {
    pub(super) fn new(end: End) -> Self {
        Self {
            end,
            last: None,
            first: None,
            passed: 0,
        }
    }

    /// Returns the number of the last pass that was found right, or 0.
    pub(super) fn after(&self) -> i64 {
        self.last.as_ref().map_or(0, |(id, _)| *id)
    }

    /// Tells whether passes were dropped faster than they were read, so that some were never seen.
    pub(super) fn is_overtaken(&self, end: &End) -> bool {
        self.passed > 0 && end.first.is_some_and(|oldest| oldest > self.after())
    }

    /// Takes the next passes; returns the finding once there is one.
    pub(super) fn take(&mut self, records: &[Record], is_end: bool) -> Option<Chain> {
        for record in records {
            if record.id > self.end.newest {
                return Some(self.ended());
            }
            if let Some(fault) = self.step(record) {
                return Some(self.broken(record.id, fault));
            }
        }
        is_end.then(|| self.ended())
    }

    fn step(&mut self, record: &Record) -> Option<Fault> {
        if record.hash_behind(&record.previous) != record.hash {
            return Some(Fault::Altered);
        }
        if let Some((_, hash)) = &self.last
            && *hash != record.previous
        {
            return Some(Fault::Detached);
        }
        self.first = self.first.or(Some(record.id));
        self.last = Some((record.id, record.hash.clone()));
        self.passed += 1;
        None
    }

    fn broken(&self, pass: i64, fault: Fault) -> Chain {
        Chain::Broken(Break {
            pass,
            fault,
            unbroken: self.passed,
        })
    }

    fn ended(&self) -> Chain {
        let End {
            hash,
            newest,
            kept,
            first: _,
            last,
        } = &self.end;
        if self.after() != *newest {
            return self.broken(*newest, Fault::Gone);
        }
        if self.last.as_ref().is_some_and(|(_, found)| found != hash) {
            return self.broken(*newest, Fault::Replaced);
        }
        if let Some(added) = last.filter(|last| last > newest) {
            return self.broken(added, Fault::Added);
        }
        if i64::try_from(self.passed) != Ok(*kept) {
            return self.broken(self.first.unwrap_or(*newest), Fault::Shortened);
        }
        Chain::Unbroken(Unbroken {
            passes: self.passed,
            since: self.first,
            newest: self.last.as_ref().map(|(id, _)| *id),
            head: self.last.as_ref().map(|(_, hash)| hash.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_kinds_and_borders_and_no_order_of_members() {
        let different = [
            json!([]),
            json!({}),
            json!(null),
            json!(""),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!([["a"], "bc"]),
            json!(1),
            json!("1"),
            json!(1.0),
            json!({"a": "b"}),
            json!(["a", "b"]),
            json!(false),
            json!(true),
        ];
        let digests: std::collections::BTreeSet<String> = different.iter().map(digest).collect();
        assert_eq!(digests.len(), different.len());
        let (one, other): (Value, Value) = (
            serde_json::from_str(r#"{"a": 1, "b": 2}"#).unwrap(),
            serde_json::from_str(r#"{"b": 2, "a": 1}"#).unwrap(),
        );
        assert_eq!(digest(&one), digest(&other));
    }

    /// A record's hash is for ever: whoever changes this breaks every chain there is.
    #[test]
    fn the_hash_of_a_pass_stays_what_it_is() {
        let head = json!({"outcome": "converged", "counts": {"created": 0}, "commit_id": null});
        let keys = digest(&json!([]));
        assert_eq!(
            link(GENESIS, 1, &head, &keys),
            "b6ec4a5e4a8e1752d8b9db41dd50903ba0c34a8f2b40aa0baa0b1c96c925e3d4"
        );
    }
}

//! A pass as the statements that keep it take it: texts cut to size, the keys that matter first.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::Revision;
use crate::model::pass::{BegunPass, KeyOutcome, KeyResult, PassRecord};

/// The most keys that are kept of one pass.
pub const MAX_KEYS: usize = 10_000;

/// Returns a time as it is stored: UTC with six decimals, so that text order is time order.
pub(super) fn stamp(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Returns a pass as its columns keep it, without its number, its outcomes and its place in the chain.
pub(super) fn head_document(pass: &PassRecord) -> Value {
    let mut head = beginning(pass.started_at, &pass.source, &pass.revision, &pass.actor);
    head["finished_at"] = json!(stamp(pass.finished_at));
    head["plan_digest"] = json!(fitted(&pass.plan_digest, 100));
    head["outcome"] = json!(pass.outcome);
    head["counts"] = json!(pass.counts);
    head["key_count"] = json!(pass.keys.len());
    head
}

/// Returns what is about to be written as it is kept until it is recorded, without its token and its number. Its head
/// is what [`head_document`] has of it from the beginning.
pub(super) fn begun_document(pass: &BegunPass) -> Value {
    json!({
        "head": beginning(pass.started_at, &pass.source, &pass.revision, &pass.actor),
        "plan_digest": fitted(&pass.plan_digest, 100),
        "keys": keys_document(&pass.keys),
        "key_count": pass.keys.len(),
    })
}

/// Returns what is known of a pass before it writes.
fn beginning(started_at: Timestamp, source: &str, revision: &Revision, actor: &str) -> Value {
    let commit = revision.commit.as_ref();
    json!({
        "started_at": stamp(started_at),
        "source": fitted(source, 500),
        "revision_digest": fitted(&revision.digest, 100),
        "commit_id": commit.map(|c| fitted(&c.id, 100)),
        "commit_subject": commit.map(|c| fitted(&c.subject, 500)),
        "actor": fitted(actor, 200),
    })
}

/// Returns the outcomes as their columns keep them. Of too many, those that were done go first.
pub(super) fn keys_document(keys: &[KeyOutcome]) -> Value {
    let mut kept: Vec<&KeyOutcome> = keys.iter().collect();
    if kept.len() > MAX_KEYS {
        kept.sort_by_key(|key| key.outcome == KeyResult::Done);
        kept.truncate(MAX_KEYS);
    }
    let document = |key: &KeyOutcome| {
        json!({
            "key": fitted(&key.key, 400),
            "slug": key.slug.as_deref().map(|slug| fitted(slug, 100)),
            "action": key.action,
            "outcome": key.outcome,
            "why": key.why.as_deref().map(|why| fitted(why, 1000)),
        })
    };
    Value::Array(kept.into_iter().map(document).collect())
}

/// Cuts a text to a number of characters; U+0000, which PostgreSQL does not keep, is replaced. A record is never refused.
pub(super) fn fitted(text: &str, limit: usize) -> String {
    let clean = |c| if c == '\0' { '\u{fffd}' } else { c };
    if text.chars().count() <= limit {
        return text.chars().map(clean).collect();
    }
    let cut = text.chars().take(limit - 1).map(clean);
    cut.chain(std::iter::once('…')).collect()
}

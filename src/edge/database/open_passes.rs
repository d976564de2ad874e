//! Passes that were begun and are not recorded yet.
//!
//! Whoever is about to write keeps first what it is about to write, under the token of its turn; the transaction that
//! records the pass deletes that. What is left of an earlier turn is a pass that never ended: whoever takes the next
//! turn records it as interrupted, before anything is written under that turn. Rows of one pass that was begun in
//! parts become one pass again.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::DatabaseError;
use super::chain::{self, GENESIS, digest};
use super::passes::{MAX_KEYS, begun_document, stamp};
use super::store::{Access, Call, Engine, Store};
use crate::model::FenceToken;
use crate::model::pass::{Begun, BegunPass, PassCounts, PassOutcome};

/// The SQL about passes that are open.
pub(super) struct OpenPassStatements {
    /// A part of a pass; one that is there stays.
    pub(super) open: &'static str,
    /// Token, a list of numbers.
    pub(super) close: &'static str,
    /// No argument; gives how many parts are open.
    pub(super) count: &'static str,
    /// Token; deletes all parts of the oldest pass of an earlier turn, and gives them.
    pub(super) take: &'static str,
}

#[cfg(test)]
impl OpenPassStatements {
    pub(super) fn all(&self) -> [&'static str; 4] {
        let Self {
            open,
            close,
            count,
            take,
        } = self;
        [open, close, count, take]
    }
}

pub(super) const SQLITE: OpenPassStatements = OpenPassStatements {
    open: "
        insert into open_passes (token, part, head, plan_digest, keys, key_count)
        values (?1 ->> 'token', ?1 ->> 'part', ?1 -> 'head', ?1 ->> 'plan_digest', ?1 -> 'keys',
            ?1 ->> 'key_count')
        on conflict (token, part) do nothing",
    close: "
        delete from open_passes where token = cast(?1 as integer)
            and part in (select value from json_each(?2))",
    count: "select cast(count(*) as text) from open_passes",
    take: "
        delete from open_passes where (token, head) = (
            select token, head from open_passes where token < cast(?1 as integer)
            order by token, part limit 1)
        returning json_object('part', part, 'head', json(head), 'plan_digest', plan_digest,
            'keys', json(keys), 'key_count', key_count)",
};

pub(super) const POSTGRES: OpenPassStatements = OpenPassStatements {
    open: "
        insert into open_passes (token, part, head, plan_digest, keys, key_count)
        select (d ->> 'token')::bigint, (d ->> 'part')::bigint, d -> 'head', d ->> 'plan_digest',
            d -> 'keys', (d ->> 'key_count')::bigint
        from (select $1::text::jsonb as d) as document
        on conflict (token, part) do nothing",
    close: "
        delete from open_passes where token = $1::text::bigint
            and part in (select value::bigint from jsonb_array_elements_text($2::text::jsonb))",
    count: "select count(*)::text from open_passes",
    take: "
        delete from open_passes where (token, head) = (
            select token, head from open_passes where token < $1::text::bigint
            order by token, part limit 1)
        returning json_build_object('part', part, 'head', head, 'plan_digest', plan_digest,
            'keys', keys, 'key_count', key_count)::text",
};

/// A part of a pass, as it is kept while it is open.
#[derive(Deserialize)]
struct Part {
    part: i64,
    head: Map<String, Value>,
    plan_digest: String,
    keys: Vec<Value>,
    key_count: u64,
}

impl<E: Engine> Store<E> {
    /// Keeps that a pass is about to write. Looks that begin side by side share a transaction.
    pub(super) async fn open_pass(
        &self,
        token: FenceToken,
        pass: &BegunPass,
    ) -> Result<Begun, DatabaseError> {
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        let mut document = begun_document(pass);
        document["token"] = json!(token.to_string());
        document["part"] = json!(part);
        let sql = self.engine.statements().open_passes.open;
        let arguments = vec![document.to_string()];
        self.write_in_group(token, sql, arguments).await?;
        Ok(Begun(part))
    }

    /// Returns the statement that forgets what was begun, for the transaction that records it.
    pub(super) fn closing(&self, token: FenceToken, begun: &[Begun]) -> Option<Call> {
        let parts: Vec<i64> = begun.iter().map(|Begun(part)| *part).collect();
        let sql = self.engine.statements().open_passes.close;
        let arguments = || vec![token.to_string(), json!(parts).to_string()];
        (!parts.is_empty()).then(|| Call::new(sql, arguments()))
    }

    /// Returns how many parts of passes were begun and not recorded.
    pub(super) async fn count_open_passes(&self) -> Result<u64, DatabaseError> {
        let sql = self.engine.statements().open_passes.count;
        let doing = "counting the passes that were begun";
        let rows = self.one(Access::Read, doing, sql, Vec::new()).await?;
        self.parse_count(rows.first())
    }

    /// Returns a count of open parts out of its row.
    pub(super) fn parse_count(&self, row: Option<&String>) -> Result<u64, DatabaseError> {
        let count = row.and_then(|text| text.parse().ok());
        count.ok_or_else(|| self.unreadable("the number of rows of table open_passes".to_owned()))
    }

    /// Records what earlier turns began and never recorded, oldest first. Whoever is cut off meanwhile leaves the
    /// rest to the next turn.
    pub(super) async fn record_interrupted(
        &self,
        token: FenceToken,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        while let Some(pass) = self.record_oldest(token, now).await? {
            tracing::warn!(pass, "a pass that never ended is recorded as interrupted");
        }
        Ok(())
    }

    async fn record_oldest(
        &self,
        token: FenceToken,
        now: Timestamp,
    ) -> Result<Option<i64>, DatabaseError> {
        let all = self.engine.statements();
        let take = Call {
            is_guard: true,
            ..Call::new(all.open_passes.take, vec![token.to_string()])
        };
        let mut calls = vec![
            take,
            Call::new(all.hold_chain, vec![GENESIS.to_owned()]),
            // Behind the guards of the fence and of the pass that is taken.
            Call::after(all.insert_pass, move |answers| {
                let (head, keys) = interrupted(answers.get(1)?, now)?;
                chain::next_document(answers.last()?, head, &digest(&keys))
            }),
            Call::after(all.insert_pass_keys, move |answers| {
                let (_, keys) = interrupted(answers.get(1)?, now)?;
                Some(vec![keys.to_string()])
            }),
        ];
        calls.extend(self.advancing());
        let doing = "recording an interrupted pass";
        let answers = self.write(token, doing, calls).await?;
        match answers.first() {
            Some(taken) if !taken.is_empty() => self.number_of(answers.get(2)).map(Some),
            Some(_) | None => Ok(None),
        }
    }
}

/// Returns the columns and the keys of a pass that never ended, of its parts in any order.
fn interrupted(parts: &[String], now: Timestamp) -> Option<(Value, Value)> {
    let parse = |text: &String| serde_json::from_str(text).ok();
    let mut parts: Vec<Part> = parts.iter().map(parse).collect::<Option<_>>()?;
    parts.sort_by_key(|part| part.part);
    let mut head = parts.first()?.head.clone();
    let count: u64 = parts.iter().map(|part| part.key_count).sum();
    let counts = PassCounts {
        unknown: count,
        ..PassCounts::default()
    };
    let found = stamp(now).max(head.get("started_at")?.as_str()?.to_owned());
    head.insert("finished_at".to_owned(), json!(found));
    head.insert("plan_digest".to_owned(), json!(digest_of_all(&parts)));
    head.insert("outcome".to_owned(), json!(PassOutcome::Interrupted));
    head.insert("counts".to_owned(), json!(counts));
    head.insert("key_count".to_owned(), json!(count));
    let keys = parts.into_iter().flat_map(|part| part.keys).take(MAX_KEYS);
    Some((Value::Object(head), keys.collect()))
}

/// Returns the digest of a pass's plan, or one made of those of its parts: the plan as a whole went with the process.
fn digest_of_all(parts: &[Part]) -> String {
    match parts {
        [only] => only.plan_digest.clone(),
        parts => {
            let mut hash = Sha256::new();
            parts.iter().for_each(|part| hash.update(&part.plan_digest));
            hex::encode(hash.finalize())
        }
    }
}

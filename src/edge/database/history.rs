//! The history of passes: recorded, listed, read, and verified along their chain.

use super::DatabaseError;
use super::chain::{self, End, GENESIS, Record, Walk};
use super::passes::{head_document, keys_document};
use super::store::{Access, Call, Engine, MAX_PAGE, Store};
use crate::model::FenceToken;
use crate::model::chain::Chain;
use crate::model::pass::{Begun, KeyOutcome, PassRecord, PassSummary};

/// Passes that are read at once to verify or to chain them; one may have ten thousand keys.
const LINKS: usize = 25;

/// Times that verifying begins anew because passes were dropped meanwhile.
const MAX_WALKS: u32 = 5;

impl<E: Engine> Store<E> {
    /// Records a pass behind the end of the chain, in place of what was kept of it when it was begun.
    pub(super) async fn keep_pass(
        &self,
        token: FenceToken,
        pass: &PassRecord,
        begun: &[Begun],
    ) -> Result<i64, DatabaseError> {
        let all = self.engine.statements();
        let (head, keys) = (head_document(pass), keys_document(&pass.keys));
        // Made before the transaction, which others wait for.
        let keys_digest = chain::digest(&keys);
        let mut calls = vec![
            Call::new(all.hold_chain, vec![GENESIS.to_owned()]),
            Call::after(all.insert_pass, move |answers| {
                chain::next_document(answers.last()?, head, &keys_digest)
            }),
            Call::new(all.insert_pass_keys, vec![keys.to_string()]),
        ];
        calls.extend(self.advancing());
        calls.extend(self.closing(token, begun));
        let answers = self.write(token, "recording a pass", calls).await?;
        self.number_of(answers.get(1))
    }

    /// Returns the statements behind those that insert a pass and its keys: the oldest make room, and the end of the
    /// chain moves.
    pub(super) fn advancing(&self) -> [Call; 2] {
        let all = self.engine.statements();
        let retention = [self.retention.passes, self.retention.keys];
        [
            Call::new(all.prune_passes, retention.map(|n| n.to_string()).into()),
            Call::after(all.advance_chain, |answers| {
                let [.., inserted, _, pruned] = answers else {
                    return None;
                };
                chain::advance(inserted, pruned.len())
            }),
        ]
    }

    /// Returns the number of a new pass out of the rows of the statement that inserted it.
    pub(super) fn number_of(&self, inserted: Option<&Vec<String>>) -> Result<i64, DatabaseError> {
        let row = inserted.and_then(|rows| rows.first());
        row.and_then(|text| serde_json::from_str(text).ok())
            .map(|(id, _): (i64, String)| id)
            .ok_or_else(|| self.unreadable("the number of a new pass".to_owned()))
    }

    /// Returns passes without their outcomes, newest first.
    pub(super) async fn list_passes(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<PassSummary>, DatabaseError> {
        let arguments = vec![
            before.unwrap_or(i64::MAX).to_string(),
            limit.min(MAX_PAGE).to_string(),
        ];
        let sql = self.engine.statements().list_passes;
        let doing = "listing passes";
        let texts = self.one(Access::Read, doing, sql, arguments).await?;
        self.parse_all("a row of table passes", &texts)
    }

    /// Returns one pass with its outcomes.
    pub(super) async fn read_pass(&self, id: i64) -> Result<Option<PassRecord>, DatabaseError> {
        let all = self.engine.statements();
        let calls =
            [all.get_pass, all.get_pass_keys].map(|sql| Call::new(sql, vec![id.to_string()]));
        let answers = self
            .run(Access::Read, "reading a pass", calls.into())
            .await?;
        let [heads, keys] = answers.as_slice() else {
            return Ok(None);
        };
        let Some(head) = heads.first() else {
            return Ok(None);
        };
        let head: PassSummary = self.parse("a row of table passes", head)?;
        let keys: Vec<KeyOutcome> = self.parse_all("a row of table pass_keys", keys)?;
        Ok(Some(head.with_keys(keys)))
    }

    /// Walks the chain until it was walked undisturbed.
    pub(super) async fn verify_chain(&self) -> Result<Chain, DatabaseError> {
        for _ in 0..MAX_WALKS {
            if let Some(chain) = self.walk_passes().await? {
                return Ok(chain);
            }
        }
        Err(DatabaseError::Failed {
            place: self.engine.place().to_owned(),
            doing: "verifying the passes",
            why: "they are dropped faster than they are read".to_owned(),
        })
    }

    /// Chains the passes that were recorded before there was a chain, oldest first, safely beside other
    /// processes that do the same.
    pub(super) async fn chain_passes(&self) -> Result<(), DatabaseError> {
        let all = self.engine.statements();
        if !self.has_unchained().await? {
            return Ok(());
        }
        loop {
            let calls = vec![
                Call::new(all.hold_chain, vec![GENESIS.to_owned()]),
                Call::after(all.read_links, |answers| {
                    let End { newest, .. } = chain::parse_end(answers.last()?)?;
                    Some(vec![newest.to_string(), LINKS.to_string()])
                }),
                Call::after(all.write_links, |answers| {
                    let [.., end, records] = answers else {
                        return None;
                    };
                    chain::links_document(end, records)
                }),
                Call::after(all.advance_chain, |answers| {
                    chain::advance(answers.last()?, 0)
                }),
            ];
            let doing = "chaining the passes";
            let answers = self.run(Access::Write, doing, calls).await?;
            if answers.get(2).is_none_or(Vec::is_empty) {
                return Ok(());
            }
        }
    }

    async fn has_unchained(&self) -> Result<bool, DatabaseError> {
        let sql = self.engine.statements().read_chain;
        let doing = "reading the end of the passes";
        let rows = self.one(Access::Read, doing, sql, Vec::new()).await?;
        let end = chain::parse_end(&rows);
        Ok(end.is_some_and(|end| end.last.is_some_and(|last| last > end.newest)))
    }

    /// Walks the chain once; nothing where passes were dropped faster than they were read.
    async fn walk_passes(&self) -> Result<Option<Chain>, DatabaseError> {
        let all = self.engine.statements();
        let mut walk: Option<Walk> = None;
        loop {
            let after = walk.as_ref().map_or(0, Walk::after);
            let calls = vec![
                Call::new(all.read_chain, Vec::new()),
                Call::new(all.read_links, vec![after.to_string(), LINKS.to_string()]),
            ];
            let doing = "verifying the passes";
            let answers = self.run(Access::Read, doing, calls).await?;
            let [end, records] = answers.as_slice() else {
                return Ok(None);
            };
            let what = "the row of table pass_chain";
            let end: End = self.parse(what, end.first().map_or("", String::as_str))?;
            let records: Vec<Record> = self.parse_all("a row of table passes", records)?;
            let is_end = records.len() < LINKS;
            let walk = walk.get_or_insert_with(|| Walk::new(end.clone()));
            if walk.is_overtaken(&end) {
                return Ok(None);
            }
            if let Some(chain) = walk.take(&records, is_end) {
                return Ok(Some(chain));
            }
        }
    }
}

//! What the database does, once for both engines: each call is a list of statements in one transaction.
//!
//! Statements take and give text, one column of JSON a row; the casts to native types are in the SQL.
//! So an engine is no more than its statements, its connections and its migrations.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::migrate::Migrator;

use super::acts::{self, ActStatements};
use super::chain::{End, GENESIS, Record, Walk};
use super::conditions::ConditionStatements;
use super::error::translate;
use super::group_commit::GroupCommit;
use super::health::HealthStatements;
use super::migrations::{self, DatabaseKind, Remembered};
use super::passes::{fitted, head_document, keys_document, stamp};
use super::rollouts::RolloutStatements;
use super::snapshots::SnapshotStatements;
use super::{Database, DatabaseError, MigrationStatus, ResolvedDigest, chain, revision_id, rows};
use crate::model::act::{Act, ActKind, ActRecord, Suspensions};
use crate::model::chain::Chain;
use crate::model::pass::{KeyOutcome, PassRecord, PassSummary};
use crate::model::rollout::Rollouts;
use crate::model::{Digest, FenceToken, ImageRef, Revision, Row, RowKey, Scope, Slug, TargetId};

/// How long one call may take with everything it waits for; the server's own limits are shorter.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long taking leave may take; the usual one takes milliseconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most rows of a table, and the most images, that one call handles: far above what a subnet has.
pub(super) const MAX_ROWS: usize = 10_000;

/// Passes that are read at once to verify or to chain them; one may have ten thousand keys.
const LINKS: usize = 25;

/// Times that verifying begins anew because passes were dropped meanwhile.
const MAX_WALKS: u32 = 5;

/// The most passes in one answer.
const MAX_PAGE: u32 = 1000;

/// Makes arguments of a statement out of the rows of those before it in the same transaction; none where
/// something stored is of another form.
pub(super) type Follow = Box<dyn FnOnce(&[Vec<String>]) -> Option<Vec<String>> + Send>;

/// One statement with its arguments.
pub(super) struct Call {
    pub(super) sql: &'static str,
    pub(super) arguments: Vec<String>,
    /// Whether the transaction ends here, without effect, when this gives no row.
    pub(super) is_guard: bool,
    /// Arguments behind those, which follow from what was read.
    pub(super) follow: Option<Follow>,
}

impl Call {
    /// Makes a statement of a transaction that goes on whatever it gives, and whose arguments are known.
    pub(super) fn new(sql: &'static str, arguments: Vec<String>) -> Self {
        Self {
            sql,
            arguments,
            is_guard: false,
            follow: None,
        }
    }

    /// Makes a statement whose arguments follow from the rows of those before it.
    pub(super) fn after(
        sql: &'static str,
        follow: impl FnOnce(&[Vec<String>]) -> Option<Vec<String>> + Send + 'static,
    ) -> Self {
        Self {
            follow: Some(Box::new(follow)),
            ..Self::new(sql, Vec::new())
        }
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads, all as of one moment.
    Read,
    /// Writes.
    Write,
}

/// One kind of database.
#[async_trait]
pub(super) trait Engine: Send + Sync {
    /// Returns how messages name this database.
    fn place(&self) -> &str;

    /// Returns which of the two it is.
    fn kind(&self) -> DatabaseKind;

    /// Returns its SQL.
    fn statements(&self) -> &'static Statements;

    /// Returns its migrations.
    fn migrations(&self) -> Migrator;

    /// Runs statements in one transaction; returns the rows of each, up to a guard that gave none.
    async fn run(&self, access: Access, calls: Vec<Call>) -> Result<Vec<Vec<String>>, sqlx::Error>;

    /// Applies what is pending, safely beside other processes that do the same.
    async fn migrate(&self) -> Result<(), DatabaseError>;

    /// Returns once an act may have been kept; waits for ever where nobody would tell.
    async fn act_told(&self);

    /// Closes the connections.
    async fn close(&self);
}

/// The SQL of one engine.
pub(super) struct Statements {
    pub(super) server_version: &'static str,
    /// Gives `true`, `false`, or `foreign` where there are only tables of another program.
    pub(super) has_migrations: &'static str,
    pub(super) applied_migrations: &'static str,
    pub(super) challenges: RowStatements,
    pub(super) targets: RowStatements,
    pub(super) tokens: RowStatements,
    pub(super) assignments: RowStatements,
    pub(super) insert_pass: &'static str,
    pub(super) insert_pass_keys: &'static str,
    pub(super) prune_passes: &'static str,
    pub(super) list_passes: &'static str,
    pub(super) get_pass: &'static str,
    pub(super) get_pass_keys: &'static str,
    /// What the first pass follows; gives the end of the chain, and keeps it so until the end of the transaction.
    pub(super) hold_chain: &'static str,
    /// No argument; gives the end of the chain, whatever is left of it.
    pub(super) read_chain: &'static str,
    /// Number, limit; gives passes after that number as the chain sees them.
    pub(super) read_links: &'static str,
    /// A list of numbers with their place in the chain.
    pub(super) write_links: &'static str,
    /// The newest hash, its number, and by how many more passes are kept.
    pub(super) advance_chain: &'static str,
    pub(super) acts: ActStatements,
    pub(super) conditions: ConditionStatements,
    pub(super) health: HealthStatements,
    pub(super) rollouts: RolloutStatements,
    pub(super) snapshots: SnapshotStatements,
    pub(super) get_digests: &'static str,
    pub(super) write_digest: &'static str,
    pub(super) prune_digests: &'static str,
    /// No argument; gives the token.
    pub(super) read_fence: &'static str,
    /// No argument; gives the new token.
    pub(super) take_fence: &'static str,
    /// Token; gives a row when it is the newest, and keeps it so until the end of the transaction.
    pub(super) hold_fence: &'static str,
}

/// The SQL of one table of rows.
pub(super) struct RowStatements {
    /// Which, as [`rows::scoped`] tells it; gives `[id, row]`, at most 10 001 times.
    pub(super) read: &'static str,
    /// Id, row, revision, time.
    pub(super) write: &'static str,
    /// Id.
    pub(super) delete: &'static str,
}

impl Statements {
    fn of(&self, key: &RowKey) -> &RowStatements {
        match key {
            RowKey::Challenge(_) => &self.challenges,
            RowKey::Target(_) => &self.targets,
            RowKey::Tokens(_) => &self.tokens,
            RowKey::Assignment(_) => &self.assignments,
        }
    }
}

/// How much history is kept. Without the second number, passes that fail for weeks would fill the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) passes: u64,
    pub(super) keys: u64,
}

/// The database over an engine.
pub(super) struct Store<E> {
    pub(super) engine: E,
    pub(super) retention: Retention,
    pub(super) group: GroupCommit,
}

type NameRow = fn(String) -> Option<RowKey>;

impl<E: Engine> Store<E> {
    pub(super) fn new(engine: E) -> Self {
        let retention = Retention {
            passes: 10_000,
            keys: 500_000,
        };
        Self {
            engine,
            retention,
            group: GroupCommit::default(),
        }
    }

    /// Applies pending migrations.
    pub(super) async fn migrate(&self) -> Result<(), DatabaseError> {
        self.engine.migrate().await
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

    pub(super) async fn run(
        &self,
        access: Access,
        doing: &'static str,
        calls: Vec<Call>,
    ) -> Result<Vec<Vec<String>>, DatabaseError> {
        let place = self.engine.place();
        match tokio::time::timeout(CALL_TIMEOUT, self.engine.run(access, calls)).await {
            Ok(answer) => answer.map_err(|error| translate(place, doing, &error)),
            Err(_) => Err(DatabaseError::Timeout {
                place: place.to_owned(),
                doing,
                seconds: CALL_TIMEOUT.as_secs(),
            }),
        }
    }

    pub(super) async fn one(
        &self,
        access: Access,
        doing: &'static str,
        sql: &'static str,
        arguments: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        let answers = self.run(access, doing, vec![Call::new(sql, arguments)]);
        Ok(answers.await?.pop().unwrap_or_default())
    }

    /// Runs the statements of a write in one transaction, if no turn after this one was taken.
    pub(super) async fn write(
        &self,
        token: FenceToken,
        doing: &'static str,
        calls: Vec<Call>,
    ) -> Result<Vec<Vec<String>>, DatabaseError> {
        let guard = Call {
            is_guard: true,
            ..Call::new(self.engine.statements().hold_fence, vec![token.to_string()])
        };
        let calls = std::iter::once(guard).chain(calls).collect();
        let mut answers = self.run(Access::Write, doing, calls).await?;
        if answers.first().is_none_or(Vec::is_empty) {
            return Err(DatabaseError::Fenced {
                place: self.engine.place().to_owned(),
            });
        }
        answers.remove(0);
        Ok(answers)
    }

    fn parse_token(&self, rows: &[String]) -> Result<FenceToken, DatabaseError> {
        let number = rows.first().and_then(|text| text.parse().ok());
        let token = number.map(FenceToken::new);
        token.ok_or_else(|| self.unreadable("the token of table fence".to_owned()))
    }

    pub(super) fn unreadable(&self, what: String) -> DatabaseError {
        DatabaseError::Unreadable {
            place: self.engine.place().to_owned(),
            what,
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        what: &str,
        text: &str,
    ) -> Result<T, DatabaseError> {
        serde_json::from_str(text).map_err(|_| self.unreadable(what.to_owned()))
    }

    pub(super) fn parse_all<T: DeserializeOwned>(
        &self,
        what: &str,
        texts: &[String],
    ) -> Result<Vec<T>, DatabaseError> {
        texts.iter().map(|text| self.parse(what, text)).collect()
    }

    fn parse_table(
        &self,
        table: &'static str,
        name: NameRow,
        texts: &[String],
    ) -> Result<Vec<(RowKey, Row)>, DatabaseError> {
        if texts.len() > MAX_ROWS {
            return Err(self.unreadable(format!("table {table} with over {MAX_ROWS} rows")));
        }
        let parse = |text: &String| {
            let (id, row): (String, Row) = self.parse(&format!("a row of table {table}"), text)?;
            let shown: String = id.chars().take(64).collect();
            let key = name(id)
                .ok_or_else(|| self.unreadable(format!("the row {shown:?} of table {table}")))?;
            Ok((key, row))
        };
        texts.iter().map(parse).collect()
    }
}

#[async_trait]
impl<E: Engine> Database for Store<E> {
    async fn rows(&self, scope: &Scope) -> Result<BTreeMap<RowKey, Row>, DatabaseError> {
        let all = self.engine.statements();
        let challenge: NameRow = |id| Slug::parse(&id).ok().map(RowKey::Challenge);
        let target: NameRow = |id| TargetId::parse(&id).ok().map(RowKey::Target);
        let tokens: NameRow = |id| Slug::parse(&id).ok().map(RowKey::Tokens);
        let assignment: NameRow = |id| Slug::parse(&id).ok().map(RowKey::Assignment);
        let tables = [
            ("challenges", challenge, &all.challenges),
            ("kubernetes_targets", target, &all.targets),
            ("challenge_tokens", tokens, &all.tokens),
            ("target_assignments", assignment, &all.assignments),
        ];
        let calls = tables
            .iter()
            .map(|(_, _, statements)| Call::new(statements.read, vec![rows::scoped(scope)]));
        let doing = "reading the registry rows";
        let answers = self.run(Access::Read, doing, calls.collect()).await?;
        let mut rows = BTreeMap::new();
        for ((table, name, _), texts) in tables.iter().zip(&answers) {
            rows.extend(self.parse_table(table, *name, texts)?);
        }
        Ok(rows)
    }

    async fn write_row(
        &self,
        token: FenceToken,
        key: &RowKey,
        row: &Row,
        revision: &Revision,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let arguments = vec![
            key.id().to_owned(),
            rows::check(key, row)?,
            revision_id(revision).to_owned(),
            stamp(now),
        ];
        let sql = self.engine.statements().of(key).write;
        self.write_in_group(token, sql, arguments).await
    }

    async fn delete_row(&self, token: FenceToken, key: &RowKey) -> Result<(), DatabaseError> {
        let sql = self.engine.statements().of(key).delete;
        let calls = vec![Call::new(sql, vec![key.id().to_owned()])];
        self.write(token, "deleting a registry row", calls).await?;
        Ok(())
    }

    async fn record_pass(
        &self,
        token: FenceToken,
        pass: &PassRecord,
    ) -> Result<i64, DatabaseError> {
        let all = self.engine.statements();
        let retention = [self.retention.passes, self.retention.keys];
        let (head, keys) = (head_document(pass), keys_document(&pass.keys));
        // Made before the transaction, which others wait for.
        let keys_digest = chain::digest(&keys);
        let calls = vec![
            Call::new(all.hold_chain, vec![GENESIS.to_owned()]),
            Call::after(all.insert_pass, move |answers| {
                chain::next_document(answers.last()?, head, &keys_digest)
            }),
            Call::new(all.insert_pass_keys, vec![keys.to_string()]),
            Call::new(all.prune_passes, retention.map(|n| n.to_string()).into()),
            Call::after(all.advance_chain, |answers| {
                let [.., inserted, _, pruned] = answers else {
                    return None;
                };
                chain::advance(inserted, pruned.len())
            }),
        ];
        let answers = self.write(token, "recording a pass", calls).await?;
        let id = answers.get(1).and_then(|rows| rows.first());
        id.and_then(|text| serde_json::from_str(text).ok())
            .map(|(id, _): (i64, String)| id)
            .ok_or_else(|| self.unreadable("the number of a new pass".to_owned()))
    }

    async fn passes(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<PassSummary>, DatabaseError> {
        let arguments = vec![
            before.unwrap_or(i64::MAX).to_string(),
            limit.min(MAX_PAGE).to_string(),
        ];
        let sql = self.engine.statements().list_passes;
        let texts = self
            .one(Access::Read, "listing passes", sql, arguments)
            .await?;
        self.parse_all("a row of table passes", &texts)
    }

    async fn pass(&self, id: i64) -> Result<Option<PassRecord>, DatabaseError> {
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

    async fn verify_passes(&self) -> Result<Chain, DatabaseError> {
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

    async fn suspensions(&self, scope: &Scope) -> Result<Suspensions, DatabaseError> {
        let sql = self.engine.statements().acts.read_suspensions;
        let doing = "reading the suspensions";
        let arguments = vec![rows::scoped(scope)];
        let texts = self.one(Access::Read, doing, sql, arguments).await?;
        if texts.len() > MAX_ROWS {
            return Err(self.unreadable(format!("table suspensions with over {MAX_ROWS} rows")));
        }
        let rows = self.parse_all("a row of table suspensions", &texts)?;
        Ok(rows.into_iter().collect())
    }

    async fn act(&self, act: &Act) -> Result<i64, DatabaseError> {
        let all = &self.engine.statements().acts;
        let document = acts::document(act);
        let mut calls = vec![
            Call::new(all.insert, vec![document.clone()]),
            Call::new(all.prune, vec![MAX_ROWS.to_string()]),
        ];
        match act.kind {
            ActKind::Suspend => calls.push(Call::new(all.suspend, vec![document])),
            ActKind::Resume => {
                let retry = self.engine.statements().rollouts.retry;
                calls.push(Call::new(all.resume, vec![document.clone()]));
                calls.push(Call::new(retry, vec![document]));
            }
            ActKind::Reconcile | ActKind::Resolve => {}
        }
        let answers = self.run(Access::Write, "keeping an act", calls).await?;
        let id = answers.first().and_then(|rows| rows.first());
        id.and_then(|id| id.parse().ok())
            .ok_or_else(|| self.unreadable("the number of a new act".to_owned()))
    }

    async fn end_act(&self, id: i64, outcome: &str, now: Timestamp) -> Result<(), DatabaseError> {
        let sql = self.engine.statements().acts.end;
        let arguments = vec![id.to_string(), fitted(outcome, 500), stamp(now)];
        let doing = "telling what came of an act";
        self.one(Access::Write, doing, sql, arguments).await?;
        Ok(())
    }

    async fn pending_acts(&self) -> Result<Vec<ActRecord>, DatabaseError> {
        let sql = self.engine.statements().acts.pending;
        let texts = self
            .one(Access::Read, "reading acts", sql, Vec::new())
            .await?;
        self.parse_all("a row of table acts", &texts)
    }

    async fn act_told(&self) {
        self.engine.act_told().await;
    }

    async fn acts(&self, limit: u32) -> Result<Vec<ActRecord>, DatabaseError> {
        let sql = self.engine.statements().acts.list;
        let arguments = vec![limit.min(MAX_PAGE).to_string()];
        let texts = self
            .one(Access::Read, "reading acts", sql, arguments)
            .await?;
        self.parse_all("a row of table acts", &texts)
    }

    async fn digests(
        &self,
        images: &[ImageRef],
    ) -> Result<BTreeMap<ImageRef, ResolvedDigest>, DatabaseError> {
        let names: Vec<String> = images
            .iter()
            .take(MAX_ROWS)
            .map(ToString::to_string)
            .collect();
        let sql = self.engine.statements().get_digests;
        let arguments = vec![json!(names).to_string()];
        let texts = self
            .one(Access::Read, "reading image digests", sql, arguments)
            .await?;
        let what = "a row of table image_digests";
        let rows: Vec<(ImageRef, Digest, String, Timestamp)> = self.parse_all(what, &texts)?;
        let known = rows
            .into_iter()
            .map(|(image, digest, revision, resolved_at)| {
                let known = ResolvedDigest {
                    digest,
                    revision,
                    resolved_at,
                };
                (image, known)
            });
        Ok(known.collect())
    }

    async fn remember_digest(
        &self,
        token: FenceToken,
        image: &ImageRef,
        digest: &Digest,
        revision: &Revision,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let all = self.engine.statements();
        let arguments = vec![
            image.to_string(),
            digest.to_string(),
            revision_id(revision).to_owned(),
            stamp(now),
        ];
        let write = Call::new(all.write_digest, arguments);
        let prune = Call::new(all.prune_digests, vec![MAX_ROWS.to_string()]);
        let doing = "remembering an image digest";
        self.write(token, doing, vec![write, prune]).await?;
        Ok(())
    }

    async fn rollouts(&self, scope: &Scope) -> Result<Rollouts, DatabaseError> {
        self.read_rollouts(scope).await
    }

    async fn write_rollouts(
        &self,
        token: FenceToken,
        rollouts: &Rollouts,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.keep_rollouts(token, rollouts, now).await
    }

    async fn fence(&self) -> Result<FenceToken, DatabaseError> {
        let sql = self.engine.statements().read_fence;
        let doing = "reading whose turn it is";
        let rows = self.one(Access::Read, doing, sql, Vec::new()).await?;
        self.parse_token(&rows)
    }

    async fn take_fence(&self) -> Result<FenceToken, DatabaseError> {
        let sql = self.engine.statements().take_fence;
        let doing = "taking the turn to write";
        let rows = self.one(Access::Write, doing, sql, Vec::new()).await?;
        self.parse_token(&rows)
    }

    async fn status(&self) -> Result<MigrationStatus, DatabaseError> {
        let all = self.engine.statements();
        let doing = "reading the schema version";
        let call = |sql| Call::new(sql, Vec::new());
        let first = vec![call(all.server_version), call(all.has_migrations)];
        let answers = self.run(Access::Read, doing, first).await?.concat();
        let place = self.engine.place();
        let remembered: Vec<Remembered> = match answers.get(1).map(String::as_str) {
            Some("true") => {
                let texts = self.one(Access::Read, doing, all.applied_migrations, Vec::new());
                self.parse_all("a row of the table of migrations", &texts.await?)?
            }
            Some("foreign") => {
                return Err(DatabaseError::Foreign {
                    place: place.to_owned(),
                });
            }
            _ => Vec::new(),
        };
        let (applied, pending) = migrations::compare(place, &self.engine.migrations(), remembered)?;
        Ok(MigrationStatus {
            kind: self.engine.kind(),
            server_version: answers.into_iter().next().unwrap_or_default(),
            place: place.to_owned(),
            applied,
            pending,
        })
    }

    async fn close(&self) {
        // A server that fell silent takes no leave; it notices by itself.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.engine.close())
            .await
            .is_err()
        {
            tracing::debug!(place = self.engine.place(), "closed without its answer");
        }
    }
}

#[cfg(test)]
impl Statements {
    /// Returns every statement, so that a test can prepare each; taken apart so that none is forgotten.
    pub(super) fn all(&self) -> Vec<&'static str> {
        let Self {
            server_version,
            has_migrations,
            applied_migrations,
            challenges,
            targets,
            tokens,
            assignments,
            insert_pass,
            insert_pass_keys,
            prune_passes,
            list_passes,
            get_pass,
            get_pass_keys,
            hold_chain,
            read_chain,
            read_links,
            write_links,
            advance_chain,
            acts,
            conditions,
            health,
            rollouts,
            snapshots,
            get_digests,
            write_digest,
            prune_digests,
            read_fence,
            take_fence,
            hold_fence,
        } = self;
        let ActStatements {
            read_suspensions,
            suspend,
            resume,
            insert,
            prune,
            end,
            pending,
            list,
        } = acts;
        let of_acts = [
            read_suspensions,
            suspend,
            resume,
            insert,
            prune,
            end,
            pending,
            list,
        ];
        let RolloutStatements {
            read,
            write,
            prune,
            retry,
        } = rollouts;
        let of_rollouts = [read, write, prune, retry];
        let tables = [challenges, targets, tokens, assignments];
        let of_tables = tables.into_iter().flat_map(|table| {
            let RowStatements {
                read,
                write,
                delete,
            } = table;
            [*read, *write, *delete]
        });
        let others = [
            server_version,
            has_migrations,
            applied_migrations,
            insert_pass,
            insert_pass_keys,
            prune_passes,
            list_passes,
            get_pass,
            get_pass_keys,
            hold_chain,
            read_chain,
            read_links,
            write_links,
            advance_chain,
            get_digests,
            write_digest,
            prune_digests,
            read_fence,
            take_fence,
            hold_fence,
        ];
        let others = others
            .into_iter()
            .chain(of_acts)
            .chain(of_rollouts)
            .copied();
        let kept = conditions.all().into_iter().chain(snapshots.all());
        let kept = kept.chain(health.all());
        of_tables.chain(others).chain(kept).collect()
    }
}

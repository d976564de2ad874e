//! What the database does, once for both engines: each call is a list of statements in one transaction.
//!
//! Statements take and give text, one column of JSON a row; the casts to native types are in the SQL.
//! So an engine is no more than its statements, its connections and its migrations.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::migrate::Migrator;
use tokio::sync::Notify;

use super::acts;
use super::error::translate;
use super::group_commit::GroupCommit;
use super::migrations::{self, DatabaseKind, Remembered};
use super::passes::{fitted, stamp};
use super::statements::Statements;
use super::{Database, DatabaseError, MigrationStatus, ResolvedDigest, revision_id, rows};
use crate::model::act::{Act, ActKind, ActRecord, Suspension, Suspensions};
use crate::model::chain::Chain;
use crate::model::pass::{Begun, BegunPass, PassRecord, PassSummary};
use crate::model::rollout::Rollouts;
use crate::model::{Digest, FenceToken, ImageRef, Revision, Row, RowKey, Scope, Slug, TargetId};

/// How long one call may take with everything it waits for; the server's own limits are shorter.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long taking leave may take; the usual one takes milliseconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most rows of a table, and the most images, that one call handles: far above what a subnet has.
pub(super) const MAX_ROWS: usize = 10_000;

/// The most passes, or acts, in one answer.
pub(super) const MAX_PAGE: u32 = 1000;

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

    /// Returns once another process may have kept a push; waits for ever where nobody would tell.
    async fn push_told(&self);

    /// Closes the connections.
    async fn close(&self);
}

/// How much history is kept. Without the number of keys, passes that fail for weeks would fill the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) passes: u64,
    pub(super) keys: u64,
    /// Weight vectors of one subnet.
    pub(super) snapshots: u64,
    /// Bytes of their documents: what a disk must have room for. The newest stays, however large; the newest five hundred
    /// do, as none is over 16 MiB, so that one of a wrong clock takes nobody's vector away that is still good.
    pub(super) snapshot_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            passes: 10_000,
            keys: 500_000,
            // 41 days of one every six minutes.
            snapshots: 10_000,
            // 30 days of documents of 1 MiB, those of some 15 000 scores.
            snapshot_bytes: 8 << 30,
        }
    }
}

/// The database over an engine.
pub(super) struct Store<E> {
    pub(super) engine: E,
    pub(super) retention: Retention,
    pub(super) group: GroupCommit,
    /// The number of the next part of a pass that is begun.
    pub(super) parts: AtomicI64,
    /// Told of each push that this process kept.
    pub(super) pushed: Notify,
}

type NameRow = fn(String) -> Option<RowKey>;

impl<E: Engine> Store<E> {
    pub(super) fn new(engine: E) -> Self {
        Self {
            engine,
            retention: Retention::default(),
            group: GroupCommit::default(),
            parts: AtomicI64::default(),
            pushed: Notify::new(),
        }
    }

    /// Applies pending migrations.
    pub(super) async fn migrate(&self) -> Result<(), DatabaseError> {
        self.engine.migrate().await
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

    async fn begin_pass(
        &self,
        token: FenceToken,
        pass: &BegunPass,
    ) -> Result<Begun, DatabaseError> {
        self.open_pass(token, pass).await
    }

    async fn record_pass(
        &self,
        token: FenceToken,
        pass: &PassRecord,
        begun: &[Begun],
    ) -> Result<i64, DatabaseError> {
        self.keep_pass(token, pass, begun).await
    }

    async fn begun_passes(&self) -> Result<u64, DatabaseError> {
        self.count_open_passes().await
    }

    async fn passes(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<PassSummary>, DatabaseError> {
        self.list_passes(limit, before).await
    }

    async fn pass(&self, id: i64) -> Result<Option<PassRecord>, DatabaseError> {
        self.read_pass(id).await
    }

    async fn verify_passes(&self) -> Result<Chain, DatabaseError> {
        self.verify_chain().await
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

    async fn controller_suspension(&self) -> Result<Option<Suspension>, DatabaseError> {
        let sql = self.engine.statements().acts.read_controller;
        let doing = "reading whether the controller is suspended";
        let texts = self.one(Access::Read, doing, sql, Vec::new()).await?;
        let parse = |text: &String| self.parse("the controller's row of table suspensions", text);
        texts.first().map(parse).transpose()
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

    async fn take_fence(&self, now: Timestamp) -> Result<FenceToken, DatabaseError> {
        let all = self.engine.statements();
        // Counted by a statement of its own: it sees what was begun while the first one waited for its row.
        let calls = [all.take_fence, all.open_passes.count].map(|sql| Call::new(sql, Vec::new()));
        let doing = "taking the turn to write";
        let answers = self.run(Access::Write, doing, calls.into()).await?.concat();
        let token = self.parse_token(&answers)?;
        if self.parse_count(answers.get(1))? > 0 {
            self.record_interrupted(token, now).await?;
        }
        Ok(token)
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
mod tests {
    use super::*;

    #[test]
    fn thirty_days_of_weights_are_kept_where_a_document_has_a_mebibyte() {
        const MADE: u64 = 30 * 24 * 60 / 6;
        let retention = Retention::default();
        assert!(retention.snapshots >= MADE);
        assert!(retention.snapshot_bytes >= MADE << 20);
    }
}

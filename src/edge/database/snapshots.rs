//! The weight vectors that were published: kept as they were served, the newest of each subnet on top; and why there
//! is none newer, where whoever makes them knows.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::DatabaseError;
use super::passes::{fitted, stamp};
use super::store::{Access, Call, Engine, Store};
use crate::model::snapshot::{Outage, Snapshot, SnapshotSummary, latest_believed};

/// How many make room at a time: deleting a gibibyte at once could take longer than a call may.
const MAX_PRUNED: u32 = 100;

/// The most vectors in one answer.
const MAX_PAGE: u32 = 1000;

/// What is asked about published weight vectors.
#[async_trait]
pub trait WeightSnapshots: Send + Sync {
    /// Keeps a vector, unless one as new or newer of the same subnet is there; tells whether it did. One from further in
    /// the future than can be is not counted as newer: whoever made it had a wrong clock, and nobody could replace it
    /// until that time.
    ///
    /// # Errors
    /// The database did not answer; nothing was kept.
    async fn keep_weights(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<bool, DatabaseError>;

    /// Has the vectors of a subnet make room that were kept first, a hundred at most. What has been kept since counts,
    /// and not when it says that it was made: a clock that is ahead makes no other vector old. The newest stays.
    ///
    /// # Errors
    /// The database did not answer; the next time will do.
    async fn drop_oldest_weights(&self, netuid: u16) -> Result<(), DatabaseError>;

    /// Keeps why there is no newer vector of a subnet, until one is kept.
    ///
    /// # Errors
    /// The database did not answer.
    async fn keep_outage(
        &self,
        netuid: u16,
        outage: Outage,
        now: Timestamp,
    ) -> Result<(), DatabaseError>;

    /// Returns why there is no newer vector of a subnet. A reason that this program has no name for is none.
    ///
    /// # Errors
    /// The database did not answer.
    async fn outage(&self, netuid: u16) -> Result<Option<Outage>, DatabaseError>;

    /// Returns the newest vector of a subnet that can be of now or before, if it is newer than `after`.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can read.
    async fn newest_weights(
        &self,
        netuid: u16,
        after: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, DatabaseError>;

    /// Returns the vector of a subnet that was made at this time, if it is still kept.
    ///
    /// # Errors
    /// As [`WeightSnapshots::newest_weights`].
    async fn weights_of(
        &self,
        netuid: u16,
        computed_at: Timestamp,
    ) -> Result<Option<Snapshot>, DatabaseError>;

    /// Returns up to `limit` (at most 1000) vectors of a subnet without their documents, newest first.
    ///
    /// # Errors
    /// As [`WeightSnapshots::newest_weights`].
    async fn weights_history(
        &self,
        netuid: u16,
        limit: u32,
    ) -> Result<Vec<SnapshotSummary>, DatabaseError>;
}

/// The SQL about them.
pub(super) struct SnapshotStatements {
    /// A snapshot, the latest time that counts as newer; gives a row when it was kept.
    pub(super) insert: &'static str,
    /// Subnet, how many are kept, how many bytes, how many make room at a time.
    pub(super) prune: &'static str,
    /// Subnet, a time that it is after, and one that it is not.
    pub(super) newest: &'static str,
    /// Subnet, time.
    pub(super) get: &'static str,
    /// Subnet, limit.
    pub(super) list: &'static str,
    /// Subnet, outage, time.
    pub(super) write_outage: &'static str,
    /// Subnet; gives the outage.
    pub(super) read_outage: &'static str,
    /// Subnet.
    pub(super) end_outage: &'static str,
}

#[cfg(test)]
impl SnapshotStatements {
    /// Returns every statement.
    pub(super) fn all(&self) -> [&'static str; 8] {
        let Self {
            insert,
            prune,
            newest,
            get,
            list,
            write_outage,
            read_outage,
            end_outage,
        } = self;
        [
            insert,
            prune,
            newest,
            get,
            list,
            write_outage,
            read_outage,
            end_outage,
        ]
    }
}

/// PostgreSQL's.
pub(super) const POSTGRES: SnapshotStatements = SnapshotStatements {
    insert: "
        insert into weight_snapshots (
            netuid, computed_at, expires_at, revision, metagraph_block, metagraph_updated_at,
            inputs_digest, document, document_bytes, explanation)
        select (d ->> 'netuid')::integer, (d ->> 'computed_at')::timestamptz,
            (d ->> 'expires_at')::timestamptz, d ->> 'revision', (d ->> 'metagraph_block')::bigint,
            (d ->> 'metagraph_updated_at')::timestamptz, d ->> 'inputs_digest',
            (d ->> 'document')::json, (d ->> 'document_bytes')::bigint, (d ->> 'explanation')::json
        from (select $1::text::json as d) as document
        where not exists (
            select 1 from weight_snapshots
            where netuid = (d ->> 'netuid')::integer
                and computed_at >= (d ->> 'computed_at')::timestamptz
                and computed_at <= $2::text::timestamptz)
        on conflict (netuid, computed_at) do nothing
        returning id::text",
    prune: "
        delete from weight_snapshots where id in (
            select id from (
                select id, row_number() over newest as place,
                    sum(document_bytes) over newest as bytes
                from weight_snapshots where netuid = $1::text::integer
                window newest as (order by id desc rows unbounded preceding)) as kept
            where place > 1 and (place > $2::text::bigint or bytes > $3::text::bigint)
            order by place desc limit $4::text::bigint)",
    newest: r#"
        select json_build_object(
            'netuid', netuid,
            'computed_at', to_char(computed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'expires_at', to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', to_char(metagraph_updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'inputs_digest', inputs_digest,
            'document', document::text, 'explanation', explanation)::text
        from weight_snapshots
        where netuid = $1::text::integer and computed_at > $2::text::timestamptz
            and computed_at <= $3::text::timestamptz
        order by computed_at desc limit 1"#,
    get: r#"
        select json_build_object(
            'netuid', netuid,
            'computed_at', to_char(computed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'expires_at', to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', to_char(metagraph_updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'inputs_digest', inputs_digest,
            'document', document::text, 'explanation', explanation)::text
        from weight_snapshots
        where netuid = $1::text::integer and computed_at = $2::text::timestamptz"#,
    list: r#"
        select json_build_object(
            'netuid', netuid,
            'computed_at', to_char(computed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'expires_at', to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', to_char(metagraph_updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'inputs_digest', inputs_digest)::text
        from weight_snapshots where netuid = $1::text::integer
        order by computed_at desc limit $2::text::bigint"#,
    write_outage: "
        insert into weight_outages (netuid, outage, since)
        values ($1::text::integer, $2, $3::text::timestamptz)
        on conflict (netuid) do update set outage = excluded.outage, since = excluded.since
        where weight_outages.outage <> excluded.outage",
    read_outage: "select outage from weight_outages where netuid = $1::text::integer",
    end_outage: "delete from weight_outages where netuid = $1::text::integer",
};

/// SQLite's.
pub(super) const SQLITE: SnapshotStatements = SnapshotStatements {
    insert: "
        insert into weight_snapshots (
            netuid, computed_at, expires_at, revision, metagraph_block, metagraph_updated_at,
            inputs_digest, document, document_bytes, explanation)
        select ?1 ->> 'netuid', ?1 ->> 'computed_at', ?1 ->> 'expires_at', ?1 ->> 'revision',
            ?1 ->> 'metagraph_block', ?1 ->> 'metagraph_updated_at', ?1 ->> 'inputs_digest',
            ?1 ->> 'document', ?1 ->> 'document_bytes', ?1 ->> 'explanation'
        where not exists (
            select 1 from weight_snapshots
            where netuid = ?1 ->> 'netuid' and computed_at >= ?1 ->> 'computed_at'
                and computed_at <= ?2)
        returning cast(id as text)",
    prune: "
        delete from weight_snapshots where id in (
            select id from (
                select id, row_number() over newest as place,
                    sum(document_bytes) over newest as bytes
                from weight_snapshots where netuid = cast(?1 as integer)
                window newest as (order by id desc rows unbounded preceding))
            where place > 1 and (place > cast(?2 as integer) or bytes > cast(?3 as integer))
            order by place desc limit cast(?4 as integer))",
    newest: "
        select json_object(
            'netuid', netuid, 'computed_at', computed_at, 'expires_at', expires_at,
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', metagraph_updated_at, 'inputs_digest', inputs_digest,
            'document', document, 'explanation', json(explanation))
        from weight_snapshots
        where netuid = cast(?1 as integer) and computed_at > ?2 and computed_at <= ?3
        order by computed_at desc limit 1",
    get: "
        select json_object(
            'netuid', netuid, 'computed_at', computed_at, 'expires_at', expires_at,
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', metagraph_updated_at, 'inputs_digest', inputs_digest,
            'document', document, 'explanation', json(explanation))
        from weight_snapshots where netuid = cast(?1 as integer) and computed_at = ?2",
    list: "
        select json_object(
            'netuid', netuid, 'computed_at', computed_at, 'expires_at', expires_at,
            'revision', revision, 'metagraph_block', metagraph_block,
            'metagraph_updated_at', metagraph_updated_at, 'inputs_digest', inputs_digest)
        from weight_snapshots where netuid = cast(?1 as integer)
        order by computed_at desc limit cast(?2 as integer)",
    write_outage: "
        insert into weight_outages (netuid, outage, since) values (cast(?1 as integer), ?2, ?3)
        on conflict (netuid) do update set outage = excluded.outage, since = excluded.since
        where weight_outages.outage <> excluded.outage",
    read_outage: "select outage from weight_outages where netuid = cast(?1 as integer)",
    end_outage: "delete from weight_outages where netuid = cast(?1 as integer)",
};

#[async_trait]
impl<E: Engine> WeightSnapshots for Store<E> {
    async fn keep_weights(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let all = &self.engine.statements().snapshots;
        let netuid = snapshot.summary.netuid;
        let calls = vec![
            Call {
                is_guard: true,
                ..Call::new(
                    all.insert,
                    vec![document(snapshot), stamp(latest_believed(now))],
                )
            },
            Call::new(all.end_outage, vec![netuid.to_string()]),
        ];
        let answers = self.run(Access::Write, "keeping weights", calls).await?;
        Ok(answers.first().is_some_and(|rows| !rows.is_empty()))
    }

    async fn drop_oldest_weights(&self, netuid: u16) -> Result<(), DatabaseError> {
        let sql = self.engine.statements().snapshots.prune;
        let arguments = vec![
            netuid.to_string(),
            self.retention.snapshots.to_string(),
            self.retention.snapshot_bytes.to_string(),
            MAX_PRUNED.to_string(),
        ];
        let doing = "dropping the oldest weights";
        self.one(Access::Write, doing, sql, arguments).await?;
        Ok(())
    }

    async fn keep_outage(
        &self,
        netuid: u16,
        outage: Outage,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let sql = self.engine.statements().snapshots.write_outage;
        let arguments = vec![netuid.to_string(), outage.as_str().to_owned(), stamp(now)];
        let doing = "keeping why there are no weights";
        self.one(Access::Write, doing, sql, arguments).await?;
        Ok(())
    }

    async fn outage(&self, netuid: u16) -> Result<Option<Outage>, DatabaseError> {
        let sql = self.engine.statements().snapshots.read_outage;
        let arguments = vec![netuid.to_string()];
        let texts = self.one(Access::Read, READING, sql, arguments).await?;
        Ok(texts.first().and_then(|word| Outage::parse(word)))
    }

    async fn newest_weights(
        &self,
        netuid: u16,
        after: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, DatabaseError> {
        let sql = self.engine.statements().snapshots.newest;
        let after = after.unwrap_or(Timestamp::UNIX_EPOCH);
        let until = latest_believed(now);
        self.snapshot(sql, vec![netuid.to_string(), stamp(after), stamp(until)])
            .await
    }

    async fn weights_of(
        &self,
        netuid: u16,
        computed_at: Timestamp,
    ) -> Result<Option<Snapshot>, DatabaseError> {
        let sql = self.engine.statements().snapshots.get;
        self.snapshot(sql, vec![netuid.to_string(), stamp(computed_at)])
            .await
    }

    async fn weights_history(
        &self,
        netuid: u16,
        limit: u32,
    ) -> Result<Vec<SnapshotSummary>, DatabaseError> {
        let sql = self.engine.statements().snapshots.list;
        let arguments = vec![netuid.to_string(), limit.min(MAX_PAGE).to_string()];
        let texts = self.one(Access::Read, READING, sql, arguments).await?;
        self.parse_all(ROW, &texts)
    }
}

const READING: &str = "reading weights";
const ROW: &str = "a row of table weight_snapshots";

impl<E: Engine> Store<E> {
    async fn snapshot(
        &self,
        sql: &'static str,
        arguments: Vec<String>,
    ) -> Result<Option<Snapshot>, DatabaseError> {
        let mut texts = self.one(Access::Read, READING, sql, arguments).await?;
        let Some(text) = texts.pop() else {
            return Ok(None);
        };
        // A large document takes a while, and the process serves meanwhile.
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_str(&text).ok());
        let parsed = parsed.await.ok().flatten();
        parsed
            .map(Some)
            .ok_or_else(|| self.unreadable(ROW.to_owned()))
    }
}

fn document(snapshot: &Snapshot) -> String {
    let summary = &snapshot.summary;
    json!({
        "netuid": summary.netuid,
        "computed_at": stamp(summary.computed_at),
        "expires_at": stamp(summary.expires_at),
        "revision": fitted(&summary.revision, 100),
        "metagraph_block": summary.metagraph_block.and_then(|block| i64::try_from(block).ok()),
        "metagraph_updated_at": stamp(summary.metagraph_updated_at),
        "inputs_digest": fitted(&summary.inputs_digest, 100),
        "document": snapshot.document,
        "document_bytes": snapshot.document.len(),
        "explanation": snapshot.explanation.to_string(),
    })
    .to_string()
}

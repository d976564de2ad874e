//! PostgreSQL 13 or newer: native types, limits set on the server side, migrations under an advisory lock.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use super::acts::ActStatements;
use super::conditions;
use super::error::{translate, translate_migration};
use super::health;
use super::location::Server;
use super::migrations::{self, DatabaseKind, Source};
use super::network;
use super::open_passes;
use super::pushes;
use super::rollouts::RolloutStatements;
use super::snapshots;
use super::statements::{RowStatements, Statements};
use super::store::{Access, Call, Engine};
use super::{DatabaseError, Mode, transaction};

const MIGRATIONS: [Source; 14] = [
    (
        1,
        "registry",
        include_str!("migrations/postgres/0001_registry.sql"),
    ),
    (
        2,
        "passes",
        include_str!("migrations/postgres/0002_passes.sql"),
    ),
    (
        3,
        "fence",
        include_str!("migrations/postgres/0003_fence.sql"),
    ),
    (
        4,
        "chain",
        include_str!("migrations/postgres/0004_chain.sql"),
    ),
    (5, "acts", include_str!("migrations/postgres/0005_acts.sql")),
    (
        6,
        "conditions",
        include_str!("migrations/postgres/0006_conditions.sql"),
    ),
    (
        7,
        "weights",
        include_str!("migrations/postgres/0007_weights.sql"),
    ),
    (
        8,
        "rollouts",
        include_str!("migrations/postgres/0008_rollouts.sql"),
    ),
    (
        9,
        "health",
        include_str!("migrations/postgres/0009_health.sql"),
    ),
    (
        10,
        "open passes",
        include_str!("migrations/postgres/0010_open_passes.sql"),
    ),
    (
        11,
        "outages",
        include_str!("migrations/postgres/0011_outages.sql"),
    ),
    (
        12,
        "network",
        include_str!("migrations/postgres/0012_network.sql"),
    ),
    (
        13,
        "sizes",
        include_str!("migrations/postgres/0013_sizes.sql"),
    ),
    (
        14,
        "pushes",
        include_str!("migrations/postgres/0014_pushes.sql"),
    ),
];

/// How long connecting may take, and how long a call waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long migrations may take with the wait for another process that applies them.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections of one process: with a few replicas of a few roles still below a server's default of 100.
const MAX_CONNECTIONS: u32 = 8;

/// Where a kept act is told of; the statement that keeps one names it too.
const ACTS: &str = "platform_acts";
/// As [`ACTS`], for announced pushes.
const PUSHES: &str = "platform_pushes";

/// A PostgreSQL database.
pub(super) struct Postgres {
    pub(super) pool: PgPool,
    acts: Ear,
    pushes: Ear,
    options: PgConnectOptions,
    place: String,
}

impl Postgres {
    /// Connects once, so that a wrong password or name shows at once and as such, and makes the pool.
    pub(super) async fn open(server: Server, mode: Mode) -> Result<Self, DatabaseError> {
        let Server { options, place } = server;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("platform"),
        };
        let options = options.disable_statement_logging();
        let limited = options.clone().options([
            ("statement_timeout", "15000"),
            ("lock_timeout", "5000"),
            // No transaction waits for anything but its own statements; one that does belongs to a process
            // that was stopped, and must not keep the next one from its turn.
            ("idle_in_transaction_session_timeout", "2000"),
        ]);
        let limited = match mode {
            Mode::ReadOnly => limited.options([("default_transaction_read_only", "on")]),
            Mode::Migrate => limited,
        };
        let probe = connect(&place, &limited, CONNECT_TIMEOUT).await?;
        probe
            .close()
            .await
            .map_err(|error| translate(&place, "connecting", &error))?;
        let pool = PoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(limited);
        Ok(Self {
            pool,
            acts: Ear::at(ACTS),
            pushes: Ear::at(PUSHES),
            options,
            place,
        })
    }
}

pub(super) async fn connect(
    place: &str,
    options: &PgConnectOptions,
    limit: Duration,
) -> Result<PgConnection, DatabaseError> {
    match tokio::time::timeout(limit, options.connect()).await {
        Ok(connected) => connected.map_err(|error| translate(place, "connecting", &error)),
        Err(_) => Err(DatabaseError::Timeout {
            place: place.to_owned(),
            doing: "connecting",
            seconds: limit.as_secs(),
        }),
    }
}

#[async_trait]
impl Engine for Postgres {
    fn place(&self) -> &str {
        &self.place
    }

    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Postgres
    }

    fn statements(&self) -> &'static Statements {
        &STATEMENTS
    }

    fn migrations(&self) -> Migrator {
        migrations::migrator(&MIGRATIONS)
    }

    async fn run(&self, access: Access, calls: Vec<Call>) -> Result<Vec<Vec<String>>, sqlx::Error> {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN",
        };
        transaction::run(&self.pool, begin, calls).await
    }

    async fn migrate(&self) -> Result<(), DatabaseError> {
        let known = self.migrations();
        // A connection of its own, without the short limits: it waits for the lock, and the lock ends with it.
        let mut connection = connect(&self.place, &self.options, CONNECT_TIMEOUT).await?;
        let run = known.run_direct(None, &mut connection, false);
        match tokio::time::timeout(MIGRATE_TIMEOUT, run).await {
            Ok(done) => done.map_err(|error| {
                translate_migration(&self.place, migrations::newest(&known), &error)
            })?,
            Err(_) => {
                return Err(DatabaseError::Timeout {
                    place: self.place.clone(),
                    doing: "applying migrations",
                    seconds: MIGRATE_TIMEOUT.as_secs(),
                });
            }
        }
        connection
            .close()
            .await
            .map_err(|error| translate(&self.place, "applying migrations", &error))
    }

    async fn act_told(&self) {
        self.acts.told(&self.pool).await;
    }

    async fn push_told(&self) {
        self.pushes.told(&self.pool).await;
    }

    async fn close(&self) {
        self.acts.close();
        self.pushes.close();
        self.pool.close().await;
    }
}

/// Listens to what is said at one place, on a connection of its own.
struct Ear {
    channel: &'static str,
    /// Made when somebody wants to be told.
    listener: Mutex<Option<PgListener>>,
}

impl Ear {
    fn at(channel: &'static str) -> Self {
        Self {
            channel,
            listener: Mutex::default(),
        }
    }

    /// Returns once something may have been said; waits for ever where it cannot be listened to.
    async fn told(&self, pool: &PgPool) {
        let mut listener = self.listener.lock().await;
        if let Err(error) = self.listen(pool, &mut listener).await {
            tracing::debug!(%error, channel = self.channel, "nothing is told until the next try");
            *listener = None;
            std::future::pending::<()>().await;
        }
    }

    /// Returns once something was said, or may have been: the connection was lost or is new.
    async fn listen(
        &self,
        pool: &PgPool,
        listener: &mut Option<PgListener>,
    ) -> Result<(), sqlx::Error> {
        let Some(listening) = listener else {
            let mut listening = PgListener::connect_with(pool).await?;
            listening.eager_reconnect(false);
            listening.listen(self.channel).await?;
            *listener = Some(listening);
            return Ok(());
        };
        if listening.try_recv().await?.is_none() {
            *listener = None;
        }
        Ok(())
    }

    /// Lets the connection go, which would be waited for. Where somebody listens just now, it ends with the pool.
    fn close(&self) {
        if let Ok(mut listener) = self.listener.try_lock() {
            *listener = None;
        }
    }
}

static STATEMENTS: Statements = Statements {
    server_version: "select current_setting('server_version')",
    has_migrations: "
        select case
            when to_regclass('_sqlx_migrations') is not null then 'true'
            when coalesce(
                to_regclass('challenges'), to_regclass('kubernetes_targets'),
                to_regclass('challenge_tokens'), to_regclass('target_assignments'),
                to_regclass('passes'), to_regclass('pass_keys'), to_regclass('image_digests'),
                to_regclass('suspensions'), to_regclass('acts'), to_regclass('rollouts')
            ) is not null then 'foreign'
            else 'false' end",
    applied_migrations: r#"
        select json_build_array(
            version, description, encode(checksum, 'hex'),
            to_char(installed_on at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
        from _sqlx_migrations order by version"#,
    challenges: RowStatements {
        read: "
            select json_build_array(slug, json_build_object(
                'name', name, 'description', description, 'status', status,
                'emission_percent', trim_scale(emission_percent)::text, 'version', version,
                'api_version', api_version, 'image', image,
                'internal_base_url', internal_base_url, 'spec', spec))::text
            from challenges
            where $1::text = '' or slug in (
                select jsonb_array_elements_text(nullif($1::text, '')::jsonb))
            order by slug limit 10001",
        write: "
            insert into challenges (
                slug, name, description, status, emission_percent, version, api_version,
                image, internal_base_url, spec, revision, created_at, updated_at)
            select
                $1::text, d ->> 'name', d ->> 'description', d ->> 'status',
                (d ->> 'emission_percent')::numeric(8, 4), d ->> 'version', d ->> 'api_version',
                d ->> 'image', d ->> 'internal_base_url', d -> 'spec', $3::text,
                $4::text::timestamptz, $4::text::timestamptz
            from (select $2::text::jsonb as d) as document
            on conflict (slug) do update set
                name = excluded.name, description = excluded.description,
                status = excluded.status, emission_percent = excluded.emission_percent,
                version = excluded.version, api_version = excluded.api_version,
                image = excluded.image, internal_base_url = excluded.internal_base_url,
                spec = excluded.spec, revision = excluded.revision,
                updated_at = excluded.updated_at",
        delete: "delete from challenges where slug = $1::text",
    },
    targets: RowStatements {
        read: "
            select json_build_array(id, json_build_object(
                'mode', mode, 'enabled', enabled, 'draining', draining, 'verify_tls', verify_tls,
                'gpu_count', gpu_count, 'spec', spec))::text
            from kubernetes_targets where $1::text = '' order by id limit 10001",
        write: "
            insert into kubernetes_targets (
                id, mode, enabled, draining, verify_tls, gpu_count, spec, revision,
                created_at, updated_at)
            select
                $1::text, d ->> 'mode', (d ->> 'enabled')::boolean, (d ->> 'draining')::boolean,
                (d ->> 'verify_tls')::boolean, (d ->> 'gpu_count')::bigint, d -> 'spec', $3::text,
                $4::text::timestamptz, $4::text::timestamptz
            from (select $2::text::jsonb as d) as document
            on conflict (id) do update set
                mode = excluded.mode, enabled = excluded.enabled, draining = excluded.draining,
                verify_tls = excluded.verify_tls, gpu_count = excluded.gpu_count,
                spec = excluded.spec, revision = excluded.revision,
                updated_at = excluded.updated_at",
        delete: "delete from kubernetes_targets where id = $1::text",
    },
    tokens: RowStatements {
        read: "
            select json_build_array(slug, json_build_object(
                'token_hash', token_hash, 'token_hint', token_hint,
                'broker_token_hash', broker_token_hash,
                'broker_token_hint', broker_token_hint))::text
            from challenge_tokens
            where $1::text = '' or slug in (
                select jsonb_array_elements_text(nullif($1::text, '')::jsonb))
            order by slug limit 10001",
        write: "
            insert into challenge_tokens (
                slug, token_hash, token_hint, broker_token_hash, broker_token_hint, revision,
                created_at, updated_at)
            select
                $1::text, d ->> 'token_hash', d ->> 'token_hint', d ->> 'broker_token_hash',
                d ->> 'broker_token_hint', $3::text, $4::text::timestamptz, $4::text::timestamptz
            from (select $2::text::jsonb as d) as document
            on conflict (slug) do update set
                token_hash = excluded.token_hash, token_hint = excluded.token_hint,
                broker_token_hash = excluded.broker_token_hash,
                broker_token_hint = excluded.broker_token_hint,
                revision = excluded.revision, updated_at = excluded.updated_at",
        delete: "delete from challenge_tokens where slug = $1::text",
    },
    assignments: RowStatements {
        read: "
            select json_build_array(
                slug, json_build_object('target', target, 'gpu_count', gpu_count))::text
            from target_assignments
            where $1::text = '' or slug in (
                select jsonb_array_elements_text(nullif($1::text, '')::jsonb))
            order by slug limit 10001",
        write: "
            insert into target_assignments (slug, target, gpu_count, revision, assigned_at)
            select
                $1::text, d ->> 'target', (d ->> 'gpu_count')::bigint, $3::text,
                $4::text::timestamptz
            from (select $2::text::jsonb as d) as document
            on conflict (slug) do update set
                target = excluded.target, gpu_count = excluded.gpu_count,
                revision = excluded.revision, assigned_at = excluded.assigned_at",
        delete: "delete from target_assignments where slug = $1::text",
    },
    insert_pass: "
        insert into passes (
            id, previous, hash, started_at, finished_at, source, revision_digest, commit_id, commit_subject, actor,
            plan_digest, outcome, counts, key_count)
        overriding system value
        select
            (d ->> 'id')::bigint, d ->> 'previous', d ->> 'hash',
            (d ->> 'started_at')::timestamptz, (d ->> 'finished_at')::timestamptz, d ->> 'source',
            d ->> 'revision_digest', d ->> 'commit_id', d ->> 'commit_subject', d ->> 'actor',
            d ->> 'plan_digest', d ->> 'outcome', d -> 'counts', (d ->> 'key_count')::bigint
        from (select $1::text::jsonb as d) as document
        returning json_build_array(id, hash)::text",
    insert_pass_keys: "
        insert into pass_keys (pass_id, seq, key, slug, action, outcome, why)
        select (select max(id) from passes), seq - 1, d ->> 'key', d ->> 'slug',
            d ->> 'action', d ->> 'outcome', d ->> 'why'
        from jsonb_array_elements($1::text::jsonb) with ordinality as e (d, seq)",
    prune_passes: "
        delete from passes where id in (
            select id from (
                select id, row_number() over newest as passes, sum(key_count) over newest as keys
                from passes window newest as (order by id desc rows unbounded preceding)) as counted
            where passes > $1::text::bigint or (keys > $2::text::bigint and passes > 1))
        returning id::text",
    list_passes: r#"
        select json_build_object(
            'id', id,
            'started_at', to_char(started_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'finished_at', to_char(finished_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'source', source,
            'revision', json_build_object('digest', revision_digest, 'commit',
                case when commit_id is not null
                then json_build_object('id', commit_id, 'subject', commit_subject) end),
            'actor', actor, 'plan_digest', plan_digest, 'outcome', outcome,
            'counts', counts, 'key_count', key_count,
            'chain', json_build_object('previous', previous, 'hash', hash))::text
        from passes where id < $1::text::bigint order by id desc limit $2::text::bigint"#,
    get_pass: r#"
        select json_build_object(
            'id', id,
            'started_at', to_char(started_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'finished_at', to_char(finished_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'source', source,
            'revision', json_build_object('digest', revision_digest, 'commit',
                case when commit_id is not null
                then json_build_object('id', commit_id, 'subject', commit_subject) end),
            'actor', actor, 'plan_digest', plan_digest, 'outcome', outcome,
            'counts', counts, 'key_count', key_count,
            'chain', json_build_object('previous', previous, 'hash', hash))::text
        from passes where id = $1::text::bigint"#,
    get_pass_keys: "
        select json_build_object(
            'key', key, 'slug', slug, 'action', action, 'outcome', outcome, 'why', why)::text
        from pass_keys where pass_id = $1::text::bigint order by seq",
    hold_chain: "
        insert into pass_chain (hash, newest, kept)
        values ($1::text, 0, 0)
        on conflict (is_only) do update set is_only = excluded.is_only
        returning json_build_object('hash', hash, 'newest', newest, 'kept', kept,
            'first', (select min(id) from passes), 'last', (select max(id) from passes))::text",
    read_chain: "
        select json_build_object('hash', coalesce(hash, ''), 'newest', coalesce(newest, 0),
            'kept', coalesce(kept, 0),
            'first', (select min(id) from passes), 'last', (select max(id) from passes))::text
        from (select 1) as always left join pass_chain on true",
    read_links: r#"
        select json_build_object('id', id, 'previous', previous, 'hash', hash,
            'head', json_build_object(
                'started_at',
                to_char(started_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'finished_at',
                to_char(finished_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'source', source, 'revision_digest', revision_digest, 'commit_id', commit_id,
                'commit_subject', commit_subject, 'actor', actor, 'plan_digest', plan_digest,
                'outcome', outcome, 'counts', counts, 'key_count', key_count),
            'keys', (
                select coalesce(json_agg(json_build_object(
                    'key', key, 'slug', slug, 'action', action, 'outcome', outcome, 'why', why)
                    order by seq), '[]')
                from pass_keys where pass_id = passes.id))::text
        from passes where id > $1::text::bigint order by id limit $2::text::bigint"#,
    write_links: "
        update passes set previous = d ->> 'previous', hash = d ->> 'hash'
        from jsonb_array_elements($1::text::jsonb) as d where passes.id = (d ->> 'id')::bigint
        returning json_build_array(passes.id, passes.hash)::text",
    advance_chain: "
        update pass_chain set
            hash = $1::text, newest = $2::text::bigint, kept = kept + $3::text::bigint
        where newest < $2::text::bigint",
    acts: ActStatements {
        read_suspensions: r#"
            select json_build_array(slug, json_build_object('why', why, 'actor', actor,
                'since', to_char(since at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text
            from suspensions
            where slug <> '*' and ($1::text = '' or slug in (
                select jsonb_array_elements_text(nullif($1::text, '')::jsonb)))
            order by slug limit 10001"#,
        read_controller: r#"
            select json_build_object('why', why, 'actor', actor,
                'since', to_char(since at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
            from suspensions where slug = '*'"#,
        suspend: "
            insert into suspensions (slug, why, actor, since)
            select coalesce(d ->> 'slug', '*'), d ->> 'why', d ->> 'actor', (d ->> 'at')::timestamptz
            from (select $1::text::jsonb as d) as document
            on conflict (slug) do update set
                why = excluded.why, actor = excluded.actor, since = excluded.since",
        resume: "
            delete from suspensions where slug = coalesce($1::text::jsonb ->> 'slug', '*')",
        // Told once it is committed.
        insert: "
            with kept as (
                insert into acts (kind, slug, why, actor, at, outcome, ended_at)
                select d ->> 'kind', d ->> 'slug', d ->> 'why', d ->> 'actor',
                    (d ->> 'at')::timestamptz, d ->> 'outcome',
                    case when d ->> 'outcome' is not null then (d ->> 'at')::timestamptz end
                from (select $1::text::jsonb as d) as document
                returning id)
            select id::text from kept, pg_notify('platform_acts', '')",
        prune: "
            delete from acts where id in (
                select id from acts order by id desc offset $1::text::bigint)",
        end: "
            update acts set outcome = $2::text, ended_at = $3::text::timestamptz
            where id = $1::text::bigint and outcome is null",
        pending: r#"
            select json_build_object('id', id, 'kind', kind, 'slug', slug, 'why', why, 'actor', actor,
                'at', to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'outcome', outcome,
                'ended_at', to_char(ended_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
            from acts where outcome is null order by id limit 100"#,
        list: r#"
            select json_build_object('id', id, 'kind', kind, 'slug', slug, 'why', why, 'actor', actor,
                'at', to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'outcome', outcome,
                'ended_at', to_char(ended_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
            from acts order by id desc limit $1::text::bigint"#,
    },
    conditions: conditions::POSTGRES,
    rollouts: RolloutStatements {
        read: "
            select json_build_array(slug, json_build_object('good', good, 'failed', failed))::text
            from rollouts
            where $1::text = '' or slug in (
                select jsonb_array_elements_text(nullif($1::text, '')::jsonb))
            order by slug limit 10001",
        write: "
            insert into rollouts (slug, good, failed, updated_at)
            select d ->> 'slug', d ->> 'good', nullif(d -> 'failed', 'null'), $2::text::timestamptz
            from jsonb_array_elements($1::text::jsonb) as d
            on conflict (slug) do update set
                good = excluded.good, failed = excluded.failed, updated_at = excluded.updated_at",
        prune: "
            delete from rollouts where slug in (
                select slug from rollouts order by updated_at desc, slug offset $1::text::bigint)",
        retry: "update rollouts set failed = null where slug = $1::text::jsonb ->> 'slug'",
    },
    health: health::POSTGRES,
    network: network::POSTGRES,
    open_passes: open_passes::POSTGRES,
    pushes: pushes::POSTGRES,
    snapshots: snapshots::POSTGRES,
    get_digests: r#"
        select json_build_array(image, digest, revision,
            to_char(resolved_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
        from image_digests
        where image in (select jsonb_array_elements_text($1::text::jsonb))"#,
    write_digest: "
        insert into image_digests (image, digest, revision, resolved_at)
        values ($1::text, $2::text, $3::text, $4::text::timestamptz)
        on conflict (image) do update set
            digest = excluded.digest, revision = excluded.revision,
            resolved_at = excluded.resolved_at",
    prune_digests: "
        delete from image_digests where image in (
            select image from image_digests order by resolved_at desc, image
            offset $1::text::bigint)",
    read_fence: "select token::text from fence",
    take_fence: "update fence set token = token + 1 returning token::text",
    // Locked until the end of the write: a turn is taken before it or after it.
    hold_fence: "select token::text from fence where token = $1::text::bigint for share",
};

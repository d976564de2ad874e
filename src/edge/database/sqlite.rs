//! SQLite: a file of one machine, made with mode 0600, in WAL mode, never trading durability for speed.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::acts::ActStatements;
use super::conditions;
use super::error::{is_busy, translate, translate_migration};
use super::health;
use super::location::SqlitePath;
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
        include_str!("migrations/sqlite/0001_registry.sql"),
    ),
    (
        2,
        "passes",
        include_str!("migrations/sqlite/0002_passes.sql"),
    ),
    (3, "fence", include_str!("migrations/sqlite/0003_fence.sql")),
    (4, "chain", include_str!("migrations/sqlite/0004_chain.sql")),
    (5, "acts", include_str!("migrations/sqlite/0005_acts.sql")),
    (
        6,
        "conditions",
        include_str!("migrations/sqlite/0006_conditions.sql"),
    ),
    (
        7,
        "weights",
        include_str!("migrations/sqlite/0007_weights.sql"),
    ),
    (
        8,
        "rollouts",
        include_str!("migrations/sqlite/0008_rollouts.sql"),
    ),
    (
        9,
        "health",
        include_str!("migrations/sqlite/0009_health.sql"),
    ),
    (
        10,
        "open passes",
        include_str!("migrations/sqlite/0010_open_passes.sql"),
    ),
    (
        11,
        "outages",
        include_str!("migrations/sqlite/0011_outages.sql"),
    ),
    (
        12,
        "network",
        include_str!("migrations/sqlite/0012_network.sql"),
    ),
    (
        13,
        "sizes",
        include_str!("migrations/sqlite/0013_sizes.sql"),
    ),
    (
        14,
        "pushes",
        include_str!("migrations/sqlite/0014_pushes.sql"),
    ),
];

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long opening is tried while others hold the file, and how long a call waits for a connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked whether another process was told of a push.
const PUSH_POLL: Duration = Duration::from_millis(250);

/// Readers do not wait for each other in WAL mode; more of them than this gain nothing.
const MAX_CONNECTIONS: u32 = 4;

/// Held while this process makes the file. Closing any handle of a file drops this process's locks on
/// it, SQLite's included; so no connection may be opened until the maker's handle is closed.
static MAKING: Mutex<()> = Mutex::new(());

/// A SQLite database.
pub(super) struct Sqlite {
    pub(super) pool: SqlitePool,
    place: String,
    /// Writers of this process queue here, in order; SQLite's own waiting is by chance.
    writer: tokio::sync::Mutex<()>,
}

impl Sqlite {
    /// Opens the file; `None` when it is missing and not to be made.
    pub(super) async fn open(path: &SqlitePath, mode: Mode) -> Result<Option<Self>, DatabaseError> {
        let place = path.shown();
        let options = match path.file() {
            None => SqliteConnectOptions::new().in_memory(true),
            Some(file) => {
                let exists = match mode {
                    Mode::ReadOnly => file.try_exists(),
                    Mode::Migrate => make_file(file).map(|()| true),
                };
                if !exists.map_err(|error| cannot_open(&place, &error))? {
                    return Ok(None);
                }
                if file.is_dir() {
                    let why = "a directory has its name".to_owned();
                    return Err(DatabaseError::Unreachable { place, why });
                }
                SqliteConnectOptions::new().filename(plain(file))
            }
        };
        let options = options
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let options = match mode {
            // Not opened read-only: that would leave the WAL's two side files behind on closing.
            Mode::ReadOnly => options.pragma("query_only", "on"),
            Mode::Migrate => options,
        };
        if mode == Mode::Migrate && path.file().is_some() {
            switch_to_wal(&place, &options).await?;
        }
        Ok(Some(Self {
            pool: pool(path, options),
            place,
            writer: tokio::sync::Mutex::new(()),
        }))
    }
}

fn pool(path: &SqlitePath, options: SqliteConnectOptions) -> SqlitePool {
    let pool = PoolOptions::new().acquire_timeout(OPEN_TIMEOUT);
    match path {
        SqlitePath::File(_) => pool.max_connections(MAX_CONNECTIONS),
        // Each connection has a memory of its own, so there is one and it stays.
        SqlitePath::Memory => pool
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None),
    }
    .connect_lazy_with(options)
}

/// Makes the file, readable by its owner only from the first byte, unless it exists.
fn make_file(path: &Path) -> io::Result<()> {
    let _making = MAKING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

fn cannot_open(place: &str, error: &io::Error) -> DatabaseError {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "its directory does not exist".to_owned(),
        _ => error.to_string(),
    };
    DatabaseError::Unreachable {
        place: place.to_owned(),
        why,
    }
}

/// Keeps SQLite from reading a relative path as anything but a path.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// Sets the journal mode, which the file remembers. Two that set it at once get in each other's way
/// without waiting, so it is tried again.
async fn switch_to_wal(place: &str, options: &SqliteConnectOptions) -> Result<(), DatabaseError> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        let opened = match options.connect().await {
            Ok(connection) => connection.close().await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => return Ok(()),
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(translate(place, "opening it", &error)),
        }
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn place(&self) -> &str {
        &self.place
    }

    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Sqlite
    }

    fn statements(&self) -> &'static Statements {
        &STATEMENTS
    }

    fn migrations(&self) -> Migrator {
        migrations::migrator(&MIGRATIONS)
    }

    async fn run(&self, access: Access, calls: Vec<Call>) -> Result<Vec<Vec<String>>, sqlx::Error> {
        let (_turn, begin) = match access {
            Access::Read => (None, "BEGIN"),
            Access::Write => (Some(self.writer.lock().await), "BEGIN IMMEDIATE"),
        };
        transaction::run(&self.pool, begin, calls).await
    }

    async fn migrate(&self) -> Result<(), DatabaseError> {
        let known = self.migrations();
        let fail = |error: &sqlx::Error| translate(&self.place, "applying migrations", error);
        // One exclusive transaction around all of them: a second process waits here, and then finds nothing to do.
        let _turn = self.writer.lock().await;
        let mut all = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| fail(&error))?;
        known
            .run_direct(None, &mut *all, false)
            .await
            .map_err(|error| {
                translate_migration(&self.place, migrations::newest(&known), &error)
            })?;
        all.commit().await.map_err(|error| fail(&error))
    }

    async fn act_told(&self) {
        std::future::pending::<()>().await;
    }

    async fn push_told(&self) {
        // Nobody tells another process; the question that follows costs next to nothing.
        tokio::time::sleep(PUSH_POLL).await;
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

static STATEMENTS: Statements = Statements {
    server_version: "select sqlite_version()",
    has_migrations: "
        select iif(max(name = '_sqlx_migrations'), 'true', iif(count(*) > 0, 'foreign', 'false'))
        from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'",
    applied_migrations: "
        select json_array(
            version, description, hex(checksum), strftime('%Y-%m-%dT%H:%M:%SZ', installed_on))
        from _sqlx_migrations order by version",
    challenges: RowStatements {
        read: "
            select json_array(slug, json_object(
                'name', name, 'description', description, 'status', status,
                'emission_percent', emission_percent, 'version', version,
                'api_version', api_version, 'image', image,
                'internal_base_url', internal_base_url, 'spec', json(spec)))
            from challenges
            where ?1 = '' or slug in (select value from json_each(nullif(?1, '')))
            order by slug limit 10001",
        write: "
            insert into challenges (
                id, slug, name, description, status, emission_percent, version, api_version,
                image, internal_base_url, spec, revision, created_at, updated_at)
            values (
                lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4'
                    || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2)
                    || '-' || hex(randomblob(6))),
                ?1, ?2 ->> 'name', ?2 ->> 'description', ?2 ->> 'status',
                ?2 ->> 'emission_percent', ?2 ->> 'version', ?2 ->> 'api_version',
                ?2 ->> 'image', ?2 ->> 'internal_base_url', ?2 -> 'spec', ?3, ?4, ?4)
            on conflict (slug) do update set
                name = excluded.name, description = excluded.description,
                status = excluded.status, emission_percent = excluded.emission_percent,
                version = excluded.version, api_version = excluded.api_version,
                image = excluded.image, internal_base_url = excluded.internal_base_url,
                spec = excluded.spec, revision = excluded.revision,
                updated_at = excluded.updated_at",
        delete: "delete from challenges where slug = ?1",
    },
    targets: RowStatements {
        read: "
            select json_array(id, json_object(
                'mode', mode, 'enabled', json(iif(enabled, 'true', 'false')),
                'draining', json(iif(draining, 'true', 'false')),
                'verify_tls', json(iif(verify_tls, 'true', 'false')),
                'gpu_count', gpu_count, 'spec', json(spec)))
            from kubernetes_targets where ?1 = '' order by id limit 10001",
        write: "
            insert into kubernetes_targets (
                id, mode, enabled, draining, verify_tls, gpu_count, spec, revision,
                created_at, updated_at)
            values (
                ?1, ?2 ->> 'mode', ?2 ->> 'enabled', ?2 ->> 'draining', ?2 ->> 'verify_tls',
                ?2 ->> 'gpu_count', ?2 -> 'spec', ?3, ?4, ?4)
            on conflict (id) do update set
                mode = excluded.mode, enabled = excluded.enabled, draining = excluded.draining,
                verify_tls = excluded.verify_tls, gpu_count = excluded.gpu_count,
                spec = excluded.spec, revision = excluded.revision,
                updated_at = excluded.updated_at",
        delete: "delete from kubernetes_targets where id = ?1",
    },
    tokens: RowStatements {
        read: "
            select json_array(slug, json_object(
                'token_hash', token_hash, 'token_hint', token_hint,
                'broker_token_hash', broker_token_hash, 'broker_token_hint', broker_token_hint))
            from challenge_tokens
            where ?1 = '' or slug in (select value from json_each(nullif(?1, '')))
            order by slug limit 10001",
        write: "
            insert into challenge_tokens (
                slug, token_hash, token_hint, broker_token_hash, broker_token_hint, revision,
                created_at, updated_at)
            values (
                ?1, ?2 ->> 'token_hash', ?2 ->> 'token_hint', ?2 ->> 'broker_token_hash',
                ?2 ->> 'broker_token_hint', ?3, ?4, ?4)
            on conflict (slug) do update set
                token_hash = excluded.token_hash, token_hint = excluded.token_hint,
                broker_token_hash = excluded.broker_token_hash,
                broker_token_hint = excluded.broker_token_hint,
                revision = excluded.revision, updated_at = excluded.updated_at",
        delete: "delete from challenge_tokens where slug = ?1",
    },
    assignments: RowStatements {
        read: "
            select json_array(slug, json_object('target', target, 'gpu_count', gpu_count))
            from target_assignments
            where ?1 = '' or slug in (select value from json_each(nullif(?1, '')))
            order by slug limit 10001",
        write: "
            insert into target_assignments (slug, target, gpu_count, revision, assigned_at)
            values (?1, ?2 ->> 'target', ?2 ->> 'gpu_count', ?3, ?4)
            on conflict (slug) do update set
                target = excluded.target, gpu_count = excluded.gpu_count,
                revision = excluded.revision, assigned_at = excluded.assigned_at",
        delete: "delete from target_assignments where slug = ?1",
    },
    insert_pass: "
        insert into passes (
            id, previous, hash, started_at, finished_at, source, revision_digest, commit_id, commit_subject, actor,
            plan_digest, outcome, counts, key_count)
        values (
            ?1 ->> 'id', ?1 ->> 'previous', ?1 ->> 'hash', ?1 ->> 'started_at', ?1 ->> 'finished_at', ?1 ->> 'source', ?1 ->> 'revision_digest',
            ?1 ->> 'commit_id', ?1 ->> 'commit_subject', ?1 ->> 'actor', ?1 ->> 'plan_digest',
            ?1 ->> 'outcome', ?1 -> 'counts', ?1 ->> 'key_count')
        returning json_array(id, hash)",
    insert_pass_keys: "
        insert into pass_keys (pass_id, seq, key, slug, action, outcome, why)
        select (select max(id) from passes), e.key, e.value ->> 'key', e.value ->> 'slug',
            e.value ->> 'action', e.value ->> 'outcome', e.value ->> 'why'
        from json_each(?1) as e",
    prune_passes: "
        delete from passes where id in (
            select id from (
                select id, row_number() over newest as passes, sum(key_count) over newest as keys
                from passes window newest as (order by id desc rows unbounded preceding))
            where passes > cast(?1 as integer) or (keys > cast(?2 as integer) and passes > 1))
        returning cast(id as text)",
    list_passes: "
        select json_object(
            'id', id, 'started_at', started_at, 'finished_at', finished_at, 'source', source,
            'revision', json_object('digest', revision_digest, 'commit', json(iif(
                commit_id is null, 'null',
                json_object('id', commit_id, 'subject', commit_subject)))),
            'actor', actor, 'plan_digest', plan_digest, 'outcome', outcome,
            'counts', json(counts), 'key_count', key_count,
            'chain', json_object('previous', previous, 'hash', hash))
        from passes where id < cast(?1 as integer) order by id desc limit cast(?2 as integer)",
    get_pass: "
        select json_object(
            'id', id, 'started_at', started_at, 'finished_at', finished_at, 'source', source,
            'revision', json_object('digest', revision_digest, 'commit', json(iif(
                commit_id is null, 'null',
                json_object('id', commit_id, 'subject', commit_subject)))),
            'actor', actor, 'plan_digest', plan_digest, 'outcome', outcome,
            'counts', json(counts), 'key_count', key_count,
            'chain', json_object('previous', previous, 'hash', hash))
        from passes where id = cast(?1 as integer)",
    get_pass_keys: "
        select json_object(
            'key', key, 'slug', slug, 'action', action, 'outcome', outcome, 'why', why)
        from pass_keys where pass_id = cast(?1 as integer) order by seq",
    hold_chain: "
        insert into pass_chain (is_only, hash, newest, kept)
        values (1, ?1, 0, 0)
        on conflict (is_only) do update set is_only = excluded.is_only
        returning json_object('hash', hash, 'newest', newest, 'kept', kept,
            'first', (select min(id) from passes), 'last', (select max(id) from passes))",
    read_chain: "
        select json_object('hash', coalesce(hash, ''), 'newest', coalesce(newest, 0),
            'kept', coalesce(kept, 0),
            'first', (select min(id) from passes), 'last', (select max(id) from passes))
        from (select 1) left join pass_chain on true",
    read_links: "
        select json_object('id', id, 'previous', previous, 'hash', hash,
            'head', json_object(
                'started_at', started_at, 'finished_at', finished_at, 'source', source,
                'revision_digest', revision_digest, 'commit_id', commit_id,
                'commit_subject', commit_subject, 'actor', actor, 'plan_digest', plan_digest,
                'outcome', outcome, 'counts', json(counts), 'key_count', key_count),
            'keys', (
                select json_group_array(json_object(
                    'key', key, 'slug', slug, 'action', action, 'outcome', outcome, 'why', why))
                from (select * from pass_keys where pass_id = passes.id order by seq)))
        from passes where id > cast(?1 as integer) order by id limit cast(?2 as integer)",
    write_links: "
        update passes set previous = e.value ->> 'previous', hash = e.value ->> 'hash'
        from json_each(?1) as e where passes.id = e.value ->> 'id'
        returning json_array(passes.id, passes.hash)",
    advance_chain: "
        update pass_chain set
            hash = ?1, newest = cast(?2 as integer), kept = kept + cast(?3 as integer)
        where newest < cast(?2 as integer)",
    acts: ActStatements {
        read_suspensions: "
            select json_array(slug, json_object('why', why, 'actor', actor, 'since', since))
            from suspensions
            where slug <> '*'
                and (?1 = '' or slug in (select value from json_each(nullif(?1, ''))))
            order by slug limit 10001",
        read_controller: "
            select json_object('why', why, 'actor', actor, 'since', since)
            from suspensions where slug = '*'",
        suspend: "
            insert into suspensions (slug, why, actor, since)
            values (coalesce(?1 ->> 'slug', '*'), ?1 ->> 'why', ?1 ->> 'actor', ?1 ->> 'at')
            on conflict (slug) do update set
                why = excluded.why, actor = excluded.actor, since = excluded.since",
        resume: "delete from suspensions where slug = coalesce(?1 ->> 'slug', '*')",
        insert: "
            insert into acts (kind, slug, why, actor, at, outcome, ended_at)
            values (?1 ->> 'kind', ?1 ->> 'slug', ?1 ->> 'why', ?1 ->> 'actor', ?1 ->> 'at',
                ?1 ->> 'outcome', iif(?1 ->> 'outcome' is null, null, ?1 ->> 'at'))
            returning cast(id as text)",
        prune: "
            delete from acts where id in (
                select id from acts order by id desc limit -1 offset cast(?1 as integer))",
        end: "
            update acts set outcome = ?2, ended_at = ?3
            where id = cast(?1 as integer) and outcome is null",
        pending: "
            select json_object('id', id, 'kind', kind, 'slug', slug, 'why', why, 'actor', actor,
                'at', at, 'outcome', outcome, 'ended_at', ended_at)
            from acts where outcome is null order by id limit 100",
        list: "
            select json_object('id', id, 'kind', kind, 'slug', slug, 'why', why, 'actor', actor,
                'at', at, 'outcome', outcome, 'ended_at', ended_at)
            from acts order by id desc limit cast(?1 as integer)",
    },
    conditions: conditions::SQLITE,
    rollouts: RolloutStatements {
        read: "
            select json_array(slug, json_object('good', good, 'failed', json(failed)))
            from rollouts
            where ?1 = '' or slug in (select value from json_each(nullif(?1, '')))
            order by slug limit 10001",
        write: "
            insert into rollouts (slug, good, failed, updated_at)
            select value ->> 'slug', value ->> 'good', nullif(value -> 'failed', 'null'), ?2
            from json_each(?1) where true
            on conflict (slug) do update set
                good = excluded.good, failed = excluded.failed, updated_at = excluded.updated_at",
        prune: "
            delete from rollouts where slug in (
                select slug from rollouts order by updated_at desc, slug
                limit -1 offset cast(?1 as integer))",
        retry: "update rollouts set failed = null where slug = ?1 ->> 'slug'",
    },
    health: health::SQLITE,
    network: network::SQLITE,
    open_passes: open_passes::SQLITE,
    pushes: pushes::SQLITE,
    snapshots: snapshots::SQLITE,
    get_digests: "
        select json_array(image, digest, revision, resolved_at)
        from image_digests where image in (select value from json_each(?1))",
    write_digest: "
        insert into image_digests (image, digest, revision, resolved_at)
        values (?1, ?2, ?3, ?4)
        on conflict (image) do update set
            digest = excluded.digest, revision = excluded.revision,
            resolved_at = excluded.resolved_at",
    prune_digests: "
        delete from image_digests where image in (
            select image from image_digests order by resolved_at desc, image
            limit -1 offset cast(?1 as integer))",
    read_fence: "select cast(token as text) from fence",
    take_fence: "update fence set token = token + 1 returning cast(token as text)",
    hold_fence: "select cast(token as text) from fence where token = cast(?1 as integer)",
};

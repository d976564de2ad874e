//! The registry database: PostgreSQL and SQLite behind one interface. Sole user of `sqlx`; all SQL is here.
//!
//! [`open`] reads what is there and changes nothing; [`open_and_migrate`] brings the schema up to date
//! first. Both give a [`Database`]. What is declared comes in as rows, what was done as passes; times
//! are arguments, kept to the microsecond. Every write of a pass carries the token of its turn, and is refused
//! once a later turn was taken. The two engines differ in their SQL and in how they connect,
//! in nothing else: [`store`] holds the logic once, and one conformance suite runs on both.

mod acts;
mod chain;
mod conditions;
mod error;
mod group_commit;
mod health;
mod history;
mod location;
mod migrations;
mod network;
mod open_passes;
mod passes;
mod postgres;
mod pushes;
mod rollouts;
mod rows;
mod snapshots;
mod sqlite;
mod statements;
mod store;
mod transaction;

#[cfg(test)]
mod conformance;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

pub use conditions::ConditionRows;
pub use error::DatabaseError;
pub use health::HealthRows;
pub use migrations::{AppliedMigration, DatabaseKind, MigrationStatus, PendingMigration};
pub use network::NetworkRow;
pub use passes::MAX_KEYS;
pub use pushes::PushRows;
pub use snapshots::WeightSnapshots;

use crate::model::act::{Act, ActRecord, Suspension, Suspensions};
use crate::model::chain::Chain;
use crate::model::pass::{Begun, BegunPass, PassRecord, PassSummary};
use crate::model::rollout::Rollouts;
use crate::model::{Digest, FenceToken, ImageRef, Revision, Row, RowKey, Scope, Secret};
use location::Location;
use store::{Engine, Store};

/// What a process asks of the registry database. Every call is one transaction with a time limit.
#[async_trait]
pub trait Database: ConditionRows + HealthRows + NetworkRow + PushRows + WeightSnapshots {
    /// Returns the registry rows in scope, as of one moment. A target is in scope where everything is.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can name; there is no partial answer.
    async fn rows(&self, scope: &Scope) -> Result<BTreeMap<RowKey, Row>, DatabaseError>;

    /// Makes or replaces a row; the time it was made is kept, `now` becomes the time of the change.
    ///
    /// # Errors
    /// `Row` when the row has not exactly the columns of its table or an impossible value, `Fenced` when
    /// another turn was taken since; nothing is written.
    async fn write_row(
        &self,
        token: FenceToken,
        key: &RowKey,
        row: &Row,
        revision: &Revision,
        now: Timestamp,
    ) -> Result<(), DatabaseError>;

    /// Deletes a row; one that is not there is no error.
    ///
    /// # Errors
    /// `Fenced`, or the database did not answer.
    async fn delete_row(&self, token: FenceToken, key: &RowKey) -> Result<(), DatabaseError>;

    /// Keeps what a pass, or a part of one, is about to write, before it writes anything else. Until it is recorded
    /// the pass is open; the next [`Database::take_fence`] records what it finds open as interrupted. Texts and keys
    /// have the bounds of [`Database::record_pass`].
    ///
    /// # Errors
    /// `Fenced`, or the database did not answer; then nothing may be written.
    async fn begin_pass(&self, token: FenceToken, pass: &BegunPass)
    -> Result<Begun, DatabaseError>;

    /// Records a pass with its outcomes in place of what was `begun` of it in this turn, all or nothing, and returns
    /// its number. Long texts are cut, at most [`MAX_KEYS`] keys are kept (those not done first), and the oldest
    /// passes make room.
    ///
    /// # Errors
    /// `Fenced`, or the database did not answer.
    async fn record_pass(
        &self,
        token: FenceToken,
        pass: &PassRecord,
        begun: &[Begun],
    ) -> Result<i64, DatabaseError>;

    /// Returns how many parts of passes were begun and not recorded: they are under way, or never ended.
    ///
    /// # Errors
    /// The database did not answer.
    async fn begun_passes(&self) -> Result<u64, DatabaseError>;

    /// Returns up to `limit` (at most 1000) passes before the number `before`, newest first.
    ///
    /// # Errors
    /// The database did not answer, or a newer program wrote an outcome this one does not know.
    async fn passes(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<PassSummary>, DatabaseError>;

    /// Returns one pass with its outcomes, if it is still kept.
    ///
    /// # Errors
    /// As [`Database::passes`].
    async fn pass(&self, id: i64) -> Result<Option<PassRecord>, DatabaseError>;

    /// Tells whether the kept passes are as they were recorded: each carries the hash of the one before it.
    ///
    /// # Errors
    /// The database did not answer, or passes were dropped faster than they could be read.
    async fn verify_passes(&self) -> Result<Chain, DatabaseError>;

    /// Returns the challenges in scope that are suspended.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can name; there is no partial answer.
    async fn suspensions(&self, scope: &Scope) -> Result<Suspensions, DatabaseError>;

    /// Returns why the controller writes nothing, if it is suspended as a whole.
    ///
    /// # Errors
    /// As [`Database::suspensions`].
    async fn controller_suspension(&self) -> Result<Option<Suspension>, DatabaseError>;

    /// Keeps an act and returns its number. A suspension and its end, with which an image that was given up is tried
    /// again, are in force from then on; what a
    /// controller has to take up is among [`Database::pending_acts`]. Of others the newest 10 000 are kept.
    ///
    /// # Errors
    /// The database did not answer; nothing was kept.
    async fn act(&self, act: &Act) -> Result<i64, DatabaseError>;

    /// Tells what came of an act that was pending.
    ///
    /// # Errors
    /// The database did not answer.
    async fn end_act(&self, id: i64, outcome: &str, now: Timestamp) -> Result<(), DatabaseError>;

    /// Returns the acts that no controller has taken up, oldest first, at most 100.
    ///
    /// # Errors
    /// As [`Database::passes`].
    async fn pending_acts(&self) -> Result<Vec<ActRecord>, DatabaseError>;

    /// Returns once an act may have been kept since the last call, by whichever process: a hint, which can be lost
    /// or come for nothing. Waits for ever where the database tells nobody (SQLite) or cannot be listened to.
    async fn act_told(&self);

    /// Returns up to `limit` (at most 1000) acts, newest first.
    ///
    /// # Errors
    /// As [`Database::passes`].
    async fn acts(&self, limit: u32) -> Result<Vec<ActRecord>, DatabaseError>;

    /// Returns what is remembered of these images (at most 10 000).
    ///
    /// # Errors
    /// The database did not answer.
    async fn digests(
        &self,
        images: &[ImageRef],
    ) -> Result<BTreeMap<ImageRef, ResolvedDigest>, DatabaseError>;

    /// Remembers the digest that an image was resolved to for a revision; 10 000 images are kept.
    ///
    /// # Errors
    /// `Fenced`, or the database did not answer.
    async fn remember_digest(
        &self,
        token: FenceToken,
        image: &ImageRef,
        digest: &Digest,
        revision: &Revision,
        now: Timestamp,
    ) -> Result<(), DatabaseError>;

    /// Returns what came of the images of each challenge in scope.
    ///
    /// # Errors
    /// The database did not answer, or a row is not one this program can name; there is no partial answer.
    async fn rollouts(&self, scope: &Scope) -> Result<Rollouts, DatabaseError>;

    /// Keeps what came of the images of these challenges, all or nothing, in place of what was kept before; 10 000
    /// challenges are kept.
    ///
    /// # Errors
    /// `Fenced`, or the database did not answer.
    async fn write_rollouts(
        &self,
        token: FenceToken,
        rollouts: &Rollouts,
        now: Timestamp,
    ) -> Result<(), DatabaseError>;

    /// Returns the token of the newest turn.
    ///
    /// # Errors
    /// The database did not answer.
    async fn fence(&self) -> Result<FenceToken, DatabaseError>;

    /// Takes the turn to write and returns its token, which is higher than all before it. Every write under an
    /// earlier one is refused from now on; one that had begun is over. Passes of earlier turns that were begun and
    /// never recorded are in the history by then, as interrupted.
    ///
    /// # Errors
    /// The database did not answer, or did not come to the end of an earlier write.
    async fn take_fence(&self, now: Timestamp) -> Result<FenceToken, DatabaseError>;

    /// Returns which database this is and which migrations it has.
    ///
    /// # Errors
    /// The database did not answer, or its schema is not this program's.
    async fn status(&self) -> Result<MigrationStatus, DatabaseError>;

    /// Closes the connections; calls after this fail.
    async fn close(&self);
}

/// What is known of a mutable tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedDigest {
    /// The digest it stood for.
    pub digest: Digest,
    /// The revision it was resolved for, as [`revision_id`] names it.
    pub revision: String,
    /// When.
    pub resolved_at: Timestamp,
}

impl ResolvedDigest {
    /// Tells whether the tag was resolved for this revision.
    #[must_use]
    pub fn is_of(&self, revision: &Revision) -> bool {
        self.revision == revision_id(revision)
    }
}

/// Returns the text that names a revision in a row: the commit, or the digest of the content.
#[must_use]
pub fn revision_id(revision: &Revision) -> &str {
    match &revision.commit {
        Some(commit) => &commit.id,
        None => &revision.digest,
    }
}

/// What [`open`] found.
pub enum Opened {
    /// A database with this program's schema; it takes no writes.
    Ready(Arc<dyn Database>),
    /// There is no file at this path: an empty registry.
    Absent(String),
    /// A database without this program's tables, or without the newest: no rows can be read.
    NotMigrated(MigrationStatus),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    ReadOnly,
    Migrate,
}

/// Returns the file that a URL names; `None` of a server's.
#[must_use]
pub fn file_of(url: &Secret<String>) -> Option<std::path::PathBuf> {
    match Location::parse(url).ok()? {
        Location::Sqlite(location::SqlitePath::File(path)) => Some(path),
        Location::Sqlite(location::SqlitePath::Memory) | Location::Postgres(_) => None,
    }
}

/// Opens a database for reading: makes no file, applies no migration, refuses writes.
///
/// The URL is `sqlite:PATH`, `postgres://…`, `postgresql://…` or `postgresql+asyncpg://…`.
///
/// # Errors
/// The URL is not understood, the database does not answer within ten seconds, or its schema is newer
/// than this program or was changed. No error holds the URL's user or password.
pub async fn open(url: &Secret<String>) -> Result<Opened, DatabaseError> {
    open_in(Location::parse(url)?, Mode::ReadOnly).await
}

/// Opens a database for reading and writing: makes a missing SQLite file (mode 0600), and applies
/// pending migrations. Safe when several processes do so at once.
///
/// # Errors
/// As [`open`]; also when a migration fails, in which case it leaves nothing behind.
pub async fn open_and_migrate(url: &Secret<String>) -> Result<Arc<dyn Database>, DatabaseError> {
    match open_in(Location::parse(url)?, Mode::Migrate).await? {
        Opened::Ready(database) => Ok(database),
        Opened::Absent(place) => Err(DatabaseError::Unreachable {
            place,
            why: "the file was removed while it was opened".to_owned(),
        }),
        Opened::NotMigrated(status) => Err(DatabaseError::Failed {
            place: status.place,
            doing: "applying migrations",
            why: "some are still pending".to_owned(),
        }),
    }
}

async fn open_in(location: Location, mode: Mode) -> Result<Opened, DatabaseError> {
    match location {
        Location::Sqlite(path) => match sqlite::Sqlite::open(&path, mode).await? {
            Some(engine) => open_engine(engine, mode).await,
            None => Ok(Opened::Absent(path.shown())),
        },
        Location::Postgres(server) => {
            open_engine(postgres::Postgres::open(*server, mode).await?, mode).await
        }
    }
}

async fn open_engine<E: Engine + 'static>(engine: E, mode: Mode) -> Result<Opened, DatabaseError> {
    let store = Store::new(engine);
    let status = store.status().await?;
    match (status.pending.is_empty(), mode) {
        (true, Mode::ReadOnly) => return Ok(Opened::Ready(Arc::new(store))),
        (false, Mode::ReadOnly) => {
            store.close().await;
            return Ok(Opened::NotMigrated(status));
        }
        (true, Mode::Migrate) => {}
        (false, Mode::Migrate) => store.migrate().await?,
    }
    store.chain_passes().await?;
    Ok(Opened::Ready(Arc::new(store)))
}

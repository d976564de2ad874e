//! The schema's versions: what this program has, what a database has, and what is to be done.
//!
//! Migrations are embedded and go forward only. One that has been released is never edited: its
//! checksum is in every database that has it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::DatabaseError;

/// Which of the two databases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// The embedded default for one machine.
    Sqlite,
    /// Production.
    Postgres,
}

/// Which database this is and which migrations it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationStatus {
    /// PostgreSQL or SQLite.
    pub kind: DatabaseKind,
    /// The engine's own version.
    pub server_version: String,
    /// Host, port and name, or the file's path.
    pub place: String,
    /// Migrations that it has, oldest first.
    pub applied: Vec<AppliedMigration>,
    /// Migrations that it lacks, in their order.
    pub pending: Vec<PendingMigration>,
}

/// A migration that a database has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMigration {
    /// Its number.
    pub version: i64,
    /// What it brought.
    pub description: String,
    /// When it was applied, by the database's clock.
    pub applied_at: Timestamp,
}

/// A migration that a database lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingMigration {
    /// Its number.
    pub version: i64,
    /// What it brings.
    pub description: String,
}

/// A migration as its database remembers it: version, description, checksum in hex, time.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Remembered(i64, String, String, Timestamp);

/// Number, description and SQL of one migration.
pub(super) type Source = (i64, &'static str, &'static str);

/// Returns the runner for a list of migrations.
pub(super) fn migrator(sources: &[Source]) -> Migrator {
    let build = |(version, description, sql): &Source| {
        Migration::new(
            *version,
            Cow::Borrowed(*description),
            MigrationType::Simple,
            (*sql).into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(sources.iter().map(build).collect())
}

/// Returns the newest version of a list.
pub(super) fn newest(known: &Migrator) -> i64 {
    known.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Compares what a database has with what this program has.
///
/// # Errors
/// `Newer` when it has a version this program lacks, `Changed` when one differs.
pub(super) fn compare(
    place: &str,
    known: &Migrator,
    remembered: Vec<Remembered>,
) -> Result<(Vec<AppliedMigration>, Vec<PendingMigration>), DatabaseError> {
    let mut applied = Vec::new();
    for Remembered(version, description, checksum, applied_at) in remembered {
        let Some(ours) = known.iter().find(|m| m.version == version) else {
            return Err(DatabaseError::Newer {
                place: place.to_owned(),
                found: version,
                known: newest(known),
            });
        };
        if !hex::encode(&ours.checksum).eq_ignore_ascii_case(&checksum) {
            return Err(DatabaseError::Changed {
                place: place.to_owned(),
                version,
            });
        }
        applied.push(AppliedMigration {
            version,
            description,
            applied_at,
        });
    }
    let lacks = |m: &&Migration| !applied.iter().any(|a| a.version == m.version);
    let pending = known.iter().filter(lacks).map(|m| PendingMigration {
        version: m.version,
        description: m.description.clone().into_owned(),
    });
    let pending = pending.collect();
    Ok((applied, pending))
}

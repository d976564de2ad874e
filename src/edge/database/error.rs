//! What can go wrong with the database, in words that are safe to print.
//!
//! A driver's own text may quote the URL or the values of a statement. So none is kept, and there is no
//! `#[source]` either: the code it came with is translated here, and the rest is dropped.

use sqlx::migrate::MigrateError;
use thiserror::Error;

use crate::model::RowKey;

/// Why the database could not do what was asked. `place` is host, port and name, or the file's path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DatabaseError {
    /// The URL is of no known form. Its text is not repeated: it may hold a password.
    #[error("the database URL is not understood: {0}")]
    Url(&'static str),
    /// There is no connection.
    #[error("{place} could not be opened: {why}")]
    Unreachable {
        /// Which database.
        place: String,
        /// What was in the way.
        why: String,
    },
    /// The user, the password or the user's rights are not enough.
    #[error("{place} refused access: {why}")]
    Denied {
        /// Which database.
        place: String,
        /// What was refused.
        why: String,
    },
    /// No answer in time.
    #[error("{place} did not answer within {seconds} s while {doing}")]
    Timeout {
        /// Which database.
        place: String,
        /// What was asked.
        doing: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// Another process holds it for longer than this one waits.
    #[error("{place} is held by another process; try again")]
    Busy {
        /// Which database.
        place: String,
    },
    /// A newer program has migrated it.
    #[error(
        "{place} has schema version {found}, this program knows versions up to {known}: use the newer program"
    )]
    Newer {
        /// Which database.
        place: String,
        /// The newest version it has.
        found: i64,
        /// The newest version this program has.
        known: i64,
    },
    /// An applied migration is not the one this program holds under that number.
    #[error(
        "{place} was migrated with another version {version} of the schema than this program's: use the program that made it, or restore a backup"
    )]
    Changed {
        /// Which database.
        place: String,
        /// The migration.
        version: i64,
    },
    /// It holds somebody else's tables, and none of the records that this program keeps of its own.
    #[error("{place} holds tables of another program: name a database of its own")]
    Foreign {
        /// Which database.
        place: String,
    },
    /// Another writer has taken its turn; nothing was written.
    #[error("{place}: another writer's turn began, so that this write is refused")]
    Fenced {
        /// Which database.
        place: String,
    },
    /// A row to be written is not of its table's form.
    #[error("{} {}: {why}", key.table(), key.id())]
    Row {
        /// The row.
        key: RowKey,
        /// Which member, and what it must be.
        why: String,
    },
    /// Something stored is not understood.
    #[error("{place}: {what} is not understood by this program")]
    Unreadable {
        /// Which database.
        place: String,
        /// The table and what is known of the row.
        what: String,
    },
    /// Anything else.
    #[error("{place} failed while {doing}: {why}")]
    Failed {
        /// Which database.
        place: String,
        /// What was asked.
        doing: &'static str,
        /// The reason, from its code.
        why: String,
    },
}

/// Translates a driver's error.
pub(super) fn translate(place: &str, doing: &'static str, error: &sqlx::Error) -> DatabaseError {
    let place = place.to_owned();
    let unreachable = |why: &str| DatabaseError::Unreachable {
        place: place.clone(),
        why: why.to_owned(),
    };
    match error {
        sqlx::Error::Database(answer) => {
            let code = answer.code().unwrap_or_default();
            by_code(place, doing, &code, answer.constraint())
        }
        // Both are texts of the operating system or of TLS, about the connection and not what went over it.
        sqlx::Error::Io(error) => unreachable(&shortened(&error.to_string())),
        sqlx::Error::Tls(error) => unreachable(&format!("TLS: {}", shortened(&error.to_string()))),
        sqlx::Error::Configuration(_) => unreachable("its settings are not accepted"),
        sqlx::Error::PoolTimedOut => {
            unreachable("no connection in time; does it run, and has it connections left?")
        }
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => unreachable("it was closed"),
        _ => DatabaseError::Failed {
            place,
            doing,
            why: "it answered in an unexpected way".to_owned(),
        },
    }
}

/// Translates an error of the migration runner.
pub(super) fn translate_migration(place: &str, known: i64, error: &MigrateError) -> DatabaseError {
    let doing = "applying migrations";
    let place_owned = place.to_owned();
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            translate(place, doing, error)
        }
        MigrateError::VersionMissing(found) => DatabaseError::Newer {
            place: place_owned,
            found: *found,
            known,
        },
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            DatabaseError::Changed {
                place: place_owned,
                version: *version,
            }
        }
        _ => DatabaseError::Failed {
            place: place_owned,
            doing,
            why: "the migrations are not accepted".to_owned(),
        },
    }
}

/// Tells whether another process holds a SQLite file just now.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|answer| answer.code());
    code.is_some_and(|code| matches!(sqlite_primary(&code), Some(5 | 6)))
}

/// SQLite's codes are numbers of at most four digits whose low byte is the kind; PostgreSQL's have five characters.
fn sqlite_primary(code: &str) -> Option<u32> {
    (code.len() < 5).then(|| code.parse::<u32>().ok().map(|code| code & 0xff))?
}

fn by_code(
    place: String,
    doing: &'static str,
    code: &str,
    constraint: Option<&str>,
) -> DatabaseError {
    let why = code_in_words(code, constraint);
    match (sqlite_primary(code), code) {
        (Some(5 | 6), _) | (None, "55P03") => DatabaseError::Busy { place },
        (Some(3 | 8 | 23), _) | (None, "28P01" | "28000" | "42501" | "25006") => {
            DatabaseError::Denied { place, why }
        }
        (Some(14 | 26), _) | (None, "3D000" | "53300" | "55000" | "57P01" | "57P02" | "57P03") => {
            DatabaseError::Unreachable { place, why }
        }
        _ => DatabaseError::Failed { place, doing, why },
    }
}

fn code_in_words(code: &str, constraint: Option<&str>) -> String {
    let words = match (sqlite_primary(code), code) {
        (Some(3), _) => "no right to the file",
        (Some(8), _) => "the file, or its directory, may not be written",
        (Some(10), _) => "the file could not be read or written; is its disk full?",
        (Some(11), _) => "the file is damaged; restore a backup",
        (Some(13), _) | (None, "53100") => "the disk is full",
        (Some(14), _) => "the file cannot be opened; is its directory there, and writable?",
        (Some(26), _) => "the file is not a SQLite database",
        (Some(19), _) => "a value is outside what the table allows",
        (None, "28P01" | "28000") => "the user or the password is not accepted",
        (None, "42501") => "the user has no right to do this",
        (None, "25006") => "it is open for reading only",
        (None, "3D000") => "there is no such database; create it first",
        (None, "53300") => "it has no free connection",
        (None, "55000") => "it takes no connections now",
        (None, "57P01" | "57P02") => "it is shutting down",
        (None, "57P03") => "it is starting up",
        (None, "57014") => "the statement took too long",
        (None, "40001" | "40P01") => "it was in the way of another transaction",
        (None, _) if code.starts_with("23") => "a value is outside what the table allows",
        (None, _) if code.starts_with("22") => "a value is of the wrong form",
        _ => "it refused the statement",
    };
    // The name of a constraint is the schema's own, never a value; so is the code.
    match constraint {
        Some(name) => format!("{words} ({name}, code {code})"),
        None => format!("{words} (code {code})"),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

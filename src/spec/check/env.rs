//! A challenge's environment: names, sizes, secrets, and the names that the platform owns.

use std::collections::BTreeMap;

use super::grammar::is_env_name;
use super::notes::Notes;
use super::secrets::REFERENCE;
use crate::model::public::is_secret_name;
use crate::spec::path::Path;
use crate::spec::types::Database;

/// The variable that says where a challenge's relational data is.
pub(super) const DATABASE_URL: &str = "CHALLENGE_DATABASE_URL";
/// Variables that the platform sets itself.
const OWNED: [&str; 6] = [
    "PLATFORM_CHALLENGE_SLUG",
    "CHALLENGE_SHARED_TOKEN_FILE",
    "CHALLENGE_DOCKER_ENABLED",
    "CHALLENGE_DOCKER_BACKEND",
    "CHALLENGE_DOCKER_BROKER_URL",
    "CHALLENGE_DOCKER_BROKER_TOKEN_FILE",
];
/// The most variables of a challenge.
const MOST: usize = 256;
/// The longest value: a pod's whole description must fit into 1.5 MiB.
const LONGEST: usize = 32 << 10;
/// The most all values of a challenge are together.
const LARGEST: usize = 256 << 10;

/// Checks a challenge's environment.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    env: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, crate::spec::types::SecretRef>,
    database: Database,
) {
    let total: usize = env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if env.len() > MOST || total > LARGEST {
        notes.error(
            path,
            format!("has more than {MOST} variables or {LARGEST} bytes"),
            "put large values into the image or a volume",
        );
        return;
    }
    for (name, value) in env {
        let below = path.key(name);
        if !is_env_name(name) {
            let remedy = "letters, digits and `_`, not starting with a digit";
            notes.error(&below, "is no name of a variable", remedy);
        }
        if value.len() > LONGEST || value.contains('\0') {
            let message = format!("has a NUL byte or more than {LONGEST} bytes");
            notes.error(&below, message, "put it into the image or a volume");
        }
        if name == DATABASE_URL {
            check_database_url(notes, &below, value, database);
        } else if is_secret_name(name) {
            let message = "has a name that marks its value as secret";
            notes.error(&below, message, REFERENCE);
        } else if is_owned(name, secrets) {
            let remedy = "leave it out: the platform sets it, and its value wins";
            notes.warn(&below, "has no effect", remedy);
        }
    }
}

fn is_owned(name: &str, secrets: &BTreeMap<String, crate::spec::types::SecretRef>) -> bool {
    let file_of = |secret: &String| name == format!("{}_FILE", secret.to_ascii_uppercase());
    OWNED.contains(&name) || name.ends_with("_FILE") && secrets.keys().any(file_of)
}

fn check_database_url(notes: &mut Notes<'_>, path: &Path<'_>, value: &str, database: Database) {
    match database {
        Database::Managed => notes.error(
            path,
            "is set by the platform while the challenge has a managed database",
            "leave it out, or write `database: sqlite` or `external`",
        ),
        Database::External => notes.error(
            path,
            "is set by the platform from `database_secret`",
            "leave it out",
        ),
        Database::Sqlite if notes.is_production() && !is_postgres(value) => notes.error(
            path,
            "is refused: in production a challenge's database is Postgres",
            "write a `postgresql://` address, or leave it out for a managed database",
        ),
        Database::Sqlite => {}
    }
}

/// Tells whether an address is that of a Postgres.
pub(super) fn is_postgres(url: &str) -> bool {
    ["postgres://", "postgresql://", "postgresql+asyncpg://"]
        .into_iter()
        .any(|scheme| url.starts_with(scheme))
}

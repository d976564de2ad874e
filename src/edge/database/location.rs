//! Where the database is: a URL taken apart so that its password can go nowhere but into the connection.

use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::DatabaseError;
use crate::model::Secret;

/// A database URL, understood.
pub(super) enum Location {
    /// A file of SQLite.
    Sqlite(SqlitePath),
    /// A PostgreSQL server.
    Postgres(Box<Server>),
}

/// A SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlitePath {
    /// On disk.
    File(PathBuf),
    /// In memory, gone with the process: tests only.
    Memory,
}

/// A PostgreSQL database, with the credentials in the driver's options.
pub(super) struct Server {
    /// How the driver connects.
    pub(super) options: PgConnectOptions,
    /// Host, port and database, for messages.
    pub(super) place: String,
}

/// What a PostgreSQL URL may carry behind `?`. The driver logs the value of any other, which may be a
/// piece of a password with an unencoded `?` in it.
const PARAMETERS: [&str; 8] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "application_name",
    "options",
];

impl Location {
    /// Parses a database URL.
    ///
    /// # Errors
    /// `Url`, with the accepted forms and never with the text.
    pub(super) fn parse(url: &Secret<String>) -> Result<Self, DatabaseError> {
        let text = url.expose().trim();
        if let Some(rest) = text.strip_prefix("sqlite:") {
            return parse_sqlite(rest).map(Self::Sqlite);
        }
        let rest = text
            .strip_prefix("postgresql+asyncpg://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .or_else(|| text.strip_prefix("postgres://"))
            .ok_or(DatabaseError::Url(
                "it begins with `sqlite:`, `postgres://`, `postgresql://` or `postgresql+asyncpg://`",
            ))?;
        parse_postgres(rest).map(|server| Self::Postgres(Box::new(server)))
    }
}

fn parse_sqlite(rest: &str) -> Result<SqlitePath, DatabaseError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path == ":memory:" {
        if cfg!(test) {
            return Ok(SqlitePath::Memory);
        }
        return Err(DatabaseError::Url(
            "a database in memory would be lost with the process; name a file, such as `sqlite:platform.db`",
        ));
    }
    if path.is_empty() || path.contains(['?', '\0']) || path.starts_with("file:") {
        return Err(DatabaseError::Url(
            "`sqlite:` is followed by the path of a file and nothing else, such as `sqlite:platform.db`",
        ));
    }
    Ok(SqlitePath::File(PathBuf::from(path)))
}

fn parse_postgres(rest: &str) -> Result<Server, DatabaseError> {
    let url = Url::parse(&format!("postgres://{rest}")).map_err(|_| {
        DatabaseError::Url(
            "a PostgreSQL URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with special characters in the password percent-encoded",
        )
    })?;
    // An unencoded `/`, `?` or `#` in the password ends up here, and must not be shown as a name.
    let database = url.path().trim_start_matches('/');
    if database.contains(['@', '/', ':']) || url.fragment().is_some() {
        return Err(DatabaseError::Url(
            "special characters in the password (such as `/`, `?`, `#`, `@`) must be percent-encoded",
        ));
    }
    if !url
        .query_pairs()
        .all(|(name, _)| PARAMETERS.contains(&&*name))
    {
        return Err(DatabaseError::Url(
            "behind `?` a PostgreSQL URL may have sslmode, sslrootcert, sslcert, sslkey, host, port, application_name and options",
        ));
    }
    let options = PgConnectOptions::from_url(&url).map_err(|_| {
        DatabaseError::Url("a parameter or the encoding of a PostgreSQL URL is wrong")
    })?;
    let place = place_of(&options);
    Ok(Server { options, place })
}

fn place_of(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("PostgreSQL {}/{database}", socket.display()),
        None => format!(
            "PostgreSQL {}:{}/{database}",
            options.get_host(),
            options.get_port()
        ),
    }
}

impl SqlitePath {
    /// Returns how messages name it.
    pub(super) fn shown(&self) -> String {
        format!("SQLite {self}")
    }

    /// Returns the file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Memory => None,
        }
    }
}

impl fmt::Display for SqlitePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("in memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, DatabaseError> {
        Location::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn every_form_is_understood() {
        for (text, shown) in [
            ("sqlite:platform.db", "SQLite platform.db"),
            ("sqlite:/var/lib/p.db", "SQLite /var/lib/p.db"),
            ("sqlite:///var/lib/p.db", "SQLite /var/lib/p.db"),
            ("sqlite://p.db", "SQLite p.db"),
            (
                "postgres://u:p@db:5433/platform",
                "PostgreSQL db:5433/platform",
            ),
            (
                "postgresql://u:p@db:5433/platform?sslmode=require",
                "PostgreSQL db:5433/platform",
            ),
            (
                "postgresql+asyncpg://u:p@db:5433/platform",
                "PostgreSQL db:5433/platform",
            ),
            (
                "postgres://u:p@h:1/platform?host=/run/postgresql",
                "PostgreSQL /run/postgresql/platform",
            ),
        ] {
            let found = match parse(text).unwrap() {
                Location::Sqlite(path) => path.shown(),
                Location::Postgres(server) => server.place,
            };
            assert_eq!(found, shown, "{text}");
        }
    }

    #[test]
    fn refusals_never_repeat_the_url() {
        for text in [
            "",
            "canary",
            "mysql://u:canary@h/d",
            "sqlite:",
            "sqlite:canary.db?mode=rwc",
            "sqlite:file:canary?mode=memory",
            "postgres://u:canary@h:port/d",
            "postgres://u:12/canary@h/d",
            "postgres://u:12?canary@h/d",
            "postgres://u:12?canary",
            "postgres://u:12#canary@h/d",
            "postgres://u:canary@h/d?sslmode=canary",
            "postgres://u:canary@h/d?pasword=canary",
            "postgres://u:%ffcanary@h/d",
        ] {
            let Err(error) = parse(text) else {
                panic!("{text} was accepted");
            };
            assert!(matches!(error, DatabaseError::Url(_)), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}

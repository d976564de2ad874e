//! A database for one case, and the door to it that the interface does not have.

use std::future::Future;
use std::panic::resume_unwind;

use async_trait::async_trait;
use rand::TryRngCore;
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::super::location::Location;
use super::super::statements::Statements;
use super::super::store::{Access, Call, Engine};
use super::super::*;

/// One empty database, for one case.
pub(super) struct World {
    pub(super) url: Secret<String>,
    /// The folder of a SQLite file that does not exist yet; none for PostgreSQL.
    pub(super) folder: Option<TempDir>,
}

/// Runs a case on a SQLite file.
pub(super) async fn on_sqlite<Case, Done>(case: Case)
where
    Case: FnOnce(World) -> Done,
    Done: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("platform.db").display());
    case(World {
        url: Secret::new(url),
        folder: Some(folder),
    })
    .await;
}

/// Runs a case on a PostgreSQL database that is made for it, and dropped whatever comes of it.
pub(super) async fn on_postgres<Case, Done>(case: Case)
where
    Case: FnOnce(World) -> Done,
    Done: Future<Output = ()> + Send + 'static,
{
    let server = std::env::var("PLATFORM_TEST_POSTGRES_URL")
        .expect("PLATFORM_TEST_POSTGRES_URL names a server and a user who may create databases");
    let number = rand::rngs::OsRng.try_next_u64().unwrap();
    let name = format!("platform_test_{number:016x}");
    let mut admin = PgConnection::connect(&server).await.unwrap();
    let statement = |text: String| sqlx::raw_sql(sqlx::AssertSqlSafe(text));
    statement(format!("create database {name}"))
        .execute(&mut admin)
        .await
        .unwrap();

    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    let world = World {
        url: Secret::new(url.to_string()),
        folder: None,
    };
    let result = tokio::spawn(case(world)).await;
    let dropped = format!("drop database {name} with (force)");
    statement(dropped).execute(&mut admin).await.unwrap();
    if let Err(failed) = result {
        resume_unwind(failed.into_panic());
    }
}

impl World {
    pub(super) async fn open(&self) -> Arc<dyn Database> {
        open_and_migrate(&self.url).await.unwrap()
    }

    /// Makes the file of a SQLite database, without a schema.
    pub(super) async fn make_empty(&self) {
        drop(self.engine().await);
    }

    /// Returns the one of two statements that is for this engine.
    pub(super) fn of_engine(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.folder {
            Some(_) => sqlite,
            None => postgres,
        }
    }

    pub(super) async fn engine(&self) -> Box<dyn Engine> {
        match Location::parse(&self.url).unwrap() {
            Location::Sqlite(path) => {
                let engine = sqlite::Sqlite::open(&path, Mode::Migrate).await.unwrap();
                Box::new(engine.unwrap())
            }
            Location::Postgres(server) => Box::new(
                postgres::Postgres::open(*server, Mode::Migrate)
                    .await
                    .unwrap(),
            ),
        }
    }

    /// Runs one statement whose rows, if any, have one column of text.
    pub(super) async fn ask(&self, sql: &'static str) -> Vec<String> {
        let engine = self.engine().await;
        let call = Call::new(sql, Vec::new());
        let answers = engine.run(Access::Write, vec![call]).await.unwrap();
        engine.close().await;
        answers.concat()
    }

    /// Returns how many rows each table of a pass has, and by which revisions.
    pub(super) async fn everything(&self) -> Vec<String> {
        self.ask(
            "select revision from challenges union all
             select cast(count(*) as text) from challenges union all
             select cast(count(*) as text) from passes union all
             select cast(count(*) as text) from pass_keys union all
             select cast(count(*) as text) from open_passes union all
             select cast(count(*) as text) from image_digests union all
             select cast(token as text) from fence",
        )
        .await
    }

    pub(super) async fn prepare(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        let sql = sqlx::SqlSafeStr::into_sql_str(sql);
        if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(self.url.expose()).await?;
            (&mut connection).prepare(sql).await.map(drop)
        } else {
            let mut connection = PgConnection::connect(self.url.expose()).await?;
            (&mut connection).prepare(sql).await.map(drop)
        }
    }
}

#[async_trait]
impl Engine for Box<dyn Engine> {
    fn place(&self) -> &str {
        (**self).place()
    }

    fn kind(&self) -> DatabaseKind {
        (**self).kind()
    }

    fn statements(&self) -> &'static Statements {
        (**self).statements()
    }

    fn migrations(&self) -> Migrator {
        (**self).migrations()
    }

    async fn run(&self, access: Access, calls: Vec<Call>) -> Result<Vec<Vec<String>>, sqlx::Error> {
        (**self).run(access, calls).await
    }

    async fn migrate(&self) -> Result<(), DatabaseError> {
        (**self).migrate().await
    }

    async fn act_told(&self) {
        (**self).act_told().await;
    }

    async fn push_told(&self) {
        (**self).push_told().await;
    }

    async fn close(&self) {
        (**self).close().await;
    }
}

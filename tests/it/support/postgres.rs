//! The test server of PostgreSQL, as its administrator sees it.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use url::Url;

/// Returns the address of the server, with a user that may do everything.
pub fn server() -> Url {
    let text = std::env::var("PLATFORM_TEST_POSTGRES_URL").expect(
        "PLATFORM_TEST_POSTGRES_URL is not set: run `cargo xtask test`, which starts a server",
    );
    Url::parse(&text).unwrap()
}

/// Runs a statement as the administrator, in the database of a URL.
pub async fn execute(url: &Url, sql: String) {
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

/// Makes a database of its own on the test server and returns its URL.
pub async fn create_database(name: &str) -> String {
    execute(&server(), format!("CREATE DATABASE \"{name}\"")).await;
    let mut url = server();
    url.set_path(name);
    url.to_string()
}

//! What only a server can do wrong: credentials, names, silence, lost connections.

use std::time::Instant;

use super::super::location::Location;
use super::super::postgres::connect;
use super::act_cases::act;
use super::world::on_postgres;
use super::*;
use crate::model::act::ActKind;

fn changed(url: &Secret<String>, change: impl FnOnce(&mut url::Url)) -> Secret<String> {
    let mut url = url::Url::parse(url.expose()).unwrap();
    change(&mut url);
    Secret::new(url.to_string())
}

async fn refusal(url: &Secret<String>) -> DatabaseError {
    let reading = open(url).await.map(drop).unwrap_err();
    let writing = open_and_migrate(url).await.map(drop).unwrap_err();
    assert_eq!(reading, writing);
    let shown = format!("{reading} {reading:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("postgres://"),
        "{shown}"
    );
    reading
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn refusals_name_the_server_and_never_the_credentials() {
    on_postgres(async |world| {
        let url = changed(&world.url, |url| url.set_password(Some("canary")).unwrap());
        let error = refusal(&url).await;
        assert!(matches!(error, DatabaseError::Denied { .. }), "{error:?}");
        let port = url::Url::parse(url.expose())
            .unwrap()
            .port()
            .unwrap_or(5432);
        assert!(
            error
                .to_string()
                .contains(&format!(":{port}/platform_test_")),
            "{error}"
        );

        let url = changed(&world.url, |url| url.set_username("canary").unwrap());
        assert!(matches!(refusal(&url).await, DatabaseError::Denied { .. }));

        let error = refusal(&changed(&world.url, |url| url.set_path("absent"))).await;
        assert!(
            error
                .to_string()
                .contains("/absent could not be opened: there is no such database")
        );
    })
    .await;
}

#[tokio::test]
async fn a_closed_port_is_reported_at_once() {
    let began = Instant::now();
    let url = Secret::new("postgresql+asyncpg://canary:canary@127.0.0.1:1/platform".to_owned());
    let error = refusal(&url).await;
    assert!(
        error
            .to_string()
            .contains("PostgreSQL 127.0.0.1:1/platform could not be opened")
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = Secret::new(format!("postgres://u:canary@127.0.0.1:{port}/platform"));
    let Location::Postgres(server) = Location::parse(&url).unwrap() else {
        panic!("it is a PostgreSQL URL");
    };
    let limit = Duration::from_millis(300);
    let error = connect(&server.place, &server.options, limit)
        .await
        .unwrap_err();
    assert!(matches!(error, DatabaseError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn tls_that_is_asked_for_is_not_done_without() {
    on_postgres(async |world| {
        let url = changed(&world.url, |url| url.set_query(Some("sslmode=disable")));
        let database = open_and_migrate(&url).await.unwrap();
        let on = "select current_setting('ssl')";
        if world.ask(on).await == ["off"] {
            let url = changed(&world.url, |url| url.set_query(Some("sslmode=require")));
            let error = refusal(&url).await;
            assert!(error.to_string().contains("TLS"), "{error}");
        }
        database.close().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn lost_connections_are_made_again() {
    on_postgres(async |world| {
        let database = world.open().await;
        for (key, row) in rows() {
            database
                .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
                .await
                .unwrap();
        }
        for _ in 0..3 {
            world
                .ask(
                    "select pg_terminate_backend(pid)::text from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()",
                )
                .await;
            assert_eq!(database.rows(&Scope::All).await.unwrap(), rows());
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn sessions_have_a_name_and_limits() {
    on_postgres(async |world| {
        let settings = "select string_agg(current_setting(name), ' ') from unnest(array[
            'application_name', 'statement_timeout', 'lock_timeout',
            'idle_in_transaction_session_timeout']) as name";
        assert_eq!(world.ask(settings).await, ["platform 15s 5s 2s"]);
        let types = "select string_agg(distinct data_type, ', ' order by data_type)
            from information_schema.columns
            where table_name in ('challenges', 'kubernetes_targets', 'passes')";
        assert_eq!(
            world.open().await.status().await.unwrap().kind,
            DatabaseKind::Postgres
        );
        assert_eq!(
            world.ask(types).await,
            ["bigint, boolean, character varying, jsonb, numeric, text, timestamp with time zone, uuid"]
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_user_without_the_right_to_make_tables_can_still_start() {
    on_postgres(async |world| {
        world.open().await.close().await;
        let role = format!(
            "platform_test_{:016x}",
            rand::TryRngCore::try_next_u64(&mut rand::rngs::OsRng).unwrap()
        );
        let run = async |sql: String| {
            let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(world.url.expose())
                .await
                .unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut admin)
                .await
                .unwrap();
        };
        run(format!(
            "create role {role} login password 'secret';
             revoke create on schema public from public;
             grant select, insert, update, delete on all tables in schema public to {role};
             grant usage on all sequences in schema public to {role};"
        ))
        .await;
        let url = changed(&world.url, |url| {
            url.set_username(&role).unwrap();
            url.set_password(Some("secret")).unwrap();
        });
        let started = open_and_migrate(&url).await;
        let recorded = match &started {
            Ok(database) => database
                .record_pass(UNTAKEN, &pass(1, 2), &[])
                .await
                .map(drop),
            Err(error) => Err(error.clone()),
        };
        if let Ok(database) = started {
            database.close().await;
        }
        run(format!("drop owned by {role}; drop role {role};")).await;
        recorded.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_act_is_told_to_other_processes_and_after_a_lost_connection() {
    on_postgres(async |world| {
        let (here, there) = (world.open().await, world.open().await);
        let told = async || {
            let told = tokio::time::timeout(Duration::from_secs(5), there.act_told());
            told.await.expect("it is told");
        };
        let is_quiet = async || {
            let told = tokio::time::timeout(Duration::from_millis(300), there.act_told());
            told.await.is_err()
        };
        // Whoever begins to listen may have missed one.
        told().await;
        assert!(is_quiet().await, "nothing was kept");
        here.act(&act(ActKind::Reconcile, None, 1)).await.unwrap();
        told().await;
        here.act(&act(ActKind::Suspend, Some("prism"), 2))
            .await
            .unwrap();
        told().await;
        assert!(is_quiet().await, "each is told once");
        world
            .ask(
                "select pg_terminate_backend(pid)::text from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
        while !is_quiet().await {}
        here.act(&act(ActKind::Reconcile, None, 3)).await.unwrap();
        told().await;
        let began = Instant::now();
        there.close().await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "nobody waits for the listener"
        );
        assert!(is_quiet().await, "a closed database tells nothing");
        here.close().await;
    })
    .await;
}

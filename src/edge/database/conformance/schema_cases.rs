//! Cases about the schema and about errors: who may open what, and what is said.

use super::*;

pub(super) async fn several_that_start_at_once_migrate_once(world: World) {
    let starts = (0..8).map(|_| {
        let url = world.url.clone();
        tokio::spawn(async move { open_and_migrate(&url).await.map(drop) })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    let status = world.open().await.status().await.unwrap();
    assert_eq!(status.pending, []);
    let versions: Vec<i64> = status.applied.iter().map(|m| m.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    assert!(status.server_version.contains('.'), "{status:?}");
}

pub(super) async fn opening_for_reading_migrates_nothing_and_takes_no_write(world: World) {
    world.make_empty().await;
    let Opened::NotMigrated(status) = open(&world.url).await.unwrap() else {
        panic!("an empty database has no schema");
    };
    let pending: Vec<&str> = status
        .pending
        .iter()
        .map(|m| m.description.as_str())
        .collect();
    assert_eq!(
        (status.applied.len(), pending),
        (
            0,
            vec![
                "registry",
                "passes",
                "fence",
                "chain",
                "acts",
                "conditions",
                "weights",
                "rollouts",
                "health",
                "open passes",
                "outages",
                "network",
                "sizes",
                "pushes"
            ]
        )
    );
    assert!(matches!(
        open(&world.url).await.unwrap(),
        Opened::NotMigrated(_)
    ));

    world.open().await.close().await;
    let Opened::Ready(database) = open(&world.url).await.unwrap() else {
        panic!("it has its schema now");
    };
    assert_eq!(database.rows(&Scope::All).await.unwrap(), BTreeMap::new());
    let key = RowKey::Challenge(slug("prism"));
    let refused = database
        .write_row(UNTAKEN, &key, &Row(challenge()), &revision(1), at(0))
        .await;
    assert!(
        matches!(refused, Err(DatabaseError::Denied { .. })),
        "{refused:?}"
    );
}

pub(super) async fn a_newer_schema_is_refused(world: World) {
    drop(world.open().await);
    world
        .ask(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             select 99, 'later', true, checksum, 1 from _sqlx_migrations where version = 1",
        )
        .await;
    let refused = [
        open(&world.url).await.map(drop),
        open_and_migrate(&world.url).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("schema version 99"), "{error}");
        assert!(error.contains("use the newer program"), "{error}");
    }
}

pub(super) async fn a_changed_migration_is_refused(world: World) {
    drop(world.open().await);
    world
        .ask(
            "update _sqlx_migrations set checksum =
             (select checksum from _sqlx_migrations where version = 2) where version = 1",
        )
        .await;
    let refused = [
        open(&world.url).await.map(drop),
        open_and_migrate(&world.url).await.map(drop),
    ];
    for refused in refused {
        let changed = matches!(refused, Err(DatabaseError::Changed { version: 1, .. }));
        assert!(changed, "{refused:?}");
    }
}

pub(super) async fn a_schema_that_lacks_the_newest_migration_is_brought_up_to_date(world: World) {
    let database = world.open().await;
    for (key, row) in rows() {
        database
            .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
            .await
            .unwrap();
    }
    database.close().await;
    for undo in [
        "drop table fence",
        "drop table pass_keys",
        "drop table passes",
        "drop table image_digests",
        "drop table pass_chain",
        "drop table acts",
        "drop table suspensions",
        "drop table challenge_conditions",
        "drop table challenge_progress",
        "drop table rollouts",
        "drop table challenge_health",
        "drop table weight_snapshots",
        "drop table open_passes",
        "drop table weight_outages",
        "drop table known_network",
        "drop table pushes",
        "delete from _sqlx_migrations where version >= 2",
    ] {
        world.ask(undo).await;
    }
    let Opened::NotMigrated(status) = open(&world.url).await.unwrap() else {
        panic!("one migration is missing");
    };
    assert_eq!((status.applied.len(), status.pending.len()), (1, 13));
    let database = world.open().await;
    assert_eq!(
        database.rows(&Scope::All).await.unwrap(),
        rows(),
        "no row is lost"
    );
    database
        .record_pass(UNTAKEN, &pass(1, 1), &[])
        .await
        .unwrap();
}

pub(super) async fn every_statement_prepares(world: World) {
    drop(world.open().await);
    let statements = world.engine().await.statements().all();
    assert_eq!(statements.len(), 72);
    for sql in statements {
        world
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }
}

pub(super) async fn no_error_repeats_a_value(world: World) {
    let database = world.open().await;
    let row = with(challenge(), "name", json!("canary"));
    let key = RowKey::Challenge(slug("prism"));
    database
        .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
        .await
        .unwrap();
    let engine = world.engine().await;
    for sql in [
        "update challenges set status = 'canary'",
        "update challenges set spec = 'canary'",
        "update challenges set name = null",
        "select canary",
        "insert into challenge_tokens select 'canary', 'canary', 'canary', 'canary', 'canary',
            'canary', created_at, updated_at from challenges",
    ] {
        let call = store::Call::new(sql, Vec::new());
        let raw = engine.run(Access::Write, vec![call]).await.unwrap_err();
        let shown = error::translate(engine.place(), "testing", &raw);
        assert!(!format!("{shown} {shown:?}").contains("canary"), "{shown}");
    }
    world.ask("drop table challenges").await;
    let error = database
        .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
        .await
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    assert!(matches!(error, DatabaseError::Failed { .. }), "{error:?}");
}

pub(super) async fn a_closed_database_says_so(world: World) {
    let database = world.open().await;
    database.close().await;
    let error = database.rows(&Scope::All).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unreachable { .. }),
        "{error:?}"
    );
}

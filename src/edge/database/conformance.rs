//! What every database must do, run on SQLite always and on PostgreSQL where there is one.
//!
//! Each case gets a database of its own. `PLATFORM_TEST_POSTGRES_URL` names a server and a user who may
//! create databases; those cases are ignored by default, and fail, not skip, without it.

mod files;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::{Access, Retention, Store};
use super::*;
use crate::model::revision::Commit;
use crate::model::{Slug, TargetId};
use world::World;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            use super::world;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    world::on_sqlite(super::$case).await;
                }
            )*
        }
        mod postgres {
            use super::world;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs PostgreSQL"]
                async fn $case() {
                    world::on_postgres(super::$case).await;
                }
            )*
        }
    };
}

on_both!(
    every_kind_of_row_reads_back_as_written,
    a_second_write_keeps_the_time_the_row_was_made,
    a_row_of_the_wrong_form_is_refused_and_nothing_is_written,
    a_deleted_row_is_gone_and_deleting_it_again_is_no_error,
    a_row_that_cannot_be_named_is_an_error_and_no_partial_answer,
    several_that_start_at_once_migrate_once,
    opening_for_reading_migrates_nothing_and_takes_no_write,
    passes_are_recorded_and_read_back,
    passes_are_listed_newest_first_in_pages,
    the_oldest_passes_make_room,
    passes_with_many_keys_make_room_sooner,
    a_pass_with_too_much_in_it_is_cut_and_never_refused,
    an_interrupted_recording_leaves_a_whole_pass_or_none,
    writers_at_the_same_time_all_succeed,
    a_newer_schema_is_refused,
    a_changed_migration_is_refused,
    a_schema_that_lacks_the_newest_migration_is_brought_up_to_date,
    digests_are_remembered_with_their_revision,
    every_statement_prepares,
    no_error_repeats_a_value,
    a_closed_database_says_so,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_001 + second * 1_000_000).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn revision(number: u32) -> Revision {
    Revision {
        digest: format!("sha256:{number:064x}"),
        commit: Some(Commit {
            id: format!("{number:040x}"),
            subject: "raise prism to 35".to_owned(),
        }),
    }
}

fn challenge() -> Value {
    json!({
        "name": "Prism", "description": null, "status": "active", "emission_percent": "30",
        "version": "1.2.0", "api_version": "1.0", "image": "ghcr.io/o/prism:1.2.0",
        "internal_base_url": "http://challenge-prism:8000",
        "spec": { "env": { "A": "1" }, "ports": [8000], "limits": { "cpu": "500m" }, "none": null },
    })
}

fn with(mut row: Value, member: &str, value: Value) -> Row {
    row[member] = value;
    Row(row)
}

fn rows() -> BTreeMap<RowKey, Row> {
    let tokens = json!({
        "token_hash": "ab".repeat(32), "token_hint": "abcd…wxyz",
        "broker_token_hash": "cd".repeat(32), "broker_token_hint": "-_09…AZaz",
    });
    let target = json!({
        "mode": "kubeconfig", "enabled": true, "draining": false, "verify_tls": true,
        "gpu_count": 8, "spec": { "namespace": "gpu" },
    });
    let odd = "quotes ' \" \\ $1 ?1 %s, lines\r\n\t, \u{1f600} and é\u{7f}\u{1}";
    let spec = json!({
        odd: [odd, { "deep": [[[{}]]] }], "big": u64::MAX, "small": i64::MIN, "half": 0.5,
        "": "", "empty": {}, "list": [],
    });
    BTreeMap::from([
        (RowKey::Challenge(slug("prism")), Row(challenge())),
        (
            RowKey::Challenge(slug("odd")),
            with(challenge(), "spec", spec),
        ),
        (
            RowKey::Challenge(slug("named")),
            with(challenge(), "name", json!(odd)),
        ),
        (
            RowKey::Challenge(slug("told")),
            with(challenge(), "description", json!(odd)),
        ),
        (
            RowKey::Challenge(slug("zero")),
            with(challenge(), "emission_percent", json!("0")),
        ),
        (
            RowKey::Challenge(slug("tiny")),
            with(challenge(), "emission_percent", json!("0.0001")),
        ),
        (
            RowKey::Challenge(slug("half")),
            with(challenge(), "emission_percent", json!("12.5")),
        ),
        (
            RowKey::Challenge(slug("most")),
            with(challenge(), "emission_percent", json!("9999.9999")),
        ),
        (
            RowKey::Challenge(slug("draft")),
            with(challenge(), "status", json!("draft")),
        ),
        (RowKey::Tokens(slug("no-challenge-yet")), Row(tokens)),
        (
            RowKey::Target(TargetId::parse("GPU_1.a").unwrap()),
            Row(target.clone()),
        ),
        (
            RowKey::Target(TargetId::parse("b").unwrap()),
            with(target, "draining", json!(true)),
        ),
        (
            RowKey::Assignment(slug("prism")),
            Row(json!({ "target": "b", "gpu_count": 0 })),
        ),
        (
            RowKey::Assignment(slug("odd")),
            Row(json!({ "target": "b", "gpu_count": u32::MAX })),
        ),
    ])
}

fn pass(number: u32, keys: usize) -> PassRecord {
    let outcome = |n: usize| KeyOutcome {
        key: format!("StatefulSet challenge-{n}"),
        slug: (n > 0).then(|| format!("slug-{n}")),
        action: KeyAction::Update,
        outcome: if n.is_multiple_of(2) {
            KeyResult::Done
        } else {
            KeyResult::Failed
        },
        why: (!n.is_multiple_of(2)).then(|| "refused: \"quota\" \u{1f600}".to_owned()),
    };
    PassRecord {
        id: None,
        started_at: at(i64::from(number)),
        finished_at: at(i64::from(number) + 3),
        source: "platform.yaml".to_owned(),
        revision: revision(number),
        actor: "cli root".to_owned(),
        plan_digest: format!("sha256:{number:064x}"),
        outcome: PassOutcome::Partial,
        counts: PassCounts {
            updated: 1,
            failed: 1,
            ..PassCounts::default()
        },
        keys: (0..keys).map(outcome).collect(),
    }
}

async fn every_kind_of_row_reads_back_as_written(world: World) {
    let database = world.open().await;
    assert_eq!(database.rows().await.unwrap(), BTreeMap::new());
    let written = rows();
    for (key, row) in &written {
        database
            .write_row(key, row, &revision(1), at(0))
            .await
            .unwrap();
    }
    assert_eq!(database.rows().await.unwrap(), written);
    for (key, row) in &written {
        database
            .write_row(key, row, &revision(2), at(1))
            .await
            .unwrap();
    }
    assert_eq!(database.rows().await.unwrap(), written);
    let again = world.open().await;
    assert_eq!(again.rows().await.unwrap(), written);
}

async fn a_second_write_keeps_the_time_the_row_was_made(world: World) {
    let database = world.open().await;
    let key = RowKey::Challenge(slug("prism"));
    let row = Row(challenge());
    let times = "select cast(created_at = updated_at as text) || id || revision from challenges";
    database
        .write_row(&key, &row, &revision(1), at(0))
        .await
        .unwrap();
    let first = world.ask(times).await;
    database.rows().await.unwrap();
    assert_eq!(world.ask(times).await, first);
    let changed = with(challenge(), "status", json!("disabled"));
    database
        .write_row(&key, &changed, &revision(2), at(60))
        .await
        .unwrap();
    let count = "select cast(count(*) as text) from challenges where created_at < updated_at";
    assert_eq!(world.ask(count).await, ["1"]);
    let ids = world.ask("select cast(id as text) from challenges").await;
    assert!(first[0].contains(&ids[0]), "the id stays");
    assert_eq!(ids[0].len(), 36);
    let told = world.ask("select revision from challenges").await;
    assert_eq!(told, [format!("{:040x}", 2)]);
}

async fn a_row_of_the_wrong_form_is_refused_and_nothing_is_written(world: World) {
    let database = world.open().await;
    let key = RowKey::Challenge(slug("prism"));
    let mut without = challenge();
    without.as_object_mut().unwrap().remove("description");
    let wrong = [
        Row(json!([])),
        Row(without),
        with(challenge(), "extra", json!(1)),
        with(challenge(), "status", json!("paused")),
        with(challenge(), "emission_percent", json!("30.0")),
        with(challenge(), "emission_percent", json!(30)),
        with(challenge(), "spec", json!("{}")),
        with(challenge(), "spec", json!({ "a": ["nul \0"] })),
        with(challenge(), "spec", json!({ "big": "x".repeat(1 << 20) })),
    ];
    for row in wrong {
        let refused = database.write_row(&key, &row, &revision(1), at(0)).await;
        assert!(
            matches!(refused, Err(DatabaseError::Row { .. })),
            "{refused:?}"
        );
    }
    let clear = Row(json!({
        "token_hash": "canary", "token_hint": "abcd…wxyz",
        "broker_token_hash": "cd".repeat(32), "broker_token_hint": "abcd…wxyz",
    }));
    let tokens = RowKey::Tokens(slug("prism"));
    let refused = database
        .write_row(&tokens, &clear, &revision(1), at(0))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "tokens prism: `token_hash` must be a SHA-256 in lower-case hex"
    );
    assert_eq!(database.rows().await.unwrap(), BTreeMap::new());
}

async fn a_deleted_row_is_gone_and_deleting_it_again_is_no_error(world: World) {
    let database = world.open().await;
    let mut left = rows();
    for (key, row) in &left {
        database
            .write_row(key, row, &revision(1), at(0))
            .await
            .unwrap();
    }
    for key in rows().keys() {
        database.delete_row(key).await.unwrap();
        database.delete_row(key).await.unwrap();
        left.remove(key);
        assert_eq!(database.rows().await.unwrap(), left);
    }
}

async fn a_row_that_cannot_be_named_is_an_error_and_no_partial_answer(world: World) {
    let database = world.open().await;
    for (key, row) in rows() {
        database
            .write_row(&key, &row, &revision(1), at(0))
            .await
            .unwrap();
    }
    world
        .ask("update target_assignments set slug = 'Not A Slug' where slug = 'odd'")
        .await;
    let error = database.rows().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"Not A Slug\" of table target_assignments"),
        "{error}"
    );
}

async fn several_that_start_at_once_migrate_once(world: World) {
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
    assert_eq!(versions, [1, 2]);
    assert!(status.server_version.contains('.'), "{status:?}");
}

async fn opening_for_reading_migrates_nothing_and_takes_no_write(world: World) {
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
        (0, vec!["registry", "passes"])
    );
    assert!(matches!(
        open(&world.url).await.unwrap(),
        Opened::NotMigrated(_)
    ));

    world.open().await.close().await;
    let Opened::Ready(database) = open(&world.url).await.unwrap() else {
        panic!("it has its schema now");
    };
    assert_eq!(database.rows().await.unwrap(), BTreeMap::new());
    let key = RowKey::Challenge(slug("prism"));
    let refused = database
        .write_row(&key, &Row(challenge()), &revision(1), at(0))
        .await;
    assert!(
        matches!(refused, Err(DatabaseError::Denied { .. })),
        "{refused:?}"
    );
}

async fn passes_are_recorded_and_read_back(world: World) {
    let database = world.open().await;
    assert_eq!(database.passes(10, None).await.unwrap(), []);
    assert_eq!(database.pass(1).await.unwrap(), None);
    let mut local = pass(2, 0);
    local.revision.commit = None;
    local.outcome = PassOutcome::Converged;
    for mut written in [pass(1, 5), local, pass(3, 1000)] {
        let id = database.record_pass(&written).await.unwrap();
        written.id = Some(id);
        assert_eq!(database.pass(id).await.unwrap().as_ref(), Some(&written));
        let listed = database.passes(1, None).await.unwrap().remove(0);
        assert_eq!(listed.key_count, written.keys.len() as u64);
        assert_eq!(listed.with_keys(written.keys.clone()), written);
    }
}

async fn passes_are_listed_newest_first_in_pages(world: World) {
    let database = world.open().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(database.record_pass(&pass(number, 1)).await.unwrap());
    }
    assert!(ids.is_sorted());
    ids.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = database.passes(3, before).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|pass| pass.id));
    }
    assert_eq!(seen, ids);
    assert_eq!(database.passes(u32::MAX, None).await.unwrap().len(), 7);
    assert_eq!(database.passes(0, None).await.unwrap(), []);
}

async fn keep(world: &World, passes: u64, keys: u64) -> Store<Box<dyn Engine>> {
    drop(world.open().await);
    let retention = Retention { passes, keys };
    Store {
        engine: world.engine().await,
        retention,
    }
}

async fn the_oldest_passes_make_room(world: World) {
    let store = keep(&world, 3, 1000).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.insert(0, store.record_pass(&pass(number, 2)).await.unwrap());
    }
    let kept: Vec<i64> = store
        .passes(10, None)
        .await
        .unwrap()
        .iter()
        .map(|p| p.id)
        .collect();
    assert_eq!(kept, ids[..3]);
    assert_eq!(
        world
            .ask("select cast(count(*) as text) from pass_keys")
            .await,
        ["6"]
    );
}

async fn passes_with_many_keys_make_room_sooner(world: World) {
    let store = keep(&world, 100, 25).await;
    for number in 0..5 {
        store.record_pass(&pass(number, 10)).await.unwrap();
    }
    assert_eq!(store.passes(10, None).await.unwrap().len(), 2);
    let large = store.record_pass(&pass(9, 60)).await.unwrap();
    let kept = store.passes(10, None).await.unwrap();
    assert_eq!(
        kept.iter().map(|p| p.id).collect::<Vec<_>>(),
        [large],
        "the newest always stays"
    );
}

async fn a_pass_with_too_much_in_it_is_cut_and_never_refused(world: World) {
    let database = world.open().await;
    let mut large = pass(1, MAX_KEYS + 100);
    large.actor = "é".repeat(100_000);
    large.source = "with \0 in it".to_owned();
    large.keys[1].why = Some("x".repeat(100_000));
    let id = database.record_pass(&large).await.unwrap();
    let kept = database.pass(id).await.unwrap().unwrap();
    assert_eq!(kept.keys.len(), MAX_KEYS);
    let failed = |keys: &[KeyOutcome]| {
        keys.iter()
            .filter(|k| k.outcome == KeyResult::Failed)
            .count()
    };
    assert_eq!(
        failed(&kept.keys),
        failed(&large.keys),
        "what was not done is kept first"
    );
    assert_eq!(kept.source, "with \u{fffd} in it");
    assert!(kept.actor.chars().count() == 200 && kept.actor.ends_with('…'));
    let listed = database.passes(1, None).await.unwrap();
    assert_eq!(listed[0].key_count, MAX_KEYS as u64 + 100);
}

async fn an_interrupted_recording_leaves_a_whole_pass_or_none(world: World) {
    let database = world.open().await;
    for step in 0..40 {
        let recording = database.clone();
        let task = tokio::spawn(async move { recording.record_pass(&pass(step, 300)).await });
        tokio::time::sleep(Duration::from_micros(u64::from(step) * 150)).await;
        task.abort();
        let interrupted = task.await.is_err();
        database.record_pass(&pass(step, 1)).await.unwrap();
        let kept = database.passes(2, None).await.unwrap();
        for summary in &kept {
            let whole = database.pass(summary.id).await.unwrap().unwrap();
            assert_eq!(
                whole.keys.len() as u64,
                summary.key_count,
                "interrupted: {interrupted}"
            );
        }
    }
    let torn = "select cast(count(*) as text) from passes p where key_count <>
        (select count(*) from pass_keys k where k.pass_id = p.id)";
    assert_eq!(world.ask(torn).await, ["0"]);
}

async fn writers_at_the_same_time_all_succeed(world: World) {
    let first = world.open().await;
    let second = world.open().await;
    let writers = (0..24).map(|n: u32| {
        let database = if n.is_multiple_of(2) {
            first.clone()
        } else {
            second.clone()
        };
        tokio::spawn(async move {
            let key = RowKey::Challenge(slug(&format!("c{}", n % 6)));
            database
                .write_row(&key, &Row(challenge()), &revision(n), at(0))
                .await?;
            database.record_pass(&pass(n, 20)).await?;
            database.rows().await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(first.rows().await.unwrap().len(), 6);
    let kept = first.passes(100, None).await.unwrap();
    assert_eq!(kept.len(), 24);
    for summary in kept {
        assert_eq!(
            first.pass(summary.id).await.unwrap().unwrap().keys.len(),
            20
        );
    }
}

async fn a_newer_schema_is_refused(world: World) {
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

async fn a_changed_migration_is_refused(world: World) {
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

async fn a_schema_that_lacks_the_newest_migration_is_brought_up_to_date(world: World) {
    let database = world.open().await;
    for (key, row) in rows() {
        database
            .write_row(&key, &row, &revision(1), at(0))
            .await
            .unwrap();
    }
    database.close().await;
    for undo in [
        "drop table pass_keys",
        "drop table passes",
        "drop table image_digests",
        "delete from _sqlx_migrations where version = 2",
    ] {
        world.ask(undo).await;
    }
    let Opened::NotMigrated(status) = open(&world.url).await.unwrap() else {
        panic!("one migration is missing");
    };
    assert_eq!((status.applied.len(), status.pending.len()), (1, 1));
    let database = world.open().await;
    assert_eq!(database.rows().await.unwrap(), rows(), "no row is lost");
    database.record_pass(&pass(1, 1)).await.unwrap();
}

async fn digests_are_remembered_with_their_revision(world: World) {
    let database = world.open().await;
    let image = |text: &str| ImageRef::parse(text).unwrap();
    let digest = |n: u8| Digest::parse(&format!("sha256:{}", hex::encode([n; 32]))).unwrap();
    let (one, two) = (
        image("ghcr.io/o/a:latest"),
        image("localhost:5000/p/b:main"),
    );
    let asked = [one.clone(), two.clone()];
    assert_eq!(database.digests(&asked).await.unwrap(), BTreeMap::new());
    database
        .remember_digest(&one, &digest(1), &revision(1), at(0))
        .await
        .unwrap();
    database
        .remember_digest(&two, &digest(2), &revision(1), at(0))
        .await
        .unwrap();
    database
        .remember_digest(&one, &digest(3), &revision(2), at(9))
        .await
        .unwrap();
    let known = database.digests(&asked).await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(
        (&known[&one].digest, known[&one].resolved_at),
        (&digest(3), at(9))
    );
    assert!(known[&one].is_of(&revision(2)) && !known[&one].is_of(&revision(1)));
    assert!(known[&two].is_of(&revision(1)));
    assert_eq!(database.digests(&asked[1..]).await.unwrap().len(), 1);
    assert_eq!(database.digests(&[]).await.unwrap().len(), 0);
}

async fn every_statement_prepares(world: World) {
    drop(world.open().await);
    let statements = world.engine().await.statements().all();
    assert_eq!(statements.len(), 24);
    for sql in statements {
        world
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }
}

async fn no_error_repeats_a_value(world: World) {
    let database = world.open().await;
    let row = with(challenge(), "name", json!("canary"));
    let key = RowKey::Challenge(slug("prism"));
    database
        .write_row(&key, &row, &revision(1), at(0))
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
        let call = store::Call {
            sql,
            arguments: Vec::new(),
        };
        let raw = engine.run(Access::Write, vec![call]).await.unwrap_err();
        let shown = error::translate(engine.place(), "testing", &raw);
        assert!(!format!("{shown} {shown:?}").contains("canary"), "{shown}");
    }
    world.ask("drop table challenges").await;
    let error = database
        .write_row(&key, &row, &revision(1), at(0))
        .await
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    assert!(matches!(error, DatabaseError::Failed { .. }), "{error:?}");
}

async fn a_closed_database_says_so(world: World) {
    let database = world.open().await;
    database.close().await;
    let error = database.rows().await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unreachable { .. }),
        "{error:?}"
    );
}

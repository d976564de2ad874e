//! Cases about rows: they read back as written, and what is not of their form is refused.

use super::*;
use crate::model::act::ActKind;
use crate::model::rollout::Rollout;

pub(super) async fn every_kind_of_row_reads_back_as_written(world: World) {
    let database = world.open().await;
    assert_eq!(database.rows(&Scope::All).await.unwrap(), BTreeMap::new());
    let written = rows();
    for (key, row) in &written {
        database
            .write_row(UNTAKEN, key, row, &revision(1), at(0))
            .await
            .unwrap();
    }
    assert_eq!(database.rows(&Scope::All).await.unwrap(), written);
    for (key, row) in &written {
        database
            .write_row(UNTAKEN, key, row, &revision(2), at(1))
            .await
            .unwrap();
    }
    assert_eq!(database.rows(&Scope::All).await.unwrap(), written);
    let again = world.open().await;
    assert_eq!(again.rows(&Scope::All).await.unwrap(), written);
}

pub(super) async fn only_what_is_in_scope_is_read(world: World) {
    let database = world.open().await;
    for (key, row) in &rows() {
        database
            .write_row(UNTAKEN, key, row, &revision(1), at(0))
            .await
            .unwrap();
    }
    let of = |slugs: &[&str]| Scope::Only(slugs.iter().map(|name| slug(name)).collect());
    let (mut expected, read) = (rows(), database.rows(&of(&["prism"])).await.unwrap());
    expected.retain(|key, _| key.slug() == Some(&slug("prism")));
    assert!(!expected.is_empty(), "there are rows of it");
    assert_eq!(read, expected);
    for name in ["prism", "other"] {
        let act = act_cases::act(ActKind::Suspend, Some(name), 1);
        database.act(&act).await.unwrap();
        let known = Rollout {
            good: ImageRef::parse("registry.example/image:1").ok(),
            failed: None,
        };
        let rollouts = [(slug(name), known)].into();
        database
            .write_rollouts(UNTAKEN, &rollouts, at(0))
            .await
            .unwrap();
    }
    let scope = of(&["other", "nobody"]);
    let suspended = database.suspensions(&scope).await.unwrap();
    assert_eq!(suspended.into_keys().collect::<Vec<_>>(), [slug("other")]);
    let rollouts = database.rollouts(&scope).await.unwrap();
    assert_eq!(rollouts.into_keys().collect::<Vec<_>>(), [slug("other")]);
    let nobody = of(&[]);
    assert!(database.rows(&nobody).await.unwrap().is_empty());
    assert!(database.suspensions(&nobody).await.unwrap().is_empty());
    assert!(database.rollouts(&nobody).await.unwrap().is_empty());
}

pub(super) async fn rows_that_are_written_side_by_side_are_all_written(world: World) {
    let store = keep(&world, 10, 1000).await;
    let key = |number: usize| RowKey::Challenge(slug(&format!("slug-{number}")));
    let row = Row(challenge());
    let revision = revision(1);
    let write = async |number: usize| {
        let key = key(number);
        store.write_row(UNTAKEN, &key, &row, &revision, at(0)).await
    };
    // The first begins to write, and is cut off with others waiting behind it.
    let mut cut_off = Box::pin(write(0));
    assert!(futures::poll!(&mut cut_off).is_pending());
    let mut in_its_group: Vec<_> = (1..10).map(|number| Box::pin(write(number))).collect();
    for waiting in &mut in_its_group {
        assert!(futures::poll!(waiting).is_pending());
    }
    drop(cut_off);
    // The next writes all that wait, and is cut off too.
    let mut cut_off = in_its_group.remove(0);
    assert!(futures::poll!(&mut cut_off).is_pending());
    drop(cut_off);
    // One that the database refuses, and another turn's, harm nobody else's.
    let bad = json!({"token_hash": "short", "token_hint": "", "broker_token_hash": "", "broker_token_hint": ""});
    let arguments = ["slug-1", &bad.to_string(), "", "2026-01-01T00:00:00Z"];
    let statement = store.engine.statements().tokens.write;
    let refused = store.write_in_group(UNTAKEN, statement, arguments.map(str::to_owned).into());
    let others = futures::future::join_all((10..200).map(write));
    let (key_of_deposed, deposed) = (key(300), FenceToken::new(7));
    let deposed = store.write_row(deposed, &key_of_deposed, &row, &revision, at(0));
    let (waited, refused, others, deposed) = tokio::join!(
        futures::future::join_all(in_its_group),
        refused,
        others,
        deposed
    );
    for written in waited.into_iter().chain(others) {
        written.unwrap();
    }
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, DatabaseError::Failed { .. }),
        "{refused:?}"
    );
    assert!(matches!(deposed, Err(DatabaseError::Fenced { .. })));
    let mut read = store.rows(&Scope::All).await.unwrap();
    // Those that were cut off are there or not.
    read.retain(|one, _| ![key(0), key(1)].contains(one));
    let expected: BTreeMap<_, _> = (2..200).map(|number| (key(number), row.clone())).collect();
    assert_eq!(read, expected);
}

pub(super) async fn a_second_write_keeps_the_time_the_row_was_made(world: World) {
    let database = world.open().await;
    let key = RowKey::Challenge(slug("prism"));
    let row = Row(challenge());
    let times = "select cast(created_at = updated_at as text) || id || revision from challenges";
    database
        .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
        .await
        .unwrap();
    let first = world.ask(times).await;
    database.rows(&Scope::All).await.unwrap();
    assert_eq!(world.ask(times).await, first);
    let changed = with(challenge(), "status", json!("disabled"));
    database
        .write_row(UNTAKEN, &key, &changed, &revision(2), at(60))
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

pub(super) async fn a_row_of_the_wrong_form_is_refused_and_nothing_is_written(world: World) {
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
        with(challenge(), "spec", nested(63)),
    ];
    for row in wrong {
        let refused = database
            .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
            .await;
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
        .write_row(UNTAKEN, &tokens, &clear, &revision(1), at(0))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "tokens prism: `token_hash` must be a SHA-256 in lower-case hex"
    );
    assert_eq!(database.rows(&Scope::All).await.unwrap(), BTreeMap::new());
}

pub(super) async fn a_deleted_row_is_gone_and_deleting_it_again_is_no_error(world: World) {
    let database = world.open().await;
    let mut left = rows();
    for (key, row) in &left {
        database
            .write_row(UNTAKEN, key, row, &revision(1), at(0))
            .await
            .unwrap();
    }
    for key in rows().keys() {
        database.delete_row(UNTAKEN, key).await.unwrap();
        database.delete_row(UNTAKEN, key).await.unwrap();
        left.remove(key);
        assert_eq!(database.rows(&Scope::All).await.unwrap(), left);
    }
}

pub(super) async fn a_row_that_cannot_be_named_is_an_error_and_no_partial_answer(world: World) {
    let database = world.open().await;
    for (key, row) in rows() {
        database
            .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
            .await
            .unwrap();
    }
    world
        .ask("update target_assignments set slug = 'Not A Slug' where slug = 'odd'")
        .await;
    let error = database.rows(&Scope::All).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"Not A Slug\" of table target_assignments"),
        "{error}"
    );
}

pub(super) async fn digests_are_remembered_with_their_revision(world: World) {
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
        .remember_digest(UNTAKEN, &one, &digest(1), &revision(1), at(0))
        .await
        .unwrap();
    database
        .remember_digest(UNTAKEN, &two, &digest(2), &revision(1), at(0))
        .await
        .unwrap();
    database
        .remember_digest(UNTAKEN, &one, &digest(3), &revision(2), at(9))
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

//! Cases about the chain of passes: whatever is changed, added or taken away behind its back is found.

use super::*;
use crate::model::chain::{Break, Chain, Fault, Unbroken};

async fn recorded(world: &World, count: u32) -> (Arc<dyn Database>, Vec<i64>) {
    let database = world.open().await;
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(
            database
                .record_pass(UNTAKEN, &pass(number, 3), &[])
                .await
                .unwrap(),
        );
    }
    (database, ids)
}

fn broken(pass: i64, fault: Fault, unbroken: u64) -> Chain {
    Chain::Broken(Break {
        pass,
        fault,
        unbroken,
    })
}

async fn unbroken(database: &dyn Database) -> Unbroken {
    match database.verify_passes().await.unwrap() {
        Chain::Unbroken(chain) => chain,
        Chain::Broken(broken) => panic!("{broken:?}"),
    }
}

pub(super) async fn each_pass_carries_the_hash_of_the_one_before_it(world: World) {
    let database = world.open().await;
    assert_eq!(unbroken(&*database).await, Unbroken::default());
    drop(database);
    let (database, ids) = recorded(&world, 60).await;
    let mut passes = database.passes(100, None).await.unwrap();
    passes.reverse();
    assert_eq!(passes[0].chain.previous, "0".repeat(64));
    for pair in passes.windows(2) {
        assert_eq!(pair[0].chain.hash, pair[1].chain.previous);
    }
    let found = unbroken(&*database).await;
    assert_eq!((found.passes, found.since), (60, Some(ids[0])));
    assert_eq!(found.newest, Some(ids[59]));
    assert_eq!(found.head.as_ref(), Some(&passes[59].chain.hash));
}

pub(super) async fn every_column_of_a_pass_is_under_its_hash(world: World) {
    let (database, ids) = recorded(&world, 4).await;
    assert_eq!(ids, [1, 2, 3, 4]);
    // Each is undone by the one behind it.
    let tampered = [
        (
            "update passes set source = source || 'x' where id = 2",
            "update passes set source = 'platform.yaml' where id = 2",
        ),
        (
            "update passes set actor = 'cli eve' where id = 2",
            "update passes set actor = 'cli root' where id = 2",
        ),
        (
            "update passes set outcome = 'changed' where id = 2",
            "update passes set outcome = 'partial' where id = 2",
        ),
        (
            "update passes set revision_digest = revision_digest || 'x' where id = 2",
            "update passes set revision_digest = substr(revision_digest, 1, length(revision_digest) - 1) where id = 2",
        ),
        (
            "update passes set commit_id = 'f' || commit_id where id = 2",
            "update passes set commit_id = substr(commit_id, 2) where id = 2",
        ),
        (
            "update passes set commit_subject = 'f' || commit_subject where id = 2",
            "update passes set commit_subject = substr(commit_subject, 2) where id = 2",
        ),
        (
            "update passes set plan_digest = 'f' || plan_digest where id = 2",
            "update passes set plan_digest = substr(plan_digest, 2) where id = 2",
        ),
        (
            "update passes set key_count = 4 where id = 2",
            "update passes set key_count = 3 where id = 2",
        ),
        (
            "update passes set previous = 'f' || previous where id = 2",
            "update passes set previous = substr(previous, 2) where id = 2",
        ),
        (
            "update passes set hash = 'f' || hash where id = 2",
            "update passes set hash = substr(hash, 2) where id = 2",
        ),
        (
            "update pass_keys set key = 'f' || key where pass_id = 2 and seq = 1",
            "update pass_keys set key = substr(key, 2) where pass_id = 2 and seq = 1",
        ),
        (
            "update pass_keys set slug = 'f' || slug where pass_id = 2 and seq = 1",
            "update pass_keys set slug = substr(slug, 2) where pass_id = 2 and seq = 1",
        ),
        (
            "update pass_keys set slug = 'x' where pass_id = 2 and seq = 0",
            "update pass_keys set slug = null where pass_id = 2 and seq = 0",
        ),
        (
            "update pass_keys set action = 'f' || action where pass_id = 2 and seq = 1",
            "update pass_keys set action = substr(action, 2) where pass_id = 2 and seq = 1",
        ),
        (
            "update pass_keys set outcome = 'done' where pass_id = 2 and seq = 1",
            "update pass_keys set outcome = 'failed' where pass_id = 2 and seq = 1",
        ),
        (
            "update pass_keys set why = 'f' || why where pass_id = 2 and seq = 1",
            "update pass_keys set why = substr(why, 2) where pass_id = 2 and seq = 1",
        ),
        (
            "update pass_keys set seq = 9 where pass_id = 2 and seq = 0",
            "update pass_keys set seq = 0 where pass_id = 2 and seq = 9",
        ),
    ];
    for (change, undo) in tampered {
        world.ask(change).await;
        let found = database.verify_passes().await.unwrap();
        assert_eq!(found, broken(2, Fault::Altered, 1), "{change}");
        world.ask(undo).await;
        unbroken(&*database).await;
    }
    world
        .ask(world.of_engine(
            "update passes set counts = '{}' where id = 2",
            "update passes set counts = '{}'::jsonb where id = 2",
        ))
        .await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(2, Fault::Altered, 1)
    );
}

pub(super) async fn a_changed_time_of_a_pass_is_found(world: World) {
    let (database, _) = recorded(&world, 3).await;
    world
        .ask("update passes set started_at = finished_at where id = 2")
        .await;
    let found = database.verify_passes().await.unwrap();
    assert_eq!(found, broken(2, Fault::Altered, 1));
    world
        .ask("update passes set finished_at = started_at where id = 1")
        .await;
    let found = database.verify_passes().await.unwrap();
    assert_eq!(found, broken(1, Fault::Altered, 0));
}

pub(super) async fn an_outcome_that_was_added_or_taken_away_is_found(world: World) {
    let (database, _) = recorded(&world, 3).await;
    world
        .ask("insert into pass_keys select pass_id, 3, key, slug, action, outcome, why from pass_keys where pass_id = 2 and seq = 2")
        .await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(2, Fault::Altered, 1)
    );
    world
        .ask("delete from pass_keys where pass_id = 2 and seq = 3")
        .await;
    unbroken(&*database).await;
    world
        .ask("delete from pass_keys where pass_id = 3 and seq = 2")
        .await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(3, Fault::Altered, 2)
    );
}

pub(super) async fn a_pass_deleted_in_the_middle_is_found(world: World) {
    let (database, _) = recorded(&world, 40).await;
    world.ask("delete from passes where id = 30").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(31, Fault::Detached, 29)
    );
}

pub(super) async fn passes_that_changed_places_are_found(world: World) {
    let database = world.open().await;
    for number in 0..4 {
        database
            .record_pass(UNTAKEN, &pass(number, 0), &[])
            .await
            .unwrap();
    }
    let may_change = "alter table passes alter column id drop identity";
    world
        .ask(world.of_engine("select 'it may'", may_change))
        .await;
    for change in [
        "update passes set id = 99 where id = 2",
        "update passes set id = 2 where id = 3",
        "update passes set id = 3 where id = 99",
    ] {
        world.ask(change).await;
    }
    let found = database.verify_passes().await.unwrap();
    assert_eq!(found, broken(2, Fault::Altered, 1));
}

pub(super) async fn a_pass_that_was_made_anew_with_its_hash_is_found_by_the_next(world: World) {
    let (database, _) = recorded(&world, 4).await;
    let engine = world.engine().await;
    let read = store::Call::new(engine.statements().read_links, vec!["1".into(), "1".into()]);
    let records = engine.run(Access::Read, vec![read]).await.unwrap().concat();
    let mut forged: chain::Record = serde_json::from_str(&records[0]).unwrap();
    assert_eq!(forged.hash_behind(&forged.previous), forged.hash);
    forged.head["actor"] = json!("cli eve");
    let write = store::Call::new(
        world.of_engine(
            "update passes set actor = 'cli eve', hash = ?1 where id = 2",
            "update passes set actor = 'cli eve', hash = $1 where id = 2",
        ),
        vec![forged.hash_behind(&forged.previous)],
    );
    engine.run(Access::Write, vec![write]).await.unwrap();
    let found = database.verify_passes().await.unwrap();
    assert_eq!(found, broken(3, Fault::Detached, 2));
}

pub(super) async fn newest_passes_that_are_gone_are_found(world: World) {
    let (database, _) = recorded(&world, 5).await;
    world.ask("delete from passes where id >= 4").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(5, Fault::Gone, 3)
    );
    world.ask("delete from passes").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(5, Fault::Gone, 0)
    );
    database
        .record_pass(UNTAKEN, &pass(9, 1), &[])
        .await
        .unwrap();
    let found = database.verify_passes().await.unwrap();
    assert_eq!(
        found,
        broken(6, Fault::Shortened, 1),
        "the next pass does not hide it"
    );
}

pub(super) async fn oldest_passes_that_are_gone_are_found(world: World) {
    let (database, _) = recorded(&world, 5).await;
    world.ask("delete from passes where id <= 2").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(3, Fault::Shortened, 3)
    );
}

pub(super) async fn a_pass_that_was_added_is_found(world: World) {
    let (database, _) = recorded(&world, 3).await;
    world.ask(world.of_engine(
        "insert into passes select 7, started_at, finished_at, source, revision_digest, commit_id, commit_subject,
            actor, plan_digest, outcome, counts, key_count, hash, hash from passes where id = 3",
        "insert into passes (id, started_at, finished_at, source, revision_digest, commit_id, commit_subject,
            actor, plan_digest, outcome, counts, key_count, previous, hash) overriding system value
         select 7, started_at, finished_at, source, revision_digest, commit_id, commit_subject,
            actor, plan_digest, outcome, counts, key_count, hash, hash from passes where id = 3",
    )).await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(7, Fault::Added, 3)
    );
    let next = database
        .record_pass(UNTAKEN, &pass(4, 1), &[])
        .await
        .unwrap();
    assert_eq!(next, 8, "recording goes on");
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(7, Fault::Altered, 3)
    );
}

pub(super) async fn an_end_of_the_chain_that_was_changed_or_lost_is_found(world: World) {
    let (database, _) = recorded(&world, 3).await;
    world.ask("update pass_chain set hash = 'f'").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(3, Fault::Replaced, 3)
    );
    world.ask("delete from pass_chain").await;
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(3, Fault::Added, 0)
    );
    let next = database
        .record_pass(UNTAKEN, &pass(4, 1), &[])
        .await
        .unwrap();
    assert_eq!(next, 4, "recording goes on");
    assert_eq!(
        database.verify_passes().await.unwrap(),
        broken(4, Fault::Detached, 3)
    );
}

pub(super) async fn the_chain_holds_while_old_passes_make_room(world: World) {
    let store = pass_cases::keep(&world, 7, 1000).await;
    for number in 0..20 {
        store
            .record_pass(UNTAKEN, &pass(number, 2), &[])
            .await
            .unwrap();
        let found = unbroken(&store).await;
        assert_eq!(found.passes, u64::from(number + 1).min(7));
    }
    assert_eq!(unbroken(&store).await.since, Some(14));
}

pub(super) async fn recorders_at_the_same_time_do_not_fork_the_chain(world: World) {
    let (first, second) = (world.open().await, world.open().await);
    let recorders = (0..32_u32).map(|n| {
        let database = if n.is_multiple_of(2) {
            first.clone()
        } else {
            second.clone()
        };
        tokio::spawn(async move { database.record_pass(UNTAKEN, &pass(n, 20), &[]).await })
    });
    let mut ids = Vec::new();
    for recorder in recorders.collect::<Vec<_>>() {
        ids.push(recorder.await.unwrap().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=32).collect::<Vec<i64>>());
    assert_eq!(unbroken(&*first).await.passes, 32);
}

pub(super) async fn a_chain_that_grows_and_sheds_while_it_is_verified_is_unbroken(world: World) {
    let store = Arc::new(pass_cases::keep(&world, 60, 100_000).await);
    for number in 0..60 {
        store
            .record_pass(UNTAKEN, &pass(number, 1), &[])
            .await
            .unwrap();
    }
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for number in 60..120 {
            writer
                .record_pass(UNTAKEN, &pass(number, 1), &[])
                .await
                .unwrap();
        }
    });
    while !writing.is_finished() {
        unbroken(&*store).await;
    }
    writing.await.unwrap();
    assert_eq!(unbroken(&*store).await.since, Some(61));
}

pub(super) async fn passes_from_before_the_chain_are_chained(world: World) {
    let (database, _) = recorded(&world, 60).await;
    let kept = database.pass(30).await.unwrap().unwrap();
    database.close().await;
    let undo: &[&'static str] = match world.folder.is_some() {
        true => &[
            "drop trigger passes_are_chained",
            "drop table pass_chain",
            "alter table passes drop column hash",
            "alter table passes drop column previous",
        ],
        false => &[
            "drop table pass_chain",
            "alter table passes drop column hash, drop column previous",
        ],
    };
    for undo in undo {
        world.ask(undo).await;
    }
    world
        .ask("delete from _sqlx_migrations where version = 4")
        .await;
    world.ask("delete from passes where id in (1, 2, 17)").await;
    let opened: Vec<_> = (0..4)
        .map(|_| {
            let url = world.url.clone();
            tokio::spawn(async move { open_and_migrate(&url).await })
        })
        .collect();
    for opened in opened {
        let database = opened.await.unwrap().unwrap();
        let found = unbroken(&*database).await;
        assert_eq!((found.passes, found.since), (57, Some(3)));
    }
    let database = world.open().await;
    let chained = database.pass(30).await.unwrap().unwrap();
    assert_eq!(chained.keys, kept.keys, "nothing of it changed");
    assert_eq!(
        database
            .record_pass(UNTAKEN, &pass(99, 1), &[])
            .await
            .unwrap(),
        61
    );
    assert_eq!(unbroken(&*database).await.passes, 58);
}

pub(super) async fn chaining_that_was_cut_short_goes_on(world: World) {
    let (database, _) = recorded(&world, 30).await;
    let cut = "update passes set previous = '', hash = '' where id > 10";
    world.ask(cut).await;
    world.ask("update pass_chain set newest = 10, kept = 10, hash = (select hash from passes where id = 10)").await;
    drop(database);
    let database = world.open().await;
    assert_eq!(unbroken(&*database).await.passes, 30);
}

pub(super) async fn a_program_that_knows_no_chain_records_nothing(world: World) {
    drop(world.open().await);
    let engine = world.engine().await;
    let call = store::Call::new(
        world.of_engine(
            "insert into passes (started_at, finished_at, source, revision_digest, actor, plan_digest, outcome, counts, key_count)
             values ('', '', '', '', '', '', '', '{}', 0)",
            "insert into passes (started_at, finished_at, source, revision_digest, actor, plan_digest, outcome, counts, key_count)
             values (now(), now(), '', '', '', '', '', '{}', 0)",
        ),
        Vec::new(),
    );
    engine.run(Access::Write, vec![call]).await.unwrap_err();
}

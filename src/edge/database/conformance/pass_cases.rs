//! Cases about the history: passes are whole, listed in order, and bounded.

use super::*;
use crate::edge::database::group_commit::GroupCommit;

pub(super) async fn passes_are_recorded_and_read_back(world: World) {
    let database = world.open().await;
    assert_eq!(database.passes(10, None).await.unwrap(), []);
    assert_eq!(database.pass(1).await.unwrap(), None);
    let mut local = pass(2, 0);
    local.revision.commit = None;
    local.outcome = PassOutcome::Converged;
    for mut written in [pass(1, 5), local, pass(3, 1000)] {
        let id = database.record_pass(UNTAKEN, &written, &[]).await.unwrap();
        written.id = Some(id);
        let listed = database.passes(1, None).await.unwrap().remove(0);
        written.chain = Some(listed.chain.clone());
        assert_eq!(database.pass(id).await.unwrap().as_ref(), Some(&written));
        assert_eq!(listed.key_count, written.keys.len() as u64);
        assert_eq!(listed.with_keys(written.keys.clone()), written);
    }
}

pub(super) async fn passes_are_listed_newest_first_in_pages(world: World) {
    let database = world.open().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(
            database
                .record_pass(UNTAKEN, &pass(number, 1), &[])
                .await
                .unwrap(),
        );
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

pub(super) async fn keep(world: &World, passes: u64, keys: u64) -> Store<Box<dyn Engine>> {
    drop(world.open().await);
    let retention = Retention { passes, keys };
    Store {
        engine: world.engine().await,
        retention,
        group: GroupCommit::default(),
        parts: std::sync::atomic::AtomicI64::default(),
        pushed: tokio::sync::Notify::new(),
    }
}

pub(super) async fn the_oldest_passes_make_room(world: World) {
    let store = keep(&world, 3, 1000).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.insert(
            0,
            store
                .record_pass(UNTAKEN, &pass(number, 2), &[])
                .await
                .unwrap(),
        );
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

pub(super) async fn passes_with_many_keys_make_room_sooner(world: World) {
    let store = keep(&world, 100, 25).await;
    for number in 0..5 {
        store
            .record_pass(UNTAKEN, &pass(number, 10), &[])
            .await
            .unwrap();
    }
    assert_eq!(store.passes(10, None).await.unwrap().len(), 2);
    let large = store.record_pass(UNTAKEN, &pass(9, 60), &[]).await.unwrap();
    let kept = store.passes(10, None).await.unwrap();
    assert_eq!(
        kept.iter().map(|p| p.id).collect::<Vec<_>>(),
        [large],
        "the newest always stays"
    );
}

pub(super) async fn a_pass_with_too_much_in_it_is_cut_and_never_refused(world: World) {
    let database = world.open().await;
    let mut large = pass(1, MAX_KEYS + 100);
    large.actor = "é".repeat(100_000);
    large.source = "with \0 in it".to_owned();
    large.keys[1].why = Some("x".repeat(100_000));
    let id = database.record_pass(UNTAKEN, &large, &[]).await.unwrap();
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

pub(super) async fn an_interrupted_recording_leaves_a_whole_pass_or_none(world: World) {
    let database = world.open().await;
    for step in 0..40 {
        let recording = database.clone();
        let task =
            tokio::spawn(
                async move { recording.record_pass(UNTAKEN, &pass(step, 300), &[]).await },
            );
        tokio::time::sleep(Duration::from_micros(u64::from(step) * 150)).await;
        task.abort();
        let interrupted = task.await.is_err();
        database
            .record_pass(UNTAKEN, &pass(step, 1), &[])
            .await
            .unwrap();
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

pub(super) async fn writers_at_the_same_time_all_succeed(world: World) {
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
                .write_row(UNTAKEN, &key, &Row(challenge()), &revision(n), at(0))
                .await?;
            database.record_pass(UNTAKEN, &pass(n, 20), &[]).await?;
            database.rows(&Scope::All).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(first.rows(&Scope::All).await.unwrap().len(), 6);
    let kept = first.passes(100, None).await.unwrap();
    assert_eq!(kept.len(), 24);
    for summary in kept {
        assert_eq!(
            first.pass(summary.id).await.unwrap().unwrap().keys.len(),
            20
        );
    }
}

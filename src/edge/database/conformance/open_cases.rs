//! Cases about passes that were begun: each is recorded once, by itself or by whoever takes the next turn.

use super::*;
use crate::edge::database::group_commit::GroupCommit;
use crate::model::chain::Chain;

fn begun(number: u32, keys: usize) -> BegunPass {
    let unknown = |n: usize| KeyOutcome {
        key: format!("StatefulSet challenge-{number}-{n}"),
        slug: Some(format!("slug-{n}")),
        action: KeyAction::Update,
        outcome: KeyResult::Unknown,
        why: Some("it may have been written: \"\u{1f600}\"".to_owned()),
    };
    BegunPass {
        started_at: at(i64::from(number)),
        source: "platform.yaml".to_owned(),
        revision: revision(number),
        actor: "ada (controller)".to_owned(),
        plan_digest: format!("{number:064x}"),
        keys: (0..keys).map(unknown).collect(),
    }
}

/// Returns what the next writer records of a pass that never ended.
fn interrupted(pass: &BegunPass, found: Timestamp, listed: &PassSummary) -> PassRecord {
    PassRecord {
        id: Some(listed.id),
        started_at: pass.started_at,
        finished_at: found,
        source: pass.source.clone(),
        revision: pass.revision.clone(),
        actor: pass.actor.clone(),
        plan_digest: pass.plan_digest.clone(),
        outcome: PassOutcome::Interrupted,
        counts: PassCounts {
            unknown: pass.keys.len() as u64,
            ..PassCounts::default()
        },
        chain: Some(listed.chain.clone()),
        keys: pass.keys.clone(),
    }
}

async fn record(database: &dyn Database, token: FenceToken, number: u32, begun: &[Begun]) {
    let recorded = pass(number, 2);
    database.record_pass(token, &recorded, begun).await.unwrap();
}

async fn outcomes(database: &dyn Database) -> Vec<PassOutcome> {
    let passes = database.passes(1000, None).await.unwrap();
    passes.iter().rev().map(|pass| pass.outcome).collect()
}

async fn is_unbroken(database: &dyn Database) -> bool {
    let chain = database.verify_passes().await.unwrap();
    matches!(chain, Chain::Unbroken(_))
}

pub(super) async fn a_pass_that_was_begun_and_recorded_leaves_nothing_open(world: World) {
    let database = world.open().await;
    let token = database.take_fence(at(0)).await.unwrap();
    let one = database.begin_pass(token, &begun(1, 2)).await.unwrap();
    let other = database.begin_pass(token, &begun(2, 2)).await.unwrap();
    assert_eq!(database.begun_passes().await.unwrap(), 2);
    record(&*database, token, 1, &[one]).await;
    assert_eq!(database.begun_passes().await.unwrap(), 1);
    record(&*database, token, 2, &[other]).await;
    assert_eq!(database.begun_passes().await.unwrap(), 0);
    database.take_fence(at(9)).await.unwrap();
    assert_eq!(outcomes(&*database).await, [PassOutcome::Partial; 2]);
}

pub(super) async fn a_pass_that_never_ended_is_recorded_by_the_next_turn(world: World) {
    let database = world.open().await;
    let mut local = begun(2, 1);
    local.revision.commit = None;
    for pass in [begun(1, 3), local] {
        let token = database.take_fence(at(0)).await.unwrap();
        database.begin_pass(token, &pass).await.unwrap();
        assert!(
            database.passes(1, None).await.unwrap()[..]
                .iter()
                .all(|listed| listed.revision != pass.revision)
        );
        let next = world.open().await;
        next.take_fence(at(60)).await.unwrap();
        assert_eq!(next.begun_passes().await.unwrap(), 0);
        let listed = next.passes(1, None).await.unwrap().remove(0);
        let found = next.pass(listed.id).await.unwrap().unwrap();
        assert_eq!(found, interrupted(&pass, at(60), &listed));
        assert_eq!(listed.key_count, pass.keys.len() as u64);
    }
    assert!(is_unbroken(&*database).await);
    database.take_fence(at(90)).await.unwrap();
    assert_eq!(outcomes(&*database).await.len(), 2, "each once");
}

pub(super) async fn parts_of_one_pass_that_never_ended_are_one_pass(world: World) {
    let database = world.open().await;
    let token = database.take_fence(at(0)).await.unwrap();
    let mut all = begun(1, 5);
    let parts: Vec<BegunPass> = (0..5)
        .map(|n| BegunPass {
            plan_digest: format!("{n:064x}"),
            keys: vec![all.keys[n].clone()],
            ..begun(1, 0)
        })
        .collect();
    let mut open = Vec::new();
    for part in &parts {
        open.push(database.begin_pass(token, part).await.unwrap());
    }
    record(&*database, token, 1, &open[..2]).await;
    database.begin_pass(token, &begun(7, 1)).await.unwrap();
    database.take_fence(at(60)).await.unwrap();
    let passes = database.passes(10, None).await.unwrap();
    assert_eq!(passes.len(), 3, "{passes:#?}");
    let found = database.pass(passes[1].id).await.unwrap().unwrap();
    all.keys.drain(..2);
    all.plan_digest.clone_from(&found.plan_digest);
    assert_eq!(found, interrupted(&all, at(60), &passes[1]));
    assert_eq!(found.plan_digest.len(), 64);
    assert!(is_unbroken(&*database).await);
}

pub(super) async fn a_deposed_writer_begins_nothing_and_takes_nothing_back(world: World) {
    let database = world.open().await;
    let deposed = database.take_fence(at(0)).await.unwrap();
    let open = database.begin_pass(deposed, &begun(1, 1)).await.unwrap();
    let successor = world.open().await.take_fence(at(1)).await.unwrap();
    let before = database.passes(10, None).await.unwrap();
    assert_eq!(before.len(), 1);
    let began = database.begin_pass(deposed, &begun(2, 1)).await.map(drop);
    let recorded = database.record_pass(deposed, &pass(1, 1), &[open]).await;
    for refused in [began, recorded.map(drop)] {
        let is_fenced = matches!(refused, Err(DatabaseError::Fenced { .. }));
        assert!(is_fenced, "{refused:?}");
    }
    assert_eq!(database.passes(10, None).await.unwrap(), before);
    assert_eq!(database.begun_passes().await.unwrap(), 0);
    // Numbers begin anew with each process: those of another turn are other parts.
    database.begin_pass(successor, &begun(3, 1)).await.unwrap();
    database
        .record_pass(successor, &pass(3, 1), &[])
        .await
        .unwrap();
    assert_eq!(database.begun_passes().await.unwrap(), 1);
}

/// Whoever is cut off while it takes the turn leaves what is open to the next one, which records each once.
pub(super) async fn taking_a_turn_that_is_cut_off_loses_no_pass_and_doubles_none(world: World) {
    let database = world.open().await;
    for round in 0..20_u32 {
        let token = database.take_fence(at(0)).await.unwrap();
        for n in 0..4 {
            database
                .begin_pass(token, &begun(round * 4 + n, 20))
                .await
                .unwrap();
        }
        let taking = database.clone();
        let task = tokio::spawn(async move { taking.take_fence(at(1000)).await });
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 400)).await;
        task.abort();
        drop(task.await);
    }
    database.take_fence(at(1000)).await.unwrap();
    assert_eq!(outcomes(&*database).await, [PassOutcome::Interrupted; 80]);
    assert!(is_unbroken(&*database).await);
}

/// A turn and a pass that is begun at the same time: it is refused, or it is recorded.
pub(super) async fn what_is_begun_while_a_turn_is_taken_is_refused_or_recorded(world: World) {
    let database = world.open().await;
    let mut begun_count = 0;
    for round in 0..10 {
        let old = database.take_fence(at(0)).await.unwrap();
        let late: Vec<_> = (0..8)
            .map(|n| {
                let database = database.clone();
                tokio::spawn(
                    async move { database.begin_pass(old, &begun(round * 8 + n, 1)).await },
                )
            })
            .collect();
        world.open().await.take_fence(at(1)).await.unwrap();
        for late in late {
            match late.await.unwrap() {
                Ok(_) => begun_count += 1,
                Err(error) => assert!(matches!(error, DatabaseError::Fenced { .. }), "{error:?}"),
            }
        }
        assert_eq!(database.begun_passes().await.unwrap(), 0, "round {round}");
    }
    assert_eq!(outcomes(&*database).await.len(), begun_count);
}

pub(super) async fn a_begun_pass_with_too_much_in_it_is_cut_and_never_refused(world: World) {
    let database = world.open().await;
    let token = database.take_fence(at(0)).await.unwrap();
    let mut large = begun(1, MAX_KEYS + 100);
    large.actor = "é".repeat(100_000);
    large.source = "with \0 in it".to_owned();
    database.begin_pass(token, &large).await.unwrap();
    database.begin_pass(token, &large).await.unwrap();
    database.take_fence(at(-60)).await.unwrap();
    let listed = database.passes(1, None).await.unwrap().remove(0);
    let found = database.pass(listed.id).await.unwrap().unwrap();
    assert_eq!(found.keys.len(), MAX_KEYS);
    assert_eq!(listed.key_count, 2 * (MAX_KEYS as u64 + 100));
    assert_eq!(found.source, "with \u{fffd} in it");
    assert_eq!(found.finished_at, found.started_at, "no clock went back");
    assert!(is_unbroken(&*database).await);
}

pub(super) async fn passes_that_never_ended_make_room_like_others(world: World) {
    drop(world.open().await);
    let store = Store {
        engine: world.engine().await,
        retention: Retention {
            passes: 3,
            keys: 1000,
        },
        group: GroupCommit::default(),
        parts: std::sync::atomic::AtomicI64::default(),
        pushed: tokio::sync::Notify::new(),
    };
    let token = store.take_fence(at(0)).await.unwrap();
    for number in 0..5 {
        store.begin_pass(token, &begun(number, 1)).await.unwrap();
    }
    store.take_fence(at(9)).await.unwrap();
    let kept = store.passes(10, None).await.unwrap();
    let began: Vec<Timestamp> = kept.iter().map(|pass| pass.started_at).collect();
    assert_eq!(began, [at(4), at(3), at(2)]);
    assert!(is_unbroken(&store).await);
}

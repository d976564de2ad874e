//! Cases about announced pushes: kept once each, by whichever process, bounded, and told to all.

use super::*;

/// The longest that is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

const MINUTE: i64 = 60;

pub(super) async fn a_push_is_kept_once_by_whichever_process(world: World) {
    let (one, other) = (world.open().await, world.open().await);
    assert_eq!(one.newest_push().await.unwrap(), None);
    assert!(one.keep_push("a", at(1)).await.unwrap());
    let first = other.newest_push().await.unwrap();
    assert!(first.is_some());
    assert!(!other.keep_push("a", at(2)).await.unwrap());
    assert_eq!(one.newest_push().await.unwrap(), first, "nothing is new");
    let (left, right) = tokio::join!(one.keep_push("b", at(3)), other.keep_push("b", at(3)));
    assert_ne!(left.unwrap(), right.unwrap(), "of two at once one is taken");
    assert!(one.newest_push().await.unwrap() > first);
}

pub(super) async fn pushes_that_are_old_or_too_many_make_room(world: World) {
    let database = world.open().await;
    assert!(database.keep_push("old", at(0)).await.unwrap());
    assert!(!database.keep_push("old", at(10 * MINUTE)).await.unwrap());
    let before = database.newest_push().await.unwrap();
    assert!(
        database.keep_push("old", at(11 * MINUTE)).await.unwrap(),
        "it may be pushed again"
    );
    assert!(!database.keep_push("old", at(20 * MINUTE)).await.unwrap());
    assert!(
        database.newest_push().await.unwrap() > before,
        "numbers rise"
    );
    assert!(database.keep_push("new", at(22 * MINUTE)).await.unwrap());
    let kept = "select digest from pushes";
    assert_eq!(world.ask(kept).await, ["new"]);
    let many = world.of_engine(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 10050)
         insert into pushes (digest, at) select i, '2030-01-01T00:00:00.000000Z' from n",
        "insert into pushes (digest, at)
         select i::text, '2030-01-01T00:00:00Z' from generate_series(1, 10050) as n (i)",
    );
    world.ask(many).await;
    database
        .keep_push("one more", at(23 * MINUTE))
        .await
        .unwrap();
    let count = world.ask("select cast(count(*) as text) from pushes").await;
    assert_eq!(count, ["10000"]);
}

pub(super) async fn a_push_is_told_to_every_process_that_waits(world: World) {
    let (one, other) = (world.open().await, world.open().await);
    let seen = async |database: &Arc<dyn Database>| {
        while database.newest_push().await.unwrap().is_none() {
            database.push_told().await;
        }
    };
    let both = async { tokio::join!(seen(&one), seen(&other)) };
    let keeping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        one.keep_push("a", at(1)).await.unwrap()
    };
    let told = tokio::time::timeout(PATIENCE, async { tokio::join!(both, keeping) });
    told.await.expect("both are told");
}

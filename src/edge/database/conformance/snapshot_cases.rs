//! Cases about published weights: kept to the byte, in the order of time, bounded.

use super::*;
use crate::model::snapshot::{Outage, Snapshot, SnapshotSummary};

fn weights(netuid: u16, second: i64) -> Snapshot {
    Snapshot {
        summary: SnapshotSummary {
            netuid,
            computed_at: at(second),
            expires_at: at(second + 720),
            revision: "c0ffee".to_owned(),
            metagraph_block: (second % 2 == 0).then_some(7_000_000),
            metagraph_updated_at: at(second - 30),
            inputs_digest: "ab".repeat(32),
        },
        // Neither order nor spelling of a document may change: signatures are over its bytes.
        document: "{\"b\":1.0, \"a\":1e-7,\"nul\":\"\\u0000\"}".to_owned(),
        explanation: json!({"challenges": []}),
    }
}

pub(super) async fn weights_are_kept_to_the_byte_and_read_back(world: World) {
    let database = world.open().await;
    assert_eq!(
        database.newest_weights(1, None, at(2000)).await.unwrap(),
        None
    );
    assert_eq!(database.weights_history(1, 10).await.unwrap(), []);
    for second in [1000, 2000] {
        assert!(
            database
                .keep_weights(&weights(1, second), at(second))
                .await
                .unwrap()
        );
    }
    assert!(
        database
            .keep_weights(&weights(2, 1500), at(1500))
            .await
            .unwrap()
    );
    let newest = database.newest_weights(1, None, at(2000)).await.unwrap();
    assert_eq!(newest, Some(weights(1, 2000)));
    let newer = database
        .newest_weights(1, Some(at(1999)), at(2000))
        .await
        .unwrap();
    assert_eq!(newer, Some(weights(1, 2000)));
    let newer = database
        .newest_weights(1, Some(at(2000)), at(2000))
        .await
        .unwrap();
    assert_eq!(newer, None);
    let first = database.weights_of(1, at(1000)).await.unwrap();
    assert_eq!(first, Some(weights(1, 1000)));
    assert_eq!(database.weights_of(1, at(1500)).await.unwrap(), None);
    let history = database.weights_history(1, 10).await.unwrap();
    assert_eq!(
        history,
        [weights(1, 2000).summary, weights(1, 1000).summary]
    );
    assert_eq!(database.weights_history(1, 1).await.unwrap().len(), 1);
}

pub(super) async fn weights_are_never_replaced_by_older_ones(world: World) {
    let database = world.open().await;
    assert!(
        database
            .keep_weights(&weights(1, 2000), at(2000))
            .await
            .unwrap()
    );
    let again = Snapshot {
        document: "{}".to_owned(),
        ..weights(1, 2000)
    };
    for late in [weights(1, 1000), again] {
        assert!(!database.keep_weights(&late, at(2000)).await.unwrap());
    }
    let newest = database.newest_weights(1, None, at(2000)).await.unwrap();
    assert_eq!(newest, Some(weights(1, 2000)));
    assert_eq!(database.weights_history(1, 10).await.unwrap().len(), 1);
    // Another subnet's are another matter.
    assert!(
        database
            .keep_weights(&weights(2, 1000), at(1000))
            .await
            .unwrap()
    );
}

pub(super) async fn a_clock_that_is_far_ahead_makes_no_weights_old(world: World) {
    const DAY: i64 = 24 * 3600;
    let retention = Retention {
        snapshots: 4,
        ..Retention::default()
    };
    let store = keep_of_all(&world, retention).await;
    let keep = async |second, now| {
        let kept = store.keep_weights(&weights(1, second), at(now)).await;
        assert!(kept.unwrap());
        store.drop_oldest_weights(1).await.unwrap();
        let kept = store.weights_history(1, 10).await.unwrap();
        let times = kept.iter().map(|summary| summary.computed_at);
        times.collect::<Vec<_>>()
    };
    for second in [0, 360, 720] {
        keep(second, second).await;
    }
    let ahead = 400 * DAY;
    assert_eq!(keep(ahead, ahead).await, [ahead, 720, 360, 0].map(at));
    let newest = store.newest_weights(1, None, at(730)).await.unwrap();
    assert_eq!(newest, Some(weights(1, 720)), "it is still to be had");
    // The clock is right again, and what was kept first goes, whatever time it has.
    assert_eq!(keep(1080, 1080).await, [ahead, 1080, 720, 360].map(at));
    assert_eq!(keep(1440, 1440).await, [ahead, 1440, 1080, 720].map(at));
    keep(1800, 1800).await;
    assert_eq!(keep(2160, 2160).await, [2160, 1800, 1440, 1080].map(at));
    // Nor does a long pause make one old.
    let late = 500 * DAY;
    assert_eq!(keep(late, late).await, [late, 2160, 1800, 1440].map(at));
}

/// Keeps a vector whose document has this many bytes, has others make room, and returns which are kept, newest first.
async fn keep_sized(store: &dyn Database, second: i64, bytes: usize) -> Vec<Timestamp> {
    let vector = Snapshot {
        document: format!("\"{}\"", "é".repeat((bytes - 2) / 2)),
        ..weights(1, second)
    };
    assert!(store.keep_weights(&vector, at(second)).await.unwrap());
    store.drop_oldest_weights(1).await.unwrap();
    let newest = store.newest_weights(1, None, at(second)).await.unwrap();
    assert_eq!(newest, Some(vector), "the newest stays");
    let kept = store.weights_history(1, 100).await.unwrap();
    kept.iter().map(|summary| summary.computed_at).collect()
}

pub(super) async fn weights_make_room_by_number_and_by_size_and_the_newest_stays(world: World) {
    let retention = Retention {
        snapshots: 4,
        snapshot_bytes: 1000,
        ..Retention::default()
    };
    let store = keep_of_all(&world, retention).await;
    let other = weights(2, 1);
    assert!(store.keep_weights(&other, at(1)).await.unwrap());
    for second in 1..=5 {
        keep_sized(&store, second, 100).await;
    }
    let kept = keep_sized(&store, 6, 100).await;
    assert_eq!(kept, [6, 5, 4, 3].map(at), "by number");
    let kept = keep_sized(&store, 7, 800).await;
    assert_eq!(kept, [7, 6, 5].map(at), "1000 bytes and not one more");
    let kept = keep_sized(&store, 8, 202).await;
    assert_eq!(kept, [at(8)], "what has no room has none for what is older");
    let kept = keep_sized(&store, 9, 5000).await;
    assert_eq!(kept, [at(9)]);
    let kept = keep_sized(&store, 10, 100).await;
    assert_eq!(kept, [at(10)]);
    assert_eq!(store.weights_history(2, 10).await.unwrap().len(), 1);
}

pub(super) async fn weights_of_before_sizes_were_kept_have_theirs(world: World) {
    let database = world.open().await;
    let sizes = async || {
        world
            .ask("select cast(document_bytes as text) from weight_snapshots")
            .await
    };
    let vector = Snapshot {
        document: "\"é\"".to_owned(),
        ..weights(1, 1)
    };
    assert!(database.keep_weights(&vector, at(1)).await.unwrap());
    assert_eq!(sizes().await, ["4"]);
    database.close().await;
    let undo = [
        "drop table pushes",
        "drop index if exists weight_snapshots_sizes",
        "alter table weight_snapshots drop column document_bytes",
        "delete from _sqlx_migrations where version >= 13",
    ];
    for undo in undo {
        world.ask(undo).await;
    }
    let database = world.open().await;
    assert_eq!(sizes().await, ["4"]);
    let kept = database.newest_weights(1, None, at(1)).await.unwrap();
    assert_eq!(kept, Some(vector));
}

pub(super) async fn what_could_not_make_room_does_so_the_next_time(world: World) {
    let retention = Retention {
        snapshots: 1,
        ..Retention::default()
    };
    let store = keep_of_all(&world, retention).await;
    for second in 1..=150 {
        let kept = store.keep_weights(&weights(1, second), at(second)).await;
        assert!(kept.unwrap());
    }
    for hold in [
        "create table holds (id bigint references weight_snapshots (id))",
        "insert into holds select id from weight_snapshots",
    ] {
        world.ask(hold).await;
    }
    assert!(store.drop_oldest_weights(1).await.is_err());
    let kept = async || store.weights_history(1, 1000).await.unwrap().len();
    assert_eq!(kept().await, 150);
    world.ask("drop table holds").await;
    for left in [50, 1, 1] {
        store.drop_oldest_weights(1).await.unwrap();
        assert_eq!(kept().await, left, "a hundred at a time");
    }
    let newest = store.newest_weights(1, None, at(150)).await.unwrap();
    assert_eq!(newest, Some(weights(1, 150)));
}

pub(super) async fn weights_of_a_clock_that_was_ahead_hold_up_nobody(world: World) {
    let database = world.open().await;
    let keep = async |second, now| {
        let vector = weights(1, second);
        database.keep_weights(&vector, at(now)).await.unwrap()
    };
    let newest = async |now| {
        let newest = database.newest_weights(1, None, at(now)).await.unwrap();
        newest.map(|newest| newest.summary.computed_at)
    };
    assert!(keep(1000, 1000).await);
    assert!(
        keep(90_000, 90_000).await,
        "by its maker's own clock it is new"
    );
    assert_eq!(newest(1100).await, Some(at(1000)));
    assert!(keep(1360, 1360).await);
    assert_eq!(newest(1370).await, Some(at(1360)));
    // Half a minute is what clocks may differ by.
    assert!(keep(1390, 1390).await);
    assert!(!keep(1360, 1360).await && !keep(1370, 1370).await);
    assert_eq!(newest(1360).await, Some(at(1390)));
    assert_eq!(newest(1359).await, Some(at(1360)));
    // When its time has come it is one like any other.
    assert!(keep(90_360, 90_360).await);
    assert_eq!(newest(90_360).await, Some(at(90_360)));
}

pub(super) async fn an_outage_is_kept_until_the_next_vector(world: World) {
    let database = world.open().await;
    let outage = async |netuid| database.outage(netuid).await.unwrap();
    assert_eq!(outage(1).await, None);
    for (found, second) in [(Outage::Metagraph, 1), (Outage::Challenges, 2)] {
        for netuid in [1, 2] {
            database
                .keep_outage(netuid, found, at(second))
                .await
                .unwrap();
        }
        assert_eq!(outage(1).await, Some(found));
    }
    // Since when is of the first time that it was found.
    database
        .keep_outage(1, Outage::Challenges, at(3))
        .await
        .unwrap();
    let times = "select cast(count(distinct since) as text) from weight_outages";
    assert_eq!(world.ask(times).await, ["1"]);
    assert!(
        database
            .keep_weights(&weights(1, 1000), at(1000))
            .await
            .unwrap()
    );
    assert_eq!(
        (outage(1).await, outage(2).await),
        (None, Some(Outage::Challenges))
    );
    // One that is not kept ends nothing.
    database
        .keep_outage(1, Outage::Metagraph, at(1001))
        .await
        .unwrap();
    assert!(
        !database
            .keep_weights(&weights(1, 900), at(1001))
            .await
            .unwrap()
    );
    assert_eq!(outage(1).await, Some(Outage::Metagraph));
    world
        .ask("update weight_outages set outage = 'later'")
        .await;
    assert_eq!(outage(1).await, None);
}

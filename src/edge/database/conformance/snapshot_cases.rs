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

pub(super) async fn the_oldest_weights_make_room(world: World) {
    const DAY: i64 = 24 * 3600;
    let database = world.open().await;
    for day in [0, 1, 30, 31] {
        assert!(
            database
                .keep_weights(&weights(1, day * DAY), at(day * DAY))
                .await
                .unwrap()
        );
    }
    assert!(database.keep_weights(&weights(2, 0), at(0)).await.unwrap());
    let kept = database.weights_history(1, 10).await.unwrap();
    let times: Vec<_> = kept.iter().map(|summary| summary.computed_at).collect();
    assert_eq!(times, [at(31 * DAY), at(30 * DAY), at(DAY)]);
    assert_eq!(database.weights_history(2, 10).await.unwrap().len(), 1);
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

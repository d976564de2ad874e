//! Outages over real HTTP: which of them make no vector, what is served meanwhile, and what is said once that has
//! expired.

use std::time::Duration;

use jiff::Timestamp;
use platform::weights::epoch::EpochError;
use platform::weights::publish::Outage;
use serde_json::json;

use super::world::World;

const LATEST: &str = "/v1/weights/latest";

/// Tells whether an epoch made no vector because of this.
fn is_outage(ended: &Result<Vec<u64>, EpochError>, why: Outage) -> bool {
    matches!(ended, Err(EpochError::Outage(outage)) if *outage == why)
}

#[tokio::test]
async fn challenges_that_are_declared_and_not_registered_yet_burn_nothing() {
    let world = World::new().await;
    let process = world.start().await;
    for slug in ["aa", "bb", "cc"] {
        world.remove(slug).await;
    }
    world.record_pass().await;
    let ended = process.epoch(&world).await;
    assert!(is_outage(&ended, Outage::Challenges), "{ended:?}");
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_one_epoch_costs_one_epoch() {
    fn a_day_ahead() -> Timestamp {
        Timestamp::now() + Duration::from_secs(24 * 3600)
    }
    let world = World::new().await;
    let mut ahead = world.start().await;
    ahead.parts.serving.clock.wall = a_day_ahead;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    ahead.epoch(&world).await.unwrap();
    let mut process = world.start().await;
    process.look();
    world.tell(Ok(vec![("hk2", 1.0)]), Ok(vec![]));
    assert_eq!(process.epoch(&world).await.unwrap(), [2]);
    assert_eq!(process.json(LATEST).await["uids"], json!([2]));
}

//! Outages over real HTTP: which of them make no vector, what is served meanwhile, and what is said once that has
//! expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use platform::edge::chain::{Chain, ChainError};
use platform::model::clock::Clock;
use platform::model::metagraph::Metagraph;
use platform::weights::Failure;
use platform::weights::epoch::EpochError;
use platform::weights::publish::Outage;
use platform::weights::registered::Registered;
use platform::weights::serving::Terms;
use reqwest::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::world::{CLOCK, LIMITS, Process, World};

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
async fn the_rest_decides_while_some_are_not_registered_yet() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![("hk2", 1.0)]));
    world.remove("bb").await;
    assert_eq!(process.epoch(&world).await.unwrap(), [1]);
    let sources = process.json(LATEST).await["source_challenges"].clone();
    assert_eq!(
        sources[1],
        json!({
            "slug": "bb", "emission_percent": 50.0, "weights": {}, "ok": false, "error": "not registered",
        })
    );
    // The one that is registered has nothing to give: that is no ground for a burn.
    world.tell(Ok(vec![]), Ok(vec![("hk2", 1.0)]));
    let ended = process.epoch(&world).await;
    assert!(is_outage(&ended, Outage::Challenges), "{ended:?}");
}

#[tokio::test]
async fn without_an_active_challenge_everything_is_burnt() {
    let mut world = World::new().await;
    world.terms.active.clear();
    let process = world.start().await;
    world.declare("aa", "40", "disabled").await;
    world.declare("bb", "60", "draft").await;
    assert_eq!(process.epoch(&world).await.unwrap(), [0]);
    let answer = process.get(LATEST, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let document = process.json(LATEST).await;
    assert_eq!(document["weights"], json!([1.0]));
    assert_eq!(document["hotkey_weights"], json!({}));
    assert_eq!(document["source_challenges"], json!([]));
}

#[tokio::test]
async fn before_anything_was_applied_nothing_is_said_about_challenges() {
    let world = World::new().await;
    for slug in ["aa", "bb", "cc"] {
        world.remove(slug).await;
    }
    let process = world.start().await;
    let ended = process.epoch(&world).await;
    assert!(matches!(ended, Err(EpochError::NotApplied)), "{ended:?}");
    let (code, _) = process.refused(LATEST).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
}

static MOVED: AtomicU64 = AtomicU64::new(0);

/// A clock that one test moves.
const MOVING: Clock = Clock {
    wall: || Timestamp::now() + moved(),
    steady: || (CLOCK.steady)() + moved(),
};

fn moved() -> Duration {
    Duration::from_secs(MOVED.load(Ordering::SeqCst))
}

/// Waits until a process answers like this.
async fn until_refused(process: &Process, detail: &str) {
    let is_refused = async |process: &Process| {
        let answer = process.get(LATEST, &[]).await;
        answer.status() == 502 && answer.text().await.unwrap().contains(detail)
    };
    process.until(detail, is_refused).await;
}

async fn until_served(process: &Process) {
    let is_served = async |process: &Process| process.get(LATEST, &[]).await.status() == 200;
    process.until("a vector", is_served).await;
}

/// Waits until a process knows why there are no new weights.
async fn until_known(process: &Process, why: &str) {
    let is_known =
        async |process: &Process| process.json("/ready").await["checks"]["weights"] == why;
    process.until(why, is_known).await;
}

#[tokio::test]
async fn a_vector_that_has_expired_is_followed_by_why_whoever_is_asked() {
    const CHALLENGES: &str = "no challenge provided weights";
    const METAGRAPH: &str = "metagraph unavailable";
    let world = World::new().await;
    let mut maker = world.start_with(MOVING).await;
    let mut replica = world.start_with(MOVING).await;
    replica.look();
    maker.parts.interval = Duration::from_millis(20);
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let stop = CancellationToken::new();
    let parts = maker.parts.clone();
    let computing = parts.compute(Registered::new(LIMITS), stop.clone());
    let asking = async {
        until_served(&replica).await;
        world.tell(Err(Failure::Timeout), Err(Failure::Timeout));
        for process in [&maker, &replica] {
            until_known(process, CHALLENGES).await;
            let code = process.get(LATEST, &[]).await.status();
            assert_eq!(code, 200, "the last one is good until it expires");
        }
        MOVED.store(721, Ordering::SeqCst);
        for process in [&maker, &replica] {
            until_refused(process, CHALLENGES).await;
        }
        // Who is registered is known for an hour without the chain.
        std::fs::remove_file(world.directory.path().join("metagraph.json")).unwrap();
        world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
        until_served(&replica).await;
        assert_eq!(
            replica.json("/ready").await["checks"]["weights"],
            json!(null)
        );
        MOVED.store(2 * 3600, Ordering::SeqCst);
        for process in [&maker, &replica] {
            until_refused(process, METAGRAPH).await;
        }
        let mut later = world.start_with(MOVING).await;
        later.look();
        until_refused(&later, METAGRAPH).await;
        stop.cancel();
    };
    tokio::join!(computing, asking);
}

#[tokio::test]
async fn the_last_known_metagraph_is_used_while_there_is_no_other() {
    let world = World::new().await;
    let process = world.start().await;
    let mut registered = Registered::new(LIMITS);
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    process.epoch_after(&world, &mut registered).await.unwrap();
    let first = process.json(LATEST).await;
    let time = |document: &serde_json::Value, field: &str| {
        let text = document[field].as_str().unwrap();
        text.parse::<Timestamp>().unwrap()
    };
    let good_for = time(&first, "expires_at").duration_since(time(&first, "computed_at"));
    assert_eq!(good_for.as_secs(), 720);
    let after = |document| time(document, "metagraph_updated_at") - time(document, "computed_at");
    assert!(
        after(&first).is_positive(),
        "it is read after the epoch began"
    );
    world.register(&[]);
    process.epoch_after(&world, &mut registered).await.unwrap();
    let file = world.directory.path().join("metagraph.json");
    std::fs::remove_file(file).unwrap();
    process.epoch_after(&world, &mut registered).await.unwrap();
    let last = process.json(LATEST).await;
    assert_ne!(last["computed_at"], first["computed_at"]);
    assert_eq!(last["metagraph_updated_at"], first["metagraph_updated_at"]);
    assert_eq!(last["uids"], json!([1]));
}

#[tokio::test]
async fn what_one_turn_has_learned_of_who_is_registered_holds_in_the_next() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let mut registered = Registered::new(LIMITS);
    let mut last = json!(null);
    for _ in 0..2 {
        let stop = CancellationToken::new();
        let computing = process.parts.clone().compute(registered, stop.clone());
        let asking = async {
            let is_newer = async |process: &Process| {
                let answer = process.get(LATEST, &[]).await;
                answer.status() == 200 && answer.headers()["etag"] != last.as_str().unwrap_or("")
            };
            process.until("a vector", is_newer).await;
            stop.cancel();
        };
        (registered, ()) = tokio::join!(computing, asking);
        let answer = process.get(LATEST, &[]).await;
        last = json!(answer.headers()["etag"].to_str().unwrap());
        drop(std::fs::remove_file(
            world.directory.path().join("metagraph.json"),
        ));
    }
}

/// A chain that never answers.
struct Silent;

#[async_trait]
impl Chain for Silent {
    async fn metagraph(&self) -> Result<Metagraph, ChainError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_chain_that_never_answers_is_not_waited_for() {
    fn silent(_: &Terms) -> Arc<dyn Chain> {
        Arc::new(Silent)
    }
    let world = World::new().await;
    let mut process = world.start().await;
    process.parts.chain = silent;
    tokio::time::pause();
    let ended = process.epoch(&world).await;
    assert!(is_outage(&ended, Outage::Metagraph), "{ended:?}");
}

#[tokio::test]
async fn a_vector_that_cannot_be_read_keeps_nobody_from_the_registry() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let mut registered = Registered::new(LIMITS);
    let good = process.parts.epoch(&world.terms, &mut registered).await;
    let mut bad = good.unwrap();
    bad.summary.computed_at += Duration::from_secs(1);
    bad.document = "{}".to_owned();
    let now = Timestamp::now();
    assert!(world.database.keep_weights(&bad, now).await.unwrap());
    let mut other = world.start().await;
    other.look();
    let is_served =
        async |other: &Process| other.get("/v1/registry", &[]).await.status() == StatusCode::OK;
    other.until("the registry", is_served).await;
}

#[tokio::test]
async fn an_outage_that_ended_in_the_database_is_told_no_more() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let mut registered = Registered::new(LIMITS);
    let made = process.parts.epoch(&world.terms, &mut registered).await;
    let mut unreadable = made.unwrap();
    let now = Timestamp::now();
    let told = world.database.keep_outage(42, Outage::Challenges, now);
    told.await.unwrap();
    let mut replica = world.start().await;
    replica.look();
    until_known(&replica, "no challenge provided weights").await;
    // One that this version cannot read ends it all the same.
    unreadable.summary.computed_at += Duration::from_secs(1);
    unreadable.document = "{}".to_owned();
    let kept = world.database.keep_weights(&unreadable, now).await;
    assert!(kept.unwrap());
    let is_over = async |replica: &Process| {
        replica.told.send_replace(Some(world.terms.clone()));
        replica.json("/ready").await["checks"]["weights"].is_null()
    };
    replica.until("its end", is_over).await;
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

#[tokio::test]
async fn another_subnet_gets_nothing_of_the_one_before() {
    let world = World::new().await;
    let mut process = world.start().await;
    process.look();
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let stop = CancellationToken::new();
    let computing = process
        .parts
        .clone()
        .compute(Registered::new(LIMITS), stop.clone());
    let asking = async {
        let is_served = async |process: &Process| process.get(LATEST, &[]).await.status() == 200;
        process.until("a vector", is_served).await;
        std::fs::remove_file(world.directory.path().join("metagraph.json")).unwrap();
        let mut other = world.terms.clone();
        other.subnet.netuid = 43;
        process.told.send(Some(other)).unwrap();
        let is_told = async |process: &Process| process.get(LATEST, &[]).await.status() == 502;
        process.until("an outage", is_told).await;
        stop.cancel();
    };
    tokio::join!(computing, asking);
    assert_eq!(
        process.refused(LATEST).await,
        (StatusCode::BAD_GATEWAY, "metagraph unavailable".to_owned())
    );
}

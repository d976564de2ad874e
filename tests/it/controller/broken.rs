//! Challenges that are broken in every way hold up no other, and a new revision does not wait for them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{World, is_soak};

const FILE: &str = "database: sqlite";

/// Declares sound challenges and others, and returns how long the sound ones took to be ready: the one in the
/// middle, and the last but one in a hundred.
async fn bring_about(world: &World, sound: usize, others: &[&str]) -> (Duration, Duration) {
    let slugs: Vec<String> = (0..sound).map(|n| format!("sound-{n:02}")).collect();
    let all = slugs
        .iter()
        .map(String::as_str)
        .chain(others.iter().copied());
    let declared: Vec<(&str, &str)> = all.map(|slug| (slug, FILE)).collect();
    world.declare(&world.yaml(&declared));
    let mut keeper = Keeper::start(world, &[]);
    let began = Instant::now();
    let mut times = Vec::new();
    keeper
        .until("every sound challenge ready", async |keeper| {
            let (_, metrics) = keeper.get("/metrics").await;
            let is_ready = |line: &&str| line.contains("slug=\"sound-") && line.ends_with("} 1");
            let ready = metrics.lines().filter(is_ready).count();
            times.resize(ready.max(times.len()), began.elapsed());
            ready == sound
        })
        .await;
    assert_eq!(keeper.ready().await.0, 200);
    let (code, took, log) = keeper.terminate().await;
    // A call that hangs is given the time that a call has.
    assert!(
        code == Some(0) && took < Duration::from_secs(25),
        "{took:?} {log}"
    );
    (times[sound / 2], times[(sound - 1) * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn broken_challenges_hold_up_no_other() {
    let sound = if is_soak() { 35 } else { 14 };
    let alone = World::new().await;
    let reference = bring_about(&alone, sound, &[]).await;
    let world = World::new().await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "challenge-foreign"},
        "spec": {"ports": [{"port": 80}]},
    });
    let path = world.api("services", "");
    world.admin.send("POST", &path, Some(theirs)).await.unwrap();
    let faults = [
        ("forbidden", Fault::Answer(403)),
        ("invalid", Fault::Answer(422)),
        ("failing", Fault::Answer(500)),
        ("hanging", Fault::Hang),
    ];
    for (slug, fault) in faults {
        for verb in ["patch", "dry-run", "post"] {
            let matching = Match {
                verb: verb.to_owned(),
                name: format!("challenge-{slug}"),
                ..Match::default()
            };
            world.proxy.fail(matching, fault);
        }
    }
    let ways = [
        "never-ready",
        "foreign",
        "forbidden",
        "invalid",
        "failing",
        "hanging",
    ];
    let beside = bring_about(&world, sound, &ways).await;
    println!(
        "ready: alone {reference:.1?}, beside {} broken ones {beside:.1?}",
        ways.len()
    );
    let slack = Duration::from_secs(5);
    assert!(beside.0 < reference.0.mul_f64(1.2) + slack, "{beside:?}");
    assert!(beside.1 < reference.1.mul_f64(1.2) + slack, "{beside:?}");
    let foreign = world.get("services", "challenge-foreign").await.unwrap();
    assert_eq!(foreign["spec"]["ports"][0]["port"], 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_new_revision_does_not_wait_for_one_that_never_becomes_ready() {
    let world = World::new().await;
    let good = world.yaml(&[("demo", FILE)]);
    world.declare(&good.replace("platformnetwork/demo", "platformnetwork/never-ready"));
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("a challenge that waits", async |keeper| {
            let name = "platform_challenges{condition=\"progressing\"}";
            keeper.metric(name).await == Some(1.0)
                && world.get("statefulsets", "challenge-demo").await.is_some()
        })
        .await;
    world.proxy.take_seen();
    let began = Instant::now();
    world.declare(&good);
    world.proxy.until_seen("patch").await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    keeper.until_ready(1).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

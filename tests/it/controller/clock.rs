//! The clock of a machine is set, forward and back, while a controller runs on it: it keeps its lead and its rest, puts
//! right what others change, and records what it does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use platform::reconcile::lease::LEADER;
use serde_json::{Value, json};

use crate::support::keeper::Keeper;
use crate::support::world::World;

/// Longer than a lease holds without being renewed.
const A_WHILE: Duration = Duration::from_secs(8);
const DAY: i64 = 86_400;

/// The clock of one process, by libfaketime: what the system counts since its start goes on as it does.
struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    fn new(world: &World, name: &str) -> Self {
        let clock = Self {
            file: world.path(&format!("{name}.clock")),
            library: library(),
        };
        clock.set(0);
        clock
    }

    /// Sets it to so many seconds from the true time.
    fn set(&self, seconds: i64) {
        // At once, as it is read at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn start(&self, world: &World, name: &str) -> Keeper {
        let variables = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            // What it measures with is not the clock that is set.
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        Keeper::start_role(world, &["serve", "controller"], name, &variables)
    }
}

fn library() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let mut files =
        folders.map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let file = files.find(|file| file.exists());
    let file = file.expect("libfaketime, as `cargo xtask test` installs it");
    file.to_str().unwrap().to_owned()
}

/// Returns who leads, and how often that has changed.
async fn lead(world: &World) -> (Value, Value) {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEADER}",
        world.namespace
    );
    let spec = world.admin.get(&path).await.unwrap()["spec"].clone();
    (
        spec["holderIdentity"].clone(),
        spec["leaseTransitions"].clone(),
    )
}

/// Changes a port and waits until it is as declared.
async fn is_put_right(world: &World, told: &str) {
    let port = async || {
        let service = world.get("services", "challenge-one").await.unwrap();
        service["spec"]["ports"][0]["targetPort"].clone()
    };
    let before = port().await;
    let name = world.get("services", "challenge-one").await.unwrap()["spec"]["ports"][0].clone();
    let changed = json!({"spec": {"ports": [{"port": name["port"], "targetPort": 1}]}});
    world.edit("services", "challenge-one", changed).await;
    let began = Instant::now();
    while port().await != before {
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(60), "{told}: not put right");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_clock_that_is_set_costs_nobody_the_lead_and_changes_nothing() {
    let world = World::new().await;
    world
        .converge(&[("one", "database: sqlite"), ("two", "database: sqlite")])
        .await;
    let (ada, bob) = (Clock::new(&world, "ada"), Clock::new(&world, "bob"));
    let mut leader = ada.start(&world, "ada");
    leader.until_ready(2).await;
    leader.until_settled(&world).await;
    let mut follower = bob.start(&world, "bob");
    follower
        .until("an answer", async |keeper| {
            keeper.get("/health").await.0 == 200
        })
        .await;
    let led = lead(&world).await;
    assert!(led.0.as_str().unwrap().starts_with("ada"), "{led:?}");
    is_put_right(&world, "before").await;
    let mut told_ahead = false;
    for (clock, seconds, told) in [
        (&bob, DAY, "a follower a day ahead"),
        (&bob, 0, "and back"),
        (&ada, DAY, "the leader a day ahead"),
        (&ada, 3600, "and back by most of it"),
        (&ada, 0, "and back"),
    ] {
        clock.set(seconds);
        // What belongs to the change before may still be under way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.proxy.take_seen();
        tokio::time::sleep(A_WHILE).await;
        let mut written = world.proxy.take_seen();
        written.retain(|seen| {
            let is_read = matches!(seen.verb.as_str(), "get" | "list" | "watch");
            // Who leads says so, and what was put right before is told late.
            !is_read && !["leases", "events"].contains(&seen.resource.as_str())
        });
        assert_eq!(written, [], "{told}");
        assert_eq!(lead(&world).await, led, "{told}");
        is_put_right(&world, told).await;
        let history = world.run(&["history", "-o", "json"]).await.expect(0).json();
        let newest = history["passes"][0]["finished_at"].as_str().unwrap();
        let newest: Timestamp = newest.parse().unwrap();
        told_ahead |= newest > Timestamp::now() + SignedDuration::from_hours(12);
    }
    assert!(told_ahead, "the clock was never set");
    world.run(&["history", "verify"]).await.expect(0);
    world.run(&["diff"]).await.expect(0);
    for keeper in [leader, follower] {
        let (code, _, log) = keeper.terminate().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

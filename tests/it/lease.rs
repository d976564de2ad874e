//! One writer at a time, on a real API server and PostgreSQL: whatever happens to one, nothing of what it sends
//! late takes the place of its successor's.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::edge::cluster::client::{Credentials, KubeCluster};
use platform::reconcile::lease::{AcquireError, Clock, Held, Lease, PASS};
use serde_json::Value;

use crate::on_postgres::everything;
use crate::support::postgres::create_database;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{World, is_soak};

const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Within which the next writer begins, whatever became of the one before.
const FAIL_OVER: Duration = Duration::from_secs(5);

/// Two declarations of one challenge that differ in each object and row.
fn declared(world: &World, by: &str) -> String {
    let extra = format!("database: sqlite\nenv: {{WRITER: \"{by}\"}}");
    world
        .yaml(&[("demo", &extra)])
        .replace("1.0.0@", &format!("1.0.{}@", by.len()))
}

fn patch_of(resource: &str) -> Match {
    Match {
        verb: "patch".to_owned(),
        resource: resource.to_owned(),
        times: 1,
        ..Match::default()
    }
}

/// Returns the lease of passes, as one more writer takes it.
pub async fn lease(world: &World, identity: &str, wall: fn() -> jiff::Timestamp) -> Lease {
    let file = world.path("kubeconfig").display().to_string();
    let cluster = KubeCluster::connect(&Credentials::Files(file), CALL_LIMIT).await;
    let cluster = Arc::new(cluster.unwrap());
    Lease::new(
        cluster,
        &world.namespace,
        PASS,
        identity,
        Clock::of_machine(wall),
    )
}

async fn acquire(lease: &Lease, limit: Duration) -> Result<Held, AcquireError> {
    lease.acquire(limit, &|_| {}).await
}

fn signal(child: &Child, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

async fn writer_of(world: &World) -> Value {
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    let env = &set["spec"]["template"]["spec"]["containers"][0]["env"];
    let env = env.as_array().unwrap();
    let writer = env.iter().find(|entry| entry["name"] == "WRITER");
    writer.unwrap()["value"].clone()
}

async fn holder_of(world: &World) -> String {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{PASS}",
        world.namespace
    );
    let lease = world.admin.get(&path).await.unwrap_or_default();
    let holder = lease["spec"]["holderIdentity"].as_str();
    holder.unwrap_or_default().to_owned()
}

/// A world with a challenge by writer `a` on PostgreSQL, where the next apply, by `bb`, is about to change it.
async fn settled() -> (World, String) {
    let mut world = World::new().await;
    let url = create_database(&world.namespace).await;
    world.set("PLATFORM_DATABASE_URL", &url);
    world.declare(&declared(&world, "a"));
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    std::fs::create_dir(world.path("second")).unwrap();
    world.declare(&declared(&world, "bb"));
    let path = world.path("second/platform.yaml");
    std::fs::write(path, declared(&world, "ccc")).unwrap();
    (world, url)
}

/// What becomes of the first writer while one of its writes is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Killed,
    Stopped,
}

async fn depose(end: End, resource: &str) {
    let (world, url) = settled().await;
    world.proxy.fail(patch_of(resource), Fault::Late);
    let first = world.start(&["apply", "--yes", "--timeout", "60s"]);
    world.proxy.until_hit().await;
    signal(&first, if end == End::Killed { "-KILL" } else { "-STOP" });
    let began = Instant::now();
    let second = lease(&world, "successor", jiff::Timestamp::now).await;
    let held = acquire(&second, Duration::from_secs(30)).await.unwrap();
    let took = began.elapsed();
    assert!(took <= FAIL_OVER, "{end:?} {resource}: {took:?}");
    held.release().await;
    let args = ["apply", "second", "--yes", "--timeout", "60s"];
    world.run(&args).await.expect(0);
    let before = (world.snapshot().await, everything(&url).await);
    assert_eq!(writer_of(&world).await, "ccc");

    // The write of the first comes to the server now.
    assert_eq!(world.proxy.release().await, [409], "{end:?} {resource}");
    if end == End::Stopped {
        signal(&first, "-CONT");
    }
    let ran = World::finish(first).await;
    if end == End::Stopped {
        assert!(matches!(ran.code, 3 | 4), "{resource}: {ran}");
        assert!(ran.stderr.contains("the turn to write was lost"), "{ran}");
    }
    let after = (world.snapshot().await, everything(&url).await);
    assert_eq!(before.0, after.0, "{end:?} {resource}");
    assert_eq!(before.1, after.1, "{end:?} {resource}");
    world.run(&["diff", "second"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_killed_writers_late_write_is_refused() {
    depose(End::Killed, "statefulsets").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_stopped_writer_that_goes_on_changes_nothing_of_its_successors() {
    depose(End::Stopped, "statefulsets").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_late_create_is_refused_where_the_successor_made_the_object() {
    let (world, url) = settled().await;
    // The first is about to make the challenge `late`, and so is the second.
    for (path, by) in [("platform.yaml", "1"), ("second/platform.yaml", "2")] {
        let extra = format!("database: sqlite\nenv: {{WRITER: \"{by}\"}}");
        let yaml = world.yaml(&[("demo", &extra), ("late", &extra)]);
        std::fs::write(world.path(path), yaml).unwrap();
    }
    world.proxy.fail(patch_of("services"), Fault::Late);
    let first = world.start(&["apply", "--yes", "--timeout", "60s"]);
    world.proxy.until_hit().await;
    signal(&first, "-STOP");
    let args = ["apply", "second", "--yes", "--timeout", "60s"];
    world.run(&args).await.expect(0);
    let before = (world.snapshot().await, everything(&url).await);
    assert_eq!(world.proxy.release().await, [409]);
    signal(&first, "-CONT");
    let ran = World::finish(first).await;
    assert!(matches!(ran.code, 3 | 4), "{ran}");
    assert_eq!(before, (world.snapshot().await, everything(&url).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn two_applies_at_once_come_one_after_the_other_and_what_was_shown_is_done_or_nothing() {
    let (world, _) = settled().await;
    world.proxy.fail(patch_of("statefulsets"), Fault::Late);
    let first = world.start(&["apply", "--yes", "--timeout", "60s"]);
    world.proxy.until_hit().await;
    // It plans what the first is still doing, and waits.
    let second = world.start(&["apply", "second", "--yes", "--timeout", "60s"]);
    let hasty = ["apply", "second", "--yes", "--timeout", "1s"];
    let hasty = world.run(&hasty).await.expect(3);
    assert!(
        hasty
            .stderr
            .contains("another writer holds the lease platform-pass"),
        "{hasty}"
    );
    assert!(hasty.stderr.contains("(apply) on "), "{hasty}");
    assert_eq!(world.proxy.release().await, [200]);
    World::finish(first).await.expect(0);
    let second = World::finish(second).await.expect(3);
    assert!(
        second.stderr.contains("waiting for another writer"),
        "{second}"
    );
    assert!(
        second.stderr.contains("since this plan was shown"),
        "{second}"
    );
    assert_eq!(writer_of(&world).await, "bb");
    assert_eq!(holder_of(&world).await, "", "both gave it back");
    let args = ["apply", "second", "--yes", "--timeout", "60s"];
    world.run(&args).await.expect(0);
    assert_eq!(writer_of(&world).await, "ccc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_plan_shown_before_anothers_turn_is_made_again() {
    let (world, _) = settled().await;
    // Two that want the same: the later one finds, after its turn came, that its plan is another.
    let both = [
        world.start(&["apply", "--yes", "--timeout", "60s"]),
        world.start(&["apply", "--yes", "--timeout", "60s"]),
    ];
    let mut codes = Vec::new();
    for child in both {
        codes.push(World::finish(child).await.code);
    }
    codes.sort_unstable();
    assert!(matches!(codes[..], [0, 0 | 3]), "{codes:?}");
    assert_eq!(writer_of(&world).await, "bb");
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn an_apply_that_is_told_to_end_gives_its_turn_back() {
    let (world, _) = settled().await;
    for name in ["-TERM", "-INT"] {
        world.proxy.fail(patch_of("statefulsets"), Fault::Hang);
        let child = world.start(&["apply", "--yes", "--timeout", "60s"]);
        world.proxy.until_hit().await;
        let began = Instant::now();
        signal(&child, name);
        let ended = World::finish(child).await.expect(5);
        assert!(ended.stderr.contains("run it again"), "{ended}");
        assert_eq!(holder_of(&world).await, "");
        assert!(began.elapsed() < Duration::from_secs(3), "{ended}");
        world.proxy.heal();
    }
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn where_the_lease_cannot_be_had_nothing_is_written() {
    let (world, url) = settled().await;
    let before = (world.snapshot().await, everything(&url).await);
    let faults = [
        Fault::Answer(403),
        Fault::Answer(409),
        Fault::Answer(500),
        Fault::Hang,
        Fault::Truncate,
    ];
    for verb in ["get", "update"] {
        for fault in faults {
            let matching = Match {
                verb: verb.to_owned(),
                resource: "leases".to_owned(),
                ..Match::default()
            };
            world.proxy.fail(matching, fault);
            let ran = world.run(&["apply", "--yes", "--timeout", "1s"]).await;
            assert!(world.proxy.take_hits() > 0);
            let is_told = ran.stderr.contains("nothing was done");
            assert!(
                matches!(ran.code, 3 | 4) && is_told,
                "{verb} {fault:?}: {ran}"
            );
            world.proxy.heal();
            let after = (world.snapshot().await, everything(&url).await);
            assert_eq!(before, after, "{verb} {fault:?}");
        }
    }
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn clocks_that_differ_by_hours_neither_give_nor_take_a_lease() {
    fn ahead() -> jiff::Timestamp {
        jiff::Timestamp::now() + Duration::from_secs(5 * 3600)
    }
    fn behind() -> jiff::Timestamp {
        jiff::Timestamp::now() - Duration::from_secs(5 * 3600)
    }
    let world = World::new().await;
    for (first, second) in [(ahead as fn() -> _, behind as fn() -> _), (behind, ahead)] {
        let (first, second) = (
            lease(&world, "1", first).await,
            lease(&world, "2", second).await,
        );
        let held = acquire(&first, Duration::ZERO).await.unwrap();
        let refused = acquire(&second, Duration::from_secs(6)).await;
        assert!(matches!(refused, Err(AcquireError::Held { .. })));
        assert!(held.check().is_ok());
        held.release().await;
        acquire(&second, Duration::from_secs(1))
            .await
            .unwrap()
            .release()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn a_deleted_lease_is_not_made_anew_by_whoever_held_it() {
    let world = World::new().await;
    let lease = lease(&world, "1", jiff::Timestamp::now).await;
    let held = acquire(&lease, Duration::ZERO).await.unwrap();
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{PASS}",
        world.namespace
    );
    world.admin.send("DELETE", &path, None).await.unwrap();
    let lost = tokio::time::timeout(FAIL_OVER, held.lost()).await.unwrap();
    assert!(lost.to_string().contains("was deleted"), "{lost}");
    assert_eq!(world.admin.get(&path).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn the_next_writer_begins_within_five_seconds_of_the_last_ones_end() {
    let (world, _) = settled().await;
    let next = lease(&world, "next", jiff::Timestamp::now).await;
    let trials: u64 = if is_soak() { 40 } else { 4 };
    let mut took = Vec::new();
    for trial in 0..trials {
        world.proxy.fail(patch_of("statefulsets"), Fault::Hang);
        let child = world.start(&["apply", "--yes", "--timeout", "60s"]);
        world.proxy.until_hit().await;
        // At another moment between two renewals each time.
        tokio::time::sleep(Duration::from_millis(trial * 1000 / trials)).await;
        signal(&child, "-KILL");
        let began = Instant::now();
        let held = acquire(&next, Duration::from_secs(30)).await.unwrap();
        took.push(began.elapsed());
        held.release().await;
        World::finish(child).await;
        world.proxy.heal();
    }
    assert!(took.iter().all(|took| *took <= FAIL_OVER), "{took:?}");
}

//! A revision that cannot be used, or that a guard holds, changes nothing: the last good one is kept.

use std::time::Duration;

use platform::reconcile::lease::LEADER;
use serde_json::{Value, json};

use crate::lease::lease;
use crate::support::keeper::Keeper;
use crate::support::world::World;

const FILE: &str = "database: sqlite";
/// What belongs to no challenge.
const TARGETS: &str = "targets:\n  gpu: {mode: agent, agent_url: \"https://gpu.example:8091\", \
                       token: {secret: gpu, key: token}, enabled: false, gpu_count: 8}\n";

/// Returns the revision that is told as kept.
async fn revision(keeper: &Keeper) -> Value {
    let (_, ready) = keeper.ready().await;
    ready["checks"]["source"]["revision"].clone()
}

/// Changes an object and waits until that is put back: the revision before is still kept.
async fn check_kept(world: &World, keeper: &mut Keeper, name: &str) {
    let away = json!({"spec": {"type": "NodePort"}});
    world.edit("services", name, away).await;
    keeper
        .until("the service as it was", async |_| {
            let service = world.get("services", name).await.unwrap();
            service["spec"]["type"] == "ClusterIP"
        })
        .await;
}

async fn until_metric(keeper: &mut Keeper, name: &str, value: f64) {
    let what = format!("{name} {value}");
    keeper
        .until(&what, async |keeper| {
            keeper.metric(name).await == Some(value)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_source_that_cannot_be_used_leaves_the_last_good_revision_in_place() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
    let good = world.yaml(&[("one", FILE), ("two", FILE)]);
    world.declare(&good);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    let before = world.snapshot().await;
    let bad = good.replace("    status: active", "    status: acitve");
    let half = &good[..good.find("  two:\n    image").unwrap() + 12];
    for (round, text) in [Some(bad.as_str()), Some(""), Some(half), None]
        .into_iter()
        .enumerate()
    {
        match text {
            Some(text) => world.declare(text),
            None => std::fs::remove_file(world.path("platform.yaml")).unwrap(),
        }
        until_metric(&mut keeper, "platform_source_refused", 1.0).await;
        let (code, ready) = keeper.ready().await;
        assert_eq!(
            (code, &ready["checks"]["source"]["refused"]),
            (200, &json!(true))
        );
        check_kept(&world, &mut keeper, "challenge-two").await;
        assert_eq!(world.snapshot().await, before, "round {round}");
        world.declare(&good);
        until_metric(&mut keeper, "platform_source_refused", 0.0).await;
    }
    let line = 1 + bad
        .lines()
        .position(|line| line.contains("acitve"))
        .unwrap();
    let log = keeper.log();
    assert!(log.contains(&format!("platform.yaml:{line}")), "{log}");
    world.declare(&world.yaml(&[("one", FILE), ("two", FILE), ("three", FILE)]));
    keeper.until_ready(3).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_freeze_window_holds_what_belongs_to_no_challenge_too() {
    let world = World::new().await;
    let plain = world.yaml(&[("one", FILE)]);
    world.declare(&plain);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let window = "safety: {freeze: [{from: \"2020-01-01T00:00Z\", to: \"2199-01-01T00:00Z\", why: holidays}], ";
    let frozen = format!("{}{TARGETS}", plain.replace("safety: {", window));
    let before = revision(&keeper).await;
    let recorded = world.run(&["history", "-o", "json"]).await.expect(0).json();
    world.declare(&frozen);
    keeper
        .until("the new revision", async |keeper| {
            revision(keeper).await != before
        })
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let diff = world.run(&["diff", "-o", "json"]).await.expect(1).json();
    assert_eq!(diff["totals"]["create"], 1, "the target's row: {diff:#}");
    let after = world.run(&["history", "-o", "json"]).await.expect(0).json();
    assert_eq!(after["passes"], recorded["passes"], "nothing was done");
    // The window is closed early.
    world.declare(&format!("{plain}{TARGETS}"));
    keeper
        .until("the target", async |_| world.run(&["diff"]).await.code == 0)
        .await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_revision_is_told_as_kept_once_another_writer_lets_it_begin_and_a_stop_does_not_wait_for_that()
 {
    let world = World::new().await;
    let plain = world.yaml(&[("one", FILE)]);
    world.declare(&plain);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    keeper.until_settled(&world).await;
    let before = revision(&keeper).await;
    let other = lease(&world, "other", jiff::Timestamp::now).await;
    let held = other.acquire(Duration::from_secs(60), &|_| {}).await;
    let held = held.unwrap();
    world.declare(&format!("{plain}{TARGETS}"));
    keeper
        .until("its wait", async |keeper| {
            keeper.log().contains("waiting for another writer")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(revision(&keeper).await, before);
    let (code, took, log) = keeper.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    held.release().await;
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("the target", async |_| world.run(&["diff"]).await.code == 0)
        .await;
    assert_ne!(revision(&keeper).await, before);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_first_revision_that_a_guard_holds_is_waited_with_at_rest() {
    let world = World::new().await;
    let both = world.yaml(&[("one", FILE), ("two", FILE)]);
    world.declare(&both);
    world.run(&["apply", "--yes", "--no-wait"]).await.expect(0);
    let loose = "safety: {max_deleted_percent: 100, max_emission_change_points: 100}\n";
    world.declare(&world.yaml(&[("one", FILE)]).replace(loose, ""));
    let mut keeper = Keeper::start(&world, &[]);
    until_metric(&mut keeper, "platform_revision_guarded", 1.0).await;
    // Something happened to each challenge, and nothing may be done about it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = keeper.computed();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let computed = keeper.computed() - before;
    assert!(computed < Duration::from_millis(800), "{computed:?} of 4 s");
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_a_guard_holds_waits_for_a_person_and_the_revision_before_is_kept() {
    let world = World::new().await;
    let strict = |challenges: &[(&str, &str)]| {
        let yaml = world.yaml(challenges);
        let loose = "safety: {max_deleted_percent: 100, max_emission_change_points: 100}\n";
        world.declare(&yaml.replace(loose, ""));
    };
    strict(&[("one", FILE), ("two", FILE)]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    let before = world.snapshot().await;
    strict(&[("one", "database: sqlite\nenv: {NEW: \"1\"}")]);
    until_metric(&mut keeper, "platform_revision_guarded", 1.0).await;
    let (_, ready) = keeper.ready().await;
    let guards = ready["checks"]["source"]["guards"].to_string();
    assert!(guards.contains("deletes"), "{guards}");
    check_kept(&world, &mut keeper, "challenge-two").await;
    assert_eq!(world.snapshot().await, before);
    let apply = [
        "apply",
        "--yes",
        "--allow-deletes",
        "--allow-emission-change",
    ];
    world
        .run(&[&apply[..], &["--timeout", "60s"]].concat())
        .await
        .expect(0);
    until_metric(&mut keeper, "platform_revision_guarded", 0.0).await;
    // What the removed one left behind is told of.
    until_metric(&mut keeper, "platform_challenge_ready{slug=\"one\"}", 1.0).await;
    assert!(world.get("statefulsets", "challenge-two").await.is_none());
    keeper.until_settled(&world).await;
    check_kept(&world, &mut keeper, "challenge-one").await;
    let (code, _, log) = keeper.terminate().await;
    assert_eq!(code, Some(0));
    let flags = "platform apply --allow-deletes --allow-emission-change";
    assert!(log.contains(flags), "{log}");
}

/// Returns who leads in a namespace, if anybody does.
async fn leader(world: &World) -> String {
    let leases = "/apis/coordination.k8s.io/v1/namespaces";
    let path = format!("{leases}/{}/leases/{LEADER}", world.namespace);
    let lease = world.admin.get(&path).await.unwrap_or_default();
    let holder = lease["spec"]["holderIdentity"].as_str();
    holder.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn the_lead_moves_to_another_namespace_once_that_is_let_through() {
    let (world, other) = (World::new().await, World::new().await);
    let home = world.yaml(&[("one", FILE)]);
    world.declare(&home);
    let operator = world.kubeconfig_of_operator();
    let variables = [("KUBECONFIG", operator.as_str())];
    let mut keeper = Keeper::start_role(&world, &["run"], "keeper", &variables);
    keeper.until_ready(1).await;
    keeper.until_settled(&world).await;
    world.declare(&home.replace(&world.namespace, &other.namespace));
    until_metric(&mut keeper, "platform_revision_guarded", 1.0).await;
    assert_ne!(leader(&world).await, "");
    assert_eq!(leader(&other).await, "");
    let allowed = [
        "apply",
        "--yes",
        "--allow-empty-cluster",
        "--timeout",
        "60s",
    ];
    world.run_as_operator(&allowed).await.expect(0);
    until_metric(&mut keeper, "platform_revision_guarded", 0.0).await;
    keeper
        .until("the lead in the other", async |_| {
            leader(&world).await.is_empty() && !leader(&other).await.is_empty()
        })
        .await;
    let away = json!({"spec": {"type": "NodePort"}});
    other.edit("services", "challenge-one", away).await;
    keeper
        .until("the service as it was", async |_| {
            let service = other.get("services", "challenge-one").await.unwrap();
            service["spec"]["type"] == "ClusterIP"
        })
        .await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

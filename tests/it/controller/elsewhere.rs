//! `apply` from another source than a live controller follows: refused, unless the controller is suspended first.

use std::time::Duration;

use platform::reconcile::lease::LEADER;
use serde_json::Value;

use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{CANARY, Ran, World};

/// The metric that tells of a suspended controller.
const SUSPENDED: &str = "platform_controller_suspended";

fn declared(world: &World, level: &str) -> String {
    let extra = format!("database: sqlite\nenv: {{LEVEL: {level}}}");
    world.yaml(&[("demo", &extra)])
}

/// Declares one level where the controller looks, and another one in a second place.
fn declare_two(world: &World) {
    world.declare(&declared(world, "first"));
    std::fs::create_dir_all(world.path("second")).unwrap();
    declare_second(world, "second");
}

fn declare_second(world: &World, level: &str) {
    let path = world.path("second/platform.yaml");
    std::fs::write(path, declared(world, level)).unwrap();
}

async fn apply_second(world: &World, more: &[&str]) -> Ran {
    let apply = ["apply", "second", "--yes", "--timeout", "60s"];
    world.run(&[&apply[..], more].concat()).await
}

async fn level(world: &World) -> Value {
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    let env = &set["spec"]["template"]["spec"]["containers"][0]["env"];
    let env = env.as_array().unwrap();
    let level = env.iter().find(|entry| entry["name"] == "LEVEL");
    level.unwrap()["value"].clone()
}

async fn until_metric(keeper: &mut Keeper, name: &str, value: f64) {
    keeper
        .until(&format!("{name} {value}"), async |keeper| {
            keeper.metric(name).await == Some(value)
        })
        .await;
}

/// Returns everything that would have changed if anything had been written.
async fn everything(world: &World) -> (Value, Value) {
    let objects = serde_json::to_value(world.snapshot().await).unwrap();
    let history = world.run(&["history", "-o", "json"]).await.expect(0);
    (objects, history.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn apply_from_another_source_is_refused_and_writes_nothing() {
    let world = World::new().await;
    declare_two(&world);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    keeper.until_settled(&world).await;
    let before = everything(&world).await;

    let diff = world.run(&["diff", "second", "--save", "plan.json"]).await;
    let diff = diff.expect(1);
    assert!(diff.stderr.contains("follows another source"), "{diff}");
    for ran in [
        apply_second(&world, &[]).await,
        world.run(&["apply", "--plan", "plan.json", "--yes"]).await,
    ] {
        let ran = ran.expect(3);
        for told in [
            "keeper (controller)",
            "/platform.yaml on ",
            "/second on ",
            "nothing was done",
            "commit to ",
            "--take-over",
        ] {
            assert!(ran.stderr.contains(told), "{told}: {ran}");
        }
    }
    assert_eq!(everything(&world).await, before);

    // The same source is no other one, however it is named.
    let own = world.path("platform.yaml").display().to_string();
    let diff = world.run(&["diff", &own]).await.expect(0);
    assert!(!diff.stderr.contains("another source"), "{diff}");
    let apply = ["apply", &own, "--yes", "--timeout", "60s"];
    world.run(&apply).await.expect(0);
    // Whether it is another one has to be known before anything is written.
    let unread = Match {
        verb: "get".to_owned(),
        resource: "leases".to_owned(),
        name: LEADER.to_owned(),
        ..Match::default()
    };
    let before = everything(&world).await;
    world.proxy.fail(unread, Fault::Answer(403));
    let ran = apply_second(&world, &[]).await.expect(4);
    assert!(ran.stderr.contains("is not known"), "{ran}");
    assert!(ran.stderr.contains("--take-over"), "{ran}");
    world.proxy.heal();
    assert_eq!(everything(&world).await, before);
    assert_eq!(keeper.terminate().await.0, Some(0));

    // Nobody is alive to undo it.
    apply_second(&world, &[]).await.expect(0);
    assert_eq!(level(&world).await, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_takes_over_stays_until_the_controller_is_resumed() {
    let world = World::new().await;
    declare_two(&world);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let ran = apply_second(&world, &["--take-over"]).await.expect(0);
    assert!(
        ran.stderr.contains("`platform resume --controller`"),
        "{ran}"
    );
    until_metric(&mut keeper, SUSPENDED, 1.0).await;
    // It would have been put right at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(level(&world).await, "second");
    let status = world.run(&["status", "second"]).await.expect(0);
    assert!(
        status.stdout.contains("the controller is suspended since"),
        "{status}"
    );
    let status = world.run(&["status", "-o", "json"]).await.json();
    let told = status["controller_suspended"].as_str().unwrap().to_owned();
    assert!(told.contains("taken over by `apply` from"), "{told}");

    // Another leader, and a new revision, are told of it too.
    assert_eq!(keeper.terminate().await.0, Some(0));
    let mut keeper = Keeper::start(&world, &[]);
    until_metric(&mut keeper, SUSPENDED, 1.0).await;
    world.declare(&declared(&world, "third"));
    declare_second(&world, "fourth");
    let again = apply_second(&world, &[]).await.expect(0);
    assert!(again.stderr.contains("controller is suspended"), "{again}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(level(&world).await, "fourth");
    assert_eq!(keeper.ready().await.0, 200);

    world.run(&["resume", "--controller"]).await.expect(0);
    keeper
        .until("what the controller's source declares", async |_| {
            level(&world).await == "third"
        })
        .await;
    until_metric(&mut keeper, SUSPENDED, 0.0).await;
    world.run(&["resume", "--controller"]).await.expect(2);
    apply_second(&world, &[]).await.expect(3);
    let acts = world.run(&["history", "acts"]).await.expect(0);
    assert!(acts.stdout.contains("suspend    the controller"), "{acts}");
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_controller_that_was_killed_holds_up_nobody() {
    let world = World::new().await;
    declare_two(&world);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    apply_second(&world, &[]).await.expect(3);
    keeper.kill();
    let ran = apply_second(&world, &["--take-over"]).await.expect(0);
    assert!(ran.stderr.contains("none is suspended"), "{ran}");
    assert_eq!(level(&world).await, "second");
    world.run(&["resume", "--controller"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn credentials_of_a_source_are_not_in_what_the_controller_says_that_it_follows() {
    let mut world = World::new().await;
    world.set("PLATFORM_GIT__PASSWORD", CANARY);
    let repo = Repo::new();
    repo.write("deploy/platform.yaml", &declared(&world, "first"));
    repo.commit("first");
    let source = format!("{}#main:deploy", repo.address());
    let mut keeper = Keeper::start(&world, &[&source]);
    keeper.until_ready(1).await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces";
    let path = format!("{leases}/{}/leases/{LEADER}", world.namespace);
    let lease = world.admin.get(&path).await.unwrap();
    let said = &lease["metadata"]["annotations"]["platform.network/follows"];
    let said: Value = serde_json::from_str(said.as_str().unwrap()).unwrap();
    assert_eq!(said["holder"], lease["spec"]["holderIdentity"]);
    let followed = said["source"].as_str().unwrap();
    assert!(followed.starts_with("file://"), "{followed}");
    assert!(followed.ends_with("#main:deploy"), "{followed}");
    assert!(!lease.to_string().contains(CANARY));

    world.declare(&declared(&world, "second"));
    let ran = world.run(&["apply", "--yes"]).await.expect(3);
    assert!(ran.stderr.contains(followed), "{ran}");
    let with_password = format!("https://ada:{CANARY}@git.example/o/r");
    for verb in ["diff", "apply", "run"] {
        world.run(&[verb, &with_password]).await.expect(2);
    }
    let take_over = ["apply", "--yes", "--take-over", "--timeout", "60s"];
    world.run(&take_over).await.expect(0);
    let database = std::fs::read(world.path("platform.db")).unwrap();
    let has_canary = database
        .windows(CANARY.len())
        .any(|bytes| bytes == CANARY.as_bytes());
    assert!(!has_canary, "in the database");
    assert_eq!(keeper.terminate().await.0, Some(0));
}

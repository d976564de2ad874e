//! A new image that does not become ready: it stays, or the one before it comes back, as the challenge says.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::World;

const GOOD: &str = "platformnetwork/demo:1.0.0";
/// Its pods stay without their image, on every node.
const BAD: &str = "platformnetwork/never-ready:2.0.0";
const NEWER: &str = "platformnetwork/demo:3.0.0";
/// The time that an image has.
const LIMIT: Duration = Duration::from_secs(3);
const TRIED: &str = "statefulsets";

fn rollback() -> String {
    format!(
        "database: sqlite\nrollout: {{on_failure: rollback, timeout_seconds: {}}}",
        LIMIT.as_secs()
    )
}

/// Declares `demo` with this image, and others beside it.
fn declare(world: &World, image: &str, extra: &str, others: &[&str]) {
    let mut challenges = vec![("demo", extra)];
    challenges.extend(others.iter().map(|slug| (*slug, "database: sqlite")));
    world.declare(&world.yaml(&challenges).replace(GOOD, image));
}

async fn runs(world: &World, image: &str) -> bool {
    let set = world.get(TRIED, "challenge-demo").await.unwrap();
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    container["image"].as_str().unwrap().contains(image)
}

async fn until_runs(world: &World, keeper: &mut Keeper, image: &str) -> Duration {
    keeper
        .until(image, async |_| runs(world, image).await)
        .await
}

async fn until_condition(keeper: &mut Keeper, condition: &str) {
    let name = format!("platform_challenges{{condition=\"{condition}\"}}");
    keeper
        .until(&name, async |keeper| {
            keeper.metric(&name).await == Some(1.0)
        })
        .await;
}

/// Brings the good image about, then declares the bad one and waits until it is tried.
async fn with_bad_image(extra: &str) -> (World, Keeper) {
    let world = World::new().await;
    declare(&world, GOOD, extra, &[]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    declare(&world, BAD, extra, &[]);
    until_runs(&world, &mut keeper, BAD).await;
    (world, keeper)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn the_last_good_image_comes_back_and_the_bad_one_is_not_tried_again_before_a_newer_is_written()
 {
    let extra = rollback();
    let (world, mut keeper) = with_bad_image(&extra).await;
    let took = until_runs(&world, &mut keeper, GOOD).await;
    println!("given up after {took:.1?} of {LIMIT:?}");
    assert!(took > LIMIT - Duration::from_secs(1), "{took:?}");
    until_condition(&mut keeper, "held").await;
    let told = format!("did not become ready in {}s; running", LIMIT.as_secs());
    let status = world.run(&["status"]).await.expect(0);
    assert!(
        status.stdout.contains(&told) && status.stdout.contains("write a newer image"),
        "{status}"
    );
    let diff = world.run(&["diff"]).await.expect(1);
    let plan = world.run(&["diff", "-o", "json"]).await.expect(1).json();
    assert!(
        diff.stdout.contains("rolled back: image") && diff.stdout.contains(&told),
        "{diff}"
    );
    assert_eq!(plan["totals"]["change"], 0, "{plan:#}");
    let history = world.run(&["history", "-o", "json"]).await.expect(0);
    assert!(history.stdout.contains("(controller)"), "{history}");
    let newest = history.json()["passes"][0]["id"].to_string();
    let shown = world.run(&["history", "show", &newest]).await.expect(0);
    assert!(shown.stdout.contains(&told), "{shown}");

    // Neither a person's apply, nor a restart, nor a revision about something else tries it again.
    let apply = world.run(&["apply", "--yes", "--timeout", "10s"]).await;
    assert!(apply.expect(5).stderr.contains(&told));
    assert_eq!(keeper.terminate().await.0, Some(0));
    declare(&world, BAD, &extra, &["other"]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("the other", async |keeper| {
            let name = "platform_challenge_ready{slug=\"other\"}";
            keeper.metric(name).await == Some(1.0)
        })
        .await;
    assert!(runs(&world, GOOD).await);

    declare(&world, NEWER, &extra, &["other"]);
    keeper.until_ready(2).await;
    assert!(runs(&world, NEWER).await);
    // The same image under another declaration is another try.
    let other = format!("{extra}\nenv: {{FIXED: \"1\"}}");
    declare(&world, BAD, &other, &["other"]);
    until_runs(&world, &mut keeper, BAD).await;
    until_runs(&world, &mut keeper, NEWER).await;
    world.run(&["history", "verify"]).await.expect(0);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_image_that_is_held_stays() {
    let (world, keeper) = with_bad_image("database: sqlite\nrollout: {timeout_seconds: 1}").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(runs(&world, BAD).await);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn resume_tries_the_image_again() {
    let (world, mut keeper) = with_bad_image(&rollback()).await;
    until_runs(&world, &mut keeper, GOOD).await;
    until_condition(&mut keeper, "held").await;
    let resumed = world.run(&["resume", "demo"]).await.expect(0);
    assert!(resumed.stdout.contains("is tried again"), "{resumed}");
    until_runs(&world, &mut keeper, BAD).await;
    until_runs(&world, &mut keeper, GOOD).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn whoever_is_killed_while_the_image_comes_back_goes_on_with_that() {
    let (world, mut keeper) = with_bad_image(&rollback()).await;
    let back = Match {
        verb: "patch".to_owned(),
        resource: TRIED.to_owned(),
        ..Match::default()
    };
    // The first is killed before its write, the second after it.
    for fault in [Fault::Hang, Fault::HangAfter] {
        world.proxy.fail(back.clone(), fault);
        world.proxy.until_hit().await;
        keeper.kill();
        world.proxy.heal();
        let began = Instant::now();
        keeper = Keeper::start(&world, &[]);
        until_runs(&world, &mut keeper, GOOD).await;
        until_condition(&mut keeper, "held").await;
        // It was known to be bad: it has not got its time again.
        println!("back {:.1?} after the kill", began.elapsed());
        world.run(&["resume", "demo"]).await.expect(0);
        until_runs(&world, &mut keeper, BAD).await;
    }
    until_runs(&world, &mut keeper, GOOD).await;
    world.run(&["history", "verify"]).await.expect(0);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn no_image_is_given_up_because_nobody_could_see_whether_it_was_ready() {
    let (world, mut keeper) = with_bad_image(&rollback()).await;
    world.proxy.fail(Match::default(), Fault::Cut);
    world.proxy.cut_watches();
    tokio::time::sleep(LIMIT + Duration::from_secs(2)).await;
    assert!(runs(&world, BAD).await);
    // It becomes ready while nobody sees it.
    let ready = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"},
    ]}});
    let pod = format!("{}/status", world.api("pods", "challenge-demo-0"));
    let kind = "application/strategic-merge-patch+json";
    let patched = world.admin.send_as("PATCH", &pod, kind, Some(ready)).await;
    patched.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.proxy.heal();
    keeper.until_ready(1).await;
    tokio::time::sleep(LIMIT + Duration::from_secs(2)).await;
    assert!(runs(&world, BAD).await, "it is the last good one now");
    assert_eq!(keeper.terminate().await.0, Some(0));
}

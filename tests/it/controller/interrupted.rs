//! A pass that writes and is never recorded is in the history all the same: whoever writes next says so.

use serde_json::Value;

use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{CANARY, World};

const PLAIN: &str = "database: sqlite";
const CHANGED: &str = "database: sqlite\nenv: {LEVEL: debug}";

/// A write that is carried out and never answered.
fn hang_at(verb: &str, name: &str) -> (Match, Fault) {
    let matching = Match {
        verb: verb.to_owned(),
        resource: "statefulsets".to_owned(),
        name: name.to_owned(),
        ..Match::default()
    };
    (matching, Fault::HangAfter)
}

async fn passes(world: &World) -> Vec<Value> {
    let history = world.run(&["history", "-o", "json"]).await.expect(0).json();
    history["passes"].as_array().unwrap().clone()
}

async fn has_open(world: &World) -> bool {
    let history = world.run(&["history", "-o", "json"]).await.expect(0).json();
    history["has_open"].as_bool().unwrap()
}

fn is_interrupted(pass: &Value) -> bool {
    pass["outcome"] == "interrupted"
}

/// Checks what is told of a pass that was killed while it changed this StatefulSet, and returns it.
async fn check_told(world: &World, by: &str, name: &str) -> Value {
    let found = passes(world).await.into_iter().find(is_interrupted);
    let listed = found.expect("an interrupted pass");
    let number = listed["id"].to_string();
    let args = ["history", "show", &number, "-o", "json"];
    let shown = world.run(&args).await.expect(0);
    assert!(!shown.stdout.contains(CANARY));
    let pass = shown.json()["pass"].clone();
    let actor = pass["actor"].as_str().unwrap();
    assert!(actor.ends_with(by), "{pass:#}");
    assert_eq!(pass["plan_digest"].as_str().unwrap().len(), 64, "{pass:#}");
    assert!(pass["revision"]["digest"].is_string(), "{pass:#}");
    assert!(pass["started_at"].as_str() < pass["finished_at"].as_str());
    let keys = pass["keys"].as_array().unwrap();
    let key = |key: &&Value| key["key"].as_str().unwrap().ends_with(name);
    let key = keys.iter().find(key).expect("the key that it wrote");
    assert_eq!(key["action"], "update", "{pass:#}");
    assert!(
        keys.iter()
            .all(|key| key["outcome"] == "unknown" && key["why"] == "it may have been written"),
        "{pass:#}"
    );
    assert_eq!(pass["counts"]["unknown"], keys.len(), "{pass:#}");
    let text = world.run(&["history", "show", &number]).await.expect(0);
    assert!(text.stdout.contains("found without an end"), "{text}");
    let verified = world.run(&["history", "verify"]).await.expect(0);
    assert!(verified.stdout.contains("unbroken"), "{verified}");
    assert!(!has_open(world).await);
    pass
}

/// Kills an apply whose change is made and not recorded.
async fn kill_an_apply(world: &World) {
    world.declare(&world.yaml(&[("demo", CHANGED)]));
    let (matching, fault) = hang_at("patch", "challenge-demo");
    world.proxy.fail(matching, fault);
    let mut child = world.start(&["apply", "--yes"]);
    world.proxy.until_hit().await;
    let before = passes(world).await.len();
    assert!(has_open(world).await, "the database knew it beforehand");
    child.kill().unwrap();
    World::finish(child).await;
    world.proxy.heal();
    assert_eq!(passes(world).await.len(), before);
    let history = world.run(&["history"]).await.expect(0);
    assert!(history.stderr.contains("is not recorded yet"), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_apply_killed_after_its_write_is_recorded_by_the_next_even_where_nothing_is_left_to_write()
 {
    let world = World::new().await;
    world.converge(&[("demo", PLAIN)]).await;
    kill_an_apply(&world).await;
    let next = world.run(&["apply", "--yes", "--timeout", "60s"]).await;
    next.expect(0);
    check_told(&world, "(apply)", "challenge-demo").await;
    world.run(&["apply", "--yes"]).await.expect(0);
    let count = passes(&world)
        .await
        .iter()
        .filter(|pass| is_interrupted(pass))
        .count();
    assert_eq!(count, 1, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_apply_killed_after_its_write_is_recorded_by_a_controller() {
    let world = World::new().await;
    world.converge(&[("demo", PLAIN)]).await;
    kill_an_apply(&world).await;
    world.declare(&world.yaml(&[("demo", CHANGED), ("other", PLAIN)]));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    keeper.until_settled(&world).await;
    check_told(&world, "(apply)", "challenge-demo").await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_apply_that_is_told_to_end_in_the_middle_of_a_write_says_so_in_the_history_itself() {
    let world = World::new().await;
    world.converge(&[("demo", PLAIN)]).await;
    world.declare(&world.yaml(&[("demo", CHANGED)]));
    let (matching, fault) = hang_at("patch", "challenge-demo");
    world.proxy.fail(matching, fault);
    let child = world.start(&["apply", "--yes"]);
    world.proxy.until_hit().await;
    let mut kill = std::process::Command::new("kill");
    kill.args(["-TERM", &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
    World::finish(child).await.expect(5);
    world.proxy.heal();
    check_told(&world, "(apply)", "challenge-demo").await;
}

/// Kills a controller whose change is made and not recorded.
async fn check_killed_controller(world: &World) {
    world.declare(&world.yaml(&[("demo", PLAIN), ("other", PLAIN)]));
    let mut keeper = Keeper::start(world, &[]);
    keeper.until_ready(2).await;
    keeper.until_settled(world).await;
    let (matching, fault) = hang_at("patch", "challenge-demo");
    world.proxy.fail(matching, fault);
    world.declare(&world.yaml(&[("demo", CHANGED), ("other", CHANGED)]));
    world.proxy.until_hit().await;
    keeper.kill();
    world.proxy.heal();
    assert!(has_open(world).await, "the database knew it beforehand");
    let mut next = Keeper::start_as(world, &[], "next");
    next.until_ready(2).await;
    next.until_settled(world).await;
    next.until("the pass that never ended", async |_| {
        passes(world).await.iter().any(is_interrupted)
    })
    .await;
    check_told(world, "(controller)", "challenge-demo").await;
    assert_eq!(next.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_controller_killed_between_a_write_and_its_record_is_in_the_history() {
    check_killed_controller(&World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_controller_on_postgresql_killed_between_a_write_and_its_record_is_in_the_history() {
    let mut world = World::new().await;
    let url = create_database(&world.namespace).await;
    world.set("PLATFORM_DATABASE_URL", &url);
    check_killed_controller(&world).await;
}

/// The next controller has nothing to write, and takes a turn for that alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_pass_killed_after_its_last_write_is_recorded_by_a_controller_that_has_none() {
    let world = World::new().await;
    world.converge(&[("demo", PLAIN)]).await;
    kill_an_apply(&world).await;
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("the pass that never ended", async |_| {
            passes(&world).await.iter().any(is_interrupted)
        })
        .await;
    check_told(&world, "(apply)", "challenge-demo").await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

/// What ended is recorded within seconds although another challenge hangs, and its turn lasts until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_is_done_beside_a_challenge_that_hangs_is_recorded_and_nothing_of_it_stays_open() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", PLAIN), ("other", PLAIN)]));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    keeper.until_settled(&world).await;
    let before = passes(&world).await.len();
    let (matching, _) = hang_at("dry-run", "challenge-demo");
    world.proxy.fail(matching, Fault::Hang);
    world.declare(&world.yaml(&[("demo", CHANGED), ("other", CHANGED)]));
    keeper
        .until("the record of the other", async |_| {
            let passes = passes(&world).await;
            let new = &passes[..passes.len() - before];
            new.iter()
                .any(|pass| pass["counts"]["updated"].as_u64() > Some(0))
        })
        .await;
    assert!(!has_open(&world).await);
    world.proxy.heal();
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
    assert!(!passes(&world).await.iter().any(is_interrupted));
    world.run(&["history", "verify"]).await.expect(0);
}

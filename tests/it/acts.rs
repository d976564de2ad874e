//! Acts that are no declarations: what is suspended is left alone, by `apply` and by a controller, until it is
//! resumed; and a controller looks when it is asked to.

use std::fs::File;
use std::process::Child;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::postgres::create_database;
use crate::support::world::World;

const PLAIN: &str = "database: sqlite";
const CHANGED: &str = "database: sqlite\nenv: {LEVEL: debug}";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_suspended_challenge_is_left_alone_until_it_is_resumed() {
    let world = World::new().await;
    world.converge(&[("demo", PLAIN), ("other", PLAIN)]).await;
    let unknown = world.run(&["suspend", "dmo", "--why", "x"]).await.expect(2);
    assert!(unknown.stderr.contains("did you mean demo"), "{unknown}");
    world.run(&["suspend", "demo"]).await.expect(2);
    world
        .run(&["suspend", "demo", "--why", "ada looks into it"])
        .await
        .expect(0);
    world.run(&["resume", "other"]).await.expect(2);

    world.declare(&world.yaml(&[("demo", CHANGED), ("other", CHANGED)]));
    let before = world.snapshot().await;
    let diff = world.run(&["diff"]).await.expect(1);
    assert!(diff.stdout.contains("suspended since 20"), "{diff}");
    assert!(diff.stdout.contains(": ada looks into it"), "{diff}");
    let applied = world.run(&["apply", "--yes", "--timeout", "60s"]).await;
    applied.expect(0);
    let after = world.snapshot().await;
    let of_demo = |snapshot: &std::collections::BTreeMap<String, Value>| {
        let mut of_demo = snapshot.clone();
        of_demo.retain(|name, _| name.contains("challenge-demo"));
        of_demo
    };
    assert_eq!(of_demo(&before), of_demo(&after));
    assert_ne!(before, after, "the other one was changed");
    let status = world.run(&["status"]).await.expect(0);
    assert!(
        status.stdout.contains("suspended") && status.stdout.contains("ada looks into it"),
        "{status}"
    );

    world.converge(&[("other", CHANGED)]).await;
    let removed = of_demo(&world.snapshot().await);
    assert_eq!(removed, of_demo(&before), "not removed either");
    world.declare(&world.yaml(&[("demo", CHANGED), ("other", CHANGED)]));
    world.run(&["resume", "demo"]).await.expect(0);
    world
        .converge(&[("demo", CHANGED), ("other", CHANGED)])
        .await;
    assert_ne!(of_demo(&world.snapshot().await), of_demo(&before));
    let acts = world
        .run(&["history", "acts", "-o", "json"])
        .await
        .expect(0);
    let acts = acts.json();
    let kinds: Vec<&Value> = acts["acts"].as_array().unwrap().iter().collect();
    assert_eq!(kinds.len(), 2, "{acts}");
    assert_eq!(kinds[0]["kind"], "resume");
    assert_eq!(kinds[1]["why"], "ada looks into it");
    assert_eq!(kinds[1]["outcome"], "done");
}

/// `platform run`; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn run(world: &World, with: &[(&str, &str)]) -> Running {
    let log = File::create(world.path("run.log")).unwrap();
    let mut command = world.command(&["run", "-v"]);
    command.envs(with.iter().copied());
    command.env("PLATFORM_MASTER__ADMIN_PORT", "0");
    command
        .env("PLATFORM_OBSERVABILITY__LISTEN", "127.0.0.1:0")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running(command.spawn().unwrap())
}

async fn until(what: &str, world: &World, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = std::fs::read_to_string(world.path("run.log")).unwrap();
    panic!("{what} did not come about:\n{log}");
}

async fn level(world: &World) -> Option<String> {
    let set = world.get("statefulsets", "challenge-demo").await?;
    let env = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?;
    let level = env.iter().find(|entry| entry["name"] == "LEVEL")?;
    Some(level["value"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_controller_leaves_what_is_suspended_and_looks_when_it_is_resumed_or_asked() {
    let world = World::new().await;
    world.converge(&[("demo", CHANGED)]).await;
    let _running = run(&world, &[]);
    until("an act is taken up", &world, async || {
        world.run(&["reconcile", "demo"]).await.expect(0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let acts = world.run(&["history", "acts"]).await.expect(0);
        acts.stdout.contains("looked at; ready")
    })
    .await;

    let changed = |value: &str| {
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "challenge", "env": [{"name": "LEVEL", "value": value}]}]}}}})
    };
    world
        .run(&["suspend", "demo", "--why", "ada looks into it"])
        .await
        .expect(0);
    world
        .edit("statefulsets", "challenge-demo", changed("trace"))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        level(&world).await.as_deref(),
        Some("trace"),
        "left as it is"
    );
    world.run(&["reconcile"]).await.expect(0);
    until("a survey", &world, async || {
        let acts = world.run(&["history", "acts"]).await.expect(0);
        acts.stdout.contains("surveyed; 0 looked at")
    })
    .await;
    assert_eq!(
        level(&world).await.as_deref(),
        Some("trace"),
        "left as it is"
    );
    world.run(&["resume", "demo"]).await.expect(0);
    until("the correction", &world, async || {
        level(&world).await.as_deref() == Some("debug")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn postgresql_tells_a_controller_of_an_act_at_once() {
    let world = World::new().await;
    let url = create_database(&world.namespace).await;
    let database = [("PLATFORM_DATABASE_URL", url.as_str())];
    let act = async |arguments: &[&str]| world.run_with(arguments, &database).await.expect(0);
    world.declare(&world.yaml(&[("demo", PLAIN)]));
    act(&["apply", "--yes", "--timeout", "60s"]).await;
    let _running = run(&world, &database);
    let ended = async || {
        let acts = act(&["history", "acts", "-o", "json"]).await.json();
        let mut took = Vec::new();
        for act in acts["acts"].as_array().unwrap() {
            let time = |field: &str| act[field].as_str()?.parse::<Timestamp>().ok();
            if let (Some(at), Some(ended)) = (time("at"), time("ended_at")) {
                took.push(ended.duration_since(at).as_millis());
            }
        }
        took
    };
    for number in 0..6 {
        act(&["reconcile", "demo"]).await;
        until("an act is taken up", &world, async || {
            ended().await.len() > number
        })
        .await;
    }
    // The controller may have been starting at the first, which is listed last.
    let mut took = ended().await;
    took.pop();
    took.sort_unstable();
    assert!(took[2] < 500, "asking alone takes a second: {took:?} ms");
}

//! A process that starts while the source of the declaration is away: it serves what there is, says what it lacks, and
//! makes nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use platform::model::clock::Clock;
use platform::weights::registered::Registered;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::world::{CLOCK, LIMITS, Process, World};

const LATEST: &str = "/v1/weights/latest";
const REGISTRY: &str = "/v1/registry";

async fn is_complete(process: &Process) -> bool {
    let paths = [LATEST, REGISTRY];
    let answers = paths.map(|path| process.get(path, &[]));
    let answers = futures::future::join_all(answers).await;
    answers.iter().all(|answer| answer.status() == 200)
}

/// Makes a vector and has it served by a process that has read the declaration, and is gone then.
async fn served_once() -> (World, Value) {
    let world = World::new().await;
    let mut process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![("hk2", 1.0)]));
    process.epoch(&world).await.unwrap();
    process.look();
    process.until("vector and registry", is_complete).await;
    let kept = async |_: &Process| world.database.known_network().await.unwrap().is_some();
    process.until("the network", kept).await;
    let vector = process.json(LATEST).await;
    (world, vector)
}

/// Starts a process that can read no declaration.
async fn start_without_source(world: &World, clock: Clock) -> Process {
    let mut process = world.start_with(clock).await;
    process.told.send_replace(None);
    process.look();
    process
}

#[tokio::test]
async fn the_last_vector_and_the_registry_are_served_while_the_source_is_away() {
    let (world, vector) = served_once().await;
    let process = start_without_source(&world, CLOCK).await;
    process.until("vector and registry", is_complete).await;
    assert_eq!(process.json(LATEST).await, vector);
    let ready = process.json("/ready").await;
    assert_eq!(ready["status"], "ok");
    assert_eq!(ready["checks"]["declaration"], "last known");
    assert!(ready["checks"]["last_weights_age_seconds"].is_u64());
    // What others make meanwhile is served too.
    let other = world.start().await;
    world.tell(Ok(vec![("hk2", 1.0)]), Ok(vec![]));
    other.epoch(&world).await.unwrap();
    let is_newer = async |process: &Process| process.json(LATEST).await["uids"] == json!([2]);
    process.until("the newer vector", is_newer).await;

    process.told.send_replace(Some(world.terms.clone()));
    let has_read =
        async |process: &Process| process.json("/ready").await["checks"]["declaration"] == "ok";
    process.until("the declaration", has_read).await;
    assert_eq!(process.json(LATEST).await["uids"], json!([2]));
}

#[tokio::test]
async fn without_the_source_no_vector_is_made_and_the_last_one_expires() {
    fn later() -> Timestamp {
        Timestamp::now() + Duration::from_secs(721)
    }
    let (world, _) = served_once().await;
    let rounds = world.told.rounds.load(std::sync::atomic::Ordering::SeqCst);
    let process = start_without_source(
        &world,
        Clock {
            wall: later,
            ..CLOCK
        },
    )
    .await;
    let (parts, stop) = (process.parts.clone(), CancellationToken::new());
    let computing = parts.compute(Registered::new(LIMITS), stop.clone());
    let asking = async {
        let is_expired = async |process: &Process| process.get(LATEST, &[]).await.status() == 502;
        process.until("its end", is_expired).await;
        stop.cancel();
    };
    tokio::join!(computing, asking);
    assert_eq!(
        process.refused(LATEST).await,
        (
            StatusCode::BAD_GATEWAY,
            "the last weights have expired".to_owned()
        )
    );
    let ready = process.get("/ready", &[]).await;
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["checks"]["declaration"], "last known");
    let is_listed = async |process: &Process| process.get(REGISTRY, &[]).await.status() == 200;
    process.until("the registry", is_listed).await;
    let after = world.told.rounds.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(after, rounds, "nobody was asked");
}

#[tokio::test]
async fn a_declaration_of_another_subnet_leaves_nothing_of_the_one_that_was_known() {
    let (world, _) = served_once().await;
    let process = start_without_source(&world, CLOCK).await;
    process.until("vector and registry", is_complete).await;
    let mut other = world.terms.clone();
    other.subnet.netuid = 43;
    process.told.send_replace(Some(other));
    let is_other = async |process: &Process| process.get(LATEST, &[]).await.status() == 503;
    process.until("the other subnet", is_other).await;
    let is_kept = async |_: &Process| {
        let known = world.database.known_network().await.unwrap();
        known.is_some_and(|known| known.netuid == 43)
    };
    process.until("the other network", is_kept).await;
}

#[tokio::test]
async fn before_anybody_read_a_declaration_nothing_is_served_and_it_is_said() {
    let world = World::new().await;
    let process = start_without_source(&world, CLOCK).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ready = process.get("/ready", &[]).await;
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["checks"]["declaration"], "unknown");
    for path in [LATEST, REGISTRY] {
        assert_eq!(process.get(path, &[]).await.status(), 503, "{path}");
    }
}

/// The program, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(folder: &Path, log: &Path) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command
        .args(["serve", "admin", "--no-weights", "nowhere.yaml"])
        .env_clear()
        .env("PLATFORM_DATABASE_URL", "sqlite:platform.db")
        .env("PLATFORM_MASTER__ADMIN_HOST", "127.0.0.1")
        .env("PLATFORM_MASTER__ADMIN_PORT", "0")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(log);
    Running(command.spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_serves_without_its_source_what_it_served_before() {
    let (world, vector) = served_once().await;
    let log = world.directory.path().join("log");
    let _running = start(world.directory.path(), &log);
    let client = reqwest::Client::new();
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let text = std::fs::read_to_string(&log).unwrap();
        let Some((_, rest)) = text.split_once("weights and registry on ") else {
            continue;
        };
        let door = rest.split_whitespace().next().unwrap();
        let Ok(answer) = client.get(format!("{door}{LATEST}")).send().await else {
            continue;
        };
        if answer.status() == 200 {
            let served: Value = answer.json().await.unwrap();
            assert_eq!(served, vector);
            let ready = client.get(format!("{door}/ready")).send().await.unwrap();
            let ready: Value = ready.json().await.unwrap();
            assert_eq!(ready["checks"]["declaration"], "last known");
            return;
        }
    }
    panic!("{}", std::fs::read_to_string(&log).unwrap());
}

//! The API server itself is killed and started again under a controller, at rest and in the middle of its work, and
//! etcd forgets what happened meanwhile. Nothing is in between: connections are refused, watches are too old, and who
//! may do what is not known yet to a server that has just begun.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::apiserver::ApiServer;
use crate::support::chain::Possessions;
use crate::support::keeper::Keeper;
use crate::support::proxy::Seen;
use crate::support::world::World;

const FILE: &str = "database: sqlite";
/// Longer than the lead lasts without the server, and than the first try to have it again.
const AWAY: Duration = Duration::from_secs(15);
/// Longer than anything that is done again and again but for watches, which end every minute.
const REST: Duration = Duration::from_secs(6);
/// How many lines may tell of one time without a server, however long that is: who leads, who makes weights, whose
/// turn it is, and the watches, each in a few ways.
const MOST_LINES: usize = 12;

/// A world whose program talks to an API server of its own.
async fn world_and_server(flags: &[&str]) -> (World, ApiServer) {
    let mut world = World::new().await;
    let server = ApiServer::start(&world.namespace, flags).await;
    world.move_to(&server).await;
    (world, server)
}

/// Declares challenges that are told a version.
fn declare(world: &World, version: usize, challenges: &[(&str, &str)]) {
    let told = |extra: &str| format!("{extra}\nenv: {{VERSION: \"{version}\"}}");
    let extras: Vec<String> = challenges.iter().map(|(_, extra)| told(extra)).collect();
    let slugs = challenges.iter().map(|(slug, _)| *slug);
    let all: Vec<(&str, &str)> = slugs.zip(extras.iter().map(String::as_str)).collect();
    world.declare(&world.yaml(&all));
}

/// Returns the workloads of challenges that are told this version.
async fn told(world: &World, version: usize) -> BTreeSet<String> {
    let mut sets = world.admin.items(&world.api("statefulsets", "")).await;
    let expected = json!({"name": "VERSION", "value": version.to_string()});
    sets.retain(|set| {
        let containers = &set["spec"]["template"]["spec"]["containers"];
        let variables = containers[0]["env"].as_array().cloned();
        variables.unwrap_or_default().contains(&expected)
    });
    let name = |set: &Value| set["metadata"]["name"].as_str().unwrap().to_owned();
    sets.iter().map(name).collect()
}

/// Waits until the controller is seen to write a challenge's own workload, and returns at once.
async fn until_writing(server: &ApiServer, mark: usize) {
    let is_write = |seen: &Seen| {
        let writes = ["create", "patch", "update"];
        let is_workload = seen.resource == "statefulsets" && !seen.name.ends_with("-postgres");
        writes.contains(&seen.verb.as_str()) && is_workload
    };
    let began = Instant::now();
    while !server.asked_since(mark).iter().any(is_write) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing written");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until it is known that not everything can be seen.
async fn until_not_ready(keeper: &mut Keeper) {
    keeper
        .until("being not ready", async |keeper| {
            keeper.ready().await.0 == 503
        })
        .await;
}

/// Waits until nothing is asked but by watches and the renewal of leases.
async fn until_at_rest(server: &ApiServer) {
    let began = Instant::now();
    loop {
        let mark = server.mark();
        tokio::time::sleep(REST).await;
        let mut asked = server.asked_since(mark);
        asked.retain(|seen| seen.verb != "watch" && seen.resource != "leases");
        if asked.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{asked:?}");
    }
}

/// Returns what was deleted since then.
fn deleted_since(server: &ApiServer, mark: usize) -> Vec<Seen> {
    let mut asked = server.asked_since(mark);
    asked.retain(|seen| seen.verb.starts_with("delete"));
    asked
}

/// Returns the lines of a log that an operator sees who did not ask for details.
fn lines(log: &str) -> Vec<&str> {
    let is_shown = |line: &&str| !line.contains("DEBUG");
    log.lines().filter(is_shown).collect()
}

/// Checks that the server cannot go on from a version, in these words.
async fn check_expired(world: &World, server: &ApiServer, version: &str, words: &str) {
    let services = world.api("services", "");
    let path = format!("{services}?watch=1&timeoutSeconds=1&resourceVersion={version}");
    let told = server.ask(&path).await;
    assert!(
        told.contains("\"code\":410") && told.contains(words),
        "{told}"
    );
}

/// Returns the version that lists and watches stand at.
async fn newest_version(world: &World) -> String {
    let list = world.admin.get(&world.api("services", "")).await.unwrap();
    list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_api_server_that_is_killed_in_the_middle_of_its_work_is_outlived() {
    let (world, mut server) = world_and_server(&[]).await;
    let slugs: Vec<String> = (0..10).map(|n| format!("keep-{n}")).collect();
    let kind = |n: usize| if n < 2 { "" } else { FILE };
    let challenges: Vec<(&str, &str)> = (0..)
        .map(kind)
        .zip(&slugs)
        .map(|(k, s)| (s.as_str(), k))
        .collect();
    declare(&world, 0, &challenges);
    let mut keeper = Keeper::start(&world, &[]);
    for version in 0..2 {
        let mark = server.mark();
        declare(&world, version, &challenges);
        until_writing(&server, mark).await;
        server.kill();
        let made = told(&world, version).await.len();
        assert!((1..challenges.len()).contains(&made), "{made} are done");
        let before = Possessions::of(&world).await;
        until_not_ready(&mut keeper).await;
        server.start_again();
        keeper.until_ready(challenges.len()).await;
        keeper.until_settled(&world).await;
        assert_eq!(told(&world, version).await.len(), challenges.len());
        println!("version {version}: {made} were told it when the server was killed");
        let after = Possessions::of(&world).await;
        before.check_kept(&after, "", &version);
        before.check_passwords(&after, &version);
        assert_eq!(deleted_since(&server, 0), []);
    }
    until_at_rest(&server).await;
    world.run(&["history", "verify"]).await.expect(0);
    let (code, _, log) = keeper.terminate().await;
    assert!(code == Some(0) && !log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_happens_while_the_api_server_is_away_is_seen_to_when_it_is_back() {
    let (world, mut server) = world_and_server(&[]).await;
    declare(&world, 0, &[("gone", ""), ("hurt", FILE), ("keep", "")]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(3).await;
    keeper.until_settled(&world).await;
    let (before, version) = (Possessions::of(&world).await, newest_version(&world).await);
    let (mark, told_before) = (server.mark(), keeper.log().len());
    server.kill();
    until_not_ready(&mut keeper).await;
    world.delete("services", "challenge-hurt").await;
    let to = json!({"spec": {"type": "NodePort"}});
    world.edit("services", "challenge-keep", to).await;
    declare(&world, 1, &[("hurt", FILE), ("keep", ""), ("new", FILE)]);
    tokio::time::sleep(AWAY).await;
    let (code, ready) = keeper.ready().await;
    let checks = &ready["checks"];
    let failing = checks["watches"]["failing"].as_array().unwrap();
    assert!(code == 503 && failing.len() > 5, "{ready}");
    let log = keeper.log();
    let shown = lines(&log[told_before..]);
    assert!((1..=MOST_LINES).contains(&shown.len()), "{shown:#?}");
    assert!(!shown.concat().contains("stood still"), "{shown:#?}");
    server.start_again();
    let began = Instant::now();
    keeper.until_ready(3).await;
    keeper.until_settled(&world).await;
    println!("as declared {:.1?} after the start", began.elapsed());
    check_expired(&world, &server, &version, "too old resource version").await;
    let log = keeper.log();
    assert!(log.contains("the list has expired"), "{log}");
    assert!(world.get("services", "challenge-hurt").await.is_some());
    let kept = world.get("services", "challenge-keep").await.unwrap();
    assert_eq!(kept["spec"]["type"], "ClusterIP");
    let workloads = told(&world, 1).await;
    let expected = ["hurt", "keep", "new"].map(|slug| format!("challenge-{slug}"));
    assert_eq!(workloads, BTreeSet::from(expected));
    let after = Possessions::of(&world).await;
    before.check_kept(&after, "new", &"while it was away");
    before.check_passwords(&after, &"while it was away");
    for deleted in deleted_since(&server, mark) {
        assert!(deleted.name.starts_with("challenge-gone"), "{deleted:?}");
    }
    until_at_rest(&server).await;
    let log = keeper.log();
    let shown = lines(&log[told_before..]);
    println!("{}", shown.join("\n"));
    let (code, _, log) = keeper.terminate().await;
    assert!(code == Some(0) && !log.contains("panicked"), "{log}");
}

/// Without a cache of its own the server asks etcd what happened, which has forgotten it. Whoever else follows this
/// etcd is not behind by the seconds that pass before; a list in pages that takes longer is begun anew by who reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_etcd_has_forgotten_is_listed_anew() {
    let (world, mut server) = world_and_server(&["--watch-cache=false"]).await;
    declare(&world, 0, &[("hurt", FILE), ("keep", "")]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    keeper.until_settled(&world).await;
    let (before, version) = (Possessions::of(&world).await, newest_version(&world).await);
    server.kill();
    world.delete("services", "challenge-hurt").await;
    world.delete("secrets", "challenge-hurt-secrets").await;
    let to = json!({"spec": {"type": "NodePort"}});
    let edited = world.edit("services", "challenge-keep", to).await;
    let edited = edited["metadata"]["resourceVersion"].as_str().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.compact(edited.parse().unwrap()).await;
    server.start_again();
    server.until_ready().await;
    check_expired(&world, &server, &version, "too old").await;
    keeper
        .until("what was changed as it was", async |_| {
            let kept = world.get("services", "challenge-keep").await.unwrap();
            let hurt = world.get("services", "challenge-hurt").await;
            let secret = world.get("secrets", "challenge-hurt-secrets").await;
            kept["spec"]["type"] == "ClusterIP" && hurt.is_some() && secret.is_some()
        })
        .await;
    keeper.until_ready(2).await;
    keeper.until_settled(&world).await;
    let log = keeper.log();
    assert!(log.contains("the list has expired"), "{log}");
    before.check_kept(&Possessions::of(&world).await, "hurt", &"compacted");
    assert_eq!(deleted_since(&server, 0), []);
    let (code, _, log) = keeper.terminate().await;
    assert!(code == Some(0) && !log.contains("panicked"), "{log}");
}

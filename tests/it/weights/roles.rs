//! One process for each role, on PostgreSQL: a controller keeps the challenges, replicas serve the weights that one of
//! them makes, and the operator's listener serves them without a cluster.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::challenge::Running;
use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::world::World;

const LATEST: &str = "/v1/weights/latest";
const LEASE: &str = "platform-weights";
/// Within which another makes the weights: five seconds, on a machine that has nothing else to do.
const FAIL_OVER: Duration = Duration::from_secs(30);

/// Returns an answer of the public door; status 0 is none.
async fn ask(keeper: &Keeper, path: &str) -> (u16, String) {
    match keeper.door() {
        Some(door) => keeper.get_at(&format!("{door}{path}")).await,
        None => (0, String::new()),
    }
}

/// Starts a role that serves weights, with an account of its own or none at all.
fn start(world: &World, role: &[&str], name: &str, kubeconfig: &str) -> Keeper {
    let verb = [&["serve"], role].concat();
    Keeper::start_role(world, &verb, name, &[("KUBECONFIG", kubeconfig)])
}

/// Returns the name of who makes the weights, as the cluster says.
async fn maker(world: &World) -> Option<String> {
    let namespace = &world.namespace;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}");
    let lease = world.admin.get(&path).await?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    holder.split(' ').next().map(str::to_owned)
}

/// Waits until all serve one vector, and returns its bytes.
async fn until_same(keepers: &mut [Keeper], after: &str) -> String {
    for _ in 0..600 {
        let mut bodies = Vec::new();
        for keeper in keepers.iter() {
            bodies.push(ask(keeper, LATEST).await);
        }
        let (code, first) = bodies[0].clone();
        if code == 200 && computed_at(&first) != after && bodies.iter().all(|body| body.1 == first)
        {
            return first;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let logs: Vec<String> = keepers.iter().map(Keeper::log).collect();
    panic!("they do not come to serve the same: {}", logs.join("\n"));
}

fn computed_at(body: &str) -> String {
    let document: Value = serde_json::from_str(body).unwrap();
    document["computed_at"].as_str().unwrap().to_owned()
}

fn has_made(keeper: &Keeper) -> bool {
    keeper.log().contains("weights published")
}

async fn world() -> (World, Running) {
    let mut world = World::new().await;
    let url = create_database(&world.namespace).await;
    world.set("PLATFORM_DATABASE_URL", &url);
    let key = world.path("key");
    std::fs::write(&key, "7".repeat(64)).unwrap();
    world.set(
        "PLATFORM_MASTER__WEIGHTS_SIGNING_KEY_FILE",
        key.to_str().unwrap(),
    );
    world.set("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "8");
    let metagraph = world.path("metagraph.json");
    std::fs::write(
        &metagraph,
        json!({"hotkeys": ["owner", "miner"]}).to_string(),
    )
    .unwrap();
    let token = world.path("token").display().to_string();
    let challenge = Running::start("one", Some(token)).await;
    let here = format!("database: sqlite\ninternal_base_url: {}", challenge.base);
    let network = format!(
        "network: {{netuid: 42, metagraph_file: \"{}\"}}\n",
        metagraph.display()
    );
    world.declare(&(network + &world.yaml(&[("one", &here)])));
    (world, challenge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn replicas_serve_the_same_bytes_one_makes_them_and_another_goes_on_when_it_is_killed() {
    let (world, _challenge) = world().await;
    let account = world.kubeconfig_of("platform-weights").await;
    let account = account.to_str().unwrap();
    // Served before there is a namespace to take turns in, or anything to serve.
    let mut keepers = vec![
        start(&world, &["weights"], "ada", account),
        start(&world, &["weights"], "bob", account),
        start(&world, &["admin", "--no-weights"], "eve", ""),
    ];
    for keeper in &mut keepers {
        let health = async |keeper: &Keeper| ask(keeper, "/health").await.0 == 200;
        keeper.until("health", health).await;
    }
    let mut controller = Keeper::start_role(&world, &["serve", "controller"], "controller", &[]);
    controller.until_ready(1).await;
    assert_eq!(
        controller.door(),
        None,
        "the controller alone serves no weights"
    );
    let tokens = world.secret("challenge-one-secrets").await;
    std::fs::write(world.path("token"), &tokens["challenge_token"]).unwrap();

    let first = until_same(&mut keepers, "").await;
    let old = maker(&world).await.expect("somebody makes weights");
    let at = keepers
        .iter()
        .position(has_made)
        .expect("somebody made them");
    assert_eq!(["ada", "bob", "eve"][at], old);
    let second = until_same(&mut keepers, &computed_at(&first)).await;
    let made: Vec<bool> = keepers.iter().map(has_made).collect();
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    for keeper in &keepers {
        assert_eq!(ask(keeper, "/ready").await.0, 200);
        assert_eq!(ask(keeper, "/v1/registry").await.0, 200);
        assert_eq!(ask(keeper, "/openapi.json").await.0, 200);
        for path in ["/health", "/ready", "/metrics"] {
            assert_eq!(keeper.get(path).await.0, 200, "{path}");
        }
        assert_eq!(keeper.metric("platform_weights_served").await, Some(1.0));
        assert_eq!(keeper.metric("platform_source_refused").await, Some(0.0));
        assert!(keeper.metric("platform_weights_expiry_seconds").await > Some(0.0));
    }
    let rounds = "platform_weights_rounds_total{slug=\"one\",outcome=\"ok\"}";
    for (keeper, made) in keepers.iter().zip(&made) {
        assert_eq!(keeper.metric(rounds).await >= Some(1.0), *made);
    }

    keepers.remove(at).kill();
    let began = Instant::now();
    let mut new = maker(&world).await;
    while new.as_ref() == Some(&old) && began.elapsed() < FAIL_OVER {
        tokio::time::sleep(Duration::from_millis(20)).await;
        new = maker(&world).await;
    }
    let took = began.elapsed();
    assert!(
        took < FAIL_OVER && new.as_ref() != Some(&old),
        "{took:?}: {new:?}"
    );
    let third = until_same(&mut keepers, &computed_at(&second)).await;
    assert!(computed_at(&third) > computed_at(&second));
    assert!(has_made(&keepers[0]) && !has_made(&keepers[1]));
    for keeper in keepers.into_iter().chain([controller]) {
        let (code, _, log) = keeper.terminate().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(
            !log.contains(&tokens["challenge_token"]),
            "a token was logged"
        );
    }
}

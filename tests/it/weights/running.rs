//! `platform run` from the declaration to the vector: a real API server, a challenge that it declares, a chain that
//! a file stands for.

use serde_json::{Value, json};

use crate::support::challenge::Running;
use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::World;

const MINER: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Returns a body of the public door, with its status; `Null` where there is none.
async fn ask(keeper: &Keeper, path: &str) -> (u16, Value) {
    let Some(door) = keeper.door() else {
        return (0, Value::Null);
    };
    let (code, text) = keeper.get_at(&format!("{door}{path}")).await;
    (code, serde_json::from_str(&text).unwrap_or_default())
}

/// Does some work for the miner.
async fn work(challenge: &Running) {
    work_for(MINER, challenge).await;
}

async fn work_for(hotkey: &str, challenge: &Running) {
    for number in 0..8 {
        let sent = reqwest::Client::new()
            .post(format!("{}/work", challenge.base))
            .json(&json!({"hotkey": hotkey, "number": number}))
            .send();
        assert!(sent.await.unwrap().status().is_success());
    }
}

fn declare(world: &World, challenges: &[(&str, &str)]) {
    let file = world.path("metagraph.json");
    let network = format!(
        "network: {{netuid: 42, metagraph_file: \"{}\"}}\n",
        file.display()
    );
    world.declare(&(network + &world.yaml(challenges)));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_declared_challenge_decides_the_vector_and_one_that_is_away_does_not() {
    let mut world = World::new().await;
    world.set("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "5");
    world.set("PLATFORM_MASTER__CHALLENGE_TIMEOUT_SECONDS", "10");
    world.set("PLATFORM_MASTER__CHALLENGE_RETRIES", "1");
    let token = world.path("token");
    let one = Running::start("one", Some(token.display().to_string())).await;
    work(&one).await;
    let metagraph = json!({"hotkeys": ["owner", "someone", MINER], "block": 7});
    std::fs::write(world.path("metagraph.json"), metagraph.to_string()).unwrap();
    let here = format!("database: sqlite\ninternal_base_url: {}", one.base);
    let away = "database: sqlite\ninternal_base_url: http://127.0.0.1:9";
    declare(&world, &[("one", &here), ("two", away)]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    // Without a token the challenge answers nobody: an outage, and never a burn.
    keeper
        .until("an outage", async |keeper| {
            ask(keeper, "/v1/weights/latest").await
                == (502, json!({"detail": "no challenge provided weights"}))
        })
        .await;
    let tokens = world.secret("challenge-one-secrets").await;
    std::fs::write(&token, &tokens["challenge_token"]).unwrap();
    keeper
        .until("a vector", async |keeper| {
            ask(keeper, "/v1/weights/latest").await.0 == 200
        })
        .await;
    let (_, weights) = ask(&keeper, "/v1/weights/latest").await;
    assert_eq!(
        (&weights["netuid"], &weights["uids"]),
        (&json!(42), &json!([2]))
    );
    let sources = &weights["source_challenges"];
    assert_eq!(
        (&sources[0]["ok"], &sources[1]["ok"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(sources[1]["error"], "connection failed");
    let (_, registry) = ask(&keeper, "/v1/registry").await;
    assert_eq!(registry["challenges"][0]["internal_base_url"], one.base);
    let shown = world
        .run(&["weights", "show", "--netuid", "42", "--explain"])
        .await
        .expect(0);
    assert!(
        shown.stdout.contains("takes no part: connection failed"),
        "{shown}"
    );
    let log = keeper.log();
    assert!(
        !log.contains(&tokens["challenge_token"]),
        "a token was logged"
    );

    // A restart serves what was made before.
    let (ended, _, _) = keeper.terminate().await;
    assert_eq!(ended, Some(0));
    drop(one);
    std::fs::remove_file(world.path("keeper.log")).unwrap();
    let mut again = Keeper::start(&world, &[]);
    again
        .until("the vector", async |keeper| {
            ask(keeper, "/v1/weights/latest").await.0 == 200
        })
        .await;
    let (_, served) = ask(&again, "/v1/weights/latest").await;
    assert_eq!(served["uids"], json!([2]));
}

/// Waits for a vector that is what it should be, and returns it.
async fn until_made(keeper: &mut Keeper, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut made = Value::Null;
    keeper
        .until(what, async |keeper| {
            let (code, weights) = ask(keeper, "/v1/weights/latest").await;
            made = weights;
            code == 200 && is_it(&made)
        })
        .await;
    made
}

/// Returns a vector with the times of another.
fn at_the_time_of(other: &Value, mut weights: Value) -> Value {
    for time in ["computed_at", "expires_at", "metagraph_updated_at"] {
        weights[time] = other[time].clone();
    }
    weights
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_emission_and_an_end_change_the_next_vector_by_exactly_their_part() {
    let mut world = World::new().await;
    world.set("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "5");
    world.set("PLATFORM_MASTER__CHALLENGE_TIMEOUT_SECONDS", "5");
    world.set("PLATFORM_MASTER__CHALLENGE_RETRIES", "1");
    // Each challenge has a miner of its own, so the weight of a UID is its challenge's part of the whole.
    let slugs = ["one", "two", "three"];
    let token = |slug: &str| world.path(&format!("token-{slug}"));
    let mut running = Vec::new();
    for slug in slugs {
        let challenge = Running::start(slug, Some(token(slug).display().to_string())).await;
        work_for(slug, &challenge).await;
        running.push(challenge);
    }
    let metagraph = json!({"hotkeys": ["owner", "one", "two", "three"], "block": 7});
    std::fs::write(world.path("metagraph.json"), metagraph.to_string()).unwrap();
    let extras: Vec<String> = running
        .iter()
        .map(|challenge| format!("database: sqlite\ninternal_base_url: {}", challenge.base))
        .collect();
    let challenges: Vec<_> = slugs
        .into_iter()
        .zip(extras.iter().map(String::as_str))
        .collect();
    declare(&world, &challenges);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(3).await;
    for slug in slugs {
        let tokens = world.secret(&format!("challenge-{slug}-secrets")).await;
        std::fs::write(token(slug), &tokens["challenge_token"]).unwrap();
    }
    let is_whole = |weights: &Value| weights["uids"] == json!([1, 2, 3]);
    let first = until_made(&mut keeper, "a vector of all", is_whole).await;
    assert_eq!(first["weights"], json!(vec![1.0 / 3.0; 3]));

    let yaml = std::fs::read_to_string(world.path("platform.yaml")).unwrap();
    world.declare(&yaml.replace("  one: 10\n", "  one: 30\n"));
    let is_other = |weights: &Value| weights["weights"] != first["weights"];
    let raised = until_made(&mut keeper, "a vector of the emission", is_other).await;
    let mut expected = at_the_time_of(&raised, first.clone());
    expected["weights"] = json!([0.6, 0.2, 0.2]);
    expected["hotkey_weights"] = json!({"one": 0.6, "three": 0.2, "two": 0.2});
    expected["source_challenges"][0]["emission_percent"] = json!(30.0);
    assert_eq!(raised, expected);

    drop(running.remove(1));
    let is_other = |weights: &Value| weights["weights"] != raised["weights"];
    let rest = until_made(&mut keeper, "a vector without it", is_other).await;
    let mut expected = at_the_time_of(&rest, raised.clone());
    expected["uids"] = json!([1, 3]);
    expected["weights"] = json!([0.75, 0.25]);
    expected["hotkey_weights"] = json!({"one": 0.75, "three": 0.25});
    expected["source_challenges"][2] = json!({
        "slug": "two", "emission_percent": 10.0, "weights": {}, "ok": false,
        "error": "connection failed",
    });
    assert_eq!(rest, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn weights_are_made_while_the_api_server_is_away() {
    let mut world = World::new().await;
    world.set("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "5");
    let token = world.path("token");
    let one = Running::start("one", Some(token.display().to_string())).await;
    work(&one).await;
    let metagraph = json!({"hotkeys": ["owner", "someone", MINER]});
    std::fs::write(world.path("metagraph.json"), metagraph.to_string()).unwrap();
    let here = format!("database: sqlite\ninternal_base_url: {}", one.base);
    declare(&world, &[("one", &here)]);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let tokens = world.secret("challenge-one-secrets").await;
    std::fs::write(&token, &tokens["challenge_token"]).unwrap();
    let made = async |keeper: &Keeper| {
        let (code, weights) = ask(keeper, "/v1/weights/latest").await;
        (code == 200).then(|| weights["computed_at"].as_str().unwrap().to_owned())
    };
    keeper
        .until("a vector", async |keeper| made(keeper).await.is_some())
        .await;
    world.proxy.fail(Match::default(), Fault::Cut);
    world.proxy.cut_watches();
    keeper
        .until("a turn that was not renewed", async |keeper| {
            keeper.log().contains("weights are made all the same")
        })
        .await;
    for number in ["one vector", "another"] {
        let last = made(&keeper).await;
        keeper
            .until(number, async |keeper| made(keeper).await > last)
            .await;
    }
    world.proxy.heal();
    let away = keeper.log().matches("not renewed in time").count();
    keeper.until_ready(1).await;
    let last = made(&keeper).await;
    keeper
        .until("a vector after that", async |keeper| {
            made(keeper).await > last
        })
        .await;
    assert!(away > 0 && !keeper.log().contains("no longer the one who makes weights"));
    let (ended, _, _) = keeper.terminate().await;
    assert_eq!(ended, Some(0));
}

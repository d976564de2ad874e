//! What a webhook and a git host are told: signed, again until it is taken, nothing secret, and a token to no other.

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::listener::{Listener, Posted};
use crate::support::world::{CANARY, World};

const FILE: &str = "database: sqlite";

fn is(event: &str, reason: &str) -> impl Fn(&Posted) -> bool {
    let (event, reason) = (json!(event), json!(reason));
    move |posted| posted.json()["event"] == event && posted.json()["reason"] == reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_webhook_is_told_what_succeeds_fails_and_drifts() {
    let mut world = World::new().await;
    let listener = Listener::start().await;
    for _ in 0..2 {
        listener.answer(503, None);
    }
    for (name, value) in [
        (
            "NOTIFY__URL",
            format!("{}/hooks/{CANARY}", listener.address).as_str(),
        ),
        ("NOTIFY__SECRET", CANARY),
        ("CONTROLLER__INTERVAL_SECONDS", "1"),
        ("CONTROLLER__ROLLOUT_DEADLINE_SECONDS", "1"),
    ] {
        world.set(&format!("PLATFORM_{name}"), value);
    }
    world.put_secret("demo-openai", "token").await;
    let demo = format!("{FILE}\nsecrets:\n  api_key: {{secret: demo-openai, key: token}}");
    let good = world.yaml(&[("demo", &demo)]);
    world.declare(&good);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let converged = listener.until("success", is("success", "Converged")).await;
    let first = &listener.posted()[0];
    assert_eq!(first.path, format!("/hooks/{CANARY}"));
    let again = listener.clone();
    let again = || {
        again
            .posted()
            .iter()
            .filter(|posted| posted.body == first.body)
            .count()
    };
    keeper
        .until("the same sent again until it is taken", async |_| {
            again() == 3
        })
        .await;
    let mut mac = Hmac::<Sha256>::new_from_slice(CANARY.as_bytes()).unwrap();
    mac.update(&converged.body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(converged.header("x-platform-signature-256"), signature);
    assert_eq!(
        converged.header("x-platform-delivery"),
        converged.json()["id"]
    );
    let schema = include_bytes!("../../../schema/notification.schema.json");
    let schema: Value = serde_json::from_slice(schema).unwrap();
    for member in schema["required"].as_array().unwrap() {
        assert!(
            !converged.json()[member.as_str().unwrap()].is_null(),
            "{member}"
        );
    }

    let away = json!({"spec": {"type": "NodePort"}, "metadata": {"annotations": {"a": CANARY}}});
    world.edit("services", "challenge-demo", away).await;
    let drift = listener.until("drift", is("drift", "DriftCorrected")).await;
    assert_eq!(drift.json()["challenge"], "demo");
    world.declare(&good.replace("status: active", "status: acitve"));
    let refused = listener
        .until("failure", is("failure", "SourceRefused"))
        .await;
    assert_eq!(refused.json()["challenge"], Value::Null);
    world.declare(&good.replace("platformnetwork/demo", "platformnetwork/never-ready"));
    let stalled = listener.until("a stall", is("failure", "Stalled")).await;
    assert_ne!(stalled.json()["revision"], converged.json()["revision"]);
    world.declare(&good);
    listener.until("an end", is("success", "Recovered")).await;
    for posted in listener.posted() {
        assert!(
            !String::from_utf8_lossy(&posted.body).contains(CANARY),
            "{}",
            posted.json()
        );
    }
    let sent = "platform_told_total{channel=\"webhook\",outcome=\"sent\"}";
    assert!(keeper.metric(sent).await >= Some(5.0));
    // The log is searched for the secret too, which the address holds.
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_git_host_is_told_how_it_goes_with_each_commit() {
    let mut world = World::new().await;
    let (host, other) = (Listener::start().await, Listener::start().await);
    std::fs::write(world.path("token"), format!("{CANARY}\n")).unwrap();
    for (name, value) in [
        ("COMMIT_STATUS__FORM", "github"),
        ("COMMIT_STATUS__URL", &host.address),
        ("COMMIT_STATUS__REPOSITORY", "o/subnet"),
        ("COMMIT_STATUS__TOKEN_FILE", "token"),
        ("CONTROLLER__INTERVAL_SECONDS", "1"),
        ("CONTROLLER__ROLLOUT_DEADLINE_SECONDS", "1"),
    ] {
        world.set(&format!("PLATFORM_{name}"), value);
    }
    let repo = Repo::new();
    let good = world.yaml(&[("demo", FILE)]);
    repo.write("deploy/platform.yaml", &good);
    let first = repo.commit("first");
    let source = format!("{}#main:deploy", repo.address());
    let mut keeper = Keeper::start(&world, &[&source]);
    keeper.until_ready(1).await;
    let told = |commit: &str, state: &str| {
        let (path, state) = (format!("/repos/o/subnet/statuses/{commit}"), json!(state));
        move |posted: &Posted| posted.path == path && posted.json()["state"] == state
    };
    let success = host.until("success", told(&first, "success")).await;
    assert_eq!(success.header("authorization"), format!("Bearer {CANARY}"));
    assert_eq!(success.json()["context"], "platform");

    // What leads elsewhere is not followed: the token is for this host alone.
    host.answer(307, Some(&other.address));
    repo.write(
        "deploy/platform.yaml",
        &good.replace("status: active", "status: acitve"),
    );
    let second = repo.commit("second");
    let refused = host.until("failure", told(&second, "failure")).await;
    assert!(
        refused.json()["description"]
            .as_str()
            .unwrap()
            .contains("platform.yaml:")
    );
    repo.write(
        "deploy/platform.yaml",
        &good.replace("platformnetwork/demo", "platformnetwork/never-ready"),
    );
    let third = repo.commit("third");
    host.until("a stall", told(&third, "failure")).await;
    let failed = "platform_told_total{channel=\"commit_status\",outcome=\"failed\"}";
    assert_eq!(keeper.metric(failed).await, Some(1.0));
    assert!(other.posted().is_empty());
    for posted in host.posted() {
        assert!(
            !String::from_utf8_lossy(&posted.body).contains(CANARY),
            "{}",
            posted.json()
        );
    }
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn settings_that_cannot_be_used_end_a_start_without_repeating_them() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", FILE)]));
    let address = format!("https://u:{CANARY}@hooks.example/");
    for variables in [
        &[("PLATFORM_NOTIFY__URL", address.as_str())][..],
        &[("PLATFORM_NOTIFY__ON", "everything")],
        &[("PLATFORM_COMMIT_STATUS__FORM", "github")],
        &[
            ("PLATFORM_COMMIT_STATUS__FORM", "gitea"),
            ("PLATFORM_COMMIT_STATUS__URL", "http://git.example/api/v1"),
            ("PLATFORM_COMMIT_STATUS__REPOSITORY", "o/r"),
            ("PLATFORM_COMMIT_STATUS__TOKEN", CANARY),
        ],
    ] {
        world.run_with(&["run", "-vv"], variables).await.expect(2);
    }
}

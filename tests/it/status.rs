//! `platform status` beside the challenges: the newest vector and the targets, where none is another word than unknown.

use jiff::{SignedDuration, Timestamp};
use platform::edge::database::open_and_migrate;
use platform::model::Secret;
use platform::model::snapshot::{Snapshot, SnapshotSummary};
use serde_json::json;

use crate::support::world::World;

const TARGETS: &str = "targets:\n  gpu: {mode: agent, agent_url: \"https://gpu.example:8091\", \
                       token: {secret: gpu, key: token}, enabled: false, gpu_count: 8}\n";

/// Keeps a vector that burns everything, of so long ago.
async fn keep(world: &World, ago: SignedDuration) {
    let url = format!("sqlite:{}", world.path("platform.db").display());
    let database = open_and_migrate(&Secret::new(url)).await.unwrap();
    let computed_at = Timestamp::now() - ago;
    let expires_at = computed_at + SignedDuration::from_secs(720);
    let document = json!({
        "netuid": 42, "chain_endpoint": "", "uids": [0], "weights": [1.0], "hotkey_weights": {},
        "computed_at": computed_at, "expires_at": expires_at, "source_challenges": [],
        "metagraph_updated_at": computed_at,
    });
    let snapshot = Snapshot {
        summary: SnapshotSummary {
            netuid: 42,
            computed_at,
            expires_at,
            revision: "c0ffee".to_owned(),
            metagraph_block: None,
            metagraph_updated_at: computed_at,
            inputs_digest: "c0ffee".to_owned(),
        },
        document: document.to_string(),
        explanation: json!({"challenges": []}),
    };
    let kept = database.keep_weights(&snapshot, Timestamp::now()).await;
    assert!(kept.unwrap());
    database.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_newest_vector_and_the_targets_are_told_or_why_not() {
    let world = World::new().await;
    let yaml = world.yaml(&[("demo", "database: sqlite")]);
    world.declare(&format!("network: {{netuid: 42}}\n{TARGETS}{yaml}"));
    let status = world.run(&["status"]).await.expect(0).stdout;
    assert!(
        status.contains("weights none of subnet 42 yet\n"),
        "{status}"
    );
    assert!(
        status.contains("gpu     absent   agent      8  disabled\n"),
        "{status}"
    );
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    keep(&world, SignedDuration::from_secs(1000)).await;
    let status = world.run(&["status"]).await.expect(0).stdout;
    assert!(
        status.contains("weights of subnet 42 at ") && status.contains(" 16 min ago, expired at "),
        "{status}"
    );
    assert!(
        status.contains("gpu     there    agent      8  disabled\n"),
        "{status}"
    );
    keep(&world, SignedDuration::from_secs(10)).await;
    let status = world.run(&["status"]).await.expect(0).stdout;
    assert!(
        status.contains(" s ago, in force until ") && status.contains("; all to the burn UID\n"),
        "{status}"
    );
    let status = world.run(&["status", "-o", "json"]).await.expect(0).json();
    let weights = &status["weights"];
    assert_eq!(
        (&weights["state"], &weights["netuid"], &weights["burn"]),
        (&json!("in_force"), &json!(42), &json!(true))
    );
    assert!(weights["age_seconds"].as_i64().unwrap() >= 10, "{weights}");
    assert_eq!(
        status["targets"],
        json!({"gpu": {
            "row": "there", "mode": "agent", "enabled": false, "draining": false, "gpu_count": 8,
        }})
    );

    let away = [(
        "PLATFORM_DATABASE_URL",
        "postgresql://platform@127.0.0.1:9/platform",
    )];
    let status = world.run_with(&["status"], &away).await.expect(4).stdout;
    assert!(
        status.contains("weights of subnet 42 unknown: the database could not be read\n"),
        "{status}"
    );
    assert!(status.contains("gpu     unknown  agent "), "{status}");
}

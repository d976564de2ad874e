//! Objects and fields that are somebody else's: left alone, told by name, and no reason to stop.

use serde_json::{Value, json};

use crate::support::world::World;

fn labels(slug: &str, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "platform-network",
        "app.kubernetes.io/managed-by": "platform-network",
        "platform.challenge.slug": slug,
        "platform.component": component,
    })
}

fn service(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"ports": [{"name": "own", "port": 9}]},
    })
}

fn image(image: &str) -> Value {
    let container = json!({"name": "challenge", "image": image});
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

async fn create(world: &World, resource: &str, object: Value) -> Value {
    world
        .admin
        .send("POST", &world.api(resource, ""), Some(object))
        .await
        .unwrap()
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_object_of_another_owner_under_our_name_is_left_alone() {
    for foreign in [
        json!({}),
        json!({"app": "mine"}),
        labels("other", "challenge"),
        labels("demo", "challenge-postgres"),
    ] {
        let world = World::new().await;
        let made = create(&world, "services", service("challenge-demo", &foreign)).await;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": {"key": "value"},
            "metadata": {"name": "challenge-third-secrets", "labels": foreign},
        });
        let secret = create(&world, "secrets", secret).await;
        let file = "database: sqlite";
        world.declare(&world.yaml(&[("demo", file), ("third", file), ("fine", file)]));
        let shown = world.run(&["diff"]).await.expect(1);
        assert!(shown.stdout.contains("challenge-demo"), "{shown}");
        let refused = world
            .run(&["apply", "--yes", "--timeout", "30s"])
            .await
            .expect(5);
        assert!(
            refused.stderr.contains("is not ours"),
            "{foreign}: {refused}"
        );
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let after = world.get("services", "challenge-demo").await.unwrap();
        assert_eq!(version(&after), version(&made), "{foreign}");
        let after = world
            .get("secrets", "challenge-third-secrets")
            .await
            .unwrap();
        assert_eq!(version(&after), version(&secret), "{foreign}");
        assert!(
            world.get("pods", "challenge-fine-0").await.is_some(),
            "the others converge"
        );
        // Nor is it ours to delete.
        world.declare(&world.yaml(&[("fine", file)]));
        world
            .run(&["apply", "--yes", "--timeout", "30s"])
            .await
            .expect(0);
        let after = world.get("services", "challenge-demo").await.unwrap();
        assert_eq!(version(&after), version(&made), "{foreign}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn slugs_that_could_meet_are_refused_before_anything_is_written() {
    let world = World::new().await;
    world.converge(&[("demo", "")]).await;
    let before = world.snapshot().await;
    for (challenges, why) in [
        (&[("demo", ""), ("demo-postgres", "")][..], "demo-postgres"),
        (
            &[("demo-postgres", "database: sqlite"), ("demo", "")],
            "demo-postgres",
        ),
        (&[("demo", ""), ("demo--two", "")], "demo--two"),
        (&[("demo", ""), ("Demo", "")], "Demo"),
        (&[("demo", ""), ("demo_two", "")], "demo_two"),
    ] {
        world.declare(&world.yaml(challenges));
        let refused = world.run(&["apply", "--yes"]).await.expect(2);
        assert!(refused.stderr.contains(why), "{refused}");
    }
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_copy_with_our_labels_under_another_name_is_left_alone() {
    let world = World::new().await;
    world.converge(&[("demo", "database: sqlite")]).await;
    let copy = create(
        &world,
        "services",
        service("challenge-demo-copy", &labels("demo", "challenge")),
    )
    .await;
    let orphan = create(
        &world,
        "services",
        service("challenge-gone", &labels("gone", "challenge")),
    )
    .await;
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("challenge-demo-copy"),
        "it is told: {shown}"
    );
    world
        .run(&["apply", "--yes", "--timeout", "30s"])
        .await
        .expect(0);
    assert_eq!(
        world.get("services", "challenge-demo-copy").await.unwrap(),
        copy
    );
    assert!(
        world.get("services", "challenge-gone").await.is_none(),
        "{orphan}: what is left of a removed one goes"
    );
    world.converge(&[]).await;
    assert_eq!(
        world.get("services", "challenge-demo-copy").await.unwrap(),
        copy
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn drift_is_corrected_or_reported_and_its_author_named() {
    let world = World::new().await;
    let file = "database: sqlite";
    world.converge(&[("demo", file)]).await;
    world
        .edit(
            "statefulsets",
            "challenge-demo",
            image("example.org/theirs:1"),
        )
        .await;
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("kubectl-edit") && shown.stdout.contains("example.org/theirs:1"),
        "{shown}"
    );
    world
        .run(&["apply", "--yes", "--timeout", "30s"])
        .await
        .expect(0);
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    let runs = &set["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(runs.as_str().unwrap().contains("demo:1.0.0"), "{runs}");

    let report = "database: sqlite\ndrift: report";
    world.converge(&[("demo", report), ("other", file)]).await;
    world
        .edit(
            "statefulsets",
            "challenge-demo",
            image("example.org/theirs:2"),
        )
        .await;
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("kubectl-edit") && shown.stdout.contains("drift: report"),
        "{shown}"
    );
    let held = world
        .run(&["apply", "--yes", "--timeout", "30s"])
        .await
        .expect(5);
    assert!(held.stderr.contains("kubectl-edit"), "{held}");
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    assert_eq!(
        set["spec"]["template"]["spec"]["containers"][0]["image"],
        "example.org/theirs:2"
    );
    world.run(&["diff", "--challenge", "other"]).await.expect(0);
    // What its author changes is applied all the same.
    world
        .converge(&[
            ("demo", &format!("{report}\nenv: {{A: b}}")),
            ("other", file),
        ])
        .await;
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_change_that_takes_several_passes_is_not_taken_for_drift() {
    let world = World::new().await;
    let yaml = world.yaml(&[("demo", "drift: report")]);
    world.declare(&yaml);
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    // The database first, then what waits for it, when the registry has the new declaration already.
    let changed = yaml
        .replace("demo:1.0.0", "demo:1.1.0")
        .replace("postgres:16-alpine", "postgres:17-alpine");
    world.declare(&format!("{changed}    env: {{A: b}}\n"));
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let pod = world.get("pods", "challenge-demo-0").await.unwrap();
    assert!(
        pod["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .contains("demo:1.1.0")
    );
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_others_add_to_our_objects_is_told_and_kept() {
    let world = World::new().await;
    world.converge(&[("demo", "database: sqlite")]).await;
    let sidecar = json!({
        "name": "sidecar", "image": "example.org/sidecar:1",
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    let ours = json!({"name": "challenge", "env": [{"name": "THEIRS", "value": "x"}]});
    let patch = json!({
        "metadata": {"annotations": {"theirs": "yes"}},
        "spec": {"template": {"spec": {"containers": [sidecar, ours]}}},
    });
    let edited = world.edit("statefulsets", "challenge-demo", patch).await;
    let shown = world.run(&["diff"]).await.expect(0);
    for item in ["sidecar", "THEIRS"] {
        assert!(shown.stdout.contains(item), "{item} is told: {shown}");
    }
    world
        .run(&["apply", "--yes", "--timeout", "30s"])
        .await
        .expect(0);
    let after = world.get("statefulsets", "challenge-demo").await.unwrap();
    assert_eq!(after["spec"], edited["spec"]);
}

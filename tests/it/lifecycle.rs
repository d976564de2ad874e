//! A challenge's life as its operator sees it, on the real API server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::proxy::Seen;
use crate::support::world::World;

const DEPLOYMENT: &str = "challenge_mode: deployment\nstorage_access: ReadWriteMany";
const ONE_REPLICA: &str = "challenge_mode: deployment\nautoscaling: {enabled: false}";

/// Challenges that between them have every kind of object.
const EVERY_KIND: [(&str, &str); 4] = [
    ("plain", ""),
    ("scaled", DEPLOYMENT),
    ("single", ONE_REPLICA),
    ("file", "database: sqlite\nworker: {command: [run, worker]}"),
];

/// Returns a declaration whose Postgres never becomes ready.
fn never_ready() -> String {
    let digest = "b".repeat(64);
    format!("postgres: {{image: \"postgres:never-ready@sha256:{digest}\"}}")
}

fn is_write(seen: &Seen) -> bool {
    matches!(
        seen.verb.as_str(),
        "patch" | "post" | "delete" | "update" | "other"
    )
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn applied_declaration_leaves_nothing_to_do() {
    let world = World::new().await;
    world.declare(&world.yaml(&EVERY_KIND));
    world.run(&["diff"]).await.expect(1);
    world.run(&["apply", "--yes"]).await.expect(0);
    world.proxy.take_seen();
    world.run(&["diff"]).await.expect(0);
    let seen = world.proxy.take_seen();
    let others: Vec<&Seen> = seen.iter().filter(|seen| seen.verb != "list").collect();
    assert!(others.is_empty(), "more than lists: {others:?}");
    assert!(seen.len() <= 8, "more than one list per kind: {seen:?}");
    let before = world.snapshot().await;
    world.run(&["apply", "--yes"]).await.expect(0);
    let seen = world.proxy.take_seen();
    let writes: Vec<&Seen> = seen.iter().filter(|seen| is_write(seen)).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn slugs_of_every_length_get_their_pods_at_the_restricted_level() {
    let world = World::new().await;
    let slugs = [
        "ab".to_owned(),
        "c".repeat(33),
        "d".repeat(34),
        "e".repeat(40),
    ];
    let challenges: Vec<(&str, &str)> = slugs.iter().map(|slug| (slug.as_str(), "")).collect();
    world.converge(&challenges).await;
    let pods = world.admin.items(&world.api("pods", "")).await;
    assert_eq!(
        pods.len(),
        2 * slugs.len(),
        "a challenge and a Postgres each"
    );
    for pod in &pods {
        let name = &pod["metadata"]["name"];
        assert_eq!(pod["status"]["phase"], "Running", "{name}");
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}");
    }
    for slug in &slugs {
        let of_slug = |pod: &&Value| pod["metadata"]["labels"]["platform.challenge.slug"] == **slug;
        assert_eq!(pods.iter().filter(of_slug).count(), 2, "{slug}");
    }
    let namespace = world
        .admin
        .get(&format!("/api/v1/namespaces/{}", world.namespace))
        .await;
    let label = "pod-security.kubernetes.io/enforce";
    assert_eq!(
        namespace.unwrap()["metadata"]["labels"][label],
        "restricted"
    );
    let status = world.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["version"], 1);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn replicas_of_an_autoscaled_deployment_are_not_ours() {
    let world = World::new().await;
    world
        .converge(&[("scaled", DEPLOYMENT), ("single", ONE_REPLICA)])
        .await;
    let replicas_owned = |object: &Value| {
        let entries = object["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .clone();
        let ours = entries
            .iter()
            .find(|entry| entry["manager"] == "platform-network");
        !ours.unwrap()["fieldsV1"]["f:spec"]["f:replicas"].is_null()
    };
    let scaled = world.get("deployments", "challenge-scaled").await.unwrap();
    assert!(!replicas_owned(&scaled), "{scaled}");
    let single = world.get("deployments", "challenge-single").await.unwrap();
    assert!(replicas_owned(&single), "{single}");
    let scale = json!({"spec": {"replicas": 2}});
    world.edit("deployments", "challenge-scaled", scale).await;
    world.run(&["apply", "--yes"]).await.expect(0);
    let scaled = world.get("deployments", "challenge-scaled").await.unwrap();
    assert_eq!(
        scaled["spec"]["replicas"], 2,
        "what an autoscaler decided stays"
    );
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn autoscalers_replace_each_other() {
    let world = World::new().await;
    world.admin.allow_keda(&world.namespace).await;
    let keda = format!("{DEPLOYMENT}\nautoscaling: {{keda_enabled: true}}");
    for round in 0..2 {
        world.converge(&[("demo", DEPLOYMENT)]).await;
        assert_eq!(
            world.names("horizontalpodautoscalers").await,
            ["challenge-demo"],
            "{round}"
        );
        assert!(world.names("scaledobjects").await.is_empty(), "{round}");
        world.converge(&[("demo", &keda)]).await;
        assert!(
            world.names("horizontalpodautoscalers").await.is_empty(),
            "{round}"
        );
        assert_eq!(
            world.names("scaledobjects").await,
            ["challenge-demo"],
            "{round}"
        );
        world.run(&["diff"]).await.expect(0);
    }
    world
        .converge(&[("demo", &format!("{keda}\nstatus: inactive"))])
        .await;
    assert!(world.names("scaledobjects").await.is_empty());
    world.converge(&[("demo", &keda)]).await;
    world.converge(&[]).await;
    assert!(world.names("scaledobjects").await.is_empty());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_status_decides_what_is_there() {
    let world = World::new().await;
    world.converge(&[("demo", "status: draft")]).await;
    assert!(
        world
            .snapshot()
            .await
            .keys()
            .all(|key| !key.contains("challenge-demo"))
    );
    world.converge(&[("demo", "")]).await;
    let active = world.snapshot().await;
    let password = world.secret("challenge-demo-postgres-secret").await;
    for status in ["inactive", "disabled", "draft"] {
        world
            .converge(&[("demo", &format!("status: {status}"))])
            .await;
        let stopped = world.snapshot().await;
        let gone: Vec<&String> = active
            .keys()
            .filter(|key| !stopped.contains_key(*key))
            .collect();
        assert_eq!(gone, ["statefulsets/challenge-demo"], "{status}");
        assert!(
            world
                .get("statefulsets", "challenge-demo-postgres")
                .await
                .is_some()
        );
        world.run(&["diff"]).await.expect(0);
        world.converge(&[("demo", "")]).await;
        assert_eq!(
            world.snapshot().await.keys().collect::<Vec<_>>(),
            active.keys().collect::<Vec<_>>()
        );
    }
    assert_eq!(
        world.secret("challenge-demo-postgres-secret").await,
        password
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_mode_changes_and_the_data_stays() {
    let world = World::new().await;
    let claim = async || {
        let claim = world
            .get("persistentvolumeclaims", "challenge-data-challenge-demo-0")
            .await;
        claim.unwrap()["metadata"]["uid"].clone()
    };
    world.converge(&[("demo", "")]).await;
    let uid = claim().await;
    for (extra, there, gone) in [
        (ONE_REPLICA, "deployments", "statefulsets"),
        ("", "statefulsets", "deployments"),
        (ONE_REPLICA, "deployments", "statefulsets"),
    ] {
        world.converge(&[("demo", extra)]).await;
        assert!(
            world.get(there, "challenge-demo").await.is_some(),
            "{extra}"
        );
        assert!(world.get(gone, "challenge-demo").await.is_none(), "{extra}");
        assert_eq!(claim().await, uid, "{extra}");
        world.run(&["diff"]).await.expect(0);
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_new_image_rolls_its_pod_and_a_broken_one_is_replaced_by_its_correction() {
    let world = World::new().await;
    let image = |name: &str| {
        let yaml = world.yaml(&[("demo", "database: sqlite"), ("other", "database: sqlite")]);
        yaml.replace(
            "platformnetwork/demo:1.0.0",
            &format!("platformnetwork/{name}"),
        )
    };
    world.declare(&image("demo:1.0.0"));
    world.run(&["apply", "--yes"]).await.expect(0);
    let other = world.get("pods", "challenge-other-0").await.unwrap();
    world.declare(&image("demo:1.1.0"));
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(shown.stdout.contains("rolls 1 pod"), "{shown}");
    world.run(&["apply", "--yes"]).await.expect(0);
    let runs = async || {
        let pod = world.get("pods", "challenge-demo-0").await.unwrap();
        pod["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(runs().await.contains("demo:1.1.0"));
    world.declare(&image("demo-never-ready:1.2.0"));
    let late = world
        .run(&["apply", "--yes", "--timeout", "3s"])
        .await
        .expect(5);
    assert!(late.stderr.contains("challenge-demo"), "{late}");
    assert!(
        late.stderr.contains("ImagePullBackOff"),
        "the reason is told: {late}"
    );
    let shown = world.run(&["status"]).await;
    assert!(shown.stdout.contains("ImagePullBackOff"), "{shown}");
    world.declare(&image("demo:1.3.0"));
    world
        .run(&["apply", "--yes", "--timeout", "30s"])
        .await
        .expect(0);
    assert!(runs().await.contains("demo:1.3.0"));
    let after = world.get("pods", "challenge-other-0").await.unwrap();
    assert_eq!(
        after["metadata"]["uid"], other["metadata"]["uid"],
        "the other one is left alone"
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn one_challenge_that_never_becomes_ready_stops_no_other() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("broken", &never_ready()), ("fine", "")]));
    let ran = world
        .run(&["apply", "--yes", "--timeout", "4s", "-o", "json"])
        .await
        .expect(5);
    let told = ran.json();
    assert_eq!(
        (&told["version"], &told["state"]),
        (&json!(1), &json!("timed_out")),
        "{ran}"
    );
    assert!(
        told["not_ready"]
            .to_string()
            .contains("challenge-broken-postgres"),
        "{ran}"
    );
    assert!(world.get("pods", "challenge-fine-0").await.is_some());
    assert!(
        world
            .get("statefulsets", "challenge-broken")
            .await
            .is_none(),
        "it waits for its database"
    );
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("ImagePullBackOff"),
        "the wait has its reason: {shown}"
    );
    world.run(&["diff", "--challenge", "fine"]).await.expect(0);
    world
        .run(&["diff", "--challenge", "nobody"])
        .await
        .expect(2);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_only_waits_is_neither_listed_nor_asked_about_again() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("broken", &never_ready())]));
    world.proxy.take_seen();
    world
        .run(&["apply", "--yes", "--timeout", "8s"])
        .await
        .expect(5);
    let mut times: BTreeMap<Seen, usize> = BTreeMap::new();
    for seen in world.proxy.take_seen() {
        *times.entry(seen).or_default() += 1;
    }
    let looks = times
        .extract_if(.., |seen, _| seen.verb == "list" && seen.resource == "pods")
        .map(|(_, times)| times)
        .sum::<usize>();
    assert!(looks > 3, "{looks} looks");
    let reads = |seen: &Seen| matches!(seen.verb.as_str(), "list" | "watch" | "dry-run");
    let again: Vec<_> = times
        .iter()
        .filter(|(seen, times)| reads(seen) && **times > 1)
        .collect();
    assert!(again.is_empty(), "{again:?}");
    let is_watch = |seen: &Seen| seen.verb == "watch" && seen.resource == "statefulsets";
    assert!(times.keys().any(is_watch), "{times:?}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn one_challenge_alone_is_applied_when_asked_for() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("one", "database: sqlite"), ("two", "database: sqlite")]));
    world
        .run(&["apply", "--yes", "--challenge", "two"])
        .await
        .expect(0);
    assert!(world.get("statefulsets", "challenge-two").await.is_some());
    assert!(world.get("services", "challenge-one").await.is_none());
    world.run(&["diff", "--challenge", "two"]).await.expect(0);
    let rest = world.run(&["diff"]).await.expect(1);
    assert!(rest.stdout.contains("+ one"), "{rest}");
    let ran = world
        .run(&["apply", "--yes", "--no-wait", "-o", "json"])
        .await
        .expect(0);
    assert_eq!(ran.json()["state"], "not_waited");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_missing_namespace_is_made_where_rights_allow() {
    let world = World::new().await;
    let made = format!("{}-made", world.namespace);
    let yaml = world.yaml(&[("demo", "database: sqlite")]);
    world.declare(&yaml.replace(
        &format!("namespace: {}\n", world.namespace),
        &format!("namespace: {made}\n"),
    ));
    let refused = world.run(&["apply", "--yes", "--timeout", "5s"]).await;
    assert!(matches!(refused.code, 4 | 5), "{refused}");
    let why = format!("in namespace {made}; the chart's Role there gives that right");
    assert!(refused.stderr.contains(&why), "{refused}");
    let planned = world.run_as_operator(&["diff"]).await.expect(1);
    assert!(planned.stdout.contains("Namespace"), "{planned}");
    world
        .run_as_operator(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let path = format!("/api/v1/namespaces/{made}");
    let namespace = world.admin.get(&path).await.unwrap();
    let label = "pod-security.kubernetes.io/enforce";
    assert_eq!(namespace["metadata"]["labels"][label], "restricted");
    world.run_as_operator(&["diff"]).await.expect(0);
    world.admin.send("DELETE", &path, None).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn passes_are_remembered_and_shown() {
    let world = World::new().await;
    world.converge(&[("demo", "database: sqlite")]).await;
    world
        .converge(&[("demo", "database: sqlite\nstatus: inactive")])
        .await;
    let history = world.run(&["history", "-o", "json"]).await.expect(0).json();
    assert_eq!(history["version"], 1);
    let passes = history["passes"].as_array().unwrap();
    assert!(passes.len() >= 2, "{history}");
    let id = passes[0]["id"].to_string();
    let shown = world.run(&["history", "show", &id]).await.expect(0);
    assert!(shown.stdout.contains("challenge-demo"), "{shown}");
    let shown = world
        .run(&["history", "show", &id, "-o", "json"])
        .await
        .expect(0)
        .json();
    assert_eq!(shown["version"], 1, "{shown}");
    let verified = world.run(&["history", "verify"]).await.expect(0);
    let told = format!("{} passes, unbroken since #1\n", passes.len());
    assert!(verified.stdout.starts_with(&told), "{verified}");
    let text = world.run(&["status"]).await.expect(0);
    assert!(
        text.stdout.contains("demo") && text.stdout.contains("Converged"),
        "{text}"
    );
    let status = world.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["version"], 1, "{status}");
    let plan = world.run(&["diff", "-o", "json"]).await.expect(0).json();
    let schema: Value =
        serde_json::from_slice(&std::fs::read(crate::package("schema/plan.schema.json")).unwrap())
            .unwrap();
    for member in schema["required"].as_array().unwrap() {
        assert!(
            !plan[member.as_str().unwrap()].is_null(),
            "{member}: {plan}"
        );
    }
    world.run(&["diff", "-o", "markdown"]).await.expect(0);
    world.run(&["diff", "--full"]).await.expect(0);
}

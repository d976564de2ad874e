//! What an operator is told: conditions with the time since when they hold, kept while nothing changes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{CANARY, World};

const FILE: &str = "database: sqlite";

/// Returns one condition as `status -o json` shows it.
async fn condition(world: &World, slug: &str, of: &str) -> Value {
    let status = world.run(&["status", "-o", "json"]).await.json();
    let conditions = status["challenges"][slug]["conditions"].as_array().cloned();
    let mut conditions = conditions.unwrap_or_default().into_iter();
    conditions
        .find(|condition| condition["type"] == of)
        .unwrap_or_default()
}

/// Waits until a controller has kept a condition with this status, and returns it.
async fn until(world: &World, slug: &str, of: &str, status: &str) -> Value {
    until_told(world, slug, (of, status), "").await
}

/// Waits until that is so with these words in its reason or message.
async fn until_told(world: &World, slug: &str, (of, status): (&str, &str), words: &str) -> Value {
    let mut last = Value::Null;
    for _ in 0..300 {
        last = condition(world, slug, of).await;
        let is_told = last.to_string().contains(words);
        if last["status"] == status && !last["since"].is_null() && is_told {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{slug} does not become {of} {status}, {words}: {last}");
}

/// Returns the Events of a world, as JSON.
async fn events(world: &World) -> Vec<Value> {
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        world.namespace
    );
    let all = world.admin.items(&path).await;
    let ours = |event: &Value| event["reportingController"] == "platform.network/controller";
    let ours: Vec<Value> = all.into_iter().filter(ours).collect();
    assert!(!json!(ours).to_string().contains(CANARY), "{ours:#?}");
    ours
}

/// Waits for an Event with this reason about this object, and returns it.
async fn until_event(world: &World, about: &str, reason: &str) -> Value {
    for _ in 0..600 {
        let found = events(world)
            .await
            .into_iter()
            .find(|event| event["regarding"]["name"] == about && event["reason"] == reason);
        if let Some(found) = found {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {reason} about {about}: {:#?}", events(world).await);
}

/// Returns everything the database files hold.
fn files(world: &World) -> Vec<Vec<u8>> {
    let files = ["platform.db", "platform.db-wal"].map(|name| world.path(name));
    let read = files
        .iter()
        .map(|file| std::fs::read(file).unwrap_or_default());
    read.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn conditions_are_kept_with_the_time_since_when_they_hold() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__ROLLOUT_DEADLINE_SECONDS", "2");
    let good = world.yaml(&[("one", FILE), ("two", FILE)]);
    world.declare(&good);
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let unkept = condition(&world, "one", "Ready").await;
    assert_eq!(unkept["status"], "True", "known without a controller");
    assert_eq!(unkept["since"], Value::Null, "since when is not: {unkept}");

    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    let ready = until(&world, "one", "Ready", "True").await;
    let metric = "platform_challenge_conditions{type=\"Ready\",status=\"True\"}";
    assert_eq!(keeper.metric(metric).await, Some(2.0));
    let before = files(&world);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(before, files(&world), "nothing is written at rest");
    assert_eq!(keeper.terminate().await.0, Some(0));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        condition(&world, "one", "Ready").await["since"],
        ready["since"]
    );

    let last = good.rfind("platformnetwork/two").unwrap();
    let (head, tail) = good.split_at(last);
    world.declare(&format!(
        "{head}{}",
        tail.replace("platformnetwork/two", "platformnetwork/never-ready")
    ));
    let stalled = until(&world, "two", "Stalled", "True").await;
    assert_eq!(stalled["reason"], "DeadlineExceeded", "{stalled}");
    let told = stalled["message"].as_str().unwrap();
    assert!(
        told.contains("StatefulSet challenge-two 0/1 ready"),
        "{told}"
    );
    assert_eq!(
        condition(&world, "two", "Progressing").await["status"],
        "True"
    );
    let one = condition(&world, "one", "Ready").await;
    assert_eq!(one["since"], ready["since"]);
    assert_ne!(one["observed_revision"], ready["observed_revision"]);
    let text = world.run(&["status"]).await.stdout;
    assert!(text.contains("    stalled since "), "{text}");

    world.declare(&good);
    until(&world, "two", "Stalled", "False").await;
    keeper.until_ready(2).await;
    world.declare(&world.yaml(&[("one", FILE)]));
    keeper
        .until("one challenge less", async |keeper| {
            keeper.metric(metric).await == Some(1.0)
        })
        .await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_somebody_changed_held_or_suspended_is_a_condition() {
    let world = World::new().await;
    world.put_secret("loud-openai", "token").await;
    let loud =
        format!("{FILE}\ndrift: report\nsecrets:\n  api_key: {{secret: loud-openai, key: token}}");
    world.declare(&world.yaml(&[("loud", &loud), ("taken", FILE)]));
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "challenge-taken"},
        "spec": {"ports": [{"port": 80}]},
    });
    let path = world.api("services", "");
    world.admin.send("POST", &path, Some(theirs)).await.unwrap();
    let keeper = Keeper::start(&world, &[]);
    until_told(&world, "taken", ("Held", "True"), "Foreign").await;
    let diff = world.run(&["diff", "--challenge", "taken"]).await;
    let mut lines = diff.stdout.lines();
    let is_told = |line: &str| line.contains("taken ") && line.contains("since ");
    assert!(lines.any(is_told), "{diff}");
    until(&world, "loud", "Ready", "True").await;
    let edit = json!({"metadata": {"labels": {"app.kubernetes.io/name": CANARY}}});
    world.edit("secrets", "challenge-loud-secrets", edit).await;
    let away = json!({"spec": {"type": "NodePort"}});
    world.edit("services", "challenge-loud", away).await;
    until_told(&world, "loud", ("Drifted", "True"), "kubectl-edit").await;
    let text = world.run(&["status"]).await.stdout;
    assert!(text.contains("drifted since "), "{text}");
    let back = json!({"spec": {"type": "ClusterIP"}});
    world.edit("services", "challenge-loud", back).await;

    world
        .run(&["suspend", "taken", "--why", "ada looks"])
        .await
        .expect(0);
    // An event has it looked at before it is asked who is suspended.
    let edit = json!({"metadata": {"labels": {"touched": "yes"}}});
    world.edit("secrets", "challenge-taken-secrets", edit).await;
    until_told(&world, "taken", ("Suspended", "True"), "ada looks").await;
    world.delete("services", "challenge-taken").await;
    world.run(&["resume", "taken"]).await.expect(0);
    until(&world, "taken", "Ready", "True").await;
    until(&world, "taken", "Held", "False").await;
    let stored = files(&world).concat();
    assert!(!String::from_utf8_lossy(&stored).contains(CANARY));
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_happens_is_an_event_beside_the_object_that_it_happens_to() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
    let report = format!("{FILE}\ndrift: report");
    let good = world.yaml(&[("one", FILE), ("loud", &report)]);
    world.declare(&good);
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    let ready = until_event(&world, "challenge-one", "Ready").await;
    let workload = world.get("statefulsets", "challenge-one").await.unwrap();
    let regarding = &ready["regarding"];
    assert_eq!(
        regarding["uid"], workload["metadata"]["uid"],
        "`kubectl describe` finds it by that"
    );
    assert_eq!(
        (&ready["type"], &regarding["kind"]),
        (&json!("Normal"), &json!("StatefulSet"))
    );

    for (name, slug, reason) in [
        ("challenge-one", "challenge-one", "DriftCorrected"),
        ("challenge-loud", "challenge-loud", "Drifted"),
    ] {
        let away =
            json!({"spec": {"type": "NodePort"}, "metadata": {"annotations": {"a": CANARY}}});
        world.edit("services", name, away).await;
        let event = until_event(&world, slug, reason).await;
        let note = event["note"].as_str().unwrap();
        assert!(note.contains(&format!("Service {name}")), "{event}");
    }
    world.declare(&good.replace("status: active", "status: acitve"));
    let refused = until_event(&world, "platform-leader", "SourceRefused").await;
    assert!(
        refused["note"].as_str().unwrap().contains("platform.yaml:"),
        "{refused}"
    );
    assert_eq!(refused["type"], "Warning");
    assert_eq!(refused["regarding"]["kind"], "Lease");
    world.declare(&good);
    until_event(&world, "platform-leader", "SourceAccepted").await;

    let count = events(&world).await.len();
    for _ in 0..3 {
        let away = json!({"spec": {"type": "NodePort"}});
        world.edit("services", "challenge-one", away).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let made = events(&world).await.len() - count;
    assert!(made <= 1, "what happens again is no new event");
    let mut repeated = Value::Null;
    for _ in 0..150 {
        repeated = until_event(&world, "challenge-one", "DriftCorrected").await;
        if repeated["series"]["count"].as_u64() >= Some(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Corrections that follow each other closely are told together.
    assert!(
        repeated["series"]["count"].as_u64() >= Some(2),
        "{repeated}"
    );
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn events_that_are_refused_are_in_nobodys_way() {
    let world = World::new().await;
    let events = Match {
        resource: "events".to_owned(),
        ..Match::default()
    };
    world.proxy.fail(events, Fault::Answer(403));
    world.declare(&world.yaml(&[("one", FILE), ("two", FILE)]));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(2).await;
    keeper
        .until("refused events", async |keeper| {
            let name = "platform_told_total{channel=\"events\",outcome=\"failed\"}";
            keeper.metric(name).await.is_some_and(|count| count >= 2.0)
        })
        .await;
    let (code, _, log) = keeper.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("an Event was not taken").count(), 1, "{log}");
}

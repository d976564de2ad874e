//! What others change beside or in our fields, and what we change ourselves.

use platform::model::Kind;
use platform::reconcile::plan::Note;
use serde_json::{Value, json};

use super::pass::{Passes, SMALL, US, changes, content, owned_by, paths};

const NAME: &str = "challenge-demo";
const SET: &str = "statefulsets";
const SCALED: &str = "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany\nautoscaling: {max_replicas: 5}";

/// One edit by others of one object.
struct Edit {
    kind: Kind,
    resource: &'static str,
    patch: Value,
    /// A path that the plan has to show.
    shows: &'static str,
}

fn edit(kind: Kind, patch: Value, shows: &'static str) -> Edit {
    Edit {
        kind,
        resource: kind.plural(),
        patch,
        shows,
    }
}

/// Checks that each edit shows, that a pass undoes it and nothing else, and that it is quiet then.
async fn expect_undone(passes: &Passes, extra: &str, edits: Vec<Edit>) {
    let platform = passes.declare(extra);
    passes.settle(&platform).await;
    for edit in edits {
        let before = passes.get(edit.resource, NAME).await;
        let patch = edit.patch.clone();
        passes
            .edit_json(edit.resource, NAME, "kubectl-edit", patch)
            .await;
        let (planned, step) = passes.only_step(&platform, edit.kind).await;
        let shown = paths(&step);
        assert!(shown.contains(&edit.shows), "{} in {shown:?}", edit.shows);
        passes.run(planned).await;
        passes.settle(&platform).await;
        let after = passes.get(edit.resource, NAME).await;
        assert_eq!(content(&after), content(&before), "{}", edit.patch);
        passes.expect_quiet(&platform).await;
    }
}

fn replace(path: &str, value: Value) -> Value {
    json!([{"op": "replace", "path": path, "value": value}])
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn values_that_others_change_or_remove_are_put_back() {
    let passes = Passes::new().await;
    let container = "/spec/template/spec/containers/0";
    let remove = |path: &str| json!([{"op": "remove", "path": path}]);
    let label = "/metadata/labels/platform.challenge.version";
    let edits = vec![
        edit(
            Kind::StatefulSet,
            replace(&format!("{container}/image"), json!("other:1")),
            "spec.template.spec.containers[challenge].image",
        ),
        edit(
            Kind::StatefulSet,
            remove(&format!("{container}/readinessProbe")),
            "spec.template.spec.containers[challenge].readinessProbe",
        ),
        edit(
            Kind::StatefulSet,
            remove(&format!("{container}/env/0")),
            "spec.template.spec.containers[challenge].env[CHALLENGE_DATABASE_URL]",
        ),
        edit(
            Kind::StatefulSet,
            remove(label),
            "metadata.labels[platform.challenge.version]",
        ),
        edit(
            Kind::StatefulSet,
            replace(
                "/spec/template/spec/automountServiceAccountToken",
                json!(true),
            ),
            "spec.template.spec.automountServiceAccountToken",
        ),
        // Written at its default, so that it is guarded.
        edit(
            Kind::Service,
            replace("/spec/type", json!("NodePort")),
            "spec.type",
        ),
        edit(
            Kind::Service,
            replace("/spec/ports/0/targetPort", json!(1)),
            "spec.ports[8000/TCP].targetPort",
        ),
        edit(Kind::NetworkPolicy, remove("/spec/egress"), "spec.egress"),
    ];
    expect_undone(&passes, SMALL, edits).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_others_add_to_values_owned_as_one_is_removed() {
    let passes = Passes::new().await;
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let worker = format!("{SMALL}\nworker: {{command: [demo, worker]}}");
    let edits = vec![
        edit(
            Kind::NetworkPolicy,
            add("/spec/ingress/-", json!({"from": [{"podSelector": {}}]})),
            "spec.ingress",
        ),
        edit(
            Kind::Service,
            add("/spec/selector/a", json!("b")),
            "spec.selector",
        ),
        edit(
            Kind::StatefulSet,
            add("/spec/template/spec/containers/1/command/-", json!("--x")),
            "spec.template.spec.containers[worker].command",
        ),
    ];
    expect_undone(&passes, &worker, edits).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_autoscalers_bounds_that_others_change_are_put_back() {
    let passes = Passes::new().await;
    let kind = Kind::HorizontalPodAutoscaler;
    let utilization = "/spec/metrics/0/resource/target/averageUtilization";
    let edits = vec![
        edit(
            kind,
            replace("/spec/maxReplicas", json!(50)),
            "spec.maxReplicas",
        ),
        edit(kind, replace(utilization, json!(10)), "spec.metrics"),
    ];
    expect_undone(&passes, SCALED, edits).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_scaled_stateful_set_is_scaled_back() {
    let (passes, platform) = Passes::settled(SMALL).await;
    // A count of 0 names nobody: the server records no path for it.
    let scale = json!({"spec": {"replicas": 2}});
    passes
        .edit(SET, &format!("{NAME}/scale"), "kubectl", scale)
        .await;
    let (planned, step) = passes.only_step(&platform, Kind::StatefulSet).await;
    let change = &changes(&step)[0];
    assert_eq!(change.path, "spec.replicas");
    let by = change.taken_by.as_deref().unwrap_or_default();
    assert!(by.starts_with("kubectl at "), "{by}");
    passes.run(planned).await;
    passes.settle(&platform).await;
    assert_eq!(passes.get(SET, NAME).await["spec"]["replicas"], 1);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_forced_apply_by_others_is_taken_back() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let part = json!({"spec": {"type": "NodePort"}});
    passes.apply("services", NAME, "argocd", part).await;
    let (planned, step) = passes.only_step(&platform, Kind::Service).await;
    assert_eq!(paths(&step), ["spec.type"]);
    passes.run(planned).await;
    passes.expect_quiet(&platform).await;
    let service = passes.get("services", NAME).await;
    assert_eq!(service["spec"]["type"], "ClusterIP");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_value_changed_and_changed_back_is_only_owned_again() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let before = passes.get(SET, NAME).await;
    for count in [0, 1] {
        let patch = json!({"spec": {"replicas": count}});
        passes.edit(SET, NAME, "kubectl-edit", patch).await;
    }
    let (planned, step) = passes.only_step(&platform, Kind::StatefulSet).await;
    let change = &changes(&step)[0];
    assert_eq!(
        (&change.old, &change.new),
        (&Some(json!(1)), &Some(json!(1)))
    );
    passes.run(planned).await;
    passes.settle(&platform).await;
    let after = passes.get(SET, NAME).await;
    assert_eq!(content(&after), content(&before));
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_order_that_others_change_is_shown_as_one_and_restored() {
    let extra = format!("{SMALL}\nenv: {{A: \"1\", B: \"2\"}}");
    let (passes, platform) = Passes::settled(&extra).await;
    let before = passes.get(SET, NAME).await;
    let env = &before["spec"]["template"]["spec"]["containers"][0]["env"];
    let turned: Vec<&Value> = env.as_array().unwrap().iter().rev().collect();
    let path = "/spec/template/spec/containers/0/env";
    passes
        .edit_json(SET, NAME, "kubectl-edit", replace(path, json!(turned)))
        .await;
    let (planned, step) = passes.only_step(&platform, Kind::StatefulSet).await;
    assert_eq!(
        paths(&step),
        ["spec.template.spec.containers[challenge].env"]
    );
    assert_eq!(changes(&step)[0].new.as_ref().unwrap()[0], "A");
    passes.run(planned).await;
    passes.settle(&platform).await;
    assert_eq!(content(&passes.get(SET, NAME).await), content(&before));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_quantity_spelled_otherwise_is_equal() {
    let spelled = |cpu: &str, memory: &str| {
        format!("{SMALL}\nresources: {{cpu: \"{cpu}\", memory: {memory}}}")
    };
    let (passes, _) = Passes::settled(&spelled("500m", "1Gi")).await;
    for (cpu, memory) in [("0.5", "1024Mi"), ("0.50", "1Gi"), ("500m", "1Gi")] {
        let platform = passes.declare(&spelled(cpu, memory));
        let planned = passes.plan(&platform).await;
        let objects = planned
            .plan
            .steps
            .iter()
            .filter(|step| step.key.object().is_some());
        assert_eq!(objects.count(), 0, "{:#?}", planned.plan.steps);
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_others_put_beside_ours_stays_and_is_told_where_it_matters() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let pod = "/spec/template/spec";
    let sidecar = json!({"name": "sidecar", "image": "sidecar:1"});
    let volume = json!({"name": "extra", "emptyDir": {}});
    let env = json!({"name": "FOREIGN", "value": "1"});
    let adds = json!([
        {"op": "add", "path": format!("{pod}/containers/-"), "value": sidecar},
        {"op": "add", "path": format!("{pod}/volumes/-"), "value": volume},
        {"op": "add", "path": format!("{pod}/containers/0/env/-"), "value": env},
        {"op": "add", "path": "/metadata/labels/team", "value": "a"},
        {"op": "add", "path": "/metadata/annotations/note", "value": "b"},
    ]);
    let set = passes.edit_json(SET, NAME, "injector", adds).await;
    let port = json!({"name": "metrics", "port": 9100, "protocol": "TCP"});
    let add = json!([{"op": "add", "path": "/spec/ports/-", "value": port}]);
    passes.edit_json("services", NAME, "injector", add).await;
    passes.settle(&platform).await;
    let planned = passes.expect_quiet(&platform).await;
    let notes: Vec<&str> = planned
        .plan
        .notes
        .iter()
        .map(|note: &Note| note.text.as_str())
        .collect();
    for told in [
        "spec.ports[9100/TCP]",
        "containers[sidecar]",
        "volumes[extra]",
    ] {
        assert!(
            notes.iter().any(|note| note.contains(told)),
            "{told}: {notes:?}"
        );
    }
    assert_eq!(content(&passes.get(SET, NAME).await), content(&set));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn our_name_used_by_another_client_is_noticed_unless_it_says_the_same() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let ours = passes.get("services", NAME).await;
    let labels = &ours["metadata"]["labels"];
    let port = |number: u16| json!([{"name": "http", "port": 8000, "protocol": "TCP", "targetPort": number}]);
    let part = |number: u16| {
        let spec = json!({"type": "ClusterIP", "selector": ours["spec"]["selector"], "ports": port(number)});
        json!({"metadata": {"labels": labels}, "spec": spec})
    };
    passes.apply("services", NAME, US, part(8000)).await;
    passes.expect_quiet(&platform).await;
    passes.apply("services", NAME, US, part(1)).await;
    let (planned, _) = passes.only_step(&platform, Kind::Service).await;
    passes.run(planned).await;
    passes.expect_quiet(&platform).await;
    let patch = json!({"spec": {"type": "NodePort"}});
    passes.edit("services", NAME, US, patch).await;
    let (planned, _) = passes.only_step(&platform, Kind::Service).await;
    passes.run(planned).await;
    passes.expect_quiet(&platform).await;
    assert_eq!(
        content(&passes.get("services", NAME).await)["spec"]["type"],
        "ClusterIP"
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_value_that_others_own_too_is_equal() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let part = json!({"spec": {"type": "ClusterIP"}});
    passes.apply("services", NAME, "other", part).await;
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_field_no_longer_wanted_goes_unless_others_own_it_too() {
    let env = |names: &str| format!("{SMALL}\nenv: {{{names}}}");
    let (passes, _) = Passes::settled(&env("ALONE: \"1\", BOTH: \"1\"")).await;
    let shared = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "challenge", "env": [{"name": "BOTH", "value": "1"}]}
    ]}}}});
    passes.apply(SET, NAME, "other", shared).await;
    let platform = passes.declare(&env(""));
    passes.settle(&platform).await;
    let set = passes.get(SET, NAME).await;
    let left = set["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(!left.contains("ALONE") && left.contains("BOTH"), "{left}");
    let ours = owned_by(&set, US, "Apply").to_string();
    assert!(!ours.contains("BOTH"), "{ours}");
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_field_wanted_that_is_there_already_changes_its_owner_only() {
    let (passes, _) = Passes::settled(SMALL).await;
    let path = "/spec/template/spec/containers/0/env/-";
    let add = json!([{"op": "add", "path": path, "value": {"name": "Z", "value": "1"}}]);
    passes.edit_json(SET, NAME, "kubectl-edit", add).await;
    let platform = passes.declare(&format!("{SMALL}\nenv: {{Z: \"1\"}}"));
    passes.settle(&platform).await;
    let before = passes.get(SET, NAME).await;
    passes.expect_quiet(&platform).await;
    let env = &before["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env.to_string().matches("\"Z\"").count(), 1);
    let ours = owned_by(&before, US, "Apply").to_string();
    assert!(ours.contains("\\\"Z\\\""), "{ours}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn renamed_variables_and_renumbered_ports_of_ours_replace_the_old_ones() {
    let before = format!("{SMALL}\nenv: {{OLD: \"1\"}}\nworker: {{command: [a]}}");
    let (passes, _) = Passes::settled(&before).await;
    let after =
        format!("{SMALL}\nenv: {{NEW: \"1\"}}\ninternal_base_url: http://challenge-demo:9000");
    let platform = passes.declare(&after);
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    let set = passes.get(SET, NAME).await;
    let containers = set["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0]["ports"].as_array().unwrap().len(), 1);
    let env = containers[0]["env"].to_string();
    assert!(env.contains("NEW") && !env.contains("OLD"), "{env}");
    let service = passes.get("services", NAME).await;
    assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(service["spec"]["ports"][0]["port"], 9000);
}

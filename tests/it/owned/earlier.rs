//! Objects that carry our labels and were made by another tool, or whose records were wiped.

use platform::model::Kind;
use serde_json::{Value, json};

use super::pass::{Passes, SMALL, US, changes, content, owned_by, paths};

const NAME: &str = "challenge-demo";
const KINDS: [&str; 3] = ["services", "networkpolicies", "statefulsets"];

/// Makes our objects as an earlier tool would have: the same and more, by POST under its own name.
async fn made_by(passes: &Passes, manager: &str, more: &[(&str, Value)]) {
    let template = Passes::new().await;
    let platform = template.declare(SMALL);
    template.settle(&platform).await;
    for resource in KINDS {
        let mut object = content(&template.get(resource, NAME).await);
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|name, _| matches!(name.as_str(), "name" | "labels" | "annotations"));
        if resource == "services" {
            for allotted in ["clusterIP", "clusterIPs"] {
                object["spec"].as_object_mut().unwrap().remove(allotted);
            }
        }
        for (_, patch) in more.iter().filter(|(of, _)| *of == resource) {
            json_patch(&mut object, patch);
        }
        let path = format!("{}?fieldManager={manager}", passes.world.api(resource, ""));
        let admin = &passes.world.admin;
        admin.send("POST", &path, Some(object)).await.unwrap();
    }
}

/// Adds values at JSON pointers; `-` at the end appends.
fn json_patch(object: &mut Value, patch: &Value) {
    for (pointer, value) in patch.as_object().unwrap() {
        let (above, last) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(above).unwrap() {
            Value::Array(items) if last == "-" => items.push(value.clone()),
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = value.clone(),
            members => members[last.replace("~1", "/")] = value.clone(),
        }
    }
}

fn leftovers() -> Vec<(&'static str, Value)> {
    let container = "/spec/template/spec/containers/0";
    vec![
        (
            "statefulsets",
            json!({
                format!("{container}/env/-"): {"name": "OLD", "value": "1"},
                format!("{container}/env/0/value"): "changed",
                format!("{container}/workingDir"): "/old",
                "/spec/template/spec/terminationGracePeriodSeconds": 60,
                "/spec/template/metadata/labels/old": "yes",
                "/metadata/labels/old": "yes",
            }),
        ),
        (
            "services",
            json!({
                "/metadata/labels/old": "yes",
                "/spec/sessionAffinity": "ClientIP",
                "/spec/selector/old": "yes",
                "/spec/ports/-": {"name": "old", "port": 7000, "protocol": "TCP", "targetPort": 7000},
            }),
        ),
        (
            "networkpolicies",
            json!({"/metadata/labels/old": "yes", "/spec/podSelector/matchLabels/old": "yes"}),
        ),
    ]
}

async fn expect_same_as_new(passes: &Passes) {
    let fresh = Passes::new().await;
    let platform = fresh.declare(SMALL);
    fresh.settle(&platform).await;
    for resource in KINDS {
        let tidy = |object: Value, namespace: &str| {
            let mut object = content(&object);
            for name in ["uid", "creationTimestamp", "namespace"] {
                object["metadata"].as_object_mut().unwrap().remove(name);
            }
            for name in ["clusterIP", "clusterIPs"] {
                object["spec"].as_object_mut().unwrap().remove(name);
            }
            object.to_string().replace(namespace, "N")
        };
        assert_eq!(
            tidy(passes.get(resource, NAME).await, &passes.world.namespace),
            tidy(fresh.get(resource, NAME).await, &fresh.world.namespace),
            "{resource}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_an_earlier_tool_made_is_taken_over_and_its_leftovers_go() {
    let passes = Passes::new().await;
    made_by(&passes, "earlier", &leftovers()).await;
    let platform = passes.declare(SMALL);
    let planned = passes.plan(&platform).await;
    let step = |kind| {
        let is_it = |step: &&platform::reconcile::plan::Step| {
            step.key.object().is_some_and(|key| key.kind == kind)
                && matches!(
                    step.action,
                    platform::reconcile::plan::Action::Update { .. }
                )
        };
        planned.plan.steps.iter().find(is_it).unwrap()
    };
    // What a person sees is what changes: no default, nothing that stays.
    assert_eq!(
        paths(step(Kind::Service)),
        [
            "metadata.labels.old",
            "spec.ports[7000/TCP]",
            "spec.selector",
            "spec.sessionAffinity",
            "spec.sessionAffinityConfig",
        ]
    );
    assert_eq!(
        paths(step(Kind::StatefulSet)),
        [
            "metadata.labels.old",
            "spec.template.metadata.labels.old",
            "spec.template.spec.containers[challenge].env[CHALLENGE_DATABASE_URL].value",
            "spec.template.spec.containers[challenge].env[OLD]",
            "spec.template.spec.containers[challenge].workingDir",
            "spec.template.spec.terminationGracePeriodSeconds",
        ]
    );
    assert_eq!(
        paths(step(Kind::NetworkPolicy)),
        ["metadata.labels.old", "spec.podSelector"]
    );
    passes.run(planned).await;
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    expect_same_as_new(&passes).await;
    for resource in KINDS {
        let object = passes.get(resource, NAME).await;
        assert!(owned_by(&object, "earlier", "Update").is_null(), "{object}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_earlier_tools_object_without_leftovers_changes_its_owner_only() {
    let passes = Passes::new().await;
    made_by(&passes, "earlier", &[]).await;
    let platform = passes.declare(SMALL);
    let before = passes.get("statefulsets", NAME).await;
    let planned = passes.plan(&platform).await;
    let updates: Vec<_> = planned
        .plan
        .steps
        .iter()
        .filter(|step| {
            step.key
                .object()
                .is_some_and(|key| key.kind == Kind::StatefulSet)
        })
        .collect();
    assert_eq!(paths(updates[0]), ["metadata.managedFields"]);
    assert_eq!(changes(updates[0])[0].taken_by.as_deref(), Some("earlier"));
    passes.run(planned).await;
    passes.settle(&platform).await;
    let after = passes.get("statefulsets", NAME).await;
    assert_eq!(content(&after), content(&before));
    assert_eq!(
        before["metadata"]["generation"],
        after["metadata"]["generation"]
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_earlier_tools_other_port_is_replaced() {
    let passes = Passes::new().await;
    let more = [("services", json!({"/spec/ports/0/port": 7000}))];
    made_by(&passes, "earlier", &more).await;
    let platform = passes.declare(SMALL);
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    expect_same_as_new(&passes).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn client_side_apply_is_taken_over_with_its_annotation() {
    let passes = Passes::new().await;
    let last = "/metadata/annotations";
    let annotation = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let more = [("services", json!({last: annotation}))];
    made_by(&passes, "kubectl-client-side-apply", &more).await;
    let platform = passes.declare(SMALL);
    passes.settle(&platform).await;
    expect_same_as_new(&passes).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn other_writers_of_an_earlier_tools_object_keep_what_is_theirs() {
    let passes = Passes::new().await;
    made_by(&passes, "earlier", &leftovers()).await;
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    passes.edit("services", NAME, "kubectl-label", label).await;
    let platform = passes.declare(SMALL);
    passes.settle(&platform).await;
    let labels = passes.get("services", NAME).await["metadata"]["labels"].clone();
    assert_eq!(
        (&labels["team"], &labels["old"]),
        (&json!("a"), &Value::Null)
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn wiped_records_are_written_anew_and_orphans_go() {
    let (passes, _) = Passes::settled(&format!("{SMALL}\nenv: {{OLD: \"1\", KEPT: \"1\"}}")).await;
    let wipe = json!({"metadata": {"managedFields": [{}]}});
    for resource in KINDS {
        let wiped = passes.edit(resource, NAME, "x", wipe.clone()).await;
        assert!(wiped["metadata"]["managedFields"].is_null());
    }
    let platform = passes.declare(&format!("{SMALL}\nenv: {{KEPT: \"2\"}}"));
    // The first plan shows all of it, and one pass does it.
    let planned = passes.plan(&platform).await;
    let shown: Vec<&str> = planned.plan.steps.iter().flat_map(paths).collect();
    let env = "spec.template.spec.containers[challenge].env";
    for path in [format!("{env}[OLD]"), format!("{env}[KEPT].value")] {
        assert!(shown.contains(&path.as_str()), "{path} in {shown:?}");
    }
    passes.run(planned).await;
    passes.expect_quiet(&platform).await;
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    let set = passes.get("statefulsets", NAME).await;
    let env = set["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(!env.contains("OLD") && env.contains("KEPT"), "{env}");
    assert!(owned_by(&set, "before-first-apply", "Update").is_null());
    assert_eq!(set["spec"]["replicas"], 1);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn wiped_records_of_an_autoscaled_deployment_do_not_reset_its_pods() {
    let extra = "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany\nautoscaling: {max_replicas: 5}";
    let (passes, platform) = Passes::settled(extra).await;
    let scale = json!({"spec": {"replicas": 4}});
    let subresource = format!("{NAME}/scale");
    passes.edit("deployments", &subresource, "hpa", scale).await;
    let wipe = json!({"metadata": {"managedFields": [{}]}});
    passes.edit("deployments", NAME, "x", wipe).await;
    passes.settle(&platform).await;
    let deployment = passes.get("deployments", NAME).await;
    assert_eq!(deployment["spec"]["replicas"], 4);
    assert!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"].is_string(),
        "{deployment}"
    );
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_autoscaler_recorded_in_another_version_is_applied_once() {
    let extra = "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany\nautoscaling: {max_replicas: 5}";
    let (passes, platform) = Passes::settled(extra).await;
    let resource = "horizontalpodautoscalers";
    let whole = passes.get(resource, NAME).await;
    let wipe = json!({"metadata": {"managedFields": [{}]}});
    passes.edit(resource, NAME, "x", wipe).await;
    let old = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME, "labels": whole["metadata"]["labels"]},
        "spec": {
            "scaleTargetRef": whole["spec"]["scaleTargetRef"], "maxReplicas": 5, "minReplicas": 1,
            "targetCPUUtilizationPercentage": 70,
        },
    });
    let namespace = &passes.world.namespace;
    let path = format!(
        "/apis/autoscaling/v1/namespaces/{namespace}/{resource}/{NAME}?fieldManager={US}&force=true"
    );
    let content_type = "application/apply-patch+yaml";
    let admin = &passes.world.admin;
    admin
        .send_as("PATCH", &path, content_type, Some(old))
        .await
        .unwrap();
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    let after = passes.get(resource, NAME).await;
    let versions: Vec<&Value> = after["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["manager"] == US)
        .map(|entry| &entry["apiVersion"])
        .collect();
    assert_eq!(versions, [&json!("autoscaling/v2")]);
    assert_eq!(after["spec"]["metrics"], whole["spec"]["metrics"]);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_port_renumbered_before_the_records_were_wiped_is_put_back() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let edit = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 7000}]);
    passes
        .edit_json("services", NAME, "kubectl-edit", edit)
        .await;
    let wipe = json!({"metadata": {"managedFields": [{}]}});
    passes.edit("services", NAME, "x", wipe).await;
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    expect_same_as_new(&passes).await;
}

//! What an apply alone could not put right: ports renumbered by others, replicas handed over.

use platform::model::Kind;
use serde_json::json;

use super::pass::{Passes, SMALL, US, owned_by, paths};

const NAME: &str = "challenge-demo";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_service_port_that_others_renumbered_is_put_back() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let edits = [
        json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 9000}]),
        json!([{"op": "replace", "path": "/spec/ports/0/protocol", "value": "UDP"}]),
        // Another port took the name, ours got another.
        json!([
            {"op": "replace", "path": "/spec/ports/0/name", "value": "web"},
            {"op": "add", "path": "/spec/ports/-", "value": {"name": "http", "port": 9001, "protocol": "TCP"}},
        ]),
        // Foreign ports that are not in the way stay.
        json!([
            {"op": "replace", "path": "/spec/ports/0/port", "value": 9000},
            {"op": "add", "path": "/spec/ports/0", "value": {"name": "metrics", "port": 9100, "protocol": "TCP"}},
        ]),
    ];
    for edit in edits {
        passes
            .edit_json("services", NAME, "kubectl-edit", edit.clone())
            .await;
        let (planned, step) = passes.only_step(&platform, Kind::Service).await;
        let shown = paths(&step);
        assert!(
            shown
                .iter()
                .any(|path| path.starts_with("spec.ports[8000/TCP]")),
            "{shown:?}"
        );
        passes.run(planned).await;
        passes.expect_quiet(&platform).await;
        let service = passes.get("services", NAME).await;
        let ports = service["spec"]["ports"].as_array().unwrap();
        let ours = ports.iter().find(|port| port["name"] == "http").unwrap();
        assert_eq!(
            (&ours["port"], &ours["protocol"]),
            (&json!(8000), &json!("TCP")),
            "{edit}"
        );
        assert!(
            ports
                .iter()
                .all(|port| port["name"] == "http" || port["port"] == 9100),
            "{ports:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_container_port_that_others_renumbered_is_put_back() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let path = "/spec/template/spec/containers/0/ports/0/containerPort";
    let edit = json!([{"op": "replace", "path": path, "value": 9000}]);
    passes
        .edit_json("statefulsets", NAME, "kubectl-edit", edit)
        .await;
    let (planned, _) = passes.only_step(&platform, Kind::StatefulSet).await;
    passes.run(planned).await;
    passes.settle(&platform).await;
    let set = passes.get("statefulsets", NAME).await;
    let ports = &set["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(
        *ports,
        json!([{"name": "http", "containerPort": 8000, "protocol": "TCP"}])
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_port_of_ours_is_renumbered_also_where_others_hold_it() {
    let (passes, _) = Passes::settled(SMALL).await;
    let ports = json!({"spec": {"ports": [{"name": "http", "port": 8000, "protocol": "TCP"}]}});
    passes.apply("services", NAME, "other", ports).await;
    let moved = format!("{SMALL}\ninternal_base_url: http://challenge-demo:9000");
    let platform = passes.declare(&moved);
    passes.settle(&platform).await;
    let service = passes.get("services", NAME).await;
    let ports = json!([{"name": "http", "port": 9000, "protocol": "TCP", "targetPort": 9000}]);
    assert_eq!(service["spec"]["ports"], ports);
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_object_that_moved_since_the_plan_is_not_patched() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let edit = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 9000}]);
    passes
        .edit_json("services", NAME, "kubectl-edit", edit)
        .await;
    let (planned, _) = passes.only_step(&platform, Kind::Service).await;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let moved = passes.edit("services", NAME, "kubectl-label", label).await;
    let outcomes = passes.try_run(&planned).await;
    let told = format!("{outcomes:?}");
    assert!(told.contains("Failed") && told.contains("Moved"), "{told}");
    assert_eq!(passes.get("services", NAME).await, moved);
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
}

const DEPLOYMENT: &str =
    "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany";

fn scaled() -> String {
    format!("{DEPLOYMENT}\nautoscaling: {{min_replicas: 1, max_replicas: 5}}")
}

fn fixed() -> String {
    format!("{DEPLOYMENT}\nautoscaling: {{enabled: false}}")
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_deployment_handed_to_an_autoscaler_keeps_its_pods() {
    let (passes, _) = Passes::settled(&fixed()).await;
    // Owned by our own manager, as after an earlier version that wrote another count.
    let whole = passes.get("deployments", NAME).await;
    let mut ours = whole.clone();
    ours["spec"]["replicas"] = json!(4);
    ours["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    let part = json!({"metadata": {"labels": ours["metadata"]["labels"]}, "spec": ours["spec"]});
    passes.apply("deployments", NAME, US, part).await;
    let platform = passes.declare(&scaled());
    passes.settle(&platform).await;
    let deployment = passes.get("deployments", NAME).await;
    assert_eq!(deployment["spec"]["replicas"], 4);
    let fields = owned_by(&deployment, US, "Apply");
    assert!(fields["f:spec"]["f:replicas"].is_null(), "{fields}");
    passes.expect_quiet(&platform).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_autoscalers_count_is_equal_at_any_number_and_survives_the_switch() {
    let (passes, _) = Passes::settled(&fixed()).await;
    let autoscaled = passes.declare(&scaled());
    // Nobody else touched the count.
    passes.settle(&autoscaled).await;
    assert_eq!(passes.get("deployments", NAME).await["spec"]["replicas"], 1);
    let scale = json!({"spec": {"replicas": 4}});
    passes
        .edit("deployments", &format!("{NAME}/scale"), "hpa", scale)
        .await;
    passes.settle(&autoscaled).await;
    assert_eq!(passes.get("deployments", NAME).await["spec"]["replicas"], 4);
    passes.expect_quiet(&autoscaled).await;
    // Back to one replica, and scaled by hand before the next switch.
    let single = passes.declare(&fixed());
    passes.settle(&single).await;
    assert_eq!(passes.get("deployments", NAME).await["spec"]["replicas"], 1);
    let scale = json!({"spec": {"replicas": 3}});
    passes
        .edit("deployments", &format!("{NAME}/scale"), "kubectl", scale)
        .await;
    passes.settle(&autoscaled).await;
    assert_eq!(passes.get("deployments", NAME).await["spec"]["replicas"], 3);
}

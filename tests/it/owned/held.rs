//! What a pass must not write, and what a policy of the cluster rewrites.

use std::time::Duration;

use platform::model::Kind;
use platform::reconcile::plan::Held;
use serde_json::{Value, json};

use super::pass::{Passes, SMALL, content, held};

const NAME: &str = "challenge-demo";
const SET: &str = "statefulsets";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_object_being_deleted_is_waited_for_and_then_made_anew() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let finalizers = json!({"metadata": {"finalizers": ["example.org/hold"]}});
    passes.edit("services", NAME, "x", finalizers).await;
    let path = passes.world.api("services", NAME);
    passes
        .world
        .admin
        .send("DELETE", &path, None)
        .await
        .unwrap();
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}});
    passes.edit("services", NAME, "x", label).await;
    let old = passes.get("services", NAME).await;
    let planned = passes.plan(&platform).await;
    assert!(planned.plan.steps.is_empty(), "{:#?}", planned.plan.steps);
    assert!(matches!(
        held(&planned.plan, Kind::Service)[..],
        [Held::Waits { .. }]
    ));
    let release = json!({"metadata": {"finalizers": null}});
    passes.edit("services", NAME, "x", release).await;
    passes.settle(&platform).await;
    let new = passes.get("services", NAME).await;
    assert_ne!(new["metadata"]["uid"], old["metadata"]["uid"]);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_name_that_a_stranger_has_is_left_alone() {
    let passes = Passes::new().await;
    let stranger = json!({"metadata": {"name": NAME}, "spec": {"ports": [{"port": 1}]}});
    let path = passes.world.api("services", "");
    let stranger = passes
        .world
        .admin
        .send("POST", &path, Some(stranger))
        .await
        .unwrap();
    let platform = passes.declare(SMALL);
    let planned = passes.settle(&platform).await;
    let held = held(&planned.plan, Kind::Service);
    assert!(matches!(held[..], [Held::Foreign { .. }]), "{held:?}");
    assert_eq!(passes.get("services", NAME).await, stranger);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_object_that_lost_our_labels_is_neither_missing_nor_ours() {
    let (passes, platform) = Passes::settled(SMALL).await;
    for label in ["app.kubernetes.io~1managed-by", "platform.component"] {
        let path = format!("/metadata/labels/{label}");
        let remove = json!([{"op": "remove", "path": path}]);
        let edited = passes.edit_json("services", NAME, "x", remove).await;
        let planned = passes.plan(&platform).await;
        assert!(planned.plan.steps.is_empty(), "{:#?}", planned.plan.steps);
        let held = held(&planned.plan, Kind::Service);
        assert!(matches!(held[..], [Held::Foreign { .. }]), "{held:?}");
        assert_eq!(passes.get("services", NAME).await, edited);
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_field_that_never_changes_is_refused_without_asking() {
    let (passes, _) = Passes::settled(&format!("{SMALL}\nstorage_size: 1Gi")).await;
    let before = passes.get(SET, NAME).await;
    let platform = passes.declare(&format!("{SMALL}\nstorage_size: 2Gi"));
    passes.world.proxy.take_seen();
    let planned = passes.plan(&platform).await;
    let seen = passes.world.proxy.take_seen();
    assert!(
        seen.iter().all(|request| request.verb == "list"),
        "{seen:?}"
    );
    let held = held(&planned.plan, Kind::StatefulSet);
    let [Held::Refused { why, .. }] = held[..] else {
        panic!("{held:?}");
    };
    assert!(
        why.0.contains("volumeClaimTemplates") && why.0.contains("--cascade=orphan"),
        "{why}"
    );
    passes.run(planned).await;
    assert_eq!(content(&passes.get(SET, NAME).await), content(&before));
}

/// A mutating policy of this namespace for one kind, gone with the value.
struct Policy<'a> {
    passes: &'a Passes,
    name: String,
}

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

impl<'a> Policy<'a> {
    async fn new(passes: &'a Passes, group: &str, resource: &str, expression: &str) -> Self {
        let name = format!("{}-{resource}", passes.world.namespace);
        let selector =
            json!({"matchLabels": {"kubernetes.io/metadata.name": passes.world.namespace}});
        let version = if group == "autoscaling" { "v2" } else { "v1" };
        let rule = json!({
            "apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": [resource],
        });
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name},
        });
        let admin = &passes.world.admin;
        for (plural, object) in [
            ("mutatingadmissionpolicies", policy),
            ("mutatingadmissionpolicybindings", binding),
        ] {
            let path = format!("{ADMISSION}/{plural}");
            admin.send("POST", &path, Some(object)).await.unwrap();
        }
        Self { passes, name }
    }

    /// Waits until an edit shows the policy at work.
    async fn wait(&self, resource: &str, is_at_work: impl Fn(&Value) -> bool) {
        for round in 0..200 {
            let touch = json!({"metadata": {"annotations": {"touched": round.to_string()}}});
            let object = self.passes.edit(resource, NAME, "x", touch).await;
            if is_at_work(&object) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the policy does not work");
    }

    async fn remove(self) {
        for plural in [
            "mutatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
        ] {
            let path = format!("{ADMISSION}/{plural}/{}", self.name);
            self.passes
                .world
                .admin
                .send("DELETE", &path, None)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_value_that_a_policy_rewrites_is_settled() {
    let extra = "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany\nautoscaling: {max_replicas: 5}";
    let (passes, platform) = Passes::settled(extra).await;
    let resource = "horizontalpodautoscalers";
    let expression = "Object{spec: Object.spec{maxReplicas: 2}}";
    let policy = Policy::new(&passes, "autoscaling", resource, expression).await;
    policy
        .wait(resource, |object| object["spec"]["maxReplicas"] == 2)
        .await;
    passes.settle(&platform).await;
    let before = passes.get(resource, NAME).await;
    passes.world.proxy.take_seen();
    let planned = passes.plan(&platform).await;
    assert!(planned.plan.is_empty(), "{:#?}", planned.plan.steps);
    // The dry run tells: the comparison alone cannot.
    let seen = passes.world.proxy.take_seen();
    let asked = seen
        .iter()
        .filter(|request| request.verb == "dry-run")
        .count();
    assert_eq!(asked, 1, "{seen:?}");
    assert_eq!(passes.get(resource, NAME).await, before);
    policy.remove().await;
    let mut restored = false;
    for _ in 0..100 {
        passes.settle(&platform).await;
        restored = passes.get(resource, NAME).await["spec"]["maxReplicas"] == 5;
        if restored {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(restored, "a policy that is gone is noticed");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn fields_that_a_policy_adds_are_equal() {
    let (passes, platform) = Passes::settled(SMALL).await;
    let expression =
        "Object{metadata: Object.metadata{labels: Object.metadata.labels{team: \"a\"}}}";
    let policy = Policy::new(&passes, "", "services", expression).await;
    policy
        .wait("services", |object| {
            object["metadata"]["labels"]["team"] == "a"
        })
        .await;
    passes.settle(&platform).await;
    passes.expect_quiet(&platform).await;
    let moved = format!("{SMALL}\ninternal_base_url: http://challenge-demo:9000");
    let moved = passes.declare(&moved);
    passes.settle(&moved).await;
    passes.expect_quiet(&moved).await;
    policy.remove().await;
}

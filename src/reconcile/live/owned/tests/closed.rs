//! Foreign items in closed lists, and the table of immutable fields.

use serde_json::{Value, json};

use super::{
    super::{FieldPath, fingerprint, foreign_items, immutable},
    world::{US, applied, secret, service, stateful_set, taken},
};

fn foreign(want: &Value, live: &Value) -> Vec<String> {
    foreign_items(want, live, US)
        .into_iter()
        .map(|item| item.path.to_string())
        .collect()
}

#[test]
fn nothing_is_foreign_in_what_we_applied() {
    for want in [stateful_set(), service(), secret()] {
        assert_eq!(foreign(&want, &applied(&want)), [""; 0]);
    }
}

#[test]
fn strangers_in_a_pod_template_are_listed_with_who_put_them_there() {
    let want = stateful_set();
    let mut live = applied(&want);
    let pod = &mut live["spec"]["template"]["spec"];
    pod["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "sidecar" }));
    pod["initContainers"] = json!([{ "name": "setup" }]);
    pod["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "host", "hostPath": {} }));
    let theirs = json!({ "manager": "injector", "operation": "Update", "fieldsV1": { "f:spec": { "f:template": {
        "f:spec": { "f:containers": { r#"k:{"name":"sidecar"}"#: { ".": {} } } } } } } });
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(theirs);
    assert_eq!(
        foreign(&want, &live),
        [
            "spec.template.spec.containers[sidecar]",
            "spec.template.spec.initContainers[setup]",
            "spec.template.spec.volumes[host]",
        ]
    );
    let items = foreign_items(&want, &live, US);
    assert_eq!(items[0].holder.as_ref().unwrap().manager, "injector");
    assert_eq!(items[1].holder, None);
}

#[test]
fn strangers_among_ports_and_secret_keys_are_listed() {
    let want = service();
    let mut live = applied(&want);
    live["spec"]["ports"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "port": 80, "protocol": "UDP" }));
    assert_eq!(foreign(&want, &live), ["spec.ports[80/UDP]"]);

    let want = secret();
    let mut live = applied(&want);
    live["data"]["extra"] = json!("Y2FuYXJ5");
    assert_eq!(foreign(&want, &live), ["data.extra"]);
    assert!(!format!("{:?}", foreign_items(&want, &live, US)).contains("Y2FuYXJ5"));
}

#[test]
fn what_is_wanted_or_owned_is_not_foreign() {
    let mut want = secret();
    let mut live = applied(&want);
    taken(&mut live, "x", &["f:data", "f:token"]);
    assert_eq!(
        foreign(&want, &live),
        [""; 0],
        "taken from us, and a difference"
    );
    want["data"].as_object_mut().unwrap().remove("url");
    assert_eq!(
        foreign(&want, &live),
        [""; 0],
        "about to be removed, and a difference"
    );
}

#[test]
fn every_kind_with_a_template_is_looked_into() {
    for (kind, path) in [
        ("Pod", "/spec"),
        ("Deployment", "/spec/template/spec"),
        ("Job", "/spec/template/spec"),
        ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let pod = json!({ "containers": [{ "name": "x" }] });
        let live = path
            .rsplit('/')
            .filter(|name| !name.is_empty())
            .fold(pod, |inner, name| json!({ name: inner }));
        assert_eq!(foreign(&json!({ "kind": kind }), &live).len(), 1, "{kind}");
    }
    assert_eq!(
        foreign(
            &json!({ "kind": "ConfigMap" }),
            &json!({ "data": { "a": "b" } })
        ),
        [""; 0]
    );
}

#[test]
fn odd_lists_are_read_without_panic() {
    let want = json!({ "kind": "Deployment" });
    let odd = json!({ "spec": { "template": { "spec": { "containers": [1, null, {}], "volumes": "x" } } } });
    assert_eq!(foreign(&want, &odd).len(), 3);
    let many: Value = (0..500)
        .map(|index| (index.to_string(), json!("")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(
        foreign(&json!({ "kind": "Secret" }), &json!({ "data": many })).len(),
        200
    );
}

#[test]
fn the_table_of_immutable_fields() {
    let is = |kind, path: &str| immutable(kind, &FieldPath::of_names(path.split('.')));
    for (kind, path) in [
        ("StatefulSet", "spec.selector.matchLabels"),
        ("StatefulSet", "spec.serviceName"),
        ("StatefulSet", "spec.volumeClaimTemplates"),
        ("StatefulSet", "spec.podManagementPolicy"),
        ("StatefulSet", "spec.somethingNew"),
        ("Job", "spec.template.spec.containers"),
        ("Service", "spec.clusterIP"),
        ("Secret", "type"),
        ("Secret", "immutable"),
        ("RoleBinding", "roleRef"),
        ("ClusterRoleBinding", "roleRef.name"),
        ("Deployment", "spec.selector"),
        ("PersistentVolumeClaim", "spec.accessModes"),
    ] {
        assert!(is(kind, path), "{kind} {path}");
    }
    for (kind, path) in [
        ("StatefulSet", "spec"),
        ("StatefulSet", "spec.replicas"),
        ("StatefulSet", "spec.template.spec"),
        ("StatefulSet", "spec.ordinals"),
        ("StatefulSet", "spec.updateStrategy.type"),
        ("StatefulSet", "spec.revisionHistoryLimit"),
        ("StatefulSet", "spec.persistentVolumeClaimRetentionPolicy"),
        ("StatefulSet", "spec.minReadySeconds"),
        ("StatefulSet", "metadata.labels.x"),
        ("Job", "spec.parallelism"),
        ("Service", "spec.ports"),
        ("Service", "spec.selector"),
        ("Secret", "data.token"),
        ("RoleBinding", "subjects"),
        ("Deployment", "spec.template"),
        ("PersistentVolumeClaim", "spec.resources.requests.storage"),
        ("NetworkPolicy", "spec.podSelector"),
    ] {
        assert!(!is(kind, path), "{kind} {path}");
    }
}

#[test]
fn fingerprints_ignore_the_order_of_members_and_nothing_else() {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap();
    let first = fingerprint(&parse(r#"{"a":[1,{"x":"é\n"}],"b":null}"#));
    assert_eq!(
        first,
        fingerprint(&parse(r#"{ "b": null, "a": [1, { "x": "\u00e9\n" }] }"#))
    );
    for other in [
        r#"{"a":[1,{"x":"é\n"}]}"#,
        r#"{"a":[{"x":"é\n"},1],"b":null}"#,
        r#"{"a":["1",{"x":"é\n"}],"b":null}"#,
    ] {
        assert_ne!(first, fingerprint(&parse(other)), "{other}");
    }
    assert_eq!(
        fingerprint(&json!({}))[..4],
        [0x44, 0x13, 0x6f, 0xa3],
        "the SHA-256 of {{}}"
    );
}

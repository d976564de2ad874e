//! Objects as a server would have them after an apply, made without one.
//!
//! Knows the list types of the kinds used in these tests, as the server knows its schema.

use serde_json::{Map, Value, json};

use super::super::{
    self as owned, Comparison, Difference, Kind, foreign_items, is_settled, needs_take_over,
};
use crate::model::document::Document;

pub(super) const US: &str = "platform-network";

/// Compares, and checks that the quick answer is never a yes where this is none.
pub(super) fn compare(want: &Value, live: &Value, manager: &str) -> Comparison {
    let comparison = owned::compare(want, live, manager);
    if is_settled(
        Document::from(want).view(),
        Document::from(live).view(),
        manager,
    ) {
        assert_eq!(comparison, Comparison::Equal, "{want} {live}");
        let foreign = foreign_items(want, live, manager);
        assert!(foreign.is_empty(), "{want} {live}");
        assert!(!needs_take_over(live, manager), "{want} {live}");
    }
    comparison
}

const ATOMIC: [&str; 18] = [
    "selector",
    "nodeSelector",
    "command",
    "args",
    "add",
    "drop",
    "tolerations",
    "policyTypes",
    "ingress",
    "egress",
    "rules",
    "subjects",
    "roleRef",
    "metrics",
    "tls",
    "volumeClaimTemplates",
    "secretKeyRef",
    "fieldRef",
];
const UNRECORDED: [&str; 6] = [
    "name",
    "namespace",
    "creationTimestamp",
    "managedFields",
    "uid",
    "resourceVersion",
];

/// The object after we applied `want` to nothing: blanks dropped, defaults added, ownership recorded.
pub(super) fn applied(want: &Value) -> Value {
    let mut live = stored(want, "");
    let record = json!({
        "manager": US, "operation": "Apply", "apiVersion": want["apiVersion"], "fieldsType": "FieldsV1",
        "time": "2026-01-01T00:00:00Z", "fieldsV1": fields_of(want),
    });
    live["metadata"]["managedFields"] = json!([record]);
    live["metadata"]["uid"] = json!("8b1f");
    live["metadata"]["resourceVersion"] = json!("7");
    let members = live.as_object_mut().unwrap();
    // Items of a list response have neither.
    members.remove("apiVersion");
    members.remove("kind");
    live
}

/// The ownership record an apply of `want` leaves.
pub(super) fn fields_of(want: &Value) -> Value {
    let mut root = want.clone();
    let members = root.as_object_mut().unwrap();
    members.remove("apiVersion");
    members.remove("kind");
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !UNRECORDED.contains(&name.as_str()));
        if metadata.is_empty() {
            members.remove("metadata");
        }
    }
    record(&root, "")
}

fn record(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(members) if !ATOMIC.contains(&name) => members
            .iter()
            .map(|(name, value)| (format!("f:{name}"), record(value, name)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) if name == "finalizers" => items
            .iter()
            .map(|item| (format!("v:{item}"), json!({})))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) if keys_of(name, items).is_some() => {
            let keys = keys_of(name, items).unwrap();
            items
                .iter()
                .map(|item| record_item(item, &keys))
                .collect::<Map<_, _>>()
                .into()
        }
        _ => json!({}),
    }
}

fn record_item(item: &Value, keys: &[&str]) -> (String, Value) {
    let key: Map<String, Value> = keys
        .iter()
        .filter_map(|key| {
            Some((
                (*key).to_owned(),
                item.get(key)
                    .cloned()
                    .or((*key == "protocol").then(|| json!("TCP")))?,
            ))
        })
        .collect();
    let mut fields = record(item, "");
    fields["."] = json!({});
    (format!("k:{}", Value::Object(key)), fields)
}

fn keys_of(name: &str, items: &[Value]) -> Option<Vec<&'static str>> {
    match name {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some(vec!["name"])
        }
        "volumeMounts" => Some(vec!["mountPath"]),
        "ownerReferences" => Some(vec!["uid"]),
        "topologySpreadConstraints" => Some(vec!["topologyKey", "whenUnsatisfiable"]),
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            Some(vec!["containerPort", "protocol"])
        }
        "ports" => Some(vec!["port", "protocol"]),
        _ => None,
    }
}

/// What the server stores of a value: blank members of structs are dropped, `protocol` is defaulted.
fn stored(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(members) => {
            let is_free = matches!(
                name,
                "data" | "labels" | "annotations" | "nodeSelector" | "selector"
            );
            let kept = members
                .iter()
                .filter(|(_, value)| is_free || !is_dropped(value));
            let mut kept: Map<_, _> = kept
                .map(|(name, value)| (name.clone(), stored(value, name)))
                .collect();
            if (kept.contains_key("port") || kept.contains_key("containerPort"))
                && !kept.contains_key("protocol")
            {
                kept.insert("protocol".to_owned(), json!("TCP"));
            }
            kept.into()
        }
        Value::Array(items) => items.iter().map(|item| stored(item, "")).collect(),
        scalar => scalar.clone(),
    }
}

fn is_dropped(value: &Value) -> bool {
    *value == json!("") || *value == json!(false) || *value == json!(0)
}

/// Adds what another manager wrote: takes the paths out of our record and puts them into its own.
pub(super) fn taken(live: &mut Value, manager: &str, record_path: &[&str]) {
    let ours = &mut live["metadata"]["managedFields"][0]["fieldsV1"];
    remove(ours, record_path);
    let leaf = record_path
        .iter()
        .rev()
        .fold(json!({}), |inner, name| json!({ *name: inner }));
    let record = json!({
        "manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "time": "2026-02-02T00:00:00Z", "fieldsV1": leaf,
    });
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(record);
}

/// Takes paths out of our record, as the server does when somebody removes them.
pub(super) fn lost(live: &mut Value, record_path: &[&str]) {
    remove(
        &mut live["metadata"]["managedFields"][0]["fieldsV1"],
        record_path,
    );
}

fn remove(fields: &mut Value, path: &[&str]) {
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().fold(fields, |node, name| {
        node.get_mut(*name).expect("the path is owned")
    });
    parent
        .as_object_mut()
        .unwrap()
        .remove(*last)
        .expect("the path is owned");
}

/// Compares and returns the differences; fails on any other answer.
pub(super) fn differences(want: &Value, live: &Value) -> Vec<Difference> {
    match compare(want, live, US) {
        Comparison::Different(differences) => differences.listed().to_vec(),
        other => panic!("expected differences, got {other:?}"),
    }
}

/// The differences as `path kind`, one a line.
pub(super) fn lines(want: &Value, live: &Value) -> Vec<String> {
    let line = |difference: &Difference| format!("{} {:?}", difference.path(), difference.kind());
    differences(want, live).iter().map(line).collect()
}

pub(super) fn assert_single(want: &Value, live: &Value, path: &str, kind: Kind) -> Difference {
    let differences = differences(want, live);
    assert_eq!(differences.len(), 1, "{differences:#?}");
    let difference = differences.into_iter().next().unwrap();
    assert_eq!(
        (difference.path().to_string().as_str(), difference.kind()),
        (path, kind),
        "{difference:#?}"
    );
    difference
}

pub(super) fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "challenge-prism", "namespace": "p", "labels": { "app.kubernetes.io/name": "prism" } },
        "spec": {
            "replicas": 1,
            "serviceName": "challenge-prism",
            "selector": { "matchLabels": { "app.kubernetes.io/name": "prism" } },
            "template": {
                "metadata": { "labels": { "app.kubernetes.io/name": "prism" } },
                "spec": {
                    "hostNetwork": false,
                    "nodeSelector": { "gpu": "a100" },
                    "containers": [
                        {
                            "name": "challenge", "image": "prism:1", "args": ["serve"],
                            "env": [
                                { "name": "A", "value": "1" },
                                { "name": "B", "value": "" },
                                { "name": "C", "value": "3" },
                            ],
                            "ports": [{ "name": "http", "containerPort": 8000 }],
                            "resources": { "limits": { "cpu": "500m", "memory": "4Gi" } },
                            "volumeMounts": [{ "name": "data", "mountPath": "/data", "readOnly": false }],
                        },
                        { "name": "helper", "image": "helper:1" },
                    ],
                    "volumes": [{ "name": "tmp", "emptyDir": {} }],
                },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }],
        },
    })
}

pub(super) fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": {
            "type": "ClusterIP", "selector": { "app": "a" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }, { "name": "metrics", "port": 81 }],
        },
    })
}

pub(super) fn secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "s", "labels": { "app": "a" } },
        "data": { "token": "Y2FuYXJ5LW9uZQ==", "url": "Y2FuYXJ5LXR3bw==" },
    })
}

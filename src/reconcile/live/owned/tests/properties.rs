//! What holds for any want, any foreign edit, and any bytes a cluster may send.

use proptest::{collection, prelude::*, sample::Index, test_runner::TestCaseError};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Comparison, Effect, Kind, fingerprint, foreign_items, is_settled, owned_fingerprint,
        same::{self, Units},
    },
    world::{US, applied, compare, differences, stateful_set},
};

use crate::model::document::Document;

fn word() -> impl Strategy<Value = String> {
    "[a-d]{1,2}"
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("")),
        "[a-z0-9é\"\\\\]{1,6}".prop_map(Value::from)
    ]
}

fn map() -> impl Strategy<Value = Value> {
    collection::btree_map("[a-c./-]{1,4}", text(), 1..4).prop_map(|map| json!(map))
}

/// A list of items with different names.
fn named(item: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    collection::vec((word(), item), 1..5).prop_map(|items| {
        let mut seen = std::collections::BTreeSet::new();
        let kept = items
            .into_iter()
            .filter(|(name, _)| seen.insert(name.clone()));
        kept.map(|(name, mut item)| {
            item["name"] = json!(name);
            item
        })
        .collect()
    })
}

fn env() -> impl Strategy<Value = Value> {
    named(text().prop_map(|value| json!({ "value": value })))
}

fn ports() -> impl Strategy<Value = Value> {
    collection::btree_map(
        1..9_u16,
        prop::option::of(prop_oneof![Just("TCP"), Just("UDP")]),
        1..4,
    )
    .prop_map(|ports| {
        let port = |(port, protocol): (u16, Option<&str>)| match protocol {
            Some(protocol) => json!({ "containerPort": port, "protocol": protocol }),
            None => json!({ "containerPort": port }),
        };
        ports.into_iter().rev().map(port).collect()
    })
}

fn container() -> impl Strategy<Value = Value> {
    (text(), env(), ports(), collection::vec(word(), 1..3), any::<bool>(), 0..3_u32).prop_map(
        |(image, env, ports, args, tty, cpu)| {
            let limits = json!({ "cpu": format!("{cpu}500m"), "memory": "4Gi" });
            json!({ "image": image, "env": env, "ports": ports, "args": args, "tty": tty, "resources": { "limits": limits } })
        },
    )
}

fn want() -> impl Strategy<Value = Value> {
    let finalizers = collection::btree_set("[a-d]/[a-d]", 1..4);
    (map(), finalizers, named(container()), map(), any::<bool>(), 0..3_u32).prop_map(
        |(labels, finalizers, containers, selector, host, replicas)| {
            let pod = json!({ "containers": containers, "nodeSelector": selector, "hostNetwork": host,
                "volumes": [{ "name": "tmp", "emptyDir": {} }] });
            let template = json!({ "metadata": { "labels": labels }, "spec": pod });
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": "x", "labels": labels, "finalizers": finalizers },
                "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": template },
            })
        },
    )
}

/// Any JSON, with the names that mean something here among its own.
fn anything() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("f:spec".to_owned()),
        Just("f:a".to_owned()),
        Just("a".to_owned()),
        Just("spec".to_owned()),
        Just("metadata".to_owned()),
        Just("f:metadata".to_owned()),
        Just(".".to_owned()),
        Just(r#"k:{"name":"a"}"#.to_owned()),
        Just("k:{".to_owned()),
        Just("v:1".to_owned()),
        "[fkvi]:.{0,4}",
        ".{0,3}",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            collection::btree_map(name.clone(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// The record paths of all leaves below a node: names of children from the top.
fn leaves(fields: &Value, above: &[String], found: &mut Vec<Vec<String>>) {
    let children = fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != ".");
    let mut is_leaf = true;
    for (name, fields) in children {
        is_leaf = false;
        let path: Vec<String> = above.iter().cloned().chain([name.clone()]).collect();
        leaves(fields, &path, found);
    }
    if is_leaf {
        found.push(above.to_vec());
    }
}

fn record(live: &mut Value) -> &mut Value {
    &mut live["metadata"]["managedFields"][0]["fieldsV1"]
}

/// Takes one leaf out of our record as the server does: parents that are left empty go with it, unless
/// they are list items, which are owned themselves. Returns whether one was emptied: it then reads as a
/// single value.
fn disown(live: &mut Value, path: &[String]) -> bool {
    let (last, parents) = path.split_last().unwrap();
    let parent = parents
        .iter()
        .fold(record(live), |node, name| node.get_mut(name).unwrap());
    let children = parent.as_object_mut().unwrap();
    children.remove(last);
    if children.keys().any(|name| name != ".") {
        return false;
    }
    if parents.last().is_some_and(|name| name.starts_with("k:")) {
        children.clear();
        return true;
    }
    parents.is_empty() || disown(live, parents)
}

/// Changes the live value at a record path; does nothing where the server stores none.
fn mutate(live: &mut Value, path: &[String]) {
    let mut node = Some(live);
    for name in path {
        let (prefix, text) = name.split_at(2);
        node = node.and_then(|node| match prefix {
            "f:" => node.get_mut(text),
            "k:" => {
                let key: Value = serde_json::from_str(text).unwrap();
                let holds = |item: &Value| {
                    key.as_object()
                        .unwrap()
                        .iter()
                        .all(|(name, value)| item.get(name) == Some(value))
                };
                node.as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .find(|item| holds(item))
            }
            _ => None,
        });
    }
    if let Some(node) = node {
        *node = match &*node {
            Value::String(text) => json!(format!("{text}+")),
            Value::Number(_) => json!(77),
            Value::Bool(is) => json!(!is),
            Value::Array(_) => json!(["other"]),
            _ => json!({ "other": "x" }),
        };
    }
}

/// Checks what every list of differences promises.
fn check(comparison: &Comparison) -> Result<(), TestCaseError> {
    if let Comparison::Different(all) = comparison {
        prop_assert!(!all.listed().is_empty() && all.listed().len() <= 200);
        prop_assert!(
            all.listed()
                .is_sorted_by_key(|difference| difference.path())
        );
    }
    Ok(())
}

fn pruned(want: &Value) -> Value {
    Document::of(want).to_value()
}

fn has_default_port(want: &Value) -> bool {
    let containers = want["spec"]["template"]["spec"]["containers"].as_array();
    let ports = containers
        .unwrap()
        .iter()
        .flat_map(|of| of["ports"].as_array().unwrap());
    ports.into_iter().any(|port| port["protocol"].is_null())
}

proptest! {
    #[test]
    fn what_was_applied_is_equal(want in want()) {
        let live = applied(&want);
        prop_assert_eq!(compare(&want, &live, US), Comparison::Equal);
        prop_assert_eq!(foreign_items(&want, &live, US), vec![]);
    }

    #[test]
    fn what_was_applied_is_settled_unless_a_key_was_defaulted(want in want()) {
        let live = applied(&want);
        let is_defaulted = has_default_port(&want);
        prop_assert!(is_defaulted || is_settled(Document::from(&want).view(), Document::from(&live).view(), US));
    }

    #[test]
    fn a_leaf_that_lost_its_owner_is_a_difference(want in want(), which in any::<Index>(), is_mutated: bool) {
        let mut live = applied(&want);
        let mut paths = Vec::new();
        leaves(record(&mut live), &[], &mut paths);
        let path = which.get(&paths);
        if is_mutated {
            mutate(&mut live, path);
        }
        let is_one_value = disown(&mut live, path);
        let comparison = compare(&want, &live, US);
        check(&comparison)?;
        let is_different = matches!(comparison, Comparison::Different(_));
        prop_assert!(is_different || (is_one_value && !is_mutated), "{path:?}");
    }

    #[test]
    fn a_want_that_changed_is_different_exactly_where_it_changed(before in want(), after in want()) {
        let live = applied(&before);
        let comparison = compare(&after, &live, US);
        check(&comparison)?;
        // Neither side has blanks where absence means the same, so sameness can be told from the outside.
        let is_same = same::is_same(Some(&after["spec"]), Some(&before["spec"]), Units::Plain)
            && after["metadata"] == before["metadata"];
        if comparison == Comparison::Equal {
            prop_assert!(is_same);
        }
        if before == after {
            prop_assert_eq!(comparison, Comparison::Equal);
        }
    }

    #[test]
    fn foreign_additions_leave_it_equal(want in want(), labels in collection::btree_map("foreign-[a-z]{1,3}", "[a-z]*", 0..4), env in env()) {
        let mut live = applied(&want);
        for (name, value) in labels {
            live["metadata"]["labels"][name] = json!(value);
        }
        let list = live["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        for (index, item) in env.as_array().unwrap().iter().enumerate() {
            let mut item = item.clone();
            item["name"] = json!(format!("FOREIGN{index}"));
            list.insert(index.min(list.len()), item);
        }
        live["status"] = json!({ "replicas": 3 });
        prop_assert_eq!(compare(&want, &live, US), Comparison::Equal);
    }

    #[test]
    fn a_lost_leaf_whose_value_is_there_differs_in_ownership_only(want in want(), which in any::<Index>()) {
        let mut live = applied(&want);
        let mut paths = Vec::new();
        leaves(record(&mut live), &[], &mut paths);
        let path = which.get(&paths);
        let is_one_value = disown(&mut live, path);
        prop_assume!(!is_one_value);
        for difference in differences(&want, &live) {
            let is_blank = difference.kind() == Kind::Missing;
            let expected = if is_blank { Effect::Content } else { Effect::Ownership };
            prop_assert!(is_blank || difference.kind() == Kind::Taken, "{:?}", difference);
            prop_assert_eq!(difference.effect(), expected, "{:?}", difference);
        }
    }

    #[test]
    fn any_record_over_any_object_is_read_without_panic(want in anything(), live in anything(), fields in anything()) {
        let mut want = want;
        let mut live = live;
        for object in [&mut want, &mut live] {
            if !object.is_object() {
                *object = json!({ "a": object.clone() });
            }
        }
        want["apiVersion"] = json!("v1");
        let record = json!({ "manager": US, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields });
        live["metadata"] = json!({ "managedFields": [record, fields, want.clone()] });
        check(&compare(&want, &live, US))?;
        for kind in ["Secret", "Service", "Pod", "Deployment"] {
            want["kind"] = json!(kind);
            check(&compare(&want, &live, US))?;
            prop_assert!(foreign_items(&want, &live, US).len() <= 200);
        }
        prop_assert_eq!(owned_fingerprint(&live, US), owned_fingerprint(&live.clone(), US));
    }

    #[test]
    fn any_record_over_a_real_object_is_read_without_panic(fields in anything()) {
        let want = stateful_set();
        let mut live = applied(&want);
        record(&mut live)["f:spec"]["f:template"] = fields;
        check(&compare(&want, &live, US))?;
    }

    #[test]
    fn anything_at_all_is_compared_without_panic(want in anything(), live in anything()) {
        check(&compare(&want, &live, US))?;
        prop_assert!(foreign_items(&want, &live, "").len() <= 200);
        let _: Option<_> = owned_fingerprint(&live, "");
    }

    #[test]
    fn pruning_twice_changes_nothing_more(value in anything()) {
        let once = pruned(&value);
        prop_assert_eq!(pruned(&once), once);
    }

    #[test]
    fn pruning_a_want_does_not_change_the_answer(want in want()) {
        let mut noisy = want.clone();
        noisy["spec"]["paused"] = json!(null);
        noisy["spec"]["template"]["spec"]["tolerations"] = json!([]);
        let live = applied(&want);
        prop_assert_eq!(compare(&noisy, &live, US), Comparison::Equal);
        prop_assert_eq!(pruned(&noisy), pruned(&want));
    }

    #[test]
    fn a_fingerprint_survives_reading_it_back(value in anything()) {
        let back: Value = serde_json::from_str(&value.to_string()).unwrap();
        if back == value {
            prop_assert_eq!(fingerprint(&back), fingerprint(&value));
        }
        let wrapped: Map<String, Value> = [("a".to_owned(), value.clone())].into_iter().collect();
        prop_assert_ne!(fingerprint(&wrapped.into()), fingerprint(&value));
    }
}

//! What has to be put right before an apply: items in its way, records of earlier writers.

use serde_json::{Value, json};

use super::super::{Comparison, Kind, needs_take_over, release, standing, take_over, unblock};
use super::world::{
    US, applied, assert_single, compare, differences, fields_of, lines, lost, service, stateful_set,
};

/// A Service with one port, which somebody renumbered: we own no item of the list any more.
fn renumbered() -> (Value, Value) {
    let mut want = service();
    want["spec"]["ports"] = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let mut live = applied(&want);
    live["spec"]["ports"][0]["port"] = json!(8080);
    lost(&mut live, &["f:spec", "f:ports"]);
    let ports = json!({ r#"k:{"port":8080,"protocol":"TCP"}"#: { ".": {}, "f:port": {} } });
    record(
        &mut live,
        "kubectl-edit",
        "Update",
        json!({"f:spec": {"f:ports": ports}}),
    );
    (want, live)
}

fn record(live: &mut Value, manager: &str, operation: &str, fields: Value) {
    let record = json!({ "manager": manager, "operation": operation, "apiVersion": "v1",
        "time": "2026-02-02T00:00:00Z", "fieldsV1": fields });
    let records = live["metadata"]["managedFields"].as_array_mut().unwrap();
    records.push(record);
}

#[test]
fn the_only_port_that_another_renumbered_is_replaced_in_its_place() {
    let (want, live) = renumbered();
    let difference = assert_single(&want, &live, "spec.ports[80/TCP]", Kind::Blocked);
    assert_eq!(
        unblock(&[difference], &live),
        [json!({"op": "replace", "path": "/spec/ports/0", "value": want["spec"]["ports"][0]})]
    );
}

#[test]
fn a_port_that_took_the_name_of_ours_is_removed() {
    let want = service();
    let mut live = applied(&want);
    live["spec"]["ports"][0]["name"] = json!("web");
    let ports = live["spec"]["ports"].as_array_mut().unwrap();
    ports.push(json!({"name": "http", "port": 9000, "protocol": "TCP"}));
    let key = r#"k:{"port":80,"protocol":"TCP"}"#;
    lost(&mut live, &["f:spec", "f:ports", key, "f:name"]);
    let blocked: Vec<_> = differences(&want, &live);
    assert_eq!(
        lines(&want, &live),
        [
            "spec.ports[80/TCP] Blocked",
            "spec.ports[80/TCP].name Taken"
        ]
    );
    assert_eq!(
        unblock(&blocked, &live),
        [json!({"op": "remove", "path": "/spec/ports/2"})]
    );
}

#[test]
fn a_port_of_ours_that_others_hold_too_blocks_the_one_that_follows_it() {
    let mut want = service();
    let mut live = applied(&want);
    let ports = json!({ r#"k:{"port":80,"protocol":"TCP"}"#: { ".": {}, "f:port": {} } });
    record(
        &mut live,
        "other",
        "Apply",
        json!({"f:spec": {"f:ports": ports}}),
    );
    want["spec"]["ports"][0]["port"] = json!(8080);
    assert_eq!(
        lines(&want, &live),
        [
            "spec.ports[80/TCP] Unwanted",
            "spec.ports[8080/TCP] Blocked"
        ]
    );
}

#[test]
fn container_ports_are_replaced_within_their_container() {
    let want = stateful_set();
    let mut live = applied(&want);
    let container = &mut live["spec"]["template"]["spec"]["containers"][0];
    container["ports"][0]["containerPort"] = json!(9000);
    let name = r#"k:{"name":"challenge"}"#;
    let above = [
        "f:spec",
        "f:template",
        "f:spec",
        "f:containers",
        name,
        "f:ports",
    ];
    lost(&mut live, &above);
    let ports = json!({ r#"k:{"containerPort":9000,"protocol":"TCP"}"#: { ".": {} } });
    let theirs = above[..5].iter().rev().fold(
        json!({"f:ports": ports}),
        |below, name| json!({ *name: below }),
    );
    record(&mut live, "kubectl-edit", "Update", theirs);
    let operations = unblock(&differences(&want, &live), &live);
    assert_eq!(
        operations[0]["path"],
        "/spec/template/spec/containers/0/ports/0"
    );
}

#[test]
fn nothing_is_in_the_way_of_an_ordinary_change() {
    let mut want = service();
    let live = applied(&want);
    want["spec"]["ports"][0]["port"] = json!(8080);
    assert!(unblock(&differences(&want, &live), &live).is_empty());
}

fn labelled(mut want: Value) -> Value {
    want["metadata"]["labels"] = json!({
        "platform.component": "challenge", "platform.challenge.slug": "prism",
    });
    want
}

/// The same object, made by another tool with a few things more.
fn made_by_another(want: &Value) -> Value {
    let mut made = want.clone();
    let pod = &mut made["spec"]["template"]["spec"];
    pod["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "OLD", "value": "1"}));
    pod["dnsPolicy"] = json!("ClusterFirst");
    pod["hostname"] = json!("old");
    made["spec"]["replicas"] = json!(3);
    made["spec"]["podManagementPolicy"] = json!("Parallel");
    made["metadata"]["labels"]["old"] = json!("yes");
    made["metadata"]["annotations"] = json!({
        "example.org/old": "yes", "deployment.kubernetes.io/revision": "4",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    });
    made["metadata"]["finalizers"] = json!(["a/b"]);
    made
}

fn earlier() -> (Value, Value, Value) {
    let mut want = labelled(stateful_set());
    let made = made_by_another(&want);
    // A count that the want leaves to somebody else.
    want["spec"].as_object_mut().unwrap().remove("replicas");
    let mut live = applied(&made);
    live["metadata"]["managedFields"][0]["manager"] = json!("earlier");
    live["metadata"]["managedFields"][0]["operation"] = json!("Update");
    record(
        &mut live,
        "kubectl-label",
        "Update",
        json!({"f:metadata": {"f:labels": {"f:team": {}}}}),
    );
    let mut fresh = applied(&want);
    fresh["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
    fresh["spec"]["podManagementPolicy"] = json!("OrderedReady");
    (want, live, fresh)
}

#[test]
fn leftovers_are_taken_over_and_defaults_counts_and_others_fields_are_not() {
    let (want, live, fresh) = earlier();
    assert!(needs_take_over(&live, US));
    let taken = take_over(&want, &live, &fresh, US).unwrap();
    assert_eq!(taken.from, ["earlier"]);
    let records = taken.records.as_array().unwrap();
    let managers: Vec<_> = records.iter().map(|record| &record["manager"]).collect();
    assert_eq!(managers, [US, "kubectl-label"]);
    assert_eq!(records[0]["operation"], "Apply");
    let env = json!({ r#"k:{"name":"OLD"}"#: { ".": {}, "f:name": {}, "f:value": {} } });
    let containers = json!({ r#"k:{"name":"challenge"}"#: { "f:env": env } });
    let annotations = json!({
        "f:example.org/old": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {},
    });
    assert_eq!(
        records[0]["fieldsV1"],
        json!({
            "f:metadata": { "f:annotations": annotations, "f:labels": { "f:old": {} } },
            "f:spec": { "f:template": { "f:spec": { "f:containers": containers, "f:hostname": {} } } },
        })
    );
}

#[test]
fn only_who_made_the_object_as_ours_gives_its_record_up() {
    let (want, mut live, fresh) = earlier();
    lost_label(&mut live);
    assert!(!needs_take_over(&live, US));
    assert_eq!(take_over(&want, &live, &fresh, US), None);
    // Once we own something, another's edit of our labels makes it no earlier writer.
    let (want, mut live, _) = earlier();
    record(&mut live, US, "Apply", fields_of(&want));
    assert!(!needs_take_over(&live, US));
}

fn lost_label(live: &mut Value) {
    lost(live, &["f:metadata", "f:labels", "f:platform.component"]);
}

#[test]
fn a_wiped_record_is_joined_to_ours() {
    let (want, mut live, fresh) = earlier();
    live["metadata"]["managedFields"][0]["manager"] = json!("before-first-apply");
    record(&mut live, US, "Apply", fields_of(&want));
    assert!(needs_take_over(&live, US));
    let taken = take_over(&want, &live, &fresh, US).unwrap();
    live["metadata"]["managedFields"] = taken.records;
    assert!(!needs_take_over(&live, US));
    let Comparison::Different(differences) = compare(&want, &live, US) else {
        panic!("the leftovers differ");
    };
    assert!(differences.listed().iter().any(|difference| {
        difference.path().to_string().ends_with("env[OLD]") && difference.kind() == Kind::Unwanted
    }));
}

#[test]
fn one_path_is_released_and_no_other() {
    let want = stateful_set();
    let mut live = applied(&want);
    release(
        &mut live["metadata"]["managedFields"],
        US,
        &["f:spec", "f:replicas"],
    );
    assert_eq!(lines(&want, &live), ["spec.replicas Taken"]);
    release(
        &mut live["metadata"]["managedFields"],
        US,
        &["f:no", "f:where"],
    );
    assert_eq!(lines(&want, &live), ["spec.replicas Taken"]);
}

#[test]
fn a_status_write_leaves_an_object_standing_and_an_edit_does_not() {
    let mut live = applied(&stateful_set());
    let before = standing(&live);
    live["metadata"]["resourceVersion"] = json!("8");
    live["status"] = json!({"readyReplicas": 1});
    record(&mut live, "controller", "Update", json!({"f:status": {}}));
    live["metadata"]["managedFields"][1]["subresource"] = json!("status");
    assert_eq!(standing(&live), before);
    live["spec"]["replicas"] = json!(2);
    assert_ne!(standing(&live), before);
}

//! What may happen to an object, and what the comparison says of it.

use serde_json::{Value, json};

use super::{
    super::{Comparison, Effect, Kind, Values, fingerprint, is_refused, owned_fingerprint},
    world::{
        US, applied, assert_single, compare, differences, lines, lost, secret, service,
        stateful_set, taken,
    },
};

const CONTAINER: [&str; 5] = [
    "f:spec",
    "f:template",
    "f:spec",
    "f:containers",
    r#"k:{"name":"challenge"}"#,
];

fn in_container<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&CONTAINER, rest].concat()
}

fn container(object: &mut Value) -> &mut Value {
    &mut object["spec"]["template"]["spec"]["containers"][0]
}

fn assert_equal(want: &Value, live: &Value) {
    assert_eq!(compare(want, live, US), Comparison::Equal);
}

#[test]
fn what_was_just_applied_is_equal() {
    for want in [stateful_set(), service(), secret()] {
        assert_equal(&want, &applied(&want));
    }
}

#[test]
fn an_owned_value_changed_by_another_names_who_and_when() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["image"] = json!("prism:hacked");
    taken(&mut live, "kubectl-edit", &in_container(&["f:image"]));

    let difference = assert_single(
        &want,
        &live,
        "spec.template.spec.containers[challenge].image",
        Kind::Taken,
    );
    let holder = difference.holder().unwrap();
    assert_eq!(
        (holder.manager.as_str(), holder.operation.as_str()),
        ("kubectl-edit", "Update")
    );
    assert_eq!(holder.at.as_deref(), Some("2026-02-02T00:00:00Z"));
    assert_eq!(difference.effect(), Effect::Content);
    let shown = Values::Shown {
        want: Some(json!("prism:1")),
        live: Some(json!("prism:hacked")),
    };
    assert_eq!(difference.values(), &shown);
}

#[test]
fn an_owned_value_removed_by_another_is_missing_and_nobody_is_named() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["metadata"]["labels"].as_object_mut().unwrap().clear();
    lost(
        &mut live,
        &["f:metadata", "f:labels", "f:app.kubernetes.io/name"],
    );
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"]["."] = json!({});
    let difference = assert_single(&want, &live, "metadata.labels", Kind::Changed);
    assert_eq!(difference.holder(), None);

    lost(&mut live, &["f:metadata"]);
    assert_single(
        &want,
        &live,
        "metadata.labels[app.kubernetes.io/name]",
        Kind::Missing,
    );
}

#[test]
fn a_scaled_object_names_the_subresource() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["spec"]["replicas"] = json!(4);
    taken(&mut live, "kubectl", &["f:spec", "f:replicas"]);
    live["metadata"]["managedFields"][1]["subresource"] = json!("scale");
    let difference = assert_single(&want, &live, "spec.replicas", Kind::Taken);
    assert_eq!(
        difference.holder().unwrap().subresource.as_deref(),
        Some("scale")
    );
}

#[test]
fn a_value_changed_and_changed_back_differs_in_ownership_only() {
    let want = stateful_set();
    let mut live = applied(&want);
    taken(&mut live, "kubectl-edit", &["f:spec", "f:replicas"]);
    let difference = assert_single(&want, &live, "spec.replicas", Kind::Taken);
    assert_eq!(difference.effect(), Effect::Ownership);
    let Comparison::Different(all) = compare(&want, &live, US) else {
        panic!()
    };
    assert!(all.is_ownership_only());
}

#[test]
fn what_is_added_to_an_atomic_value_is_a_difference() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["args"] = json!(["serve", "--debug"]);
    taken(&mut live, "x", &in_container(&["f:args"]));
    live["spec"]["template"]["spec"]["nodeSelector"]["zone"] = json!("b");
    assert_eq!(
        lines(&want, &live),
        [
            "spec.template.spec.containers[challenge].args Taken",
            "spec.template.spec.nodeSelector Changed",
        ]
    );
}

#[test]
fn another_order_is_shown_as_one() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["env"]
        .as_array_mut()
        .unwrap()
        .swap(0, 2);
    let difference = assert_single(
        &want,
        &live,
        "spec.template.spec.containers[challenge].env",
        Kind::Reordered,
    );
    let shown = Values::Shown {
        want: Some(json!(["A", "B", "C"])),
        live: Some(json!(["C", "B", "A"])),
    };
    assert_eq!(difference.values(), &shown);

    let mut live = applied(&want);
    live["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .swap(0, 1);
    assert_single(
        &want,
        &live,
        "spec.template.spec.containers",
        Kind::Reordered,
    );
}

#[test]
fn foreign_items_between_ours_do_not_count_as_another_order() {
    let want = stateful_set();
    let mut live = applied(&want);
    let env = container(&mut live)["env"].as_array_mut().unwrap();
    env.insert(0, json!({ "name": "INJECTED", "value": "x" }));
    env.insert(2, json!({ "name": "INJECTED2", "value": "x" }));
    assert_equal(&want, &live);
}

#[test]
fn the_same_quantity_spelled_otherwise_is_equal() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["resources"]["limits"] = json!({ "cpu": "0.5", "memory": "4096Mi" });
    assert_equal(&want, &live);
    container(&mut live)["resources"]["limits"]["cpu"] = json!("501m");
    assert_single(
        &want,
        &live,
        "spec.template.spec.containers[challenge].resources.limits.cpu",
        Kind::Changed,
    );
}

#[test]
fn foreign_additions_and_defaults_are_left_alone() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["metadata"]["labels"]["foreign"] = json!("x");
    live["metadata"]["annotations"] = json!({ "foreign": "x" });
    live["spec"]["podManagementPolicy"] = json!("OrderedReady");
    live["status"] = json!({ "replicas": 1 });
    container(&mut live)["imagePullPolicy"] = json!("IfNotPresent");
    let pod = &mut live["spec"]["template"]["spec"];
    pod["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "sidecar", "image": "x" }));
    pod["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "injected", "emptyDir": {} }));
    assert_equal(&want, &live);

    let want = service();
    let mut live = applied(&want);
    live["spec"]["clusterIP"] = json!("10.0.0.1");
    live["spec"]["ports"][0]["nodePort"] = json!(30000);
    live["spec"]["ports"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "port": 99, "protocol": "TCP" }));
    assert_equal(&want, &live);
}

#[test]
fn a_guarded_default_that_somebody_changed_is_a_difference() {
    let want = stateful_set();
    let mut live = applied(&want);
    assert_eq!(live["spec"]["template"]["spec"].get("hostNetwork"), None);
    live["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    taken(
        &mut live,
        "x",
        &["f:spec", "f:template", "f:spec", "f:hostNetwork"],
    );
    assert_single(&want, &live, "spec.template.spec.hostNetwork", Kind::Taken);
}

#[test]
fn an_update_under_our_own_name_is_named_like_any_other() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["spec"]["replicas"] = json!(2);
    taken(&mut live, US, &["f:spec", "f:replicas"]);
    let difference = assert_single(&want, &live, "spec.replicas", Kind::Taken);
    assert_eq!(difference.holder().unwrap().operation, "Update");
}

#[test]
fn an_apply_of_other_values_under_our_own_name_is_a_difference() {
    let want = stateful_set();
    let mut other = want.clone();
    other["spec"]["replicas"] = json!(2);
    other["spec"]["minReadySeconds"] = json!(5);
    assert_eq!(
        lines(&want, &applied(&other)),
        ["spec.minReadySeconds Unwanted", "spec.replicas Changed"]
    );
}

#[test]
fn a_co_owner_of_the_same_value_changes_nothing() {
    let want = stateful_set();
    let mut live = applied(&want);
    let mut theirs = live["metadata"]["managedFields"][0].clone();
    theirs["manager"] = json!("argo");
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(theirs);
    assert_equal(&want, &live);
}

#[test]
fn what_is_no_longer_wanted_is_removed_unless_another_keeps_it() {
    let mut want = stateful_set();
    let mut live = applied(&want);
    want["spec"].as_object_mut().unwrap().remove("replicas");
    let alone = assert_single(&want, &live, "spec.replicas", Kind::Unwanted);
    assert_eq!((alone.effect(), alone.holder()), (Effect::Content, None));

    let theirs = json!({ "manager": "hpa", "operation": "Update", "fieldsV1": { "f:spec": { "f:replicas": {} } } });
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(theirs);
    let kept = assert_single(&want, &live, "spec.replicas", Kind::Unwanted);
    assert_eq!(kept.effect(), Effect::Ownership);
    assert_eq!(kept.holder().unwrap().manager, "hpa");
}

#[test]
fn replicas_that_are_not_wanted_are_equal_at_any_count() {
    let mut want = stateful_set();
    want["spec"].as_object_mut().unwrap().remove("replicas");
    let mut live = applied(&want);
    live["spec"]["replicas"] = json!(7);
    assert_equal(&want, &live);
}

#[test]
fn wanting_what_is_there_already_differs_in_ownership_only() {
    let mut want = stateful_set();
    let mut live = applied(&want);
    want["spec"]["minReadySeconds"] = json!(5);
    live["spec"]["minReadySeconds"] = json!(5);
    let difference = assert_single(&want, &live, "spec.minReadySeconds", Kind::Taken);
    assert_eq!(difference.effect(), Effect::Ownership);
}

#[test]
fn a_renamed_item_is_one_unwanted_and_one_missing() {
    let mut want = stateful_set();
    let live = applied(&want);
    container(&mut want)["env"][2]["name"] = json!("D");
    container(&mut want)["name"] = json!("main");
    want["spec"]["template"]["spec"]["containers"][1]["image"] = json!("helper:2");
    assert_eq!(
        lines(&want, &live),
        [
            "spec.template.spec.containers[challenge] Unwanted",
            "spec.template.spec.containers[helper].image Changed",
            "spec.template.spec.containers[main] Missing",
        ]
    );

    let mut want = service();
    let live = applied(&want);
    want["spec"]["ports"][0]["port"] = json!(8080);
    assert_eq!(
        lines(&want, &live),
        [
            "spec.ports[80/TCP] Unwanted",
            "spec.ports[8080/TCP] Missing"
        ]
    );
}

#[test]
fn a_port_whose_number_another_edited_blocks_every_apply() {
    let want = service();
    let mut live = applied(&want);
    live["spec"]["ports"][0]["port"] = json!(8080);
    lost(
        &mut live,
        &["f:spec", "f:ports", r#"k:{"port":80,"protocol":"TCP"}"#],
    );
    let ports = json!({ r#"k:{"port":8080,"protocol":"TCP"}"#: { ".": {}, "f:port": {} } });
    let theirs = json!({ "manager": "kubectl-edit", "operation": "Update",
        "fieldsV1": { "f:spec": { "f:ports": ports } } });
    let records = live["metadata"]["managedFields"].as_array_mut().unwrap();
    records.push(theirs);
    let difference = assert_single(&want, &live, "spec.ports[80/TCP]", Kind::Blocked);
    let Values::Shown {
        live: Some(blocker),
        ..
    } = difference.values()
    else {
        panic!()
    };
    assert_eq!(blocker["port"], 8080);
    assert_eq!(difference.holder().unwrap().manager, "kubectl-edit");
}

#[test]
fn an_item_removed_or_taken_whole_is_listed_by_its_fields() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["env"][0]["value"] = json!("theirs");
    let item = r#"k:{"name":"A"}"#;
    lost(&mut live, &in_container(&["f:env", item]));
    let theirs = [&CONTAINER[..], &["f:env", item]].concat();
    let members = json!({ ".": {}, "f:name": {}, "f:value": {} });
    let fields = theirs
        .iter()
        .rev()
        .fold(members, |inner, name| json!({ *name: inner }));
    let record = json!({ "manager": "x", "operation": "Apply", "fieldsV1": fields });
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(record);
    container(&mut live)["env"]
        .as_array_mut()
        .unwrap()
        .remove(2);
    lost(&mut live, &in_container(&["f:env", r#"k:{"name":"C"}"#]));
    assert_eq!(
        lines(&want, &live),
        [
            "spec.template.spec.containers[challenge].env[A].name Taken",
            "spec.template.spec.containers[challenge].env[A].value Taken",
            "spec.template.spec.containers[challenge].env[C] Missing",
        ]
    );
    let name = &differences(&want, &live)[0];
    assert_eq!(name.effect(), Effect::Ownership);
}

#[test]
fn a_map_owned_as_one_that_another_extended_differs_in_content() {
    let want = service();
    let mut live = applied(&want);
    live["spec"]["selector"]["extra"] = json!("x");
    taken(&mut live, "kubectl-edit", &["f:spec", "f:selector"]);
    let difference = assert_single(&want, &live, "spec.selector", Kind::Taken);
    assert_eq!(difference.effect(), Effect::Content);
}

#[test]
fn a_field_no_longer_wanted_is_not_called_refused_since_its_default_may_be_there() {
    let mut want = stateful_set();
    want["spec"]["podManagementPolicy"] = json!("OrderedReady");
    let live = applied(&want);
    want["spec"]
        .as_object_mut()
        .unwrap()
        .remove("podManagementPolicy");
    let path = "spec.podManagementPolicy";
    let difference = assert_single(&want, &live, path, Kind::Unwanted);
    assert!(!is_refused("StatefulSet", &difference, &live));
}

#[test]
fn an_item_wanted_twice_is_told_before_the_server_answers_500() {
    let mut want = stateful_set();
    let live = applied(&want);
    let env = container(&mut want)["env"].as_array_mut().unwrap();
    env.push(json!({ "name": "A", "value": "2" }));
    env.push(json!({ "name": "NEW", "value": "1" }));
    env.push(json!({ "name": "NEW", "value": "2" }));
    assert_eq!(
        lines(&want, &live),
        [
            "spec.template.spec.containers[challenge].env[A] Duplicate",
            "spec.template.spec.containers[challenge].env[NEW] Missing",
            "spec.template.spec.containers[challenge].env[NEW] Duplicate",
        ]
    );
}

#[test]
fn nothing_is_owned_without_our_record() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["metadata"]["managedFields"][0]["manager"] = json!("before-first-apply");
    assert_eq!(compare(&want, &live, US), Comparison::NothingOwned);
    live["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    assert_eq!(compare(&want, &live, US), Comparison::NothingOwned);
    assert_eq!(compare(&want, &json!(null), US), Comparison::NothingOwned);
}

#[test]
fn a_terminating_object_is_held_whether_or_not_it_differs() {
    let want = stateful_set();
    let mut live = applied(&want);
    live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(compare(&want, &live, US), Comparison::Terminating);
}

#[test]
fn fields_recorded_in_another_version_ask_the_server() {
    let mut want = stateful_set();
    let live = applied(&want);
    want["apiVersion"] = json!("apps/v2");
    assert_eq!(
        compare(&want, &live, US),
        Comparison::OtherVersion("apps/v1".to_owned())
    );
}

#[test]
fn a_rewritten_value_stays_different_and_the_memo_recognises_it() {
    let want = stateful_set();
    let mut live = applied(&want);
    container(&mut live)["image"] = json!("mirror/prism:1");
    let path = "spec.template.spec.containers[challenge].image";
    assert_single(&want, &live, path, Kind::Changed);

    let memo = (fingerprint(&want), owned_fingerprint(&live, US));
    live["metadata"]["resourceVersion"] = json!("8");
    live["status"] = json!({ "replicas": 1 });
    live["metadata"]["labels"]["foreign"] = json!("x");
    assert_eq!(memo, (fingerprint(&want), owned_fingerprint(&live, US)));
    container(&mut live)["image"] = json!("mirror/prism:2");
    assert_ne!(memo.1, owned_fingerprint(&live, US));
}

#[test]
fn changes_of_immutable_fields_are_known_before_any_request() {
    let refused = |want: &Value, live: &Value, kind: &str| -> Vec<(String, bool)> {
        let differences = differences(want, live);
        differences
            .iter()
            .map(|difference| {
                (
                    difference.path().to_string(),
                    is_refused(kind, difference, live),
                )
            })
            .collect()
    };
    let mut want = stateful_set();
    let live = applied(&want);
    want["spec"]["serviceName"] = json!("other");
    want["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    want["spec"]["selector"]["matchLabels"]["x"] = json!("y");
    want["spec"]["podManagementPolicy"] = json!("Parallel");
    want["spec"]["replicas"] = json!(2);
    let expected = [
        ("spec.podManagementPolicy", true),
        ("spec.replicas", false),
        ("spec.selector", true),
        ("spec.serviceName", true),
        ("spec.volumeClaimTemplates", true),
    ];
    assert_eq!(
        refused(&want, &live, "StatefulSet"),
        expected.map(|(path, is)| (path.to_owned(), is))
    );
}

#[test]
fn an_immutable_field_that_only_lost_its_owner_is_not_refused() {
    let want = stateful_set();
    let mut live = applied(&want);
    taken(&mut live, "x", &["f:spec", "f:serviceName"]);
    let difference = assert_single(&want, &live, "spec.serviceName", Kind::Taken);
    assert!(!is_refused("StatefulSet", &difference, &live));
}

#[test]
fn a_claim_may_grow_when_bound_and_never_shrink() {
    let claim = |size: &str| {
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
            "spec": { "resources": { "requests": { "storage": size } }, "storageClassName": "fast" } })
    };
    let mut live = applied(&claim("10Gi"));
    let is = |want: &Value, live: &Value| {
        is_refused("PersistentVolumeClaim", &differences(want, live)[0], live)
    };
    assert!(is(&claim("20Gi"), &live), "not bound yet");
    live["status"] = json!({ "phase": "Bound" });
    assert!(!is(&claim("20Gi"), &live));
    assert!(is(&claim("10000Mi"), &live));
    let mut other_class = claim("10Gi");
    other_class["spec"]["storageClassName"] = json!("slow");
    assert!(is(&other_class, &live));
}

#[test]
fn a_sealed_secret_refuses_new_data_and_an_open_one_may_be_sealed() {
    let mut want = secret();
    let mut live = applied(&want);
    want["immutable"] = json!(true);
    let seal = assert_single(&want, &live, "immutable", Kind::Missing);
    assert!(!is_refused("Secret", &seal, &live));

    live = applied(&want);
    want["data"]["token"] = json!("eA==");
    let change = assert_single(&want, &live, "data.token", Kind::Changed);
    assert!(is_refused("Secret", &change, &live));
    let mut retyped = secret();
    retyped["type"] = json!("kubernetes.io/tls");
    let change = assert_single(&retyped, &applied(&secret()), "type", Kind::Changed);
    assert!(is_refused("Secret", &change, &live));
}

#[test]
fn a_blank_want_is_equal_to_an_absent_value_once_it_is_owned() {
    let want = stateful_set();
    let mut live = applied(&want);
    assert_eq!(container(&mut live)["env"][1], json!({ "name": "B" }));
    assert_equal(&want, &live);
    lost(
        &mut live,
        &in_container(&["f:env", r#"k:{"name":"B"}"#, "f:value"]),
    );
    let path = "spec.template.spec.containers[challenge].env[B].value";
    let difference = assert_single(&want, &live, path, Kind::Missing);
    assert_eq!(difference.effect(), Effect::Content, "it may be stored");
}

#[test]
fn null_and_empty_lists_in_the_want_are_as_if_not_written() {
    let plain = stateful_set();
    let live = applied(&plain);
    let mut want = plain;
    want["spec"]["minReadySeconds"] = json!(null);
    want["metadata"]["finalizers"] = json!([]);
    assert_equal(&want, &live);
}

#[test]
fn an_empty_object_over_foreign_content_is_a_difference() {
    let mut want = stateful_set();
    container(&mut want)["resources"]["limits"] = json!({});
    let mut live = applied(&want);
    assert_equal(&want, &live);
    container(&mut live)["resources"]["limits"] = json!({ "cpu": "1" });
    assert_single(
        &want,
        &live,
        "spec.template.spec.containers[challenge].resources.limits",
        Kind::Changed,
    );
}

#[test]
fn sets_differ_by_element_and_by_order() {
    let with = |finalizers: &[&str]| {
        let mut want = service();
        want["metadata"]["finalizers"] = json!(finalizers);
        want
    };
    let live = applied(&with(&["a/x", "b/y"]));
    assert_equal(&with(&["a/x", "b/y"]), &live);
    assert_single(
        &with(&["b/y", "a/x"]),
        &live,
        "metadata.finalizers",
        Kind::Reordered,
    );
    assert_eq!(
        lines(&with(&["a/x", "c"]), &live),
        [
            "metadata.finalizers[b/y] Unwanted",
            "metadata.finalizers[c] Missing"
        ]
    );
}

#[test]
fn a_wanted_default_in_a_key_equals_one_left_out() {
    let mut want = service();
    let live = applied(&want);
    want["spec"]["ports"][0]["protocol"] = json!("TCP");
    // Owned as a key, and not as a field: writing it takes it.
    let difference = assert_single(&want, &live, "spec.ports[80/TCP].protocol", Kind::Taken);
    assert_eq!(difference.effect(), Effect::Ownership);
    want["spec"]["ports"][0]["protocol"] = json!("UDP");
    assert_eq!(
        lines(&want, &live),
        ["spec.ports[80/TCP] Unwanted", "spec.ports[80/UDP] Missing"]
    );
}

#[test]
fn a_wanted_type_that_changed_is_a_difference_and_never_equal() {
    let mut want = service();
    let live = applied(&want);
    want["spec"]["ports"][0]["targetPort"] = json!(80);
    assert_single(&want, &live, "spec.ports[80/TCP].targetPort", Kind::Changed);
    want["spec"]["ports"] = json!({ "not": "a list" });
    assert_single(&want, &live, "spec.ports", Kind::Changed);
}

#[test]
fn no_value_of_a_secret_enters_a_difference() {
    let mut want = secret();
    let mut live = applied(&want);
    want["data"]["token"] = json!("Y2FuYXJ5LXRocmVl");
    want["data"]["new"] = json!("Y2FuYXJ5LWZvdXI=");
    want["metadata"]["annotations"] = json!({ "note": "Y2FuYXJ5LWZpdmU=" });
    want["metadata"]["labels"]["app"] = json!("b");
    want["data"].as_object_mut().unwrap().remove("url");
    assert_eq!(
        lines(&want, &live),
        [
            "data.new Missing",
            "data.token Changed",
            "data.url Unwanted",
            "metadata.annotations Missing",
            "metadata.labels.app Changed",
        ]
    );
    assert!(!format!("{:?}", compare(&want, &live, US)).contains("Y2FuYXJ5"));
    let label = Values::Shown {
        want: Some(json!("b")),
        live: Some(json!("a")),
    };
    assert_eq!(differences(&want, &live)[4].values(), &label);

    live["metadata"]["managedFields"][0]["fieldsV1"] = json!({ "odd": 1 });
    assert!(
        !format!("{:?}", compare(&want, &live, US)).contains("Y2FuYXJ5"),
        "not as a whole either"
    );
}

#[test]
fn an_object_of_no_known_kind_is_treated_as_a_secret() {
    let mut want = secret();
    let live = applied(&want);
    want.as_object_mut().unwrap().remove("kind");
    want["data"]["token"] = json!("eA==");
    let difference = assert_single(&want, &live, "data.token", Kind::Changed);
    assert_eq!(difference.values(), &Values::Hidden);
}

#[test]
fn a_flood_of_differences_is_bounded_and_counted() {
    let data = |value: &str| -> Value {
        (0..500)
            .map(|index| (format!("k{index:03}"), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let map = |value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data(value) });
    let Comparison::Different(all) = compare(&map("a"), &applied(&map("b")), US) else {
        panic!()
    };
    assert_eq!((all.listed().len(), all.unlisted()), (200, 300));
    assert!(!all.is_ownership_only());
}

#[test]
fn records_of_an_unknown_form_are_differences() {
    let want = stateful_set();
    for odd in [
        json!(null),
        json!([]),
        json!("x"),
        json!({ "i:0": {} }),
        json!({ "f:spec": {}, "k:x": {} }),
        json!({ "f:spec": 1 }),
        json!({ "f:spec": { "k:not json": {} } }),
        json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": { "k:{": {}, "k:[1]": {}, "k:": {} } } } } }),
    ] {
        let mut live = applied(&want);
        live["metadata"]["managedFields"][0]["fieldsV1"] = odd;
        assert!(!differences(&want, &live).is_empty());
        assert!(owned_fingerprint(&live, US).is_some());
    }
}

#[test]
fn a_record_nested_without_end_stops_at_a_depth() {
    let nest = |name: &str, end: Value| (0..100).fold(end, |inner, _| json!({ name: inner }));
    let mut want = nest("a", json!(1));
    let mut live = want.clone();
    want["apiVersion"] = json!("v1");
    want["kind"] = json!("X");
    let record = json!({ "manager": US, "operation": "Apply", "apiVersion": "v1", "fieldsV1": nest("f:a", json!({})) });
    live["metadata"] = json!({ "managedFields": [record] });
    let found = differences(&want, &live);
    assert_eq!((found.len(), found[0].kind()), (1, Kind::Unreadable));
    assert!(owned_fingerprint(&live, US).is_some());
}

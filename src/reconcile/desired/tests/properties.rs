//! What holds for every declaration that the check lets through.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::super::fixture::{challenge, deployed, postgres, reference};
use super::super::*;
use super::{build, env};
use crate::spec::platform::{Challenge, Database, Engine};

/// Fails where a null or an empty list stands in a manifest.
fn assert_pruned(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("null at {path}"),
        Value::Array(items) => {
            assert!(!items.is_empty(), "[] at {path}");
            items.iter().for_each(|item| assert_pruned(item, path));
        }
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| assert_pruned(member, &format!("{path}.{name}"))),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_unique(list: &Value, field: &str) {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    let names: BTreeSet<_> = items.iter().map(|item| item[field].to_string()).collect();
    assert_eq!(names.len(), items.len(), "{list}");
}

fn assert_well_formed(desired: &Desired) {
    for (key, wanted) in &desired.items {
        let Some(manifest) = wanted.item.manifest() else {
            continue;
        };
        assert_pruned(&manifest, &key.to_string());
        assert_unique(&manifest["spec"]["ports"], "port");
        let pod = &manifest["spec"]["template"]["spec"];
        assert_unique(&pod["volumes"], "name");
        assert_unique(&pod["containers"], "name");
        for container in pod["containers"].as_array().into_iter().flatten() {
            env(container);
            assert_unique(&container["volumeMounts"], "mountPath");
            assert_unique(&container["ports"], "containerPort");
            assert_eq!(
                container["securityContext"]["allowPrivilegeEscalation"],
                false
            );
        }
        if pod.is_object() {
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault"
            );
        }
        let name = key.object().unwrap().name.len();
        let limit = match key.object().unwrap().kind {
            Kind::StatefulSet | Kind::Deployment => 52,
            Kind::PersistentVolumeClaim => 253,
            _ => 63,
        };
        assert!(name <= limit, "{key}");
    }
}

/// Any challenge that the check lets through, with a canary wherever an author writes free text.
fn any_challenge(canary: &'static str) -> impl Strategy<Value = Challenge> {
    let env = prop::collection::btree_map("[A-Z][A-Z_]{0,12}", Just(canary.to_owned()), 0..6);
    let secrets = prop::collection::btree_set("[a-z][a-z_]{0,12}", 0..4);
    (
        prop::sample::select(vec![2usize, 33, 34, 40]),
        env,
        secrets,
        ".{0,80}",
        prop::bool::ANY,
        0..3,
        0..4,
        prop::bool::ANY,
    )
        .prop_map(
            |(length, env, secrets, version, worker, database, mode, broker)| {
                let mut any = challenge(&"a".repeat(length));
                any.env = env;
                any.version = version;
                let reference = |name: String| (name, reference("declared", "key"));
                any.secrets = secrets.into_iter().map(reference).collect();
                any.worker = worker.then(|| vec!["work".to_owned()]);
                any.database = match database {
                    0 => Database::Managed(postgres()),
                    1 => Database::Sqlite,
                    _ => Database::External(super::fixture::reference("theirs", "url")),
                };
                any.mode = match (mode, deployed("agent").mode) {
                    (0, _) => Mode::StatefulSet,
                    (1, _) => Mode::Deployment { autoscaling: None },
                    (2, mode) => mode,
                    (_, mut mode) => {
                        if let Mode::Deployment {
                            autoscaling: Some(scaling),
                        } = &mut mode
                        {
                            scaling.engine = Engine::Keda;
                        }
                        mode
                    }
                };
                if broker {
                    any.required_capabilities.push("docker_executor".to_owned());
                }
                any
            },
        )
}

const CANARY: &str = "canary-f1d0";

proptest! {
    #[test]
    fn any_declaration_gives_well_formed_objects(any in any_challenge(CANARY)) {
        let first = build([any.clone()]);
        assert_well_formed(&first);
        prop_assert_eq!(&first, &build([any]));
    }

    #[test]
    fn author_values_stand_nowhere_but_in_the_environment(any in any_challenge(CANARY)) {
        let desired = build([any]);
        for (key, wanted) in &desired.items {
            let mut content = match &wanted.item {
                Item::Row(row) => row.0.clone(),
                item => item.manifest().unwrap_or_default(),
            };
            if let Some(spec) = content.get_mut("spec").and_then(Value::as_object_mut) {
                spec.remove("env");
            }
            let containers = content.pointer_mut("/spec/template/spec/containers");
            for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
                container.as_object_mut().unwrap().remove("env");
            }
            prop_assert!(!content.to_string().contains(CANARY), "{key}");
            prop_assert!(!key.to_string().contains(CANARY));
        }
    }
}

//! Members of which an object takes one only: a volume's source, a probe's handler, a variable's value, the
//! number of a named port.
//!
//! When somebody put another one in the place of ours, an apply would add ours beside it and be refused
//! for ever.

use serde_json::{Map, Value, json};

/// Names that exclude each other within one object.
const EXCLUSIVE: [&[&str]; 3] = [
    &["value", "valueFrom"],
    &["exec", "grpc", "httpGet", "tcpSocket"],
    &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ],
];
/// Deeper objects are left alone.
const MAX_DEPTH: usize = 64;

/// Returns operations that put wanted objects in the place of those that hold an alternative to ours. Only
/// for an apply that the server refused: what it removes by itself needs no operation.
pub fn replace_alternatives(want: &Value, live: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    if let (Some(want), Some(live)) = (want.get("spec"), live.get("spec")) {
        walk("/spec", want, live, MAX_DEPTH, &mut operations);
    }
    operations
}

fn walk(at: &str, want: &Value, live: &Value, depth: usize, operations: &mut Vec<Value>) {
    match (want, live) {
        _ if depth == 0 || want == live => {}
        (Value::Object(wanted), Value::Object(there)) => {
            if excludes(wanted, there) {
                operations.push(json!({"op": "replace", "path": at, "value": want}));
                return;
            }
            for (name, want) in wanted {
                if let Some(live) = there.get(name) {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(&format!("{at}/{name}"), want, live, depth - 1, operations);
                }
            }
        }
        (Value::Array(wanted), Value::Array(there)) => {
            for want in wanted {
                let name = want.get("name").filter(|name| name.is_string());
                let same = |item: &Value| name.is_some() && item.get("name") == name;
                if let Some(index) = there.iter().position(same) {
                    let at = format!("{at}/{index}");
                    walk(&at, want, &there[index], depth - 1, operations);
                }
            }
        }
        _ => {}
    }
}

fn excludes(want: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    let has_other = |names: &&[&str]| {
        let is_wanted = |name: &&str| want.contains_key(*name);
        let is_other = |name: &&str| live.contains_key(*name) && !want.contains_key(*name);
        names.iter().any(is_wanted) && names.iter().any(is_other)
    };
    // The parameters of a rolling update stand beside the type that excludes them.
    let is_recreate = want.get("type").is_some_and(|of| of == "Recreate");
    // Items of one name under two keys: a port that somebody renumbered.
    let is_renumbered = ["port", "containerPort"].iter().any(|number| {
        let differs = |name: &str| want.get(name) != live.get(name);
        want.contains_key(*number)
            && want.contains_key("name")
            && (differs(number) || differs("protocol"))
    });
    is_renumbered
        || EXCLUSIVE.iter().any(has_other)
        || (is_recreate && live.contains_key("rollingUpdate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_an_alternative_is_replaced_and_its_neighbours_are_not() {
        let want = json!({"spec": {
            "strategy": {"type": "Recreate"},
            "containers": [{
                "name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}],
                "readinessProbe": {"httpGet": {"port": 1}, "periodSeconds": 1},
            }],
            "ports": [{"name": "http", "port": 1, "protocol": "TCP"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }});
        let live = json!({"spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {}},
            "containers": [{"name": "foreign"}, {
                "name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "valueFrom": {}}],
                "readinessProbe": {"exec": {}, "periodSeconds": 1},
            }],
            "ports": [{"name": "http", "port": 2, "protocol": "TCP"}],
            "volumes": [{"name": "v", "secret": {}}],
        }});
        let operations = replace_alternatives(&want, &live);
        let paths: Vec<_> = operations
            .iter()
            .map(|operation| &operation["path"])
            .collect();
        assert_eq!(
            paths,
            [
                "/spec/containers/1/env/1",
                "/spec/containers/1/readinessProbe",
                "/spec/ports/0",
                "/spec/strategy",
                "/spec/volumes/0",
            ]
        );
        assert_eq!(operations[3]["value"], json!({"type": "Recreate"}));
        assert!(replace_alternatives(&want, &want).is_empty());
    }
}

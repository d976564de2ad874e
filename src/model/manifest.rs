//! What is left out of a manifest before it is sent, and so before it is compared.

use serde_json::Value;

/// Drops null and `[]` members everywhere; `{}` stays, because it means something (`emptyDir: {}`,
/// `podSelector: {}`).
///
/// Both are hazards when sent: the server stores `data: {key: null}` of a Secret as `""` and then writes
/// at every apply, and an empty atomic list raises `generation` at every apply. Elements of lists are
/// kept as they are, since dropping one would move the others.
pub fn prune(manifest: &mut Value) {
    match manifest {
        Value::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|_, member| is_sent(member));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Tells whether a member is sent at all: null and `[]` are dropped.
#[must_use]
pub fn is_sent(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_and_empty_lists_go_and_empty_objects_stay() {
        let want = json!({
            "spec": { "ingress": [], "egress": [{ "to": [], "ports": null }], "podSelector": {}, "a": { "b": null } },
            "data": { "key": null, "empty": "" },
            "args": ["", null, 0],
        });
        let pruned = json!({
            "spec": { "egress": [{}], "podSelector": {}, "a": {} },
            "data": { "empty": "" },
            "args": ["", null, 0],
        });
        for mut value in [want, pruned.clone()] {
            prune(&mut value);
            assert_eq!(value, pruned);
        }
    }
}

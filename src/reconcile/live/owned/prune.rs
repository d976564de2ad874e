//! What is left out of a want before it is compared and sent.

use serde_json::Value;

use super::walk::is_sent;

/// Drops null and `[]` members everywhere in a want; `{}` stays, because it means something
/// (`emptyDir: {}`, `podSelector: {}`).
///
/// Both are hazards when sent: the server stores `data: {key: null}` of a Secret as `""` and then writes
/// at every apply, and an empty atomic list raises `generation` at every apply. Elements of lists are
/// kept as they are, since dropping one would move the others.
pub fn prune(mut want: Value) -> Value {
    prune_in_place(&mut want);
    want
}

fn prune_in_place(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune_in_place);
            members.retain(|_, member| is_sent(member));
        }
        Value::Array(items) => items.iter_mut().for_each(prune_in_place),
        _ => {}
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
        assert_eq!(prune(want), pruned);
        assert_eq!(prune(pruned.clone()), pruned);
    }
}

//! The difference of two registry rows, path by path. Pure.

use serde_json::Value;

use crate::reconcile::live::Change;

/// Returns the paths at which two JSON values differ, in order. Lists are compared as a whole.
#[must_use]
pub fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    descend(String::new(), Some(old), Some(new), &mut found);
    found
}

fn descend(path: String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (old, new) else {
        found.push(Change { path, old: old.cloned(), new: new.cloned(), taken_by: None });
        return;
    };
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let member = match (path.is_empty(), name.contains('.')) {
            (true, _) => name.clone(),
            (false, true) => format!("{path}[{name}]"),
            (false, false) => format!("{path}.{name}"),
        };
        descend(member, before.get(name), after.get(name), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_differing_leaves_are_named() {
        let old = json!({"emission_percent": "30", "spec": {"env": {"A": "1", "B": "2"}, "same": [1]}});
        let new = json!({"emission_percent": "35", "spec": {"env": {"A": "1", "C": "3"}, "same": [1]}});
        let paths: Vec<String> = changes(&old, &new).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["emission_percent", "spec.env.B", "spec.env.C"]);
        assert!(changes(&old, &old).is_empty());
    }
}

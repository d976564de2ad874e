//! The ownership records of an object (`metadata.managedFields`): ours, and who else holds a path.

use serde_json::{Map, Value};

use super::path::Step;

/// Members of an object that the server never records, by the chain of names above them.
pub(super) const UNRECORDED: [&str; 2] = ["apiVersion", "kind"];
pub(super) const UNRECORDED_METADATA: [&str; 6] = [
    "name",
    "namespace",
    "creationTimestamp",
    "managedFields",
    "uid",
    "resourceVersion",
];

/// Another field manager that holds a path, as the server recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The manager's name, for example `kubectl-edit`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource it wrote through (`scale`), if any.
    pub subresource: Option<String>,
    /// When it last changed what it holds, RFC 3339.
    pub at: Option<String>,
}

/// What a node of an ownership record says about the value at its path.
pub(super) enum Shape<'a> {
    /// Owned as one value.
    Leaf,
    /// An object, owned member by member.
    Members(&'a Map<String, Value>),
    /// A list, owned item by item: by key or by value.
    Items(&'a Map<String, Value>),
    /// Not a form this project knows.
    Unknown,
}

/// Returns our record: at most one exists for applies to the object itself.
pub(super) fn ours<'a>(live: &'a Value, manager: &str) -> Option<&'a Value> {
    records(live).find(|record| is_ours(record, manager))
}

/// Returns who, apart from us, holds a path; the latest writer if there are several.
pub(super) fn holder(live: &Value, manager: &str, path: &[Step<'_>]) -> Option<Holder> {
    let names: Vec<String> = path.iter().map(Step::record_name).collect();
    records(live)
        .filter(|record| !is_ours(record, manager) && node(record, &names).is_some())
        .max_by_key(|record| text(record, "time"))
        .map(|record| Holder {
            manager: text(record, "manager").to_owned(),
            operation: text(record, "operation").to_owned(),
            subresource: Some(text(record, "subresource").to_owned())
                .filter(|name| !name.is_empty()),
            at: Some(text(record, "time").to_owned()).filter(|time| !time.is_empty()),
        })
}

/// Tells whether somebody else owns members of the object at this path, so that it is not one value.
pub(super) fn is_held_by_member(live: &Value, manager: &str, path: &[Step<'_>]) -> bool {
    let names: Vec<String> = path.iter().map(Step::record_name).collect();
    records(live)
        .filter(|record| !is_ours(record, manager))
        .filter_map(|record| node(record, &names))
        .any(|fields| matches!(shape(fields), Shape::Members(_)))
}

/// Returns the items of the list at this path that somebody else owns one by one.
pub(super) fn items_of_others<'a>(
    live: &'a Value,
    manager: &str,
    path: &[Step<'_>],
) -> Option<&'a Map<String, Value>> {
    let names: Vec<String> = path.iter().map(Step::record_name).collect();
    records(live)
        .filter(|record| !is_ours(record, manager))
        .filter_map(|record| node(record, &names))
        .find_map(|fields| match shape(fields) {
            Shape::Items(children) => Some(children),
            Shape::Leaf | Shape::Members(_) | Shape::Unknown => None,
        })
}

/// Tells how a node owns its value.
pub(super) fn shape(fields: &Value) -> Shape<'_> {
    let Value::Object(children) = fields else {
        return Shape::Unknown;
    };
    let mut prefixes = children
        .keys()
        .filter(|name| *name != ".")
        .map(|name| name.get(..2));
    match prefixes.next() {
        None => Shape::Leaf,
        Some(Some("f:")) if prefixes.all(|prefix| prefix == Some("f:")) => Shape::Members(children),
        Some(Some("k:")) if prefixes.all(|prefix| prefix == Some("k:")) => Shape::Items(children),
        Some(Some("v:")) if prefixes.all(|prefix| prefix == Some("v:")) => Shape::Items(children),
        Some(_) => Shape::Unknown,
    }
}

/// Tells whether the server leaves this member of the object at `path` out of every record.
pub(super) fn is_unrecorded(path: &[Step<'_>], name: &str) -> bool {
    match path {
        [] => UNRECORDED.contains(&name),
        [Step::Name("metadata")] => UNRECORDED_METADATA.contains(&name),
        _ => false,
    }
}

/// Returns a string member of a record, or "" where there is none.
pub(super) fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns all ownership records.
pub(super) fn records(live: &Value) -> impl Iterator<Item = &Value> {
    let records = live
        .get("metadata")
        .and_then(|metadata| metadata.get("managedFields"));
    records.and_then(Value::as_array).into_iter().flatten()
}

/// Tells whether a record is ours.
pub(super) fn is_ours(record: &Value, manager: &str) -> bool {
    text(record, "manager") == manager
        && text(record, "operation") == "Apply"
        && text(record, "subresource").is_empty()
}

fn node<'a>(record: &'a Value, names: &[String]) -> Option<&'a Value> {
    let root = record.get("fieldsV1")?;
    names.iter().try_fold(root, |node, name| node.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world() -> Value {
        json!({ "metadata": { "managedFields": [
            { "manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {} },
            { "manager": "us", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": { "f:spec": {} } },
            { "manager": "us", "operation": "Apply", "apiVersion": "v1", "fieldsV1": { "f:spec": {} } },
            { "manager": "hpa", "operation": "Update", "subresource": "scale", "time": "2026-01-02T00:00:00Z",
              "fieldsV1": { "f:spec": { "f:replicas": {} } } },
        ] } })
    }

    #[test]
    fn our_record_is_the_apply_to_the_object_itself() {
        let live = world();
        assert_eq!(
            ours(&live, "us").map(|record| text(record, "apiVersion")),
            Some("v1")
        );
        assert!(ours(&live, "hpa").is_none());
        assert!(ours(&json!({ "metadata": { "managedFields": "odd" } }), "us").is_none());
    }

    #[test]
    fn the_latest_other_writer_is_named() {
        let live = world();
        let replicas = holder(&live, "us", &[Step::Name("spec"), Step::Name("replicas")]);
        assert_eq!(
            replicas,
            Some(Holder {
                manager: "hpa".to_owned(),
                operation: "Update".to_owned(),
                subresource: Some("scale".to_owned()),
                at: Some("2026-01-02T00:00:00Z".to_owned()),
            })
        );
        let spec = holder(&live, "us", &[Step::Name("spec")]).map(|holder| holder.manager);
        assert_eq!(spec.as_deref(), Some("hpa"));
        assert_eq!(holder(&live, "us", &[Step::Name("data")]), None);
    }

    #[test]
    fn an_update_under_our_own_name_is_another_writer() {
        let live = json!({ "metadata": { "managedFields": [
            { "manager": "us", "operation": "Update", "fieldsV1": { "f:data": { "f:a": {} } } },
        ] } });
        let holder = holder(&live, "us", &[Step::Name("data"), Step::Name("a")]);
        assert_eq!(
            holder.map(|holder| (holder.manager, holder.operation)),
            Some(("us".to_owned(), "Update".to_owned()))
        );
    }

    #[test]
    fn mixed_and_unknown_children_are_no_known_shape() {
        for odd in [
            json!(null),
            json!([]),
            json!("x"),
            json!({ "f:a": {}, "k:{}": {} }),
            json!({ "i:0": {} }),
            json!({ "f": {} }),
            json!({ "é": {} }),
            json!({ "": {} }),
        ] {
            assert!(matches!(shape(&odd), Shape::Unknown), "{odd}");
        }
        for leaf in [json!({}), json!({ ".": {} })] {
            assert!(matches!(shape(&leaf), Shape::Leaf), "{leaf}");
        }
    }
}

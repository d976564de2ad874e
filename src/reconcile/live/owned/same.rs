//! Whether two values mean the same to the API server: leaves, and what it treats as one value.

use serde_json::{Map, Value};

use super::quantity;

/// Deeper values are taken as different. The JSON parser stops at the same depth.
const MAX_DEPTH: usize = 128;

/// What the names on the way to a value say about quantities below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    /// Nothing.
    Plain,
    /// The members of this object are quantities (`limits`, `requests`).
    Members,
    /// This value is a quantity, or everything below it.
    Quantity,
    /// A member `value` of this object is a quantity (a metric's `target`).
    Target,
    /// Free text to the bottom, whatever the names: a ConfigMap may have a key `sizeLimit`.
    Text,
}

impl Units {
    /// Returns what holds below the member of that name.
    pub(super) fn below(self, name: &str) -> Self {
        match (self, name) {
            (Self::Text, _) => Self::Text,
            (Self::Members | Self::Quantity, _) => Self::Quantity,
            (Self::Target, "value") => Self::Quantity,
            (_, "requests" | "limits" | "hard" | "capacity") => Self::Members,
            (_, "sizeLimit" | "averageValue") => Self::Quantity,
            (_, "target") => Self::Target,
            (_, name) if is_free_map(name) => Self::Text,
            _ => Self::Plain,
        }
    }
}

/// Maps whose keys are chosen by people, and whose values the server never rewrites.
fn is_free_map(name: &str) -> bool {
    matches!(
        name,
        "metadata"
            | "labels"
            | "annotations"
            | "matchLabels"
            | "selector"
            | "nodeSelector"
            | "data"
            | "binaryData"
            | "stringData"
    )
}

/// Tells whether the server would store the same for both. `None` is an absent value.
pub(super) fn is_same(want: Option<&Value>, live: Option<&Value>, units: Units) -> bool {
    compare(present(want), present(live), units, MAX_DEPTH)
}

/// Tells whether a value may be written and yet be absent when read: the server drops it but keeps its path.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// Tells whether the server may have written a value where there was none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn compare(want: Option<&Value>, live: Option<&Value>, units: Units, depth: usize) -> bool {
    match (want, live) {
        (None, None) => true,
        (Some(want), None) => is_blank(want),
        (None, Some(live)) => is_empty(live),
        (Some(_), Some(_)) if depth == 0 => false,
        (Some(Value::Object(want)), Some(Value::Object(live))) => {
            compare_objects(want, live, units, depth - 1)
        }
        (Some(Value::Array(want)), Some(Value::Array(live))) => {
            let item = |(want, live)| compare(Some(want), Some(live), units, depth - 1);
            want.len() == live.len() && want.iter().zip(live).all(item)
        }
        (Some(want), Some(live)) => {
            want == live || (units == Units::Quantity && quantity::is_equal(want, live))
        }
    }
}

fn compare_objects(
    want: &Map<String, Value>,
    live: &Map<String, Value>,
    units: Units,
    depth: usize,
) -> bool {
    let wanted_holds = want.iter().all(|(name, value)| {
        compare(
            present(Some(value)),
            present(live.get(name)),
            units.below(name),
            depth,
        )
    });
    wanted_holds
        && live
            .iter()
            .all(|(name, value)| want.contains_key(name) || is_empty(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(want: &Value, live: &Value) -> bool {
        is_same(Some(want), Some(live), Units::Plain)
    }

    #[test]
    fn blank_values_equal_absent_ones() {
        for blank in [
            json!(null),
            json!(""),
            json!(false),
            json!(0),
            json!(0.0),
            json!([]),
            json!({}),
        ] {
            assert!(is_same(Some(&blank), None, Units::Plain), "{blank}");
            assert!(
                same(&json!({ "a": 1, "b": blank }), &json!({ "a": 1 })),
                "{blank}"
            );
        }
        for set in [
            json!("x"),
            json!(true),
            json!(1),
            json!([0]),
            json!({ "a": "" }),
        ] {
            assert!(!is_same(Some(&set), None, Units::Plain), "{set}");
        }
    }

    #[test]
    fn only_empty_values_may_appear_on_the_live_side_alone() {
        for empty in [json!(null), json!([]), json!({})] {
            assert!(same(&json!({}), &json!({ "a": empty })), "{empty}");
        }
        for set in [json!(""), json!(false), json!(0), json!("x")] {
            assert!(!same(&json!({}), &json!({ "a": set })), "{set}");
        }
    }

    #[test]
    fn lists_are_the_same_item_by_item_in_order() {
        assert!(same(&json!(["a", "b"]), &json!(["a", "b"])));
        assert!(!same(&json!(["a", "b"]), &json!(["b", "a"])));
        assert!(!same(&json!(["a"]), &json!(["a", "b"])));
        assert!(!same(&json!([]), &json!(["a"])));
    }

    #[test]
    fn types_must_match() {
        assert!(!same(&json!("1"), &json!(1)));
        assert!(!same(&json!("true"), &json!(true)));
        assert!(!same(&json!({}), &json!([])));
    }

    #[test]
    fn quantities_are_compared_by_value_where_the_api_has_quantities() {
        for (want, live) in [
            (
                json!({ "limits": { "cpu": "1000m" } }),
                json!({ "limits": { "cpu": "1" } }),
            ),
            (
                json!({ "requests": { "memory": "4096Mi" } }),
                json!({ "requests": { "memory": "4Gi" } }),
            ),
            (
                json!({ "hard": { "pods": 4 } }),
                json!({ "hard": { "pods": "4" } }),
            ),
            (
                json!({ "capacity": { "storage": "1.5Gi" } }),
                json!({ "capacity": { "storage": "1536Mi" } }),
            ),
            (
                json!({ "emptyDir": { "sizeLimit": "1024Mi" } }),
                json!({ "emptyDir": { "sizeLimit": "1Gi" } }),
            ),
            (
                json!({ "target": { "value": "0.5" } }),
                json!({ "target": { "value": "500m" } }),
            ),
            (
                json!([{ "target": { "averageValue": "1k" } }]),
                json!([{ "target": { "averageValue": "1000" } }]),
            ),
        ] {
            assert!(same(&want, &live), "{want} and {live}");
        }
    }

    #[test]
    fn free_text_is_never_a_quantity() {
        for (want, live) in [
            (
                json!({ "data": { "sizeLimit": "1Gi" } }),
                json!({ "data": { "sizeLimit": "1024Mi" } }),
            ),
            (json!({ "limits": "1" }), json!({ "limits": "1000m" })),
            (
                json!({ "metadata": { "labels": { "sizeLimit": "1" } } }),
                json!({ "metadata": { "labels": { "sizeLimit": "1000m" } } }),
            ),
            (
                json!({ "nodeSelector": { "averageValue": "1" } }),
                json!({ "nodeSelector": { "averageValue": "01" } }),
            ),
            (json!({ "value": "1" }), json!({ "value": "01" })),
        ] {
            assert!(!same(&want, &live), "{want} and {live}");
        }
    }

    #[test]
    fn values_too_deep_to_read_are_different() {
        let nest = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(same(&nest(100), &nest(100)));
        assert!(!same(&nest(200), &nest(200)));
    }
}

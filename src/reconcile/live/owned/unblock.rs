//! The JSON patch operations that clear the way of an apply that would be refused for ever.

use serde_json::{Value, json};

use super::difference::{Difference, Kind, Values};
use super::path::Segment;

/// Returns operations that replace, by the wanted items, those that have their names; none where nothing
/// is in the way. Items of ours and of others that are not in the way are not touched.
pub fn unblock(differences: &[Difference], live: &Value) -> Vec<Value> {
    let blocked = differences
        .iter()
        .filter(|difference| difference.kind() == Kind::Blocked);
    // Removals move what comes after them, so they go last, from the end.
    let mut operations: Vec<Operation> = blocked
        .filter_map(|difference| operation(difference, live))
        .collect();
    operations.sort_by_key(|operation| {
        (
            operation.value.is_none(),
            std::cmp::Reverse(operation.index),
        )
    });
    operations.into_iter().map(Operation::into_json).collect()
}

struct Operation {
    list: String,
    index: usize,
    /// What takes the place; nothing when the wanted item is there under its own key.
    value: Option<Value>,
}

impl Operation {
    fn into_json(self) -> Value {
        let path = format!("{}/{}", self.list, self.index);
        match self.value {
            Some(value) => json!({"op": "replace", "path": path, "value": value}),
            None => json!({"op": "remove", "path": path}),
        }
    }
}

fn operation(difference: &Difference, live: &Value) -> Option<Operation> {
    let Values::Shown {
        want: Some(want),
        live: Some(blocker),
    } = difference.values()
    else {
        return None;
    };
    let (item, above) = difference.path().segments().split_last()?;
    let mut at = live;
    let mut list = String::new();
    for segment in above {
        let step = match segment {
            Segment::Name(name) => name.clone(),
            // The only lists above another list are those of containers, by name.
            Segment::Item(name) => {
                let is_it = |item: &Value| item["name"].as_str() == Some(name);
                at.as_array()?.iter().position(is_it)?.to_string()
            }
            Segment::Element(_) => return None,
        };
        list += &format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        at = live.pointer(&list)?;
    }
    let items = at.as_array()?;
    let Segment::Item(wanted_key) = item else {
        return None;
    };
    let is_there = items.iter().any(|item| port_label(item) == *wanted_key);
    Some(Operation {
        list,
        index: items.iter().position(|item| item == blocker)?,
        value: (!is_there).then(|| want.clone()),
    })
}

/// The key of a port as paths show it: ports are the only items with a name beside their key.
fn port_label(item: &Value) -> String {
    let number = item.get("port").or_else(|| item.get("containerPort"));
    let number = number.map(Value::to_string).unwrap_or_default();
    let protocol = item["protocol"].as_str().unwrap_or("TCP");
    format!("{number}/{protocol}")
}

//! Whole objects as text, line by line, and what changes between two of them. Pure.

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::{mask, value};
use crate::{
    model::{Item, Key},
    reconcile::live::Change,
};

/// The most lines shown of one object: more than any object that a pass makes.
const MAX_LINES: usize = 2_000;

/// A line of a whole object, and whether it is new, gone, or there before and after.
pub type Line = (ChangeTag, String);

/// Returns what an item holds as far as the plan knows: a manifest, or a row.
pub fn content(item: &Item) -> Option<Value> {
    match item {
        Item::Row(row) => Some(row.0.clone()),
        Item::Object(_)
        | Item::Generated(_)
        | Item::Derived(_)
        | Item::CreateOnly(_)
        | Item::TokenRow => item.manifest(),
    }
}

/// Returns an object that is made, as lines.
pub fn created(key: &Key, new: &Value) -> Vec<Line> {
    let lines = lines(&mask::whole(key, new));
    lines
        .into_iter()
        .map(|line| (ChangeTag::Insert, line))
        .collect()
}

/// Returns an object before and after its changes, as lines; and the changes of which this does not tell all:
/// their values are hidden or stay, somebody took them, or their place is not in the object.
pub fn updated<'a>(key: &Key, new: &Value, changes: &'a [Change]) -> (Vec<Line>, Vec<&'a Change>) {
    let mut old = new.clone();
    let mut rest = Vec::new();
    for change in changes {
        let is_hidden = value::shown(key, change) == value::Shown::Hidden;
        let is_told = is_hidden || change.old == change.new || change.taken_by.is_some();
        if !rewind(&mut old, change) || is_told {
            rest.push(change);
        }
    }
    (diff(&mask::whole(key, &old), &mask::whole(key, new)), rest)
}

fn diff(old: &Value, new: &Value) -> Vec<Line> {
    let (old, new) = (lines(old), lines(new));
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&old, &new);
    let changes = diff.iter_all_changes();
    changes
        .map(|change| (change.tag(), change.value().to_owned()))
        .collect()
}

/// Puts the old value of a change back into the new object. Returns whether its place was found.
fn rewind(root: &mut Value, change: &Change) -> bool {
    let segments = segments(&change.path);
    let Some((last, parents)) = segments.split_last() else {
        return false;
    };
    let mut place = root;
    for (index, segment) in parents.iter().enumerate() {
        // A parent that the new object lacks is made as a map, where the next part can be a member.
        let can_make = change.old.is_some() && !segments[index + 1].is_item;
        place = match child(place, segment, can_make) {
            Some(place) => place,
            None => return false,
        };
    }
    put_back(place, last, change)
}

fn put_back(place: &mut Value, last: &Segment<'_>, change: &Change) -> bool {
    if value::is_reorder(change) {
        let order = change.old.as_ref().and_then(Value::as_array);
        let items = child(place, last, false).and_then(Value::as_array_mut);
        return order
            .zip(items)
            .is_some_and(|(order, items)| reorder(items, order));
    }
    match place {
        Value::Object(map) => {
            let name = last.text.to_owned();
            match &change.old {
                Some(old) => drop(map.insert(name, old.clone())),
                None => drop(map.remove(last.text)),
            }
            true
        }
        Value::Array(items) => {
            let at = items.iter().position(|item| is_named(item, last.text));
            match (at, &change.old) {
                (Some(at), Some(old)) => items[at] = old.clone(),
                (Some(at), None) => drop(items.remove(at)),
                (None, Some(old)) => items.push(old.clone()),
                (None, None) => return false,
            }
            true
        }
        _ => false,
    }
}

/// Sorts named items as the names say; items with none of the names stay last.
fn reorder(items: &mut [Value], order: &[Value]) -> bool {
    let place = |item: &Value| {
        let is_it =
            |name: &Value| item == name || name.as_str().is_some_and(|name| is_named(item, name));
        order.iter().position(is_it).unwrap_or(order.len())
    };
    items.sort_by_key(place);
    true
}

/// One part of a path: `name`, or `[text]`, which is a list item or a member with an unusual name.
struct Segment<'a> {
    text: &'a str,
    is_item: bool,
}

fn segments(path: &str) -> Vec<Segment<'_>> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (text, is_item, below) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (text, below) = inner.split_once(']').unwrap_or((inner, ""));
                (text, true, below)
            }
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (&rest[..end], false, &rest[end..])
            }
        };
        found.push(Segment { text, is_item });
        rest = below.strip_prefix('.').unwrap_or(below);
    }
    found
}

fn child<'a>(value: &'a mut Value, segment: &Segment<'_>, can_make: bool) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => {
            if can_make && !map.contains_key(segment.text) {
                map.insert(segment.text.to_owned(), Value::Object(Map::new()));
            }
            map.get_mut(segment.text)
        }
        Value::Array(items) => items.iter_mut().find(|item| is_named(item, segment.text)),
        _ => None,
    }
}

/// Tells whether a list item is the one that a path names by the values of its key.
fn is_named(item: &Value, name: &str) -> bool {
    const KEYS: [&str; 5] = ["name", "mountPath", "key", "uid", "ip"];
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Value::Object(map) = item else {
        return text(item) == name;
    };
    if KEYS
        .iter()
        .any(|key| map.get(*key).and_then(Value::as_str) == Some(name))
    {
        return true;
    }
    let port = map.get("containerPort").or_else(|| map.get("port"));
    let protocol = map.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
    port.is_some_and(|port| name == text(port) || name == format!("{}/{protocol}", text(port)))
}

/// Returns a masked value in the manner of YAML, one safe line each, at most [`MAX_LINES`].
fn lines(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    write_lines(value, 0, &mut out);
    if out.len() > MAX_LINES {
        let rest = out.len() - MAX_LINES;
        out.truncate(MAX_LINES);
        out.push(format!("… {rest} more lines"));
    }
    out
}

fn write_lines(value: &Value, depth: usize, out: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (name, member) in map {
                let name = mask::line(name);
                if is_leaf(member) {
                    out.push(format!("{indent}{name}: {}", scalar(member)));
                } else {
                    out.push(format!("{indent}{name}:"));
                    write_lines(member, depth + 1, out);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                write_item(item, depth, out);
            }
        }
        leaf => out.push(format!("{indent}{}", scalar(leaf))),
    }
}

/// Writes a list item: its first line takes the place of two blanks of its indent for the dash.
fn write_item(item: &Value, depth: usize, out: &mut Vec<String>) {
    let first = out.len();
    if is_leaf(item) {
        out.push(format!("{}{}", "  ".repeat(depth + 1), scalar(item)));
    } else {
        write_lines(item, depth + 1, out);
    }
    if let Some(line) = out.get_mut(first) {
        let at = depth * 2;
        line.replace_range(at..at + 2, "- ");
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// Returns a scalar; text that YAML would read as something else stands in quotes.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else {
        return value.to_string();
    };
    let special = |c: char| c.is_ascii_punctuation() && !matches!(c, '/' | '.' | '_' | '-' | '+');
    let is_plain = !text.is_empty()
        && text.trim() == text
        && !text.starts_with(|c: char| special(c) || c == '-')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && serde_json::from_str::<Value>(text).is_err();
    let text = mask::shorten(text);
    if is_plain || text == mask::HIDDEN {
        return mask::printable(&text);
    }
    mask::printable(&Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewound(mut new: Value, path: &str, old: Value, to: Value) -> Option<Value> {
        let some = |value: Value| (!value.is_null()).then_some(value);
        let change = Change {
            path: path.to_owned(),
            old: some(old),
            new: some(to),
            taken_by: None,
        };
        rewind(&mut new, &change).then_some(new)
    }

    #[test]
    fn old_values_go_back_to_their_place() {
        let new = json!({"a": {"b.c/d": 1}, "l": [{"name": "x", "v": 2}], "p": [{"port": 80}]});
        for (path, old, to, pointer) in [
            ("a[b.c/d]", json!(0), json!(1), "/a/b.c~1d"),
            ("l[x].v", json!(0), json!(2), "/l/0/v"),
            ("p[80/TCP].port", json!(0), json!(80), "/p/0/port"),
            ("m.n", json!(0), Value::Null, "/m/n"),
        ] {
            let old = rewound(new.clone(), path, old, to).unwrap();
            assert_eq!(old.pointer(pointer), Some(&json!(0)), "{path}");
        }
        let gone = rewound(new.clone(), "l[x]", Value::Null, json!({})).unwrap();
        assert_eq!(gone["l"], json!([]));
        let back = rewound(new, "l[y]", json!({"name": "y"}), Value::Null).unwrap();
        assert_eq!(back["l"][1], json!({"name": "y"}));
    }

    #[test]
    fn a_place_that_is_not_there_is_not_invented() {
        for path in ["", "a.b.c", "l[z].v", "a[", "b.c", "l[z]"] {
            let found = rewound(json!({"a": 1, "l": []}), path, Value::Null, json!(1));
            assert_eq!(found, None, "{path}");
        }
    }

    #[test]
    fn text_that_reads_as_something_else_stands_in_quotes() {
        for (value, shown) in [
            (json!("info"), "info"),
            (json!("1"), "\"1\""),
            (json!("true"), "\"true\""),
            (json!(""), "\"\""),
            (json!("a: b"), "\"a: b\""),
            (json!("- x"), "\"- x\""),
            (json!("a\nb"), "a\\nb"),
            (json!(null), "null"),
        ] {
            assert_eq!(scalar(&value), shown);
        }
    }
}

//! One text per value: members sorted by name, no spaces. What fingerprints and list keys are made of.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::items::Items;
use super::record::{self, Shape};

/// The first 128 bits of a SHA-256. Reveals nothing about short secrets that one could not also guess
/// and try: never show one computed over secret values to anybody.
pub type Fingerprint = [u8; 16];

/// Records nested deeper than this hash as one value.
const MAX_DEPTH: usize = 128;

/// Returns the fingerprint of a value's canonical JSON; the order of members does not matter.
pub fn fingerprint(value: &Value) -> Fingerprint {
    let mut text = Vec::new();
    write(&mut text, value);
    truncate(&Sha256::digest(&text))
}

/// Returns the fingerprint of our ownership record together with the values it owns, or `None` where
/// nothing is owned.
///
/// Two equal results mean that neither what we own nor its content changed between them. The record's
/// time is part of it, so that an apply under our name by another client is noticed too.
pub fn owned_fingerprint(live: &Value, manager: &str) -> Option<Fingerprint> {
    let record = record::ours(live, manager)?;
    let mut text = Vec::new();
    write(&mut text, record);
    let fields = record.get("fieldsV1").unwrap_or(&Value::Null);
    write_owned(&mut text, fields, Some(live), MAX_DEPTH);
    Some(truncate(&Sha256::digest(&text)))
}

/// Where the Deployment controller notes which revision it has rolled out, in the middle of its work.
const ROLLOUT_NOTE: &str = "deployment.kubernetes.io/";

/// Returns the fingerprint of an object but for its status and a Deployment's rollout note: what stays while
/// only controllers report on it.
pub fn standing(live: &Value) -> Fingerprint {
    let mut text = Vec::new();
    for (name, value) in sorted(live.as_object().unwrap_or(&Map::new())) {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => write_metadata(&mut text, value),
            _ => {
                write_text(&mut text, name);
                write(&mut text, value);
            }
        }
    }
    truncate(&Sha256::digest(&text))
}

fn write_metadata(out: &mut Vec<u8>, metadata: &Value) {
    for (name, value) in sorted(metadata.as_object().unwrap_or(&Map::new())) {
        match (name.as_str(), value) {
            ("managedFields" | "resourceVersion", _) => {}
            ("annotations", Value::Object(annotations)) => {
                for (key, text) in sorted(annotations) {
                    if !key.starts_with(ROLLOUT_NOTE) {
                        write_text(out, key);
                        write(out, text);
                    }
                }
            }
            _ => {
                write_text(out, name);
                write(out, value);
            }
        }
    }
    let records = metadata.get("managedFields").and_then(Value::as_array);
    for record in records.into_iter().flatten() {
        if record::text(record, "subresource") != "status" && !is_rollout_note(record) {
            write(out, record);
        }
    }
}

/// Tells whether a record is of the rollout note alone.
fn is_rollout_note(record: &Value) -> bool {
    let note = format!("f:{ROLLOUT_NOTE}");
    let only = |value: &'_ Value, name: &str| -> Option<Map<String, Value>> {
        let members = value.as_object().filter(|members| members.len() == 1)?;
        members.get(name)?.as_object().cloned()
    };
    let fields = record.get("fieldsV1").unwrap_or(&Value::Null);
    let annotations = only(fields, "f:metadata")
        .and_then(|metadata| only(&Value::Object(metadata), "f:annotations"));
    annotations.is_some_and(|annotations| {
        annotations
            .keys()
            .all(|key| key == "." || key.starts_with(&note))
    })
}

/// Appends a value's canonical JSON.
pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(members) => write_object(out, members),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index);
                write(out, item);
            }
            out.push(b']');
        }
        scalar => write_scalar(out, scalar),
    }
}

fn write_object(out: &mut Vec<u8>, members: &Map<String, Value>) {
    out.push(b'{');
    for (index, (name, value)) in sorted(members).into_iter().enumerate() {
        separate(out, index);
        write_text(out, name);
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}

/// Appends a string as JSON.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string serialises, and a vector takes every write");
}

fn write_scalar(out: &mut Vec<u8>, scalar: &Value) {
    serde_json::to_writer(out, scalar)
        .expect("a scalar serialises, and a vector takes every write");
}

/// Appends the owned part of a value. Every list and object is closed by a bracket, so that no two
/// different owned parts give the same text.
fn write_owned(out: &mut Vec<u8>, fields: &Value, live: Option<&Value>, depth: usize) {
    match (record::shape(fields), live) {
        (_, None) => out.push(b'-'),
        (Shape::Members(children), Some(Value::Object(members))) if depth > 0 => {
            out.push(b'{');
            for (name, fields) in sorted(children) {
                let Some(name) = name.strip_prefix("f:") else {
                    continue;
                };
                write_text(out, name);
                write_owned(out, fields, members.get(name), depth - 1);
            }
            out.push(b'}');
        }
        (Shape::Items(children), Some(Value::Array(list))) if depth > 0 => {
            out.push(b'[');
            let items = Items::new(children);
            let mut key = Vec::new();
            for item in list {
                if let Some(owned) = items.find(item, &mut key) {
                    out.extend_from_slice(owned.text.as_bytes());
                    write_owned(out, owned.fields, Some(item), depth - 1);
                }
            }
            out.push(b']');
        }
        (_, Some(value)) => write(out, value),
    }
}

/// Sorts here rather than relying on the map, whose order depends on a feature any crate may switch on.
fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn truncate(digest: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&digest[..16]);
    fingerprint
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_note_does_not_move_what_stands() {
        let object = |revision: &str, time: &str| {
            let note = "deployment.kubernetes.io/revision";
            let fields = json!({"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}}});
            json!({"metadata": {
                "annotations": {note: revision, "kept": "1"},
                "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "time": time, "fieldsV1": fields}],
            }})
        };
        let stands = standing(&object("1", "t1"));
        assert_eq!(stands, standing(&object("2", "t2")));
        let mut other = object("1", "t1");
        other["metadata"]["annotations"]["kept"] = json!("2");
        assert_ne!(stands, standing(&other));
    }
}

//! The owned items of a list, found by key or by value.

use serde_json::{Map, Value};

use super::{canonical, path::Step};

/// One owned item: its key or value as recorded, and what is owned below it.
#[derive(Clone, Copy)]
pub(super) struct OwnedItem<'a> {
    /// The whole name in the record, `k:{"name":"challenge"}` or `v:"a"`.
    pub(super) name: &'a str,
    /// The name without its prefix.
    pub(super) text: &'a str,
    pub(super) fields: &'a Value,
}

/// The owned items of one list, sorted by their text.
///
/// Items are found by writing their key the way the server does (members sorted, no spaces) and
/// searching for that text, so that a list costs n log n and no record is parsed. A key that the server
/// escapes in another way is not found, which reads as a difference: the safe side.
pub(super) struct Items<'a> {
    items: Vec<OwnedItem<'a>>,
    key: Key,
}

/// What identifies an item.
enum Key {
    /// Its whole value (a set).
    Value,
    /// These members, sorted.
    Members(Vec<String>),
}

impl<'a> Items<'a> {
    /// Reads the children of a list's node in an ownership record.
    pub(super) fn new(children: &'a Map<String, Value>) -> Self {
        let mut items: Vec<_> = children
            .iter()
            .filter(|(name, _)| *name != ".")
            .filter_map(|(name, fields)| {
                Some(OwnedItem {
                    name,
                    text: name.get(2..)?,
                    fields,
                })
            })
            .collect();
        items.sort_unstable_by_key(|item| item.text);
        let key = items.first().map_or(Key::Value, key_of);
        Self { items, key }
    }

    /// Reads how items are identified from what somebody else owns of the list; none of them is owned by us.
    pub(super) fn identified_like(children: &'a Map<String, Value>) -> Self {
        Self {
            items: Vec::new(),
            ..Self::new(children)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<OwnedItem<'a>> {
        self.items.get(index).copied()
    }

    /// Finds the owned item that this value is. `key` is scratch space, and holds the value's key after.
    pub(super) fn find(&self, value: &Value, key: &mut Vec<u8>) -> Option<OwnedItem<'a>> {
        self.position(value, key).and_then(|index| self.get(index))
    }

    /// Like [`Self::find`], but returns where among the owned items it is.
    pub(super) fn position(&self, value: &Value, key: &mut Vec<u8>) -> Option<usize> {
        key.clear();
        match &self.key {
            Key::Value => canonical::write(key, value),
            Key::Members(names) => write_key(key, names, value),
        }
        self.items
            .binary_search_by(|item| item.text.as_bytes().cmp(key))
            .ok()
    }

    /// Returns the key of any value of this list, as the record would spell it.
    pub(super) fn key_text(&self, value: &Value) -> String {
        let mut key = Vec::new();
        match &self.key {
            Key::Value => canonical::write(&mut key, value),
            Key::Members(names) => write_key(&mut key, names, value),
        }
        String::from_utf8_lossy(&key).into_owned()
    }

    /// Returns the step to the item with this key.
    pub(super) fn step<'s>(&self, key: String) -> Step<'s> {
        if self.is_keyed() {
            Step::Item(key.into())
        } else {
            Step::Element(key.into())
        }
    }

    /// Tells whether this is a list by key, and not a set.
    pub(super) fn is_keyed(&self) -> bool {
        matches!(self.key, Key::Members(_))
    }

    /// Tells whether one of the key's members is `name`.
    pub(super) fn is_keyed_by(&self, name: &str) -> bool {
        matches!(&self.key, Key::Members(names) if names.iter().any(|member| member == name))
    }
}

/// The members of a key are the same for all items of a list, so the first one tells them. The server
/// writes each, defaults included.
fn key_of(item: &OwnedItem<'_>) -> Key {
    match serde_json::from_str(item.text) {
        Ok(Value::Object(members)) if item.name.starts_with("k:") => {
            let mut names: Vec<String> = members.into_iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            Key::Members(names)
        }
        _ => Key::Value,
    }
}

/// Returns an item's key of these members, which must be sorted, as a record would spell it.
pub(super) fn key_text(names: &[&str], item: &Value) -> String {
    let mut key = Vec::new();
    write_key(&mut key, names, item);
    String::from_utf8_lossy(&key).into_owned()
}

fn write_key(out: &mut Vec<u8>, names: &[impl AsRef<str>], item: &Value) {
    out.push(b'{');
    for name in names.iter().map(AsRef::as_ref) {
        let Some(value) = member(item, name) else {
            continue;
        };
        if out.len() > 1 {
            out.push(b',');
        }
        canonical::write_text(out, name);
        out.push(b':');
        match value {
            Member::Set(value) => canonical::write(out, value),
            Member::Default(text) => canonical::write_text(out, text),
        }
    }
    out.push(b'}');
}

enum Member<'a> {
    Set(&'a Value),
    Default(&'static str),
}

/// `protocol` is the only member of a key among built-in kinds that has a default.
fn member<'a>(item: &'a Value, name: &str) -> Option<Member<'a>> {
    match item.get(name).filter(|value| !value.is_null()) {
        Some(value) => Some(Member::Set(value)),
        None => (name == "protocol").then_some(Member::Default("TCP")),
    }
}

//! The comparison itself: want, ownership record and live value walked together.
//!
//! Nothing is copied on the way. The record leads: its form tells objects, keyed lists, sets and single
//! values apart, so no schema is needed.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    difference::{Differences, Kind, Pair, Recorder},
    items::{Items, OwnedItem},
    path::{Step, label},
    record::{self, Shape},
    same::{self, Units},
};

/// Objects of the API are about thirty levels deep. Deeper records are not followed.
const MAX_DEPTH: usize = 64;

/// Compares a want with what `fields` says we own of `live`; `None` where they agree.
pub(super) fn walk(
    want: &Value,
    fields: &Value,
    live: &Value,
    manager: &str,
) -> Option<Differences> {
    let mut walk = Walk {
        path: Vec::new(),
        recorder: Recorder::new(want, live, manager),
        key: Vec::new(),
    };
    walk.value(want, fields, Some(live), Units::Plain);
    walk.recorder.finish()
}

/// Tells whether a member is sent at all: null and `[]` are dropped before sending.
pub(super) fn is_sent(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

struct Walk<'a> {
    path: Vec<Step<'a>>,
    recorder: Recorder<'a>,
    /// Scratch space for the keys of list items.
    key: Vec<u8>,
}

/// An owned item, and where it was found.
#[derive(Clone, Copy, Default)]
struct Slot<'a> {
    want: Option<&'a Value>,
    live: Option<(usize, &'a Value)>,
}

/// The three lists that meet in a list's node.
#[derive(Clone, Copy)]
struct Lists<'a> {
    want: &'a [Value],
    live: &'a [Value],
    units: Units,
}

/// The wanted items of a list by what became of them.
#[derive(Default)]
struct Sorted<'a> {
    /// Positions among the owned items, in wanted order.
    owned: Vec<usize>,
    unowned: Vec<&'a Value>,
    repeated: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, want: &'a Value, fields: &'a Value, live: Option<&'a Value>, units: Units) {
        let shape = if self.path.len() < MAX_DEPTH {
            record::shape(fields)
        } else {
            Shape::Unknown
        };
        let pair = Pair {
            want: Some(want),
            live,
        };
        match (shape, want, live) {
            (Shape::Leaf, _, _) => {
                if !same::is_same(Some(want), live, units) {
                    self.record(Kind::Changed, pair, units);
                }
            }
            (Shape::Members(children), Value::Object(want), None) => {
                self.members(want, children, None, units);
            }
            (Shape::Members(children), Value::Object(want), Some(Value::Object(live))) => {
                self.members(want, children, Some(live), units);
            }
            (Shape::Items(children), Value::Array(want), None) => {
                self.list(
                    Lists {
                        want,
                        live: &[],
                        units,
                    },
                    children,
                );
            }
            (Shape::Items(children), Value::Array(want), Some(Value::Array(live))) => {
                self.list(Lists { want, live, units }, children);
            }
            (Shape::Unknown, _, _) => self.record(Kind::Unreadable, pair, units),
            (Shape::Members(_) | Shape::Items(_), _, _) => self.record(Kind::Changed, pair, units),
        }
    }

    fn members(
        &mut self,
        want: &'a Map<String, Value>,
        children: &'a Map<String, Value>,
        live: Option<&'a Map<String, Value>>,
        units: Units,
    ) {
        let mut owned = 0;
        for (record_name, fields) in children {
            let Some(name) = record_name.strip_prefix("f:") else {
                continue;
            };
            let live = live.and_then(|live| present(live.get(name)));
            let wanted = want.get(name).filter(|value| self.is_compared(name, value));
            owned += usize::from(wanted.is_some());
            self.path.push(Step::Name(name));
            match wanted {
                Some(want) => self.value(want, fields, live, units.below(name)),
                None => self.record(Kind::Unwanted, Pair { want: None, live }, units),
            }
            self.path.pop();
        }
        // Looking names up costs a string each, so it is done only when the count says that one lacks.
        if owned
            < want
                .iter()
                .filter(|(name, value)| self.is_compared(name, value))
                .count()
        {
            let is_owned = |name: &str| children.contains_key(&format!("f:{name}"));
            self.unowned_members(want, live, units, is_owned);
        }
    }

    fn unowned_members(
        &mut self,
        want: &'a Map<String, Value>,
        live: Option<&'a Map<String, Value>>,
        units: Units,
        is_owned: impl Fn(&str) -> bool,
    ) {
        for (name, want) in want {
            if self.is_compared(name, want) && !is_owned(name) {
                self.path.push(Step::Name(name));
                let live = live.and_then(|live| present(live.get(name)));
                self.unowned(want, live, units.below(name));
                self.path.pop();
            }
        }
    }

    /// Lists what is wanted and not owned: member by member where the object is there, else as a whole.
    fn unowned(&mut self, want: &'a Value, live: Option<&'a Value>, units: Units) {
        match (want, live) {
            (Value::Object(want), Some(Value::Object(live)))
                if !want.is_empty() && self.path.len() < MAX_DEPTH =>
            {
                self.unowned_members(want, Some(live), units, |_| false);
            }
            (_, live) => {
                let kind = if live.is_some() {
                    Kind::Taken
                } else {
                    Kind::Missing
                };
                self.record(
                    kind,
                    Pair {
                        want: Some(want),
                        live,
                    },
                    units,
                );
            }
        }
    }

    fn list(&mut self, lists: Lists<'a>, children: &'a Map<String, Value>) {
        let items = Items::new(children);
        let mut slots = vec![Slot::default(); items.len()];
        for (position, item) in lists.live.iter().enumerate() {
            if let Some(index) = items.position(item, &mut self.key) {
                slots[index].live.get_or_insert((position, item));
            }
        }
        let sorted = self.sort_wanted(lists.want, &items, &mut slots);
        for (index, slot) in slots.iter().enumerate() {
            self.owned_item(items.get(index), *slot, lists.units);
        }
        for index in sorted.repeated {
            self.repeated_item(items.get(index), slots[index], lists.units);
        }
        if !sorted.unowned.is_empty() {
            self.unowned_items(&sorted.unowned, lists, &items);
        }
        self.order(&sorted.owned, &slots, &items, lists.units);
    }

    fn sort_wanted(
        &mut self,
        want: &'a [Value],
        items: &Items<'a>,
        slots: &mut [Slot<'a>],
    ) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for item in want {
            match items.position(item, &mut self.key) {
                None => sorted.unowned.push(item),
                Some(index) if slots[index].want.is_some() => sorted.repeated.push(index),
                Some(index) => {
                    slots[index].want = Some(item);
                    sorted.owned.push(index);
                }
            }
        }
        sorted
    }

    fn owned_item(&mut self, owned: Option<OwnedItem<'a>>, slot: Slot<'a>, units: Units) {
        let Some(owned) = owned else { return };
        let live = slot.live.map(|(_, item)| item);
        let pair = Pair {
            want: slot.want,
            live,
        };
        self.path.push(owned.step());
        match (slot.want, live) {
            (Some(_), None) => self.record(Kind::Changed, pair, units),
            (None, _) => self.record(Kind::Unwanted, pair, units),
            (Some(want), Some(_)) if owned.is_keyed() => {
                self.value(want, owned.fields, live, units);
            }
            (Some(_), Some(_)) => {}
        }
        self.path.pop();
    }

    fn repeated_item(&mut self, owned: Option<OwnedItem<'a>>, slot: Slot<'a>, units: Units) {
        let Some(owned) = owned else { return };
        let live = slot.live.map(|(_, item)| item);
        self.path.push(owned.step());
        self.record(
            Kind::Duplicate,
            Pair {
                want: slot.want,
                live,
            },
            units,
        );
        self.path.pop();
    }

    fn unowned_items(&mut self, unowned: &[&'a Value], lists: Lists<'a>, items: &Items<'a>) {
        let foreign = Foreign::new(lists, items);
        let mut seen = std::collections::BTreeSet::new();
        for &want in unowned {
            let key = items.key_text(want);
            let is_repeated = !seen.insert(key.clone());
            let live = foreign.by_key.get(&key).copied();
            let blocker = foreign.blocker(want, live.is_some(), items);
            self.path.push(items.step(key));
            match blocker {
                _ if is_repeated => self.record(
                    Kind::Duplicate,
                    Pair {
                        want: Some(want),
                        live,
                    },
                    lists.units,
                ),
                Some(item) => {
                    let pair = Pair {
                        want: Some(want),
                        live: Some(item),
                    };
                    self.record(Kind::Blocked, pair, lists.units);
                }
                None => self.unowned(want, live, lists.units),
            }
            self.path.pop();
        }
    }

    /// Records an order change: each owned item must come later in the live list than the one before it
    /// in the want. Foreign items between them do not count.
    fn order(&mut self, wanted: &[usize], slots: &[Slot<'a>], items: &Items<'a>, units: Units) {
        let mut found: Vec<(usize, usize)> = wanted
            .iter()
            .filter_map(|&index| Some((slots[index].live?.0, index)))
            .collect();
        if found.is_sorted() {
            return;
        }
        let names = |order: &[(usize, usize)]| {
            let owned = order.iter().filter_map(|(_, index)| items.get(*index));
            Value::Array(
                owned
                    .map(|owned| Value::String(label(owned.text)))
                    .collect(),
            )
        };
        let want = names(&found);
        found.sort_unstable();
        let live = names(&found);
        let pair = Pair {
            want: Some(&want),
            live: Some(&live),
        };
        self.recorder
            .record(&self.path, Kind::Reordered, pair, units);
    }

    fn is_compared(&self, name: &str, value: &Value) -> bool {
        is_sent(value) && !record::is_unrecorded(&self.path, name)
    }

    fn record(&mut self, kind: Kind, pair: Pair<'_>, units: Units) {
        self.recorder.record(&self.path, kind, pair, units);
    }
}

/// The live items of a list that we do not own.
struct Foreign<'a> {
    by_key: BTreeMap<String, &'a Value>,
    by_name: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Foreign<'a> {
    fn new(lists: Lists<'a>, items: &Items<'a>) -> Self {
        let wanted: std::collections::BTreeSet<String> =
            lists.want.iter().map(|item| items.key_text(item)).collect();
        let mut foreign = Self {
            by_key: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        let mut key = Vec::new();
        for item in lists.live {
            if items.find(item, &mut key).is_some() {
                continue;
            }
            let key = items.key_text(item);
            let name = item.get("name").and_then(Value::as_str);
            if let Some(name) = name.filter(|name| !name.is_empty() && !wanted.contains(&key)) {
                foreign.by_name.entry(name).or_insert(item);
            }
            foreign.by_key.entry(key).or_insert(item);
        }
        foreign
    }

    /// Returns the foreign item that keeps a wanted one from being created: its name under another key.
    fn blocker(&self, want: &Value, is_there: bool, items: &Items<'a>) -> Option<&'a Value> {
        if is_there || items.is_keyed_by("name") || !items.is_keyed() {
            return None;
        }
        let name = want.get("name").and_then(Value::as_str)?;
        self.by_name.get(name).copied()
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

impl<'a> OwnedItem<'a> {
    fn is_keyed(&self) -> bool {
        self.name.starts_with("k:")
    }

    fn step(&self) -> Step<'a> {
        let text = Cow::Borrowed(self.text);
        if self.is_keyed() {
            Step::Item(text)
        } else {
            Step::Element(text)
        }
    }
}

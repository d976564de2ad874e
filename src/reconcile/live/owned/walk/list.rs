//! Lists by key and sets: items found by their identity, then compared; their order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Map, Value};

use super::{
    super::{
        difference::{Kind, Pair},
        items::{Items, OwnedItem},
        path::{Step, label},
        same::Units,
    },
    Walk,
};

/// An owned item, and where it was found.
#[derive(Clone, Copy, Default)]
struct Slot<'a> {
    want: Option<&'a Value>,
    live: Option<(usize, &'a Value)>,
}

/// The three lists that meet in a list's node.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    pub(super) want: &'a [Value],
    pub(super) live: &'a [Value],
    pub(super) units: Units,
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
    /// Compares a list that is owned item by item.
    pub(super) fn list(&mut self, lists: Lists<'a>, children: &'a Map<String, Value>) {
        self.list_of(lists, &Items::new(children));
    }

    /// Lists what is wanted of a list of which nothing is owned, as far as others own it item by item.
    /// Returns false where nobody does.
    pub(super) fn unowned_list(&mut self, lists: Lists<'a>) -> bool {
        let Some(children) = self.recorder.items_of_others(&self.path) else {
            return false;
        };
        self.list_of(lists, &Items::identified_like(children));
        true
    }

    fn list_of(&mut self, lists: Lists<'a>, items: &Items<'a>) {
        let mut slots = vec![Slot::default(); items.len()];
        for (position, item) in lists.live.iter().enumerate() {
            if let Some(index) = items.position(item, &mut self.key) {
                slots[index].live.get_or_insert((position, item));
            }
        }
        let sorted = self.sort_wanted(lists.want, items, &mut slots);
        for (index, slot) in slots.iter().enumerate() {
            self.owned_item(items.get(index), *slot, lists.units);
        }
        for index in sorted.repeated {
            self.repeated_item(items.get(index), slots[index], lists.units);
        }
        if !sorted.unowned.is_empty() {
            self.unowned_items(&sorted.unowned, lists, items, &slots);
        }
        self.renamed_items(lists, items, &slots);
        self.order(&sorted.owned, &slots, items, lists.units);
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

    fn unowned_items(
        &mut self,
        unowned: &[&'a Value],
        lists: Lists<'a>,
        items: &Items<'a>,
        slots: &[Slot<'a>],
    ) {
        let mut foreign = Foreign::new(lists, items);
        self.add_kept(&mut foreign, items, slots);
        let mut seen = BTreeSet::new();
        for &want in unowned {
            let key = items.key_text(want);
            let is_repeated = !seen.insert(key.clone());
            let live = foreign.by_key.get(&key).copied();
            let blocker = foreign.blocker(want, items);
            self.path.push(items.step(key));
            match blocker {
                _ if is_repeated => self.record(Kind::Duplicate, Pair::of(want, live), lists.units),
                Some(item) => self.blocked_item(want, item, items, lists.units),
                None => self.unowned(want, live, lists.units),
            }
            self.path.pop();
        }
    }

    /// Adds items of ours that an apply would not remove, since somebody else holds them too: they stand
    /// in the way like foreign ones.
    fn add_kept(&mut self, foreign: &mut Foreign<'a>, items: &Items<'a>, slots: &[Slot<'a>]) {
        if items.is_keyed_by("name") {
            return;
        }
        for (index, slot) in slots.iter().enumerate() {
            let (None, Some((_, item)), Some(owned)) = (slot.want, slot.live, items.get(index))
            else {
                continue;
            };
            self.path.push(owned.step());
            if self.recorder.is_held(&self.path) {
                foreign.add_name(item);
            }
            self.path.pop();
        }
    }

    /// Records owned items whose name somebody changed while another item took the name: giving it back
    /// would be refused as a duplicate.
    fn renamed_items(&mut self, lists: Lists<'a>, items: &Items<'a>, slots: &[Slot<'a>]) {
        let is_renamed = |slot: &Slot<'a>| match (slot.want, slot.live) {
            (Some(want), Some((_, live))) => want.get("name") != live.get("name"),
            _ => false,
        };
        if items.is_keyed_by("name") || !slots.iter().any(is_renamed) {
            return;
        }
        let foreign = Foreign::new(lists, items);
        for (index, slot) in slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| is_renamed(slot))
        {
            let (Some(want), Some(owned)) = (slot.want, items.get(index)) else {
                continue;
            };
            if let Some(blocker) = foreign.blocker(want, items) {
                self.path.push(owned.step());
                self.blocked_item(want, blocker, items, lists.units);
                self.path.pop();
            }
        }
    }

    /// Records an item that cannot be created, naming who holds the one in its way.
    fn blocked_item(
        &mut self,
        want: &'a Value,
        blocker: &'a Value,
        items: &Items<'a>,
        units: Units,
    ) {
        let mut held = self.path.clone();
        held.pop();
        held.push(items.step(items.key_text(blocker)));
        let pair = Pair::of(want, Some(blocker));
        self.recorder
            .record_held(&self.path, &held, Kind::Blocked, pair, units);
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
}

/// The live items of a list that we do not own.
struct Foreign<'a> {
    by_key: BTreeMap<String, &'a Value>,
    by_name: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Foreign<'a> {
    fn new(lists: Lists<'a>, items: &Items<'a>) -> Self {
        let wanted: BTreeSet<String> = lists.want.iter().map(|item| items.key_text(item)).collect();
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
            if !wanted.contains(&key) {
                foreign.add_name(item);
            }
            foreign.by_key.entry(key).or_insert(item);
        }
        foreign
    }

    fn add_name(&mut self, item: &'a Value) {
        let name = item.get("name").and_then(Value::as_str);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.by_name.entry(name).or_insert(item);
        }
    }

    /// Returns the foreign item that keeps a wanted one from being created: its name under another key.
    fn blocker(&self, want: &Value, items: &Items<'a>) -> Option<&'a Value> {
        if items.is_keyed_by("name") || !items.is_keyed() {
            return None;
        }
        let name = want.get("name").and_then(Value::as_str)?;
        self.by_name.get(name).copied()
    }
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

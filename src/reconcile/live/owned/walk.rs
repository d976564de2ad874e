//! The comparison itself: want, ownership record and live value walked together.
//!
//! Nothing is copied on the way. The record leads: its form tells objects, keyed lists, sets and single
//! values apart, so no schema is needed.

mod list;

use serde_json::{Map, Value};

use self::list::Lists;
use super::{
    difference::{Differences, Kind, Pair, Recorder},
    path::Step,
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

struct Walk<'a> {
    path: Vec<Step<'a>>,
    recorder: Recorder<'a>,
    /// Scratch space for the keys of list items.
    key: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, want: &'a Value, fields: &'a Value, live: Option<&'a Value>, units: Units) {
        let shape = if self.path.len() < MAX_DEPTH {
            record::shape(fields)
        } else {
            Shape::Unknown
        };
        let pair = Pair::of(want, live);
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
                let live: &[Value] = &[];
                self.list(Lists { want, live, units }, children);
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
        let compared = want
            .iter()
            .filter(|(name, value)| self.is_compared(name, value));
        if owned < compared.count() {
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

    /// Lists what is wanted and not owned: member by member where the object is there and somebody else
    /// owns it that way, else as a whole. It may be a map that is owned as one (a `selector`), and then
    /// what is there beside the wanted members goes with an apply.
    fn unowned(&mut self, want: &'a Value, live: Option<&'a Value>, units: Units) {
        match (want, live) {
            (Value::Object(want), Some(Value::Object(live)))
                if !want.is_empty() && self.is_owned_by_member() =>
            {
                self.unowned_members(want, Some(live), units, |_| false);
            }
            (Value::Array(wanted), Some(Value::Array(items)))
                if self.path.len() < MAX_DEPTH
                    && self.unowned_list(Lists {
                        want: wanted,
                        live: items,
                        units,
                    }) => {}
            (_, None) => self.record(Kind::Missing, Pair::of(want, None), units),
            (_, Some(_)) => self.record(Kind::Taken, Pair::of(want, live), units),
        }
    }

    /// An object's metadata, its labels and annotations are owned by member in every kind; for others it
    /// shows only if somebody does.
    fn is_owned_by_member(&self) -> bool {
        match self.path.last() {
            _ if self.path.len() >= MAX_DEPTH => false,
            Some(Step::Name("metadata")) if self.path.len() == 1 => true,
            Some(Step::Name("labels" | "annotations")) => true,
            _ => self.recorder.is_held_by_member(&self.path),
        }
    }

    fn is_compared(&self, name: &str, value: &Value) -> bool {
        is_sent(value) && !record::is_unrecorded(&self.path, name)
    }

    fn record(&mut self, kind: Kind, pair: Pair<'_>, units: Units) {
        self.recorder.record(&self.path, kind, pair, units);
    }
}

/// Tells whether a member is sent at all: null and `[]` are not, see
/// [`Document::of`](crate::model::document::Document::of).
fn is_sent(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

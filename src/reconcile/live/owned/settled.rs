//! The quick answer to the usual case: nothing differs, nothing is foreign, nothing is left of an earlier writer.
//!
//! Want, ownership record and object are walked side by side, sorted as all three are, with no path kept and
//! nothing looked up twice. A yes is what [`compare`](super::compare), [`foreign_items`](super::foreign_items)
//! and [`needs_take_over`](super::needs_take_over) would say together; anything unusual is a no, and then
//! these three are asked: a quantity in another spelling, items in another order, a shape not known here.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::{canonical, record, takeover};
use crate::model::document::{Json as _, View};

/// Deeper objects are no usual case.
const MAX_DEPTH: usize = 64;
/// Longer keyed lists are no usual case: each item is searched for among those before it.
const MAX_ITEMS: usize = 64;

/// Tells whether all of an object is as wanted and `manager` owns it, nobody else stands in its closed lists,
/// and no earlier writer left anything. Never true where an apply would change something.
pub fn is_settled(want: View<'_>, live: View<'_>, manager: &str) -> bool {
    let Some(metadata) = live.member("metadata") else {
        return false;
    };
    let is_terminating = present(metadata.member("deletionTimestamp")).is_some();
    let records = || metadata.member("managedFields").and_then(View::items);
    let mut ours = records().into_iter().flatten();
    let Some(ours) = ours.find(|record| is_ours(*record, manager)) else {
        return false;
    };
    let has_leftovers = || {
        let mut records = records().into_iter().flatten();
        records.any(takeover::is_unrecorded)
    };
    let is_same_version = text(ours, "apiVersion") == text(want, "apiVersion");
    let Some(fields) = ours.member("fieldsV1") else {
        return false;
    };
    is_same_version
        && !is_terminating
        && !has_leftovers()
        && Walk::default().value(want, fields, Some(live), Place::Object)
        && has_no_strangers(want, live)
}

/// Where a value is, as far as it matters to which members are recorded.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Object,
    Metadata,
    Below,
}

impl Place {
    fn below(self, name: &str) -> Self {
        match self {
            Self::Object if name == "metadata" => Self::Metadata,
            _ => Self::Below,
        }
    }

    fn is_recorded(self, name: &str) -> bool {
        match self {
            Self::Object => !record::UNRECORDED.contains(&name),
            Self::Metadata => !record::UNRECORDED_METADATA.contains(&name),
            Self::Below => true,
        }
    }
}

#[derive(Default)]
struct Walk {
    depth: usize,
    /// Scratch space for the keys of list items.
    keys: [Vec<u8>; 2],
}

impl Walk {
    fn value(
        &mut self,
        want: View<'_>,
        fields: View<'_>,
        live: Option<View<'_>>,
        place: Place,
    ) -> bool {
        let Some(children) = fields.entries() else {
            return false;
        };
        let mut owned = children.clone().filter(|(name, _)| *name != ".");
        let Some((first, _)) = owned.next() else {
            return is_same(Some(want), live, MAX_DEPTH);
        };
        let (Some(live), true) = (live, self.depth < MAX_DEPTH) else {
            return false;
        };
        self.depth += 1;
        let is_settled = if want.items().is_some() {
            let count = owned.count() + 1;
            self.items(want, (fields, first, count), live)
        } else {
            self.members(want, fields, live, place)
        };
        self.depth -= 1;
        is_settled
    }

    /// Wanted members and owned ones are the same, and each is settled.
    fn members(&mut self, want: View<'_>, fields: View<'_>, live: View<'_>, place: Place) -> bool {
        let (Some(mut wanted), Some(owned), Some(mut there)) =
            (want.entries(), fields.entries(), live.entries())
        else {
            return false;
        };
        let mut owned = owned.filter(|(name, _)| *name != ".");
        let mut next = there.next();
        let is_compared =
            |(name, value): &(&str, View<'_>)| value.is_sent() && place.is_recorded(name);
        loop {
            match (wanted.find(is_compared), owned.next()) {
                (None, None) => return true,
                (Some((name, want)), Some((recorded, fields)))
                    if recorded.strip_prefix("f:") == Some(name) =>
                {
                    while next.is_some_and(|(there, _)| there < name) {
                        next = there.next();
                    }
                    let live = next.filter(|(there, _)| *there == name);
                    let live = present(live.map(|(_, live)| live));
                    if !self.value(want, fields, live, place.below(name)) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// Wanted, owned and there are the same items, in one order.
    fn items(
        &mut self,
        want: View<'_>,
        (fields, first, count): (View<'_>, &str, usize),
        live: View<'_>,
    ) -> bool {
        let (Some(want), Some(mut there)) = (want.items(), live.items()) else {
            return false;
        };
        if want.len() != count || there.len() != count || count > MAX_ITEMS {
            return false;
        }
        let Some(names) = Key::of(first) else {
            return false;
        };
        let mut found = Vec::with_capacity(count);
        for want in want {
            let Some(live) = there.next() else {
                return false;
            };
            let [wanted, key] = &mut self.keys;
            if !names.write(wanted, want) || !names.write(key, live) || wanted != key {
                return false;
            }
            let Some(fields) = std::str::from_utf8(key)
                .ok()
                .and_then(|key| fields.member(key))
            else {
                return false;
            };
            if found.contains(wanted) {
                return false;
            }
            found.push(wanted.clone());
            if names.is_keyed() && !self.value(want, fields, Some(live), Place::Below) {
                return false;
            }
        }
        true
    }
}

/// How the items of a list are told apart.
enum Key<'a> {
    /// By their value, a set.
    Value,
    /// By these members, sorted.
    Members(Vec<&'a str>),
}

impl<'a> Key<'a> {
    /// Reads it from an item's name in a record: `k:{"name":"challenge"}` or `v:"a"`.
    fn of(recorded: &'a str) -> Option<Self> {
        if recorded.starts_with("v:") {
            return Some(Self::Value);
        }
        let key = recorded.strip_prefix("k:")?;
        let members: BTreeMap<&str, IgnoredAny> = serde_json::from_str(key).ok()?;
        Some(Self::Members(members.into_keys().collect()))
    }

    fn is_keyed(&self) -> bool {
        matches!(self, Self::Members(_))
    }

    /// Writes an item's name in a record; false where it lacks a member, which may be defaulted.
    fn write(&self, out: &mut Vec<u8>, item: View<'_>) -> bool {
        out.clear();
        match self {
            Self::Value => {
                out.extend_from_slice(b"v:");
                canonical::write(out, &item.to_value());
                true
            }
            Self::Members(names) => {
                out.extend_from_slice(b"k:");
                write_members(out, names, |out, name| {
                    let Some(member) = item.member(name).filter(|member| member.is_scalar()) else {
                        return false;
                    };
                    match member.text() {
                        Some(text) => canonical::write_text(out, text),
                        None => canonical::write(out, &member.to_value()),
                    }
                    true
                })
            }
        }
    }
}

fn write_members(
    out: &mut Vec<u8>,
    names: &[&str],
    mut write: impl FnMut(&mut Vec<u8>, &str) -> bool,
) -> bool {
    for (index, name) in names.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        canonical::write_text(out, name);
        out.push(b':');
        if !write(out, name) {
            return false;
        }
    }
    out.push(b'}');
    true
}

/// As [`same::is_same`](super::same::is_same), but for quantities: these must be of one spelling.
fn is_same(want: Option<View<'_>>, live: Option<View<'_>>, depth: usize) -> bool {
    match (present(want), present(live)) {
        (None, None) => true,
        (Some(want), None) => want.is_blank(),
        (None, Some(live)) => is_empty(live),
        (Some(_), Some(_)) if depth == 0 => false,
        (Some(want), Some(live)) => match (want.entries(), want.items(), live.items()) {
            (Some(_), ..) => is_same_object(want, live, depth - 1),
            (None, Some(want), Some(mut live)) => {
                want.len() == live.len() && { want }
                    .all(|want| is_same(Some(want), live.next(), depth - 1))
            }
            (None, None, _) => live.is_same_scalar(want),
            (None, Some(_), None) => false,
        },
    }
}

fn is_same_object(want: View<'_>, live: View<'_>, depth: usize) -> bool {
    live.entries().is_some_and(|mut there| {
        want.members()
            .all(|(name, want)| is_same(Some(want), live.member(name), depth))
            && there.all(|(name, live)| want.member(name).is_some() || is_empty(live))
    })
}

fn is_empty(live: View<'_>) -> bool {
    live.is_null() || is_empty_container(live)
}

fn is_empty_container(live: View<'_>) -> bool {
    live.items().is_some_and(|items| items.len() == 0)
        || live.entries().is_some_and(|entries| entries.len() == 0)
}

/// Tells whether the closed lists hold nothing foreign: those that are wanted were compared item by item, or as
/// one value; one that is not wanted must not be there.
fn has_no_strangers(want: View<'_>, live: View<'_>) -> bool {
    let is_closed = |want: View<'_>, live: View<'_>, name: &str| {
        want.member(name).is_some_and(View::is_sent) || live.member(name).is_none_or(is_empty)
    };
    match text(want, "kind") {
        "StatefulSet" | "Deployment" => {
            const POD: [&str; 3] = ["spec", "template", "spec"];
            let (Some(want), Some(live)) = (want.at(&POD), live.at(&POD)) else {
                return false;
            };
            let lists = ["containers", "initContainers", "volumes"];
            lists.iter().all(|name| is_closed(want, live, name))
                && ["containers", "initContainers"].iter().all(|name| {
                    let wanted = want.member(name).and_then(View::items);
                    let mut there = live
                        .member(name)
                        .and_then(View::items)
                        .into_iter()
                        .flatten();
                    wanted.into_iter().flatten().all(|want| {
                        let live = there.next();
                        let closed = |live| {
                            ["env", "volumeMounts"]
                                .iter()
                                .all(|name| is_closed(want, live, name))
                        };
                        live.is_some_and(closed)
                    })
                })
        }
        "Service" => match (want.member("spec"), live.member("spec")) {
            (Some(want), Some(live)) => is_closed(want, live, "ports"),
            _ => false,
        },
        "NetworkPolicy" | "PersistentVolumeClaim" | "HorizontalPodAutoscaler" | "ScaledObject" => {
            true
        }
        // A Secret's keys, and what is not known here.
        _ => false,
    }
}

fn is_ours(record: View<'_>, manager: &str) -> bool {
    text(record, "manager") == manager
        && text(record, "operation") == "Apply"
        && text(record, "subresource").is_empty()
}

fn text<'a>(record: View<'a>, name: &str) -> &'a str {
    record.member(name).and_then(View::text).unwrap_or_default()
}

fn present(value: Option<View<'_>>) -> Option<View<'_>> {
    value.filter(|value| !value.is_null())
}

//! What earlier writers left in an object of ours, and the ownership records by which it becomes ours.
//!
//! An apply removes only what its manager owned before. Fields that an earlier tool wrote when it created
//! the object, or whose record was wiped, would stay for ever. So their record is made ours first, and the
//! apply that follows removes what is not wanted of it. Only leftovers are taken:
//!
//! - Fields that hold what a new object of ours would hold too are defaults, recorded when the object was
//!   created; taking them would show a person a dozen removals that change nothing.
//! - Fields that cannot be changed, that the server allots, or that controllers write (replica counts,
//!   their annotations) stay where they are.
//!
//! Whose record it is decides: the one that set our labels made the object as ours; the one that the
//! server itself made of a wiped record names nobody. Records of other writers are theirs.

use serde_json::{Map, Value, json};

use super::{
    immutable::immutable,
    items::Items,
    path::{FieldPath, Segment, label},
    record::{self, Shape},
    same::{self, Units},
};
use crate::model::document::Json;

/// The manager to whom the server gives all fields of an object without records, at its next apply.
const UNRECORDED: &str = "before-first-apply";
/// The record paths of the labels by which an object is ours.
const IDENTITY: [&str; 2] = ["f:platform.component", "f:platform.challenge.slug"];
/// Deeper records are left alone.
const MAX_DEPTH: usize = 64;
/// What `kubectl apply` keeps: of no use to anybody once the fields are ours.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The ownership records after a take-over.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeOver {
    /// All records of the object, in place of those there.
    pub records: Value,
    /// Who gives its record up.
    pub from: Vec<String>,
}

/// Tells whether the object has records of earlier writers that should be ours.
pub fn needs_take_over(live: &Value, manager: &str) -> bool {
    let has_ours = record::ours(live, manager).is_some();
    record::records(live).any(|record| is_given_up(record, has_ours))
}

/// Returns the records by which the leftovers of earlier writers become ours; `None` where there are no
/// such writers. `fresh` is what the server would store for `want` under another name.
pub fn take_over(want: &Value, live: &Value, fresh: &Value, manager: &str) -> Option<TakeOver> {
    let ours = record::ours(live, manager);
    let given_up = |record: &&Value| is_given_up(record, ours.is_some());
    let earlier: Vec<&Value> = record::records(live).filter(given_up).collect();
    let first = *earlier.first()?;
    let mut fields = ours
        .and_then(|record| record.get("fieldsV1"))
        .cloned()
        .unwrap_or_else(|| json!({}));
    for record in &earlier {
        let mut walk = Walk {
            kind: record::text(want, "kind"),
            path: Vec::new(),
        };
        let left = record.get("fieldsV1").unwrap_or(&Value::Null);
        let sides = Sides {
            want: Some(want),
            live: Some(live),
            fresh: Some(fresh),
            units: Units::Plain,
        };
        if let Some(left) = walk.leftover(left, sides) {
            merge(&mut fields, left);
        }
    }
    let mut ours = ours.unwrap_or(first).clone();
    ours["manager"] = manager.into();
    ours["operation"] = "Apply".into();
    ours["apiVersion"] = want.get("apiVersion").cloned().unwrap_or_default();
    ours["fieldsV1"] = fields;
    let others = record::records(live)
        .filter(|record| !given_up(record) && !record::is_ours(record, manager));
    Some(TakeOver {
        records: std::iter::once(ours).chain(others.cloned()).collect(),
        from: earlier
            .iter()
            .map(|record| record::text(record, "manager").to_owned())
            .collect(),
    })
}

/// Returns the records without those of updates by `manager`, as a JSON patch leaves one; `None` where there
/// are none, or no others.
pub fn without_updates(live: &Value, manager: &str) -> Option<Value> {
    let is_update = |record: &&Value| {
        record::text(record, "manager") == manager
            && record::text(record, "operation") == "Update"
            && record::text(record, "subresource").is_empty()
    };
    let all = record::records(live).count();
    let others: Vec<&Value> = record::records(live)
        .filter(|record| !is_update(record))
        .collect();
    (!others.is_empty() && others.len() < all).then(|| json!(others))
}

/// Adds the paths of one record to another.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, below) in from {
                match into.get_mut(&name) {
                    Some(node) => merge(node, below),
                    None => {
                        into.insert(name, below);
                    }
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// Takes one path, named as in a record, out of the manager's record in a list of records.
pub fn release(records: &mut Value, manager: &str, path: &[&str]) {
    let ours = records.as_array_mut().into_iter().flatten();
    let Some((last, above)) = path.split_last() else {
        return;
    };
    for record in ours.filter(|record| record::is_ours(record, manager)) {
        let fields = record.get_mut("fieldsV1");
        let node = above
            .iter()
            .try_fold(fields, |node, name| Some(node?.get_mut(name)));
        if let Some(Some(Value::Object(members))) = node {
            members.remove(*last);
        }
    }
}

/// Tells whether a record is of those who wrote before any was kept: given up whoever has another.
pub(super) fn is_unrecorded<'a>(record: impl Json<'a>) -> bool {
    let text = |name| record.member(name).and_then(Json::text).unwrap_or_default();
    text("operation") == "Update" && text("subresource").is_empty() && text("manager") == UNRECORDED
}

fn is_given_up(record: &Value, has_ours: bool) -> bool {
    if record::text(record, "operation") != "Update"
        || !record::text(record, "subresource").is_empty()
    {
        return false;
    }
    let labels = record.pointer("/fieldsV1/f:metadata/f:labels");
    let set_ours = || {
        IDENTITY
            .iter()
            .all(|name| labels.is_some_and(|labels| labels.get(name).is_some()))
    };
    is_unrecorded(record) || (!has_ours && set_ours())
}

/// A node as wanted, as it is, and as a new object would have it.
#[derive(Clone, Copy)]
struct Sides<'a> {
    want: Option<&'a Value>,
    live: Option<&'a Value>,
    fresh: Option<&'a Value>,
    units: Units,
}

impl<'a> Sides<'a> {
    fn member(self, name: &str) -> Self {
        let member = |side: Option<&'a Value>| side?.get(name).filter(|value| !value.is_null());
        Self {
            want: member(self.want),
            live: member(self.live),
            fresh: member(self.fresh),
            units: self.units.below(name),
        }
    }

    fn item(self, name: &str, items: &Items<'_>) -> Self {
        let mut key = Vec::new();
        let mut find = |side: Option<&'a Value>| {
            let list = side?.as_array()?;
            list.iter().find(|item| {
                items
                    .find(item, &mut key)
                    .is_some_and(|found| found.name == name)
            })
        };
        Self {
            want: find(self.want),
            live: find(self.live),
            fresh: find(self.fresh),
            units: self.units,
        }
    }
}

struct Walk<'a> {
    kind: &'a str,
    path: Vec<Segment>,
}

impl Walk<'_> {
    /// Returns the part of a record that names leftovers.
    fn leftover(&mut self, fields: &Value, sides: Sides<'_>) -> Option<Value> {
        sides.live?;
        if self.path.len() >= MAX_DEPTH || self.stays() {
            return None;
        }
        match record::shape(fields) {
            Shape::Leaf => {
                let is_default =
                    sides.fresh.is_some() && same::is_same(sides.fresh, sides.live, sides.units);
                (sides.want.is_none() && !is_default).then(|| fields.clone())
            }
            Shape::Members(children) => self.members(children, sides),
            Shape::Items(children) => self.items(children, sides),
            Shape::Unknown => None,
        }
    }

    fn members(&mut self, children: &Map<String, Value>, sides: Sides<'_>) -> Option<Value> {
        let mut left = Map::new();
        for (record_name, fields) in children {
            let Some(name) = record_name.strip_prefix("f:") else {
                continue;
            };
            self.path.push(Segment::Name(name.to_owned()));
            if let Some(below) = self.leftover(fields, sides.member(name)) {
                left.insert(record_name.clone(), below);
            }
            self.path.pop();
        }
        close(left, children, sides)
    }

    fn items(&mut self, children: &Map<String, Value>, sides: Sides<'_>) -> Option<Value> {
        let items = Items::new(children);
        let mut left = Map::new();
        for (record_name, fields) in children.iter().filter(|(name, _)| *name != ".") {
            let item = sides.item(record_name, &items);
            self.path.push(Segment::Item(label(
                record_name.get(2..).unwrap_or_default(),
            )));
            let below = match (item.want, item.fresh, item.live) {
                // A whole item that is not wanted goes as a whole.
                (None, None, Some(_)) if !self.stays() => Some(fields.clone()),
                _ => self.leftover(fields, item),
            };
            if let Some(below) = below {
                left.insert(record_name.clone(), below);
            }
            self.path.pop();
        }
        close(left, children, sides)
    }

    /// Tells whether what is here is not ours to remove.
    fn stays(&self) -> bool {
        let path = FieldPath::new(self.path.clone());
        let is = |names: &[&str]| path.starts_with(names);
        if let [.., map, Segment::Name(name)] = self.path.as_slice()
            && map.is_name("annotations")
        {
            return is_tool_annotation(name);
        }
        let is_other_metadata = is(&["metadata"])
            && self.path.len() > 1
            && !is(&["metadata", "labels"])
            && !is(&["metadata", "annotations"]);
        is_other_metadata
            || is(&["status"])
            || is(&["spec", "replicas"])
            || ALLOTTED.iter().any(|name| is(&["spec", name]))
            || immutable(self.kind, &path)
    }
}

/// What the server allots to a Service.
const ALLOTTED: [&str; 5] = [
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "healthCheckNodePort",
];

/// Annotations that controllers and `kubectl rollout` write.
fn is_tool_annotation(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else {
        return false;
    };
    let is_of = |suffix: &str| domain == suffix || domain.ends_with(&format!(".{suffix}"));
    name != LAST_APPLIED && (is_of("kubernetes.io") || is_of("k8s.io"))
}

/// Keeps the mark of the object or list itself where the whole of it is left over.
fn close(
    mut left: Map<String, Value>,
    children: &Map<String, Value>,
    sides: Sides<'_>,
) -> Option<Value> {
    if sides.want.is_none()
        && sides.fresh.is_none()
        && let Some(mark) = children.get(".")
    {
        left.insert(".".to_owned(), mark.clone());
    }
    (!left.is_empty()).then_some(Value::Object(left))
}

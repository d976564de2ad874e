//! Closed lists: items that somebody else put where a stranger matters for security.
//!
//! Server-side apply neither sees nor removes a foreign sidecar, init container, volume, port or Secret
//! key, and the comparison calls such an object equal. They are reported, and left: sidecar injectors
//! are legitimate.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    items,
    path::{FieldPath, Step},
    record::{self, Holder},
};

/// Foreign items listed per object.
const MAX_LISTED: usize = 200;

/// An item of a closed list that we neither own nor want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignItem {
    /// Where it is: `spec.template.spec.containers[sidecar]`.
    pub path: FieldPath,
    /// Who put it there, where the server knows.
    pub holder: Option<Holder>,
}

/// Returns the live items that are neither owned by `manager` nor wanted, of `containers`,
/// `initContainers` and `volumes` of a pod template, `env` and `volumeMounts` of each wanted container,
/// `ports` of a Service, and `data` of a Secret; at most 200, in order of their place.
///
/// The kind is taken from the want, since items of a list response have none. Names only, no values.
/// Where nothing is owned, everything that is not wanted is foreign.
pub fn foreign_items(want: &Value, live: &Value, manager: &str) -> Vec<ForeignItem> {
    let fields = record::ours(live, manager).and_then(|record| record.get("fieldsV1"));
    let mut found = Vec::new();
    for closed in closed_lists(record::text(want, "kind"), want) {
        for step in closed.foreign_steps(want, live, fields) {
            if found.len() == MAX_LISTED {
                return found;
            }
            let mut path = closed.place.clone();
            path.push(step);
            found.push(ForeignItem {
                holder: record::holder(live, manager, &path),
                path: FieldPath::new(path.iter().map(Step::to_segment).collect()),
            });
        }
    }
    found
}

/// A list or map that only we should fill.
struct Closed {
    place: Vec<Step<'static>>,
    /// The members that identify an item, sorted; none for a map.
    key: &'static [&'static str],
}

fn closed_lists(kind: &str, want: &Value) -> Vec<Closed> {
    let list = |names: &[&'static str], key| Closed {
        place: names.iter().copied().map(Step::Name).collect(),
        key,
    };
    match kind {
        "Pod" => pod_lists(&["spec"], want),
        "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet" | "Job" => {
            pod_lists(&["spec", "template", "spec"], want)
        }
        "CronJob" => pod_lists(&["spec", "jobTemplate", "spec", "template", "spec"], want),
        "Service" => vec![list(&["spec", "ports"], &["port", "protocol"])],
        "Secret" => vec![list(&["data"], &[])],
        _ => Vec::new(),
    }
}

fn pod_lists(pod: &[&'static str], want: &Value) -> Vec<Closed> {
    let within = |names: &[&'static str]| -> Vec<Step<'static>> {
        pod.iter().chain(names).copied().map(Step::Name).collect()
    };
    let list = |name| Closed {
        place: within(&[name]),
        key: &["name"],
    };
    let mut lists: Vec<Closed> = ["containers", "initContainers", "volumes"]
        .into_iter()
        .map(list)
        .collect();
    for name in ["containers", "initContainers"] {
        let wanted = pod.iter().try_fold(want, |value, member| value.get(member));
        let wanted = wanted
            .and_then(|pod| pod.get(name))
            .and_then(Value::as_array);
        for container in wanted.into_iter().flatten() {
            let container = items::key_text(&["name"], container);
            for (list, key) in [("env", &["name"]), ("volumeMounts", &["mountPath"])] {
                let mut place = within(&[name]);
                place.push(Step::Item(container.clone().into()));
                place.push(Step::Name(list));
                lists.push(Closed { place, key });
            }
        }
    }
    lists
}

impl Closed {
    fn foreign_steps<'a>(
        &self,
        want: &Value,
        live: &'a Value,
        fields: Option<&Value>,
    ) -> Vec<Step<'a>> {
        let wanted = self.descend(want, "");
        let owned = fields
            .and_then(|fields| self.descend(fields, "f:"))
            .and_then(Value::as_object);
        match self.descend(live, "") {
            Some(Value::Object(members)) => foreign_members(members, wanted, owned),
            Some(Value::Array(list)) => self.foreign_of_list(list, wanted, owned),
            _ => Vec::new(),
        }
    }

    /// Goes down an object, whose lists hold items, or with a prefix down a record, which names both.
    fn descend<'v>(&self, root: &'v Value, prefix: &str) -> Option<&'v Value> {
        self.place.iter().try_fold(root, |value, step| match step {
            Step::Item(key) if prefix.is_empty() => {
                let mut items = value.as_array()?.iter();
                items.find(|item| items::key_text(&["name"], item) == **key)
            }
            Step::Item(key) => value.get(format!("k:{key}")),
            Step::Name(name) => value.get(format!("{prefix}{name}")),
            Step::Element(_) => None,
        })
    }

    fn foreign_of_list<'a>(
        &self,
        live: &'a [Value],
        wanted: Option<&Value>,
        owned: Option<&Map<String, Value>>,
    ) -> Vec<Step<'a>> {
        let wanted = wanted.and_then(Value::as_array).into_iter().flatten();
        let wanted: BTreeSet<String> = wanted.map(|item| items::key_text(self.key, item)).collect();
        live.iter()
            .map(|item| items::key_text(self.key, item))
            .filter(|key| !wanted.contains(key) && !is_owned(owned, &format!("k:{key}")))
            .map(|key| Step::Item(key.into()))
            .collect()
    }
}

fn foreign_members<'a>(
    live: &'a Map<String, Value>,
    wanted: Option<&Value>,
    owned: Option<&Map<String, Value>>,
) -> Vec<Step<'a>> {
    live.keys()
        .filter(|name| wanted.is_none_or(|wanted| wanted.get(name.as_str()).is_none()))
        .filter(|name| !is_owned(owned, &format!("f:{name}")))
        .map(|name| Step::Name(name))
        .collect()
}

fn is_owned(owned: Option<&Map<String, Value>>, name: &str) -> bool {
    owned.is_some_and(|owned| owned.contains_key(name))
}

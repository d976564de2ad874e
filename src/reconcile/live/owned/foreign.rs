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
/// `initContainers` and `volumes` of a pod template, `ports` of a Service, and `data` of a Secret; at
/// most 200, in order of their place.
///
/// The kind is taken from the want, since items of a list response have none. Names only, no values.
/// Where nothing is owned, everything that is not wanted is foreign.
pub fn foreign_items(want: &Value, live: &Value, manager: &str) -> Vec<ForeignItem> {
    let fields = record::ours(live, manager).and_then(|record| record.get("fieldsV1"));
    let mut found = Vec::new();
    for closed in closed_lists(record::text(want, "kind")) {
        for step in closed.foreign_steps(want, live, fields) {
            if found.len() == MAX_LISTED {
                return found;
            }
            let mut path: Vec<Step<'_>> = closed.names.iter().copied().map(Step::Name).collect();
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
    names: Vec<&'static str>,
    /// The members that identify an item, sorted; none for a map.
    key: &'static [&'static str],
}

fn closed_lists(kind: &str) -> Vec<Closed> {
    const TEMPLATE: [&str; 3] = ["spec", "template", "spec"];
    match kind {
        "Pod" => pod_lists(&["spec"]),
        "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet" | "Job" => pod_lists(&TEMPLATE),
        "CronJob" => pod_lists(&["spec", "jobTemplate", "spec", "template", "spec"]),
        "Service" => vec![Closed {
            names: vec!["spec", "ports"],
            key: &["port", "protocol"],
        }],
        "Secret" => vec![Closed {
            names: vec!["data"],
            key: &[],
        }],
        _ => Vec::new(),
    }
}

fn pod_lists(pod: &[&'static str]) -> Vec<Closed> {
    let list = |name| Closed {
        names: pod.iter().copied().chain([name]).collect(),
        key: &["name"],
    };
    ["containers", "initContainers", "volumes"]
        .into_iter()
        .map(list)
        .collect()
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

    fn descend<'v>(&self, root: &'v Value, prefix: &str) -> Option<&'v Value> {
        self.names
            .iter()
            .try_fold(root, |value, name| value.get(format!("{prefix}{name}")))
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

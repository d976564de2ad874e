//! Each target's row, as part of where everything stands. Whether the target itself answers is not known here. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Item, Key, Row, RowKey};
use crate::reconcile::desired::Desired;
use crate::reconcile::live::{Live, Seen};

/// One target: as it is declared, or as the registry has it where it no longer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShownTarget {
    /// Its row in the registry: `there`, `absent` before an apply, `removed` once it is not declared; or `unknown`.
    pub row: String,
    /// `direct` or `agent`.
    pub mode: String,
    /// Whether it takes anything at all.
    pub enabled: bool,
    /// Whether it takes nothing new and gives up what it has.
    pub draining: bool,
    /// How many GPUs it offers.
    pub gpu_count: u64,
}

/// Returns every declared target and every other of which there is a row, by id.
#[must_use]
pub fn targets(desired: &Desired, live: &Live) -> BTreeMap<String, ShownTarget> {
    let mut targets = BTreeMap::new();
    for (key, seen) in &live.seen {
        if let (Key::Row(RowKey::Target(id)), Seen::Row(row)) = (key, seen) {
            targets.insert(id.to_string(), shown("removed", row));
        }
    }
    for (key, wanted) in &desired.items {
        let (Key::Row(RowKey::Target(id)), Item::Row(row)) = (key, &wanted.item) else {
            continue;
        };
        let state = match (live.seen.get(key), &live.rows_unknown) {
            (Some(Seen::Row(_)), _) => "there",
            (Some(Seen::Unknown(_)), _) | (_, Some(_)) => "unknown",
            _ => "absent",
        };
        targets.insert(id.to_string(), shown(state, row));
    }
    targets
}

fn shown(state: &str, Row(row): &Row) -> ShownTarget {
    let is = |member: &str| row[member].as_bool().unwrap_or_default();
    ShownTarget {
        row: state.to_owned(),
        mode: row["mode"].as_str().unwrap_or_default().to_owned(),
        enabled: is("enabled"),
        draining: is("draining"),
        gpu_count: row["gpu_count"].as_u64().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::TargetId;
    use crate::reconcile::desired::{Presence, Wanted};
    use crate::reconcile::live::Why;

    fn key(id: &str) -> Key {
        Key::Row(RowKey::Target(TargetId::parse(id).unwrap()))
    }

    fn row(gpus: u32) -> Row {
        Row(json!({"mode": "agent", "enabled": true, "draining": false, "gpu_count": gpus}))
    }

    fn desired(ids: &[&str]) -> Desired {
        let wanted = |id: &&str| {
            let wanted = Wanted {
                item: Item::Row(row(8)),
                presence: Presence::Required,
                after: Vec::new(),
            };
            (key(id), wanted)
        };
        Desired {
            items: ids.iter().map(wanted).collect(),
            ..Desired::default()
        }
    }

    fn states(desired: &Desired, live: &Live) -> Vec<(String, String, u64)> {
        let targets = targets(desired, live).into_iter();
        targets
            .map(|(id, target)| (id, target.row, target.gpu_count))
            .collect()
    }

    #[test]
    fn a_target_is_there_absent_or_removed_by_its_row() {
        let live = Live {
            seen: ["here", "gone"]
                .map(|id| (key(id), Seen::Row(row(4))))
                .into(),
            ..Live::default()
        };
        let state = |id: &str, state: &str, gpus| (id.to_owned(), state.to_owned(), gpus);
        assert_eq!(
            states(&desired(&["here", "new"]), &live),
            [
                state("gone", "removed", 4),
                state("here", "there", 8),
                state("new", "absent", 8),
            ]
        );
    }

    #[test]
    fn a_target_whose_row_could_not_be_read_is_unknown() {
        let live = Live {
            rows_unknown: Some(Why("away".to_owned())),
            ..Live::default()
        };
        let state = ("here".to_owned(), "unknown".to_owned(), 8);
        assert_eq!(states(&desired(&["here"]), &live), [state]);
    }
}

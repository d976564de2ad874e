//! Acts as the statements that keep them take them.

use serde_json::json;

use super::passes::{fitted, stamp};
use crate::model::act::{Act, ActKind};

/// The SQL about acts and suspensions. The row of the controller is `*`, which no challenge is called.
pub(super) struct ActStatements {
    /// Which, as [`super::rows::scoped`] tells it; gives `[slug, suspension]`.
    pub(super) read_suspensions: &'static str,
    /// No argument; gives a suspension.
    pub(super) read_controller: &'static str,
    /// An act.
    pub(super) suspend: &'static str,
    /// An act.
    pub(super) resume: &'static str,
    /// An act; gives its number.
    pub(super) insert: &'static str,
    /// How many are kept.
    pub(super) prune: &'static str,
    /// Number, outcome, time.
    pub(super) end: &'static str,
    /// No argument.
    pub(super) pending: &'static str,
    /// Limit.
    pub(super) list: &'static str,
}

#[cfg(test)]
impl ActStatements {
    pub(super) fn all(&self) -> [&'static str; 9] {
        let Self {
            read_suspensions,
            read_controller,
            suspend,
            resume,
            insert,
            prune,
            end,
            pending,
            list,
        } = self;
        [
            read_suspensions,
            read_controller,
            suspend,
            resume,
            insert,
            prune,
            end,
            pending,
            list,
        ]
    }
}

/// Returns an act as the statements take it. What is in force once it is kept has its outcome from the start.
pub(super) fn document(act: &Act) -> String {
    let outcome = match act.kind {
        ActKind::Suspend | ActKind::Resume => Some("done"),
        ActKind::Reconcile | ActKind::Resolve => None,
    };
    json!({
        "kind": act.kind,
        "slug": act.slug,
        "why": act.why.as_deref().map(|why| fitted(why, 500)),
        "actor": fitted(&act.actor, 200),
        "at": stamp(act.at),
        "outcome": outcome,
    })
    .to_string()
}

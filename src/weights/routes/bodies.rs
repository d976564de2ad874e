//! The bodies of answers, beside the documents that are kept. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::snapshot::SnapshotSummary;

/// What is wrong with a request. Nothing of it is repeated.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Invalid {
    /// Each mistake.
    pub(super) detail: Vec<Mistake>,
}

/// One mistake.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Mistake {
    /// What kind it is of.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Where it stands: `query`, and the name of the parameter.
    pub(super) loc: Vec<&'static str>,
    /// What would be right.
    pub(super) msg: &'static str,
}

/// That the process answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// Always `ok`.
    #[schemars(extend("const" = "ok"))]
    pub(super) status: &'static str,
}

/// Whether the process is fit to be asked, and what that follows from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Readiness {
    /// The whole.
    pub(super) status: Fitness,
    /// What it follows from.
    pub(super) checks: Checks,
}

/// Whether a process is fit to be asked.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) enum Fitness {
    /// It is.
    #[serde(rename = "ok")]
    Ready,
    /// It is not.
    #[serde(rename = "not ready")]
    NotReady,
}

/// What fitness follows from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Checks {
    /// Whether the last reading of the database came to its end.
    pub(super) database: DatabaseCheck,
    /// Whether this process has read the declaration.
    pub(super) declaration: DeclarationCheck,
    /// Seconds since the registered hotkeys were read by this process; null where it never did.
    pub(super) metagraph_age_seconds: Option<i64>,
    /// Seconds since the making of the newest vector began; null where there is none.
    pub(super) last_weights_age_seconds: Option<i64>,
    /// Why this process could make no newer vector; null where it could, or makes none.
    pub(super) weights: Option<String>,
    /// Whether vectors are signed.
    pub(super) weights_signed: bool,
}

/// Whether the last reading of the database came to its end.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DatabaseCheck {
    /// It did.
    Ok,
    /// It did not.
    Away,
}

/// Whether a process has read the declaration.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) enum DeclarationCheck {
    /// It has.
    #[serde(rename = "ok")]
    Ok,
    /// It has not: the source is away, or holds nothing that can be used. What is served is of the network that was
    /// declared last.
    #[serde(rename = "last known")]
    LastKnown,
    /// It has not, and does not know of which network to serve.
    #[serde(rename = "unknown")]
    Unknown,
}

/// The vectors of the past.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WeightsHistory")]
pub(super) struct History<'a> {
    /// Newest first.
    pub(super) items: Vec<&'a SnapshotSummary>,
}

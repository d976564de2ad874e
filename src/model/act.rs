//! Acts that are no declarations: suspend, resume, look now. Each is kept with who, when and what came of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Slug;

/// The challenges that are suspended.
pub type Suspensions = BTreeMap<Slug, Suspension>;

/// Why a challenge is left as it is, or a controller leaves everything so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The reason that was given.
    pub why: String,
    /// Who suspended it.
    pub actor: String,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Suspension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { why, actor, since } = self;
        write!(f, "since {since:.0} by {actor}: {why}")
    }
}

/// An act that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What it is.
    pub kind: ActKind,
    /// The challenge it is about; none means all, and of a suspension or its end the controller itself.
    pub slug: Option<Slug>,
    /// The reason that was given.
    pub why: Option<String>,
    /// Who asks for it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// What an act is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Leave a challenge as it is; or have the controller write nothing at all.
    Suspend,
    /// Go on.
    Resume,
    /// Look at once.
    Reconcile,
    /// Ask the image registries anew what the tags stand for, and look at once.
    Resolve,
}

impl ActKind {
    /// Returns its name in the database and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Reconcile => "reconcile",
            Self::Resolve => "resolve",
        }
    }
}

/// An act as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActRecord {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub kind: ActKind,
    /// The challenge it is about; none means all, and of a suspension or its end the controller itself.
    pub slug: Option<Slug>,
    /// The reason that was given.
    pub why: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// What came of it; none while no controller has taken it up.
    pub outcome: Option<String>,
    /// When that was.
    pub ended_at: Option<Timestamp>,
}

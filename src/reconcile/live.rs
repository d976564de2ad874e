//! What is there now, for every wanted key and every key we own.

pub mod observe;
pub mod owned;
mod patience;
mod pods;
mod question;
pub mod reduce;
#[cfg(test)]
mod tests;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::owned::Fingerprint;
use super::desired::Desired;
use crate::edge::cluster::{ClusterRead, ClusterWrite};
use crate::model::document::Json;
use crate::model::{ClusterName, Key, Kind, ObjectKey, Ownership, Row, RowKey, Scope};

/// The registry's rows, or why they are not known.
pub type Rows = Result<BTreeMap<RowKey, Row>, Why>;

/// Looks at everything in scope that is wanted or ours: the rows as read, and each cluster by one list per
/// kind.
pub async fn see_live(
    desired: &Desired,
    look: &Look<'_>,
    clusters: &BTreeMap<ClusterName, Result<Arc<dyn ClusterWrite>, Why>>,
    rows: Rows,
) -> Live {
    let mut live = Live::default();
    let with_keda = rows
        .as_ref()
        .is_ok_and(|rows| rows.values().any(is_scaled_by_keda));
    match rows {
        Ok(rows) => live.seen.extend(
            rows.into_iter()
                .filter(|(key, _)| is_in(look.scope, key))
                .map(|(key, row)| (Key::Row(key), Seen::Row(row))),
        ),
        Err(why) => live.rows_unknown = Some(why),
    }
    let reader = |cluster: &ClusterName| -> Result<Arc<dyn ClusterRead>, Why> {
        match clusters.get(cluster) {
            Some(Ok(cluster)) => Ok(cluster.clone()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(Why(format!("target {cluster} is not connected"))),
        }
    };
    for place in observe::places(desired, &ClusterName::Local, look, with_keda, reader) {
        observe::observe(&place, desired, &mut live).await;
    }
    live
}

/// What a look is about, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The namespace of the local cluster.
    pub namespace: &'a str,
    /// The challenges.
    pub scope: &'a Scope,
    /// How far it goes.
    pub depth: Depth<'a>,
}

/// How far a look goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth<'a> {
    /// Lists alone: which keys differ or are missing, not what the server says to it.
    Survey,
    /// The server is asked about these keys where they differ or are missing.
    About(&'a BTreeSet<Key>),
    /// The server is asked about every key that differs or is missing.
    Full,
}

impl Depth<'_> {
    fn asks_about(self, key: &Key) -> bool {
        match self {
            Self::Survey => false,
            Self::About(keys) => keys.contains(key),
            Self::Full => true,
        }
    }
}

/// Rows of no challenge are looked at together with all.
fn is_in(scope: &Scope, key: &RowKey) -> bool {
    match key.slug() {
        Some(slug) => scope.contains(slug),
        None => *scope == Scope::All,
    }
}

/// KEDA's objects are listed where they are wanted, or were: the Role has that right only then.
#[must_use]
pub fn is_scaled_by_keda(row: &Row) -> bool {
    let engine = (&row.0).at(&["spec", "mode", "autoscaling", "engine"]);
    engine.and_then(Json::text) == Some("keda")
}

/// What is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Every wanted key and every key we own.
    pub seen: BTreeMap<Key, Seen>,
    /// Kinds whose listing is not complete, and why: nothing of that kind is deleted.
    pub partial: BTreeMap<(ClusterName, Kind), Why>,
    /// Why the registry rows are not known, if they are not.
    pub rows_unknown: Option<Why>,
}

/// One key as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Known to be missing.
    Absent {
        /// What the server says to making it.
        verdict: Verdict,
    },
    /// An object that exists.
    Object(Box<Observed>),
    /// A row that exists.
    Row(Row),
    /// Not known: a failed, forbidden or partial read.
    Unknown(Why),
}

/// An object that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The object's identity, for preconditions.
    pub uid: String,
    /// The version seen, for preconditions.
    pub version: String,
    /// The object but for its status, where something of it is to be changed.
    pub standing: Option<Fingerprint>,
    /// Whose it is by its labels; `None` when they are not ours.
    pub owner: Option<Ownership>,
    /// Whether it is ready, for kinds that become ready.
    pub readiness: Readiness,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The changes an apply would make; empty when nothing of ours differs.
    pub changes: Vec<Change>,
    /// What has to be put right before that apply, if anything.
    pub repair: Option<Repair>,
    /// What the server says to those changes.
    pub verdict: Verdict,
    /// Items that others put into lists where that may matter (containers, volumes, ports, Secret keys).
    pub foreign: Vec<String>,
    /// What is known of a Secret's content without its values.
    pub contents: Option<Contents>,
}

impl Observed {
    /// Returns what a write is meant for: this object, as it was seen.
    #[must_use]
    pub fn sighting(&self) -> Sighting {
        Sighting {
            uid: self.uid.clone(),
            version: self.version.clone(),
            standing: self.standing,
        }
    }
}

/// An object as it was seen: what a write is meant for, and for no other.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The object's identity.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// What stays while controllers report on it, where that is known.
    pub standing: Option<Fingerprint>,
}

/// A JSON patch that has to come before an apply which could not do its work alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// What it puts right.
    pub reasons: BTreeSet<Remedy>,
    /// The operations.
    pub operations: Vec<Value>,
    /// The version of the object that they were made for.
    pub version: String,
    /// The object that they were made for, but for its status: they are sent for no other.
    pub standing: Fingerprint,
}

/// What a repair puts right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Something that others put there excludes ours, such as an item with its name; ours takes its place.
    ReplaceItem,
    /// Fields that an earlier writer left are recorded as ours, so that the apply removes them.
    TakeOver,
    /// The count of replicas is given up as it stands, so that the apply does not reset it.
    ReleaseReplicas,
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReplaceItem => "first replaces what excludes it",
            Self::TakeOver => "takes over what an earlier writer left",
            Self::ReleaseReplicas => "the number of pods stays",
        })
    }
}

/// What is known of a Secret without its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Keys with a value that is not empty.
    pub keys: BTreeSet<String>,
    /// Hash and hint of the tokens, of a token Secret.
    pub tokens: Option<Row>,
    /// The hash of each value, of the Secret with all tokens.
    pub hashes: BTreeMap<String, String>,
}

/// Whether an object is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is, or its kind has no such state.
    Ready,
    /// It is not, in words such as `0/1 ready`.
    NotReady(String),
}

/// What is told of a workload that its controller has not taken up.
const UNSEEN: &str = "not yet seen by its controller";
/// What is told of a pod that no node takes.
const UNPLACED: &str = "Unschedulable";
/// What is told of a workload where nobody can tell why its pods are not ready.
const UNTOLD: &str = "its pods could not be listed";

impl Readiness {
    /// Tells whether the pods as they are wanted were tried and are not ready. Where they have not come that far
    /// it is the cluster that is not ready for them; where that cannot be told it may be.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        match self {
            Self::Ready => false,
            Self::NotReady(state) => {
                state != UNSEEN && !state.ends_with(UNPLACED) && !state.ends_with(UNTOLD)
            }
        }
    }
}

/// What the server says to a wanted object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Our fields already hold; no request was sent.
    Same,
    /// It would be stored.
    Accepted,
    /// It would be refused.
    Refused(Why),
    /// Its namespace or kind is made earlier in the same plan.
    Deferred(Key),
    /// No dry run was possible or needed; only our own fields were compared.
    NotAsked(Why),
}

/// A reason, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Why(pub String);

impl Why {
    /// Returns the reason without the words `<Kind> list: ` in front, for where the kind stands beside it.
    #[must_use]
    pub fn without(&self, kind: Kind) -> &str {
        let list = self.0.strip_prefix(kind.as_str());
        let list = list.and_then(|rest| rest.strip_prefix(" list: "));
        list.unwrap_or(&self.0)
    }

    /// As [`Self::without`], for the kind of a key.
    #[must_use]
    pub fn without_kind(&self, key: &Key) -> &str {
        key.object()
            .map_or(self.0.as_str(), |key| self.without(key.kind))
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// One field that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The path as people read it, list items by their key.
    pub path: String,
    /// The value there now; absent when there is none, or when it is secret.
    pub old: Option<Value>,
    /// The value afterwards; absent when the field goes, or when it is secret.
    pub new: Option<Value>,
    /// Who took the field from us, if somebody did.
    pub taken_by: Option<String>,
}

impl Live {
    /// Returns why nothing may be written on the strength of this look, if so: the rows are not known, or
    /// nothing at all of the local cluster.
    #[must_use]
    pub fn blindness(&self) -> Option<Why> {
        if let Some(why) = &self.rows_unknown {
            return Some(Why(format!("the registry could not be read: {why}")));
        }
        let why_not = |kind| {
            self.partial
                .get(&(ClusterName::Local, kind))
                .map(|why| (kind, why))
        };
        let unlisted: Option<Vec<_>> = observe::always_listed().map(why_not).collect();
        let unlisted = unlisted?;
        let (kind, why) = unlisted.first()?;
        let why = why.without(*kind);
        Some(Why(format!("the cluster could not be read: {why}")))
    }

    /// Returns the observed object of a key, if it is known to exist.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<&Observed> {
        match self.seen.get(&Key::Object(key.clone()))? {
            Seen::Object(observed) => Some(observed),
            Seen::Absent { .. } | Seen::Row(_) | Seen::Unknown(_) => None,
        }
    }
}

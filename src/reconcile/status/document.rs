//! The status for machines: a documented shape with a version, and the schema of that shape. Pure.
//!
//! Members may be added under the same version; none is renamed or removed.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::ChallengeStatus;
use super::health::ShownHealth;
use super::targets::ShownTarget;
use super::weights::ShownWeights;
use crate::model::condition::{ChallengeCondition, ConditionType, Conditions};
use crate::model::{Revision, Slug};
use crate::reconcile::render::mask;

/// Where everything stands, as `platform status -o json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Document {
    /// The version of this shape: 1.
    pub version: u32,
    /// The source as it was named.
    pub source: String,
    /// Its revision.
    pub revision: ShownRevision,
    /// The cluster and the namespace.
    pub cluster: String,
    /// The database, without password.
    pub database: String,
    /// Whether everything is as declared and ready.
    pub converged: bool,
    /// Since when, by whom and why the controller is suspended; null where it is not known to be.
    pub controller_suspended: Option<String>,
    /// The last pass, as `platform history -o json` has it.
    pub last_pass: Option<Value>,
    /// The challenges by slug.
    pub challenges: BTreeMap<String, ShownChallenge>,
    /// The targets by id.
    pub targets: BTreeMap<String, ShownTarget>,
    /// The newest weight vector of the declared subnet.
    pub weights: ShownWeights,
    /// What belongs to no challenge and could not be read.
    pub unknown: Vec<String>,
}

/// A revision.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownRevision {
    /// The sha256 of the files.
    pub digest: String,
    /// The commit, when the source is git.
    pub commit: Option<ShownCommit>,
}

/// A commit.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownCommit {
    /// The full object id in hex.
    pub id: String,
    /// The first line of the message.
    pub subject: String,
}

/// Where one challenge stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownChallenge {
    /// `draft`, `active`, `inactive` or `disabled`; null for one that left the declaration.
    pub declared: Option<Value>,
    /// Its share among the active ones, such as `66.67 %`.
    pub share: String,
    /// The image that is wanted.
    pub image: String,
    /// How many keys are wanted.
    pub wanted: usize,
    /// How many of them are as they should be.
    pub there: usize,
    /// How it is, in one word: `ready`, `stopped`, `progressing`, `suspended`, `held`, `unknown` or `removed`.
    pub condition: String,
    /// Why it is not ready, one reason each.
    pub why: Vec<String>,
    /// What is true of it, one of each type.
    pub conditions: Vec<ShownCondition>,
    /// How it is by its own account; null for one that is not active.
    pub health: Option<ShownHealth>,
}

/// One condition of a challenge.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownCondition {
    /// `Ready`, `Progressing`, `Held`, `Drifted`, `Suspended` or `Stalled`.
    #[serde(rename = "type")]
    pub of: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word in camel case.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when the status is this (RFC 3339); null where no controller has told.
    pub since: Option<String>,
    /// The commit or digest that it was found for.
    pub observed_revision: String,
}

/// Returns the JSON Schema of [`Document`], indented, with a final line break.
#[must_use]
pub fn status_schema() -> String {
    let schema = schema_for!(Document);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

impl From<&Revision> for ShownRevision {
    fn from(revision: &Revision) -> Self {
        let commit = revision.commit.as_ref();
        Self {
            digest: revision.digest.clone(),
            commit: commit.map(|commit| ShownCommit {
                id: commit.id.clone(),
                subject: mask::line(&commit.subject),
            }),
        }
    }
}

/// Returns where challenges stand with their conditions; times are told for those that `kept` has alike.
#[must_use]
pub fn challenges(
    statuses: &BTreeMap<Slug, ChallengeStatus>,
    now: &BTreeMap<Slug, Conditions>,
    kept: &BTreeMap<Slug, Conditions>,
    health: &BTreeMap<Slug, ShownHealth>,
) -> BTreeMap<String, ShownChallenge> {
    let shown = |(slug, status): (&Slug, &ChallengeStatus)| {
        let ChallengeStatus {
            declared,
            share,
            image,
            version: _,
            wanted,
            there,
            condition,
            why,
            left: _,
            workload: _,
        } = status;
        let conditions = now.get(slug).into_iter().flat_map(|now| &now.of);
        let kept = kept.get(slug);
        let shown = ShownChallenge {
            declared: declared.and_then(|declared| serde_json::to_value(declared).ok()),
            share: share.clone(),
            image: image.clone(),
            wanted: *wanted,
            there: *there,
            condition: condition.as_str().to_owned(),
            why: why
                .iter()
                .map(|why| mask::without_passwords(&why.text))
                .collect(),
            conditions: conditions
                .map(|(of, condition)| shown_condition(*of, condition, kept))
                .collect(),
            health: health.get(slug).cloned(),
        };
        (slug.to_string(), shown)
    };
    statuses.iter().map(shown).collect()
}

fn shown_condition(
    of: ConditionType,
    condition: &ChallengeCondition,
    kept: Option<&Conditions>,
) -> ShownCondition {
    let is_kept = kept.and_then(|kept| kept.of.get(&of));
    let is_kept = is_kept.is_some_and(|kept| kept.status == condition.status);
    ShownCondition {
        of: of.as_str().to_owned(),
        status: condition.status.as_str().to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: is_kept.then(|| condition.since.to_string()),
        observed_revision: condition.revision.clone(),
    }
}

//! The plan for machines: a documented shape with a version, and the schema of that shape. Pure.
//!
//! Members may be added under the same version; none is renamed or removed.

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Header, Options, consequence,
    group::{Group, Outline, Totals, groups},
    mask, whole, words,
};
use crate::{
    model::{Key, ObjectKey},
    reconcile::{
        live::Change,
        plan::{Action, Guard, Held, Note, Plan, Step, digest::plan_digest},
    },
};

/// A plan of `platform diff`: what `platform apply` would do, and what it would not do and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The version of this shape.
    pub format: Format,
    /// The source as it was named.
    pub source: String,
    /// Seven digits of the commit and its subject; without git, seven digits of the content's digest.
    pub revision: String,
    /// The cluster and the namespace.
    pub cluster: String,
    /// The database, without password.
    pub database: String,
    /// The sha256 of the plan in hex.
    pub digest: String,
    /// How many keys are created, changed, deleted, kept, held and unchanged.
    pub totals: Totals,
    /// Challenges with something to say, by slug.
    pub challenges: Vec<Challenge>,
    /// Steps that belong to no challenge: namespaces, targets.
    pub cluster_wide: Vec<PlannedStep>,
    /// What belongs to no challenge and is not done, and why.
    pub held: Vec<HeldKey>,
    /// Remarks that belong to no challenge.
    pub notes: Vec<Remark>,
    /// Guards that must be allowed before this plan is applied.
    pub guards: Vec<PassedGuard>,
}

/// The version of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Format {
    /// The first version.
    #[serde(rename = "platform.network/plan/v1")]
    V1,
}

/// One challenge of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Challenge {
    /// Its slug.
    pub slug: String,
    /// What happens to it as a whole.
    pub action: Outline,
    /// Its share of the emissions, where that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareChange>,
    /// What is done, in order.
    pub steps: Vec<PlannedStep>,
    /// What is not done, and why.
    pub held: Vec<HeldKey>,
    /// Remarks that change nothing.
    pub notes: Vec<Remark>,
}

/// A share before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareChange {
    /// The share now, such as `66.67 %`.
    pub before: String,
    /// The share afterwards.
    pub after: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    /// What it is about.
    pub key: PlannedKey,
    /// What is done.
    pub action: Verb,
    /// The fields that change.
    pub changes: Vec<FieldChange>,
    /// What it means for whoever runs the challenge.
    pub means: Vec<String>,
    /// The objects that must be there and ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PlannedKey>,
    /// The whole object or row as it should be, with `--full`; secret values are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Value>,
}

/// An object on a cluster, or a row of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PlannedKey {
    /// An object.
    Object {
        /// `local`, or the id of the target whose cluster it is on.
        cluster: String,
        /// The kind.
        kind: String,
        /// The namespace; empty for a namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// A row.
    Row {
        /// Which sort of row: `registry`, `tokens`, `assignment` or `target`.
        row: String,
        /// The slug or target id that names it.
        id: String,
    },
}

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed.
    Change,
    /// It is deleted.
    Delete,
}

/// One field that changes. Without `old` and `new` its values are secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// The path, list items by their key.
    pub path: String,
    /// The value now; absent when there is none or it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// The value afterwards; absent when there is none or it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// Who took the field, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<String>,
}

/// Something that is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldKey {
    /// Which sort of reason.
    pub held: Reason,
    /// What it is about; absent when it is the whole challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PlannedKey>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<PlannedKey>,
    /// The reason in words; absent for what removal keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Removal keeps it: it holds data or the key to data.
    Retained,
    /// The name is taken by an object that is not ours.
    Foreign,
    /// Its state could not be read.
    Unknown,
    /// It would be refused, or must not be done.
    Refused,
    /// Somebody else changed it, and that is only reported.
    Drifted,
    /// It waits for another object.
    Waits,
    /// A kind could not be listed, so that nothing of it is deleted.
    Unlisted,
    /// The registry's rows could not be read, so that none is written or deleted.
    Unrecorded,
    /// The whole challenge is withheld.
    Withheld,
    /// Somebody suspended the challenge.
    Suspended,
    /// The declared image did not become ready in its time; the one before it is to run.
    RolledBack,
}

/// A remark about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remark {
    /// What it is about.
    pub key: PlannedKey,
    /// The remark.
    pub text: String,
}

/// A guard that a plan would pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PassedGuard {
    /// What it is about, in words.
    pub text: String,
    /// The flag of `apply` that allows it.
    pub flag: String,
}

/// Returns a plan as JSON, ending in a line break. Values are masked and whole.
///
/// Characters that act on a terminal are written as escapes, which JSON allows inside strings only, where they are.
#[must_use]
pub fn render_json(plan: &Plan, header: &Header, options: &Options) -> String {
    pretty(&document(plan, header, options))
}

/// Returns the JSON Schema of [`render_json`]'s output, ending in a line break.
#[must_use]
pub fn plan_schema() -> String {
    pretty(&schema_for!(Document))
}

/// Returns a plan in the published shape.
#[must_use]
pub fn document(plan: &Plan, header: &Header, options: &Options) -> Document {
    let mut document = Document {
        format: Format::V1,
        source: mask::without_passwords(&header.source),
        revision: mask::without_passwords(&plan.revision.to_string()),
        cluster: mask::without_passwords(&header.cluster),
        database: mask::without_passwords(&header.database),
        digest: plan_digest(plan),
        totals: Totals::of(plan),
        challenges: Vec::new(),
        cluster_wide: Vec::new(),
        held: Vec::new(),
        notes: Vec::new(),
        guards: plan.guards.iter().map(guard).collect(),
    };
    for group in groups(plan) {
        let challenge = challenge(&group, options);
        if group.slug.is_some() {
            document.challenges.push(challenge);
        } else {
            document.cluster_wide = challenge.steps;
            document.held = challenge.held;
            document.notes = challenge.notes;
        }
    }
    document
}

fn challenge(group: &Group<'_>, options: &Options) -> Challenge {
    let steps = group.steps.iter();
    let kept = group.kept.iter().map(|key| kept(key));
    let held = group.held.iter().map(|held| held_key(held));
    Challenge {
        slug: group.slug.map(ToString::to_string).unwrap_or_default(),
        action: group.outline(),
        share: group.share.map(|(before, after)| ShareChange {
            before: before.clone(),
            after: after.clone(),
        }),
        steps: steps.map(|step| planned(step, group, options)).collect(),
        held: kept.chain(held).collect(),
        notes: group.notes.iter().map(|note| remark(note)).collect(),
    }
}

fn planned(step: &Step, group: &Group<'_>, options: &Options) -> PlannedStep {
    let (action, changes, wanted) = match &step.action {
        Action::Create(new) => (Verb::Create, &[][..], Some(new)),
        Action::Update { new, changes, .. } => (Verb::Change, &changes[..], Some(new)),
        Action::Delete { .. } => (Verb::Delete, &[][..], None),
    };
    let wanted = wanted.filter(|_| options.is_full).and_then(whole::content);
    PlannedStep {
        key: key(&step.key),
        action,
        changes: changes
            .iter()
            .map(|change| field(&step.key, change))
            .collect(),
        means: consequence::means(step, &group.steps),
        after: step.after.iter().map(object).collect(),
        wanted: wanted.map(|wanted| mask::whole(&step.key, &wanted)),
    }
}

/// Two values that differ only in what is masked are left out, as secret values are.
fn field(key: &Key, change: &Change) -> FieldChange {
    let mask = |value: &Value| mask::changed(key, &change.path, value);
    let (old, new) = (change.old.as_ref().map(mask), change.new.as_ref().map(mask));
    let is_hidden = old == new && change.old != change.new;
    FieldChange {
        path: change.path.clone(),
        old: old.filter(|_| !is_hidden),
        new: new.filter(|_| !is_hidden),
        taken_by: change.taken_by.clone(),
    }
}

fn key(key: &Key) -> PlannedKey {
    match key {
        Key::Object(key) => object(key),
        Key::Row(row) => PlannedKey::Row {
            row: row.table().to_owned(),
            id: row.id().to_owned(),
        },
    }
}

fn object(key: &ObjectKey) -> PlannedKey {
    let ObjectKey {
        cluster,
        kind,
        namespace,
        name,
    } = key;
    PlannedKey::Object {
        cluster: cluster.to_string(),
        kind: kind.to_string(),
        namespace: namespace.clone(),
        name: name.clone(),
    }
}

fn kept(kept: &Key) -> HeldKey {
    HeldKey {
        held: Reason::Retained,
        key: Some(key(kept)),
        on: None,
        why: None,
    }
}

fn held_key(held: &Held) -> HeldKey {
    let (reason, about, on) = match held {
        Held::Retained { key, .. } => (Reason::Retained, Some(key), None),
        Held::Foreign { key, .. } => (Reason::Foreign, Some(key), None),
        Held::Unknown { key, .. } => (Reason::Unknown, Some(key), None),
        Held::Refused { key, .. } => (Reason::Refused, Some(key), None),
        Held::Drifted { key, .. } => (Reason::Drifted, Some(key), None),
        Held::Waits { key, on, .. } => (Reason::Waits, Some(key), Some(on)),
        Held::Unlisted { .. } => (Reason::Unlisted, None, None),
        Held::Unrecorded { .. } => (Reason::Unrecorded, None, None),
        Held::Withheld { .. } => (Reason::Withheld, None, None),
        Held::Suspended { .. } => (Reason::Suspended, None, None),
        Held::RolledBack { .. } => (Reason::RolledBack, None, None),
    };
    HeldKey {
        held: reason,
        key: about.map(key),
        on: on.map(key),
        why: words::reason(held),
    }
}

fn remark(note: &Note) -> Remark {
    Remark {
        key: key(&note.key),
        text: mask::without_passwords(&note.text),
    }
}

fn guard(guard: &Guard) -> PassedGuard {
    PassedGuard {
        text: words::guard(guard),
        flag: words::flag(guard).to_owned(),
    }
}

fn pretty(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value);
    let text = text.expect("these types have no map with keys that are not text");
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && mask::is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

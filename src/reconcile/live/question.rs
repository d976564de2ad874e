//! One object that differs: the dry run that tells what an apply would do, and what has to be put right
//! before it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::observe::{TAKE_OVER, not_asked};
use super::owned::{self, Comparison, Differences};
use super::{Change, Observed, Remedy, Repair, Seen, Verdict, Why};
use crate::edge::cluster::{ClusterError, ClusterRead};
use crate::model::{FIELD_MANAGER, Key, ObjectKey};
use crate::reconcile::desired::Desired;

/// A name that no object has: what the server would store under it is what it stores of a new object.
const NEW_NAME: &str = "platform-dry-run";

/// An object that differs: what an apply would do to it is the server's to say.
pub(super) struct Question {
    key: ObjectKey,
    observed: Box<Observed>,
    object: Value,
    /// Operations that clear the way for the apply.
    unblock: Vec<Value>,
    /// Whether the count of replicas is no longer ours to say.
    releases_replicas: bool,
}

impl Question {
    pub(super) fn new(key: ObjectKey, observed: Observed, object: Value) -> Self {
        Self {
            key,
            observed: Box::new(observed),
            object,
            unblock: Vec::new(),
            releases_replicas: false,
        }
    }

    pub(super) fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Adds what the differences say about the way there.
    pub(super) fn about(mut self, differences: &Differences) -> Self {
        let is_released = |difference: &owned::Difference| {
            difference.kind() == owned::Kind::Unwanted
                && difference.effect() == owned::Effect::Content
                && difference.path().is(&["spec", "replicas"])
        };
        self.releases_replicas = differences.listed().iter().any(is_released);
        self.unblock = owned::unblock(differences.listed(), &self.object);
        self
    }

    /// Leaves the question open: that something differs is all that is known.
    pub(super) fn unasked(mut self) -> (Key, Seen) {
        if self.observed.changes.is_empty() {
            self.observed.changes.push(ownership(&self.object));
        }
        self.observed.verdict = not_asked();
        (Key::Object(self.key), Seen::Object(self.observed))
    }

    pub(super) async fn ask(mut self, reader: &dyn ClusterRead, desired: &Desired) -> (Key, Seen) {
        let key = Key::Object(self.key.clone());
        let want = desired.items[&key].item.manifest().unwrap_or_default();
        match self.answer(reader, &want).await {
            Ok(()) => {
                if !self.observed.changes.is_empty() {
                    self.observed.standing = Some(owned::standing(&self.object));
                }
                (key, Seen::Object(self.observed))
            }
            Err(why) => (key, Seen::Unknown(why)),
        }
    }

    async fn answer(&mut self, reader: &dyn ClusterRead, want: &Value) -> Result<(), Why> {
        let stored = match reader.dry_run(&self.key, want).await {
            Ok(stored) => stored,
            // The way is not clear yet: that the server says so is expected.
            Err(ClusterError::Invalid(_)) if self.can_unblock(want) => {
                let why = "the server can be asked only once what excludes it is replaced";
                self.describe(want, None);
                self.observed.verdict = Verdict::NotAsked(Why::from(why));
                self.observed.repair = self.repair(None);
                return Ok(());
            }
            Err(error) => return self.refused(reader, want, verdict(error)?).await,
        };
        let recorded = self.recorded(&stored);
        let takes_over = owned::needs_take_over(&recorded, FIELD_MANAGER);
        if !takes_over && is_unchanged(&self.object, &stored) {
            self.observed.changes.clear();
            self.observed.verdict = Verdict::Same;
            return Ok(());
        }
        let taken = match takes_over {
            true => self.take_over(reader, want, &recorded).await?,
            false => None,
        };
        self.observed.verdict = Verdict::Accepted;
        self.describe(want, Some((&stored, taken.as_ref())));
        self.observed.repair = self.repair(taken);
        Ok(())
    }

    /// Tells whether something stands in the way that may be replaced.
    fn can_unblock(&mut self, want: &Value) -> bool {
        if self.unblock.is_empty() {
            self.unblock = owned::replace_alternatives(want, &self.object);
        }
        !self.unblock.is_empty()
    }

    /// An earlier writer's item may stand in the way as long as it is not taken over. Whether the object
    /// itself is acceptable, the server said when it was asked for a new one.
    async fn refused(
        &mut self,
        reader: &dyn ClusterRead,
        want: &Value,
        verdict: Verdict,
    ) -> Result<(), Why> {
        let may_be_in_the_way = matches!(verdict, Verdict::Refused(_))
            && owned::needs_take_over(&self.object, FIELD_MANAGER);
        let taken = match may_be_in_the_way {
            true => self.take_over(reader, want, &self.object).await?,
            false => None,
        };
        self.describe(want, None);
        self.observed.verdict = match &taken {
            Some(_) => Verdict::NotAsked(Why::from(
                "the server can be asked only once the object is taken over",
            )),
            None => verdict,
        };
        self.observed.repair = taken.and_then(|taken| self.repair(Some(taken)));
        Ok(())
    }

    /// Returns the object with its records or, where they were wiped, with those that an apply would make.
    fn recorded(&self, stored: &Value) -> Value {
        let mut object = self.object.clone();
        let records = &mut object["metadata"]["managedFields"];
        if records.as_array().is_none_or(Vec::is_empty) {
            *records = stored["metadata"]["managedFields"].clone();
        }
        object
    }

    /// Asks what a new object would look like, so that leftovers can be told from defaults. Where the
    /// server refuses to say, nothing is taken over.
    async fn take_over(
        &self,
        reader: &dyn ClusterRead,
        want: &Value,
        recorded: &Value,
    ) -> Result<Option<owned::TakeOver>, Why> {
        let mut new = want.clone();
        new["metadata"]["name"] = NEW_NAME.into();
        let key = ObjectKey {
            name: NEW_NAME.to_owned(),
            ..self.key.clone()
        };
        match reader.dry_run(&key, &new).await {
            Ok(fresh) => Ok(owned::take_over(want, recorded, &fresh, FIELD_MANAGER)),
            Err(error) => verdict(error).map(|_| None),
        }
    }

    fn repair(&self, taken: Option<owned::TakeOver>) -> Option<Repair> {
        let mut operations = self.unblock.clone();
        let mut reasons = BTreeSet::new();
        if !operations.is_empty() {
            reasons.insert(Remedy::ReplaceItem);
        }
        if taken.is_some() {
            reasons.insert(Remedy::TakeOver);
        }
        if self.releases_replicas {
            reasons.insert(Remedy::ReleaseReplicas);
        }
        let mut records = match taken {
            Some(taken) => taken.records,
            None => self.object["metadata"]["managedFields"].clone(),
        };
        if self.releases_replicas {
            owned::release(&mut records, FIELD_MANAGER, &["f:spec", "f:replicas"]);
        }
        if reasons.iter().any(|reason| *reason != Remedy::ReplaceItem) {
            let path = "/metadata/managedFields";
            operations.push(json!({"op": "add", "path": path, "value": records}));
        }
        (!reasons.is_empty()).then(|| Repair {
            reasons,
            operations,
            version: self.observed.version.clone(),
            standing: owned::standing(&self.object),
        })
    }

    /// Says what an apply would change where the comparison could not: our fields as they would be
    /// recorded, against the object as it is.
    fn describe(&mut self, want: &Value, answer: Option<(&Value, Option<&owned::TakeOver>)>) {
        if !self.observed.changes.is_empty() {
            return;
        }
        if let Some((stored, taken)) = answer {
            let ours = owned::record_of(stored, FIELD_MANAGER);
            let left = taken.and_then(|taken| owned::record_in(&taken.records, FIELD_MANAGER));
            let mut record = ours.cloned().unwrap_or_default();
            if let Some(left) = left {
                owned::merge(&mut record["fieldsV1"], left["fieldsV1"].clone());
            }
            let mut after = self.object.clone();
            after["metadata"]["managedFields"] = json!([record]);
            if let Comparison::Different(differences) = owned::compare(want, &after, FIELD_MANAGER)
            {
                self.observed.changes = changes(&differences);
            }
        }
        if self.observed.changes.is_empty() {
            self.observed.changes.push(ownership(&self.object));
        }
    }
}

/// The change that an apply makes where every value is as wanted and only its owner is not.
fn ownership(object: &Value) -> Change {
    let managers = object["metadata"]["managedFields"].as_array();
    let managers: BTreeSet<&str> = managers
        .into_iter()
        .flatten()
        // Who only reports on an object owns nothing that could be taken.
        .filter(|entry| entry["subresource"] != "status")
        .filter_map(|entry| entry["manager"].as_str())
        .filter(|manager| *manager != FIELD_MANAGER)
        .collect();
    let others: Vec<&str> = managers.into_iter().collect();
    Change {
        path: TAKE_OVER.to_owned(),
        old: None,
        new: Some(Value::String(format!("fields owned by {FIELD_MANAGER}"))),
        taken_by: (!others.is_empty()).then(|| others.join(", ")),
    }
}

/// Returns differences as people are shown them.
pub(super) fn changes(differences: &owned::Differences) -> Vec<Change> {
    let change = |difference: &owned::Difference| {
        let (old, new) = match difference.values() {
            owned::Values::Shown { want, live } => (live.clone(), want.clone()),
            owned::Values::Hidden => (None, None),
        };
        let taken_by = difference.holder().map(|holder| match &holder.at {
            Some(at) => format!("{} at {at}", holder.manager),
            None => holder.manager.clone(),
        });
        Change {
            path: difference.path().to_string(),
            old,
            new,
            taken_by,
        }
    };
    let mut changes: Vec<Change> = differences.listed().iter().map(change).collect();
    if differences.unlisted() > 0 {
        let path = format!("… and {} more", differences.unlisted());
        changes.push(Change {
            path,
            old: None,
            new: None,
            taken_by: None,
        });
    }
    changes
}

/// Tells whether an apply would change neither content nor what we own: admission that rewrites a value, or
/// `{}` wanted over foreign content, differ for ever and are settled.
fn is_unchanged(live: &Value, stored: &Value) -> bool {
    let content = |object: &Value| {
        let mut object = object.clone();
        if let Some(members) = object.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind" | "status"));
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| {
                !matches!(
                    name.as_str(),
                    "managedFields" | "resourceVersion" | "generation"
                )
            });
        }
        object
    };
    let record = |object: &Value| {
        let entries = object["metadata"]["managedFields"]
            .as_array()
            .into_iter()
            .flatten();
        let ours =
            |entry: &&Value| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply";
        entries
            .filter(ours)
            .map(|entry| entry["fieldsV1"].clone())
            .collect::<Vec<_>>()
    };
    record(live) == record(stored) && content(live) == content(stored)
}

/// Sorts a failed question: a verdict of the server, or an answer that never came.
pub(super) fn verdict(error: ClusterError) -> Result<Verdict, Why> {
    match error {
        ClusterError::Forbidden(why) => Ok(Verdict::NotAsked(Why(why))),
        // A conflict is no verdict: under force it means that the object changed in this moment.
        ClusterError::Invalid(_) | ClusterError::NotFound => {
            Ok(Verdict::Refused(Why(error.to_string())))
        }
        // The server's answer to a manifest that breaks its schema; not a fault that passes.
        ClusterError::Server { code: 500, reason } if reason.contains("typed patch") => {
            Ok(Verdict::Refused(Why(reason)))
        }
        error => Err(Why(error.to_string())),
    }
}

//! One step to one write, with the identity seen as its precondition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use super::fenced::Fenced;
use super::retry::{self, RACES, yield_to_others};
use super::{ApplyError, Outcome, Writers, generate};
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::model::{
    FIELD_MANAGER, Generated, Item, Key, ObjectKey, Revision, Row, RowKey, Slug, names,
};
use crate::reconcile::live::owned::{Comparison, compare, standing, without_updates};
use crate::reconcile::live::reduce::{ownership, reduce, takes_claims_along};
use crate::reconcile::live::{Contents, Observed, Repair, Sighting, Why};
use crate::reconcile::plan::{Action, Step};

/// A version that no object has: an apply for it makes an object, and changes none that is there.
const NO_VERSION: &str = "1";

/// Writes steps.
pub(super) struct Writer<'a> {
    pub(super) writers: &'a Writers,
    pub(super) revision: &'a Revision,
    pub(super) now: jiff::Timestamp,
    /// Registry rows of the token Secrets that this plan made, as they were stored.
    pub(super) tokens: Mutex<BTreeMap<ObjectKey, Row>>,
}

impl Writer<'_> {
    pub(super) async fn run(&self, step: &Step) -> Outcome {
        let span = tracing::debug_span!(
            "write",
            key = %step.key,
            action = ?step.action.word(),
            otel.status_code = field::Empty,
            otel.status_description = field::Empty,
        );
        let outcome = self.try_to(step).instrument(span.clone()).await;
        if let Outcome::Failed(_, error) = &outcome {
            span.record("otel.status_code", "ERROR");
            span.record("otel.status_description", error.told());
        }
        outcome
    }

    async fn try_to(&self, step: &Step) -> Outcome {
        let key = step.key.clone();
        // Told when it begins: what never did was not tried.
        let begun = AtomicBool::new(false);
        let write = async {
            if self.is_over() {
                return None;
            }
            begun.store(true, Ordering::Relaxed);
            Some(self.write(step).await)
        };
        let permits = &self.writers.permits;
        let permitted = async {
            match &step.key {
                Key::Row(_) => permits.write_row(write).await,
                Key::Object(_) => permits.write_object(write).await,
            }
        };
        match within(self.writers.deadline, permitted).await.flatten() {
            Some(Ok(())) => Outcome::Done(key),
            Some(Err(error)) => Outcome::Failed(key, error),
            None if begun.into_inner() => Outcome::Failed(key, ApplyError::CutOff),
            None => Outcome::OutOfTime(key),
        }
    }

    fn is_over(&self) -> bool {
        let deadline = self.writers.deadline;
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    async fn write(&self, step: &Step) -> Result<(), ApplyError> {
        match (&step.key, &step.action) {
            (Key::Row(row), action) => self.write_row(row, action, step).await,
            (Key::Object(key), action) => self.write_object(key, action).await,
        }
    }

    pub(super) fn cluster(&self, key: &ObjectKey) -> Result<Fenced<'_>, ApplyError> {
        match self.writers.clusters.get(&key.cluster) {
            Some(Ok(cluster)) => Ok(Fenced {
                cluster: cluster.as_ref(),
                fence: &self.writers.fence,
            }),
            Some(Err(why)) => Err(ApplyError::NotConnected(why.clone())),
            None => Err(ApplyError::NotConnected(Why::from(
                "no such cluster is declared",
            ))),
        }
    }

    async fn write_object(&self, key: &ObjectKey, action: &Action) -> Result<(), ApplyError> {
        let fenced = self.cluster(key)?;
        let cluster = &fenced;
        match action {
            Action::Create(Item::Object(object)) => {
                make(cluster, key, &object.manifest.to_value()).await
            }
            Action::Create(Item::Generated(generated)) => {
                let stored = create_generated(cluster, key, generated).await?;
                if let Some(tokens) = stored.contents.and_then(|contents| contents.tokens) {
                    self.tokens().insert(key.clone(), tokens);
                }
                Ok(())
            }
            Action::Create(Item::Derived(derived)) => self.derive(key, derived, None).await,
            Action::Update {
                new: Item::Derived(derived),
                seen,
                ..
            } => self.derive(key, derived, seen.as_ref()).await,
            Action::Create(item) => {
                let manifest = item.manifest().unwrap_or_default();
                create(cluster, key, &manifest).await
            }
            Action::Update {
                new,
                seen: Some(seen),
                before,
                ..
            } => {
                let seen = match before {
                    Some(repair) => put_right(cluster, key, repair).await?,
                    None => seen.clone(),
                };
                let manifest = new.manifest().unwrap_or_default();
                update(cluster, key, &manifest, seen).await
            }
            Action::Delete {
                seen: Some((uid, version)),
            } => delete(cluster, key, uid, version).await,
            Action::Update { seen: None, .. } | Action::Delete { seen: None } => {
                Err(ApplyError::Moved("its identity was not seen".to_owned()))
            }
        }
    }

    async fn write_row(
        &self,
        row: &RowKey,
        action: &Action,
        step: &Step,
    ) -> Result<(), ApplyError> {
        let database = &self.writers.database;
        let token = self.writers.fence.token();
        let content = match action {
            Action::Delete { .. } => {
                let deleted = database.delete_row(token, row).await;
                return deleted.map_err(ApplyError::Database);
            }
            Action::Create(Item::Row(content))
            | Action::Update {
                new: Item::Row(content),
                ..
            } => content.clone(),
            Action::Create(_) | Action::Update { .. } => self.read_tokens(step).await?,
        };
        database
            .write_row(token, row, &content, self.revision, self.now)
            .await
            .map_err(ApplyError::Database)
    }

    /// Hash and hint come from the Secret that is stored, never from what was meant to be stored.
    async fn read_tokens(&self, step: &Step) -> Result<Row, ApplyError> {
        let missing =
            || ApplyError::Moved("its token Secret is not there or lacks a token".to_owned());
        let name = |slug: &Slug| names::token_secret(slug);
        let expected = step.slug.as_ref().map(name);
        let secret = step
            .after
            .iter()
            .find(|key| Some(&key.name) == expected.as_ref())
            .ok_or_else(missing)?;
        if let Some(tokens) = self.tokens().get(secret) {
            return Ok(tokens.clone());
        }
        let cluster = self.cluster(secret)?;
        let object = look(&cluster, secret).await?.ok_or_else(missing)?;
        reduce(secret.kind, &object)
            .contents
            .and_then(|contents| contents.tokens)
            .ok_or_else(missing)
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Row>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for something until the deadline and not longer; `None` when the time was over.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
    }
}

/// Repeats a call that may be repeated, for as long as its failure is one that passes.
pub(super) async fn repeat<T, F, C>(mut call: C) -> Result<T, ClusterError>
where
    C: FnMut() -> F,
    F: Future<Output = Result<T, ClusterError>>,
{
    let mut tried = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tried += 1;
        match retry::pause(&error, tried) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
    }
}

pub(super) async fn look(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
) -> Result<Option<Value>, ApplyError> {
    let object = repeat(|| cluster.get(key)).await;
    object.map_err(ApplyError::Cluster)
}

/// Makes an object that the plan saw nowhere. One that appeared since, whoever made it, is not overwritten.
async fn make(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    manifest: &Value,
) -> Result<(), ApplyError> {
    let mut new = manifest.clone();
    new["metadata"]["resourceVersion"] = NO_VERSION.into();
    match repeat(|| cluster.apply(key, &new, false)).await {
        Ok(_) => return Ok(()),
        Err(ClusterError::Conflict(_)) => {}
        Err(error) => return Err(ApplyError::Cluster(error)),
    }
    match look(cluster, key).await? {
        Some(object) if is_as_wanted(manifest, &object) => Ok(()),
        Some(_) => Err(ApplyError::Moved(
            "an object of this name was made since the plan was made".to_owned(),
        )),
        None => Err(ApplyError::Moved(
            "it came and went while it was made".to_owned(),
        )),
    }
}

/// Tells whether there is nothing left to apply: a request whose answer was lost may have been carried out.
fn is_as_wanted(manifest: &Value, object: &Value) -> bool {
    compare(manifest, object, FIELD_MANAGER) == Comparison::Equal
}

/// Applies to the object that the plan saw, and to no other of its name. A status write in between only moves its
/// version; when anything else moved nothing is changed, and the next pass looks again.
async fn update(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    manifest: &Value,
    mut seen: Sighting,
) -> Result<(), ApplyError> {
    let mut new = manifest.clone();
    new["metadata"]["uid"] = seen.uid.as_str().into();
    for lost in 0..RACES {
        new["metadata"]["resourceVersion"] = seen.version.as_str().into();
        match repeat(|| cluster.apply(key, &new, true)).await {
            Ok(_) => return Ok(()),
            Err(ClusterError::Conflict(_)) => yield_to_others(lost).await,
            Err(error) => return Err(ApplyError::Cluster(error)),
        }
        let object = look(cluster, key).await?;
        let same = object.map(|object| (reduce(key.kind, &object), object));
        match same.filter(|(observed, _)| observed.uid == seen.uid) {
            Some((_, object)) if is_as_wanted(manifest, &object) => return Ok(()),
            Some((observed, object)) if Some(standing(&object)) == seen.standing => {
                seen.version = observed.version;
            }
            _ => {
                return Err(ApplyError::Moved(
                    "it changed since the plan was made".to_owned(),
                ));
            }
        }
    }
    Err(ApplyError::Moved(
        "it changed each time it was about to be changed".to_owned(),
    ))
}

/// Sends a repair for the object that the plan saw, as [`update`] does, and returns it as it is then.
async fn put_right(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    repair: &Repair,
) -> Result<Sighting, ApplyError> {
    let mut version = repair.version.clone();
    for lost in 0..RACES {
        let sent = repeat(|| cluster.patch_json(key, &repair.operations, &version)).await;
        match sent {
            Ok(object) => {
                let object = drop_record(cluster, key, object).await?;
                let mut seen = reduce(key.kind, &object);
                seen.standing = Some(standing(&object));
                return Ok(seen.sighting());
            }
            Err(ClusterError::Conflict(_)) => yield_to_others(lost).await,
            Err(error) => return Err(ApplyError::Cluster(error)),
        }
        match look(cluster, key).await? {
            Some(object) if standing(&object) == repair.standing => {
                version = reduce(key.kind, &object).version;
            }
            _ => {
                return Err(ApplyError::Moved(
                    "it changed since the plan was made".to_owned(),
                ));
            }
        }
    }
    Err(ApplyError::Moved(
        "it changed each time it was about to be put right".to_owned(),
    ))
}

/// Drops the record that a patch leaves of itself: what it holds would outlive our wanting it. The apply that
/// follows records the fields anew; that this fails is no reason not to send it.
async fn drop_record(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    patched: Value,
) -> Result<Value, ApplyError> {
    let stands = standing(&patched);
    let mut object = patched;
    for lost in 0..RACES {
        let Some(records) = without_updates(&object, FIELD_MANAGER) else {
            return Ok(object);
        };
        let operation = json!({"op": "add", "path": "/metadata/managedFields", "value": records});
        let version = reduce(key.kind, &object).version;
        match cluster.patch_json(key, &[operation], &version).await {
            Err(ClusterError::Conflict(_)) => yield_to_others(lost).await,
            Ok(object) => return Ok(object),
            Err(error) => {
                tracing::warn!(%key, %error, "the record of a repair stays");
                return Ok(object);
            }
        }
        // Controllers report on the object at once. What else moved it the apply meets, for its version is old.
        match look(cluster, key).await? {
            Some(seen) if standing(&seen) == stands => object = seen,
            Some(_) | None => return Ok(object),
        }
    }
    Ok(object)
}

/// Creates an object that others may create too: a namespace, or a claim that a StatefulSet made meanwhile.
async fn create(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    manifest: &Value,
) -> Result<(), ApplyError> {
    match repeat(|| cluster.create(key, manifest)).await {
        Ok(_) | Err(ClusterError::AlreadyExists) => Ok(()),
        Err(error) => Err(ApplyError::Cluster(error)),
    }
}

/// Creates a Secret with new values. When the answer was lost, what is stored decides: a second set of
/// values is only sent once the first is known not to be there. Returns what is stored.
async fn create_generated(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    generated: &Generated,
) -> Result<Observed, ApplyError> {
    let manifest =
        generate::manifest(generated).map_err(|error| ApplyError::Moved(error.to_string()))?;
    match repeat(|| cluster.create(key, manifest.expose())).await {
        Ok(stored) => Ok(reduce(key.kind, &stored)),
        // Sent again after a lost answer, this is our own; its owner and keys tell.
        Err(ClusterError::AlreadyExists) => keep_existing(cluster, key, generated).await,
        Err(error) => Err(ApplyError::Cluster(error)),
    }
}

async fn keep_existing(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    generated: &Generated,
) -> Result<Observed, ApplyError> {
    let object = look(cluster, key).await?;
    let object =
        object.ok_or_else(|| ApplyError::Moved("it came and went while it was made".to_owned()))?;
    let observed = reduce(key.kind, &object);
    let is_complete = |contents: &Contents| {
        generated
            .recipe
            .keys()
            .iter()
            .all(|name| contents.keys.contains(*name))
    };
    if observed.owner.as_ref() == Some(&generated.ownership)
        && observed.contents.as_ref().is_some_and(is_complete)
    {
        return Ok(observed);
    }
    Err(ApplyError::Moved(
        "a Secret of this name exists and is not a complete one of ours".to_owned(),
    ))
}

/// Deletes the object that the plan saw. A status write in between only moves its version: it is looked at
/// again, and deleted while it is the same object and still ours.
async fn delete(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    uid: &str,
    version: &str,
) -> Result<(), ApplyError> {
    let mut version = version.to_owned();
    for lost in 0..RACES {
        match repeat(|| cluster.delete(key, uid, &version)).await {
            Ok(()) | Err(ClusterError::NotFound) => return Ok(()),
            Err(ClusterError::Conflict(_)) => yield_to_others(lost).await,
            Err(error) => return Err(ApplyError::Cluster(error)),
        }
        let Some(object) = look(cluster, key).await? else {
            return Ok(());
        };
        let observed = reduce(key.kind, &object);
        if observed.uid != uid || ownership(&object).is_none() {
            return Err(ApplyError::Moved(
                "another object has its name since the plan was made".to_owned(),
            ));
        }
        if takes_claims_along(key.kind, &object) {
            return Err(ApplyError::Moved(
                "its claims would be deleted with it since the plan was made".to_owned(),
            ));
        }
        version = observed.version;
    }
    Err(ApplyError::Moved(
        "it changed each time it was about to be deleted".to_owned(),
    ))
}

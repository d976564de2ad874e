//! Writes a Secret that repeats values of others. They are read one by one, compared with what the plan knows of
//! them, and go into one request and nowhere else.

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::retry::{RACES, yield_to_others};
use super::write::{Writer, look, repeat};
use super::{ApplyError, Outcome};
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::model::{Copied, Derived, Item, Key, ObjectKey, Secret, Slug, token};
use crate::reconcile::live::Sighting;
use crate::reconcile::live::reduce::{ownership, reduce};
use crate::reconcile::plan::{Action, Step};

/// Secrets that are read at once.
const CONCURRENT_READS: usize = 16;

/// The values of a Secret, as the API has them.
type Values = Map<String, Value>;

/// Returns a value that a step cannot do without and that was not made before it.
pub(super) fn unmade(step: &Step, outcomes: &[Outcome]) -> Option<Key> {
    let (Action::Create(Item::Derived(derived))
    | Action::Update {
        new: Item::Derived(derived),
        ..
    }) = &step.action
    else {
        return None;
    };
    let is_made = |key: &Key| {
        let is_it = |outcome: &Outcome| matches!(outcome, Outcome::Done(done) if done == key);
        outcomes.iter().any(is_it)
    };
    let from = derived
        .copies
        .values()
        .map(|copied| Key::Object(copied.from.clone()));
    let missing: Vec<Key> = from.filter(|key| !is_made(key)).collect();
    let has_none = step.action.waits() && missing.len() == derived.copies.len();
    missing.into_iter().next().filter(|_| has_none)
}

impl Writer<'_> {
    /// Copies what is there by now; what is not is the next pass's.
    pub(super) async fn derive(
        &self,
        key: &ObjectKey,
        derived: &Derived,
        seen: Option<&Sighting>,
    ) -> Result<(), ApplyError> {
        let copies = derived.copies.iter();
        let reads: Vec<_> = copies
            .map(|(slug, copied)| self.read(slug, copied).boxed())
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let mut values = Values::new();
        while let Some(read) = reads.next().await {
            if let Some((slug, value)) = read? {
                values.insert(slug.to_string(), Value::from(value.expose().as_str()));
            }
        }
        let values = Secret::new(values);
        let cluster = self.cluster(key)?;
        match seen {
            None => make(&cluster, key, derived, &values).await,
            Some(seen) => change(&cluster, key, derived, seen, &values).await,
        }
    }

    /// Reads one value; none when it is not there, or is another than the plan knows.
    async fn read<'c>(
        &self,
        slug: &'c Slug,
        copied: &Copied,
    ) -> Result<Option<(&'c Slug, Secret<String>)>, ApplyError> {
        let cluster = self.cluster(&copied.from)?;
        let Some(object) = look(&cluster, &copied.from).await? else {
            return Ok(None);
        };
        let Some(value) = object["data"][Derived::COPIED].as_str() else {
            return Ok(None);
        };
        let found = token::digest(Derived::COPIED, value).map(|digested| digested.hash);
        let is_it = found.is_some() && (copied.hash.is_none() || copied.hash == found);
        Ok(is_it.then(|| (slug, Secret::new(value.to_owned()))))
    }
}

async fn make(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    derived: &Derived,
    values: &Secret<Values>,
) -> Result<(), ApplyError> {
    if values.expose().is_empty() {
        return Err(moved());
    }
    let mut manifest = derived.manifest.to_value();
    manifest["data"] = Value::Object(values.expose().clone());
    let manifest = Secret::new(manifest);
    match repeat(|| cluster.create(key, manifest.expose())).await {
        Ok(_) => Ok(()),
        // Sent again after a lost answer this is our own; the next pass compares it.
        Err(ClusterError::AlreadyExists) => Err(moved()),
        Err(error) => Err(ApplyError::Cluster(error)),
    }
}

/// Writes all values at once, so that what others put there goes. A change in between is met by the version.
async fn change(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    derived: &Derived,
    seen: &Sighting,
    values: &Secret<Values>,
) -> Result<(), ApplyError> {
    for lost in 0..RACES {
        let object = look(cluster, key).await?.ok_or_else(moved)?;
        let found = reduce(key.kind, &object);
        if found.uid != seen.uid || ownership(&object).as_ref() != Some(&derived.ownership) {
            return Err(moved());
        }
        let Some(operation) = replace(derived, &object, values) else {
            return Err(moved());
        };
        let operations = Secret::new([operation]);
        match repeat(|| cluster.patch_json(key, operations.expose(), &found.version)).await {
            Ok(_) => return Ok(()),
            Err(ClusterError::Conflict(_)) => yield_to_others(lost).await,
            Err(error) => return Err(ApplyError::Cluster(error)),
        }
    }
    Err(moved())
}

/// Returns the operation that leaves the wanted keys, new or as they are; none when that changes nothing.
fn replace(derived: &Derived, object: &Value, values: &Secret<Values>) -> Option<Value> {
    let old = |key: &str| object["data"].get(key);
    let value = |slug: &Slug| {
        let key = slug.as_str();
        let value = values.expose().get(key).or_else(|| old(key))?;
        Some((key.to_owned(), value.clone()))
    };
    let new: Value = derived
        .keys
        .iter()
        .filter_map(value)
        .collect::<Values>()
        .into();
    let is_same = match object.get("data") {
        Some(data) => *data == new,
        None => derived.keys.is_empty(),
    };
    (!is_same).then(|| json!({"op": "add", "path": "/data", "value": new}))
}

fn moved() -> ApplyError {
    ApplyError::Moved("it, or what it is made of, changed since the plan was made".to_owned())
}

//! Leases: objects that say who may do something, each version written by one writer.

#[cfg(test)]
pub mod fake;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::ClusterError;
use super::client::{Failure, KubeCluster, bytes, path_of};
use crate::model::{FIELD_MANAGER, Kind};

const GROUP: &str = "/apis/coordination.k8s.io/v1";
/// The annotation that says what the holder follows.
const FOLLOWS: &str = "platform.network/follows";

/// What a Lease says. Times are texts: they tell people when, and nobody compares them with a clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; empty when nobody does.
    pub holder: String,
    /// For how long after each change of the record it is held.
    pub seconds: i64,
    /// When this holder took it.
    pub acquired: String,
    /// When this holder last said that it is there.
    pub renewed: String,
    /// How often it went from one holder to another.
    pub transitions: i64,
    /// What this holder follows, for those whom that concerns; empty where it does not say.
    pub source: String,
}

/// A Lease as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLease {
    /// What it says.
    pub record: LeaseRecord,
    object: Value,
}

impl StoredLease {
    /// Reads a Lease as the server sends it. What is missing in it is empty.
    #[must_use]
    pub fn read(object: Value) -> Self {
        let spec = &object["spec"];
        let text = |name: &str| spec[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| spec[name].as_i64().unwrap_or_default();
        let holder = text("holderIdentity");
        let record = LeaseRecord {
            source: source_of(&object, &holder).unwrap_or_default(),
            holder,
            seconds: number("leaseDurationSeconds"),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: number("leaseTransitions"),
        };
        Self { record, object }
    }

    /// Returns the object with another record. Identity and version stay: without the identity the server would
    /// make a Lease anew that was deleted, and without the version take it from whoever has it.
    fn with(&self, record: &LeaseRecord) -> Value {
        let mut object = self.object.clone();
        write(&mut object, record);
        object
    }
}

/// Returns what a holder says that it follows. It names itself beside that: what a holder before it said, and this
/// one left as it was, says nothing.
fn source_of(object: &Value, holder: &str) -> Option<String> {
    let said = object["metadata"]["annotations"][FOLLOWS].as_str()?;
    let said: Value = serde_json::from_str(said).ok()?;
    let is_its_own = said["holder"].as_str() == Some(holder);
    said["source"]
        .as_str()
        .filter(|_| is_its_own)
        .map(str::to_owned)
}

fn write(object: &mut Value, record: &LeaseRecord) {
    let LeaseRecord {
        holder,
        seconds,
        acquired,
        renewed,
        transitions,
        source,
    } = record;
    if !source.is_empty() {
        let says = json!({"holder": holder, "source": source});
        object["metadata"]["annotations"][FOLLOWS] = json!(says.to_string());
    } else if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
        annotations.remove(FOLLOWS);
    }
    let spec = &mut object["spec"];
    spec["holderIdentity"] = json!(holder);
    spec["leaseDurationSeconds"] = json!(seconds);
    spec["acquireTime"] = json!(acquired);
    spec["renewTime"] = json!(renewed);
    spec["leaseTransitions"] = json!(transitions);
}

/// The Leases of one cluster.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Gets a Lease; `None` when the server says that it does not exist.
    ///
    /// # Errors
    /// Any [`ClusterError`] but `NotFound`.
    async fn get_lease(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<StoredLease>, ClusterError>;

    /// Creates a Lease that must not exist.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `AlreadyExists` when it does, `NotFound` when there is no such namespace.
    async fn create_lease(
        &self,
        namespace: &str,
        name: &str,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError>;

    /// Writes a record to a Lease that is still as it was read.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `Conflict` when it was written, deleted or made anew since.
    async fn update_lease(
        &self,
        seen: &StoredLease,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError>;
}

fn path(namespace: &str, name: Option<&str>, is_write: bool) -> String {
    let mut query = BTreeMap::new();
    if is_write {
        query.insert("fieldManager", FIELD_MANAGER.to_owned());
    }
    path_of(GROUP, Some(namespace), "leases", name, &query)
}

/// A Lease holds nothing secret; its errors are told as those of any kind that does not.
fn told(failure: Failure) -> ClusterError {
    failure.about(Kind::StatefulSet)
}

#[async_trait]
impl Leases for KubeCluster {
    async fn get_lease(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<StoredLease>, ClusterError> {
        let path = path(namespace, Some(name), false);
        match self.call(Method::GET, path, None).await.map_err(told) {
            Ok(object) => Ok(Some(StoredLease::read(object))),
            Err(ClusterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_lease(
        &self,
        namespace: &str,
        name: &str,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError> {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace},
        });
        write(&mut object, record);
        let body = Some(("application/json", bytes(&object)));
        let answer = self.call(Method::POST, path(namespace, None, true), body);
        answer.await.map(StoredLease::read).map_err(told)
    }

    async fn update_lease(
        &self,
        seen: &StoredLease,
        record: &LeaseRecord,
    ) -> Result<StoredLease, ClusterError> {
        let metadata = &seen.object["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        let path = path(text("namespace"), Some(text("name")), true);
        let body = Some(("application/json", bytes(&seen.with(record))));
        let answer = self.call(Method::PUT, path, body);
        answer.await.map(StoredLease::read).map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_over_what_is_there_and_nothing_else_is_lost() {
        let object = json!({
            "metadata": {"name": "l", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "strategy": "OldestEmulationVersion"},
        });
        let stored = StoredLease::read(object);
        assert_eq!(
            (stored.record.holder.as_str(), stored.record.seconds),
            ("x", 15)
        );
        assert_eq!(
            (stored.record.renewed.as_str(), stored.record.transitions),
            ("", 0)
        );
        let record = LeaseRecord {
            holder: "y".to_owned(),
            seconds: 4,
            transitions: 1,
            ..LeaseRecord::default()
        };
        let written = stored.with(&record);
        assert_eq!(written["metadata"], stored.object["metadata"]);
        assert_eq!(written["spec"]["strategy"], "OldestEmulationVersion");
        assert_eq!(StoredLease::read(written).record, record);
    }

    #[test]
    fn what_a_holder_follows_is_its_own_word_and_goes_with_it() {
        let record = |holder: &str, source: &str| LeaseRecord {
            holder: holder.to_owned(),
            source: source.to_owned(),
            ..LeaseRecord::default()
        };
        let object = json!({"metadata": {"uid": "u", "annotations": {"a": "b"}}});
        let stored =
            StoredLease::read(StoredLease::read(object).with(&record("x", "git.example/r")));
        assert_eq!(stored.record, record("x", "git.example/r"));
        let mut by_another = stored.object.clone();
        by_another["spec"]["holderIdentity"] = json!("y");
        assert_eq!(StoredLease::read(by_another).record.source, "");
        let silent = stored.with(&record("y", ""));
        assert_eq!(silent["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(StoredLease::read(silent).record, record("y", ""));
    }

    #[test]
    fn a_lease_of_any_form_is_read() {
        for object in [
            json!(null),
            json!([]),
            json!({"spec": {"holderIdentity": 1}}),
        ] {
            assert_eq!(StoredLease::read(object).record, LeaseRecord::default());
        }
    }
}

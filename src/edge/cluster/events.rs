//! Events of the cluster (`events.k8s.io/v1`): remarks beside an object, which the server forgets after an hour.

#[cfg(test)]
pub mod fake;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ClusterError;
use super::client::{KubeCluster, bytes, path_of};
use crate::model::{FIELD_MANAGER, Kind};

const GROUP: &str = "/apis/events.k8s.io/v1";
/// Who reports, as the server wants it named.
const REPORTER: &str = "platform.network/controller";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Where it is kept: the namespace of what it is about.
    pub namespace: String,
    /// Its name, which no other has.
    pub name: String,
    /// What it is about.
    pub regarding: Regarding,
    /// What happened, as one word in camel case.
    pub reason: String,
    /// The same for people, at most 1 024 bytes.
    pub note: String,
    /// Whether somebody should look at it.
    pub is_warning: bool,
    /// When it happened first.
    pub at: Timestamp,
    /// Which process tells of it, at most 128 bytes.
    pub instance: String,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    /// Its kind.
    pub kind: String,
    /// Its group and version.
    pub api_version: String,
    /// Its name.
    pub name: String,
    /// Its identity, where it is known.
    pub uid: Option<String>,
}

/// The events of one cluster.
#[async_trait]
pub trait Events: Send + Sync {
    /// Makes an event.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    async fn create_event(&self, event: &EventRecord) -> Result<(), ClusterError>;

    /// Says that an event happened so many times, and when the last time was.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `NotFound` when the server has forgotten it.
    async fn repeat_event(
        &self,
        event: &EventRecord,
        count: u32,
        last: Timestamp,
    ) -> Result<(), ClusterError>;
}

fn document(event: &EventRecord) -> Value {
    let EventRecord {
        namespace,
        name,
        regarding,
        reason,
        note,
        is_warning,
        at,
        instance,
    } = event;
    let Regarding {
        kind,
        api_version,
        name: regarded,
        uid,
    } = regarding;
    let mut object = json!({
        "kind": kind, "apiVersion": api_version, "name": regarded, "namespace": namespace,
    });
    if let Some(uid) = uid {
        object["uid"] = json!(uid);
    }
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "regarding": object, "reason": reason, "note": note, "action": "Reconcile",
        "type": if *is_warning { "Warning" } else { "Normal" },
        "eventTime": format!("{at:.6}"),
        "reportingController": REPORTER, "reportingInstance": instance,
    })
}

fn path(event: &EventRecord, name: Option<&str>) -> String {
    let query = BTreeMap::from([("fieldManager", FIELD_MANAGER.to_owned())]);
    path_of(GROUP, Some(&event.namespace), "events", name, &query)
}

#[async_trait]
impl Events for KubeCluster {
    async fn create_event(&self, event: &EventRecord) -> Result<(), ClusterError> {
        let body = Some(("application/json", bytes(&document(event))));
        let answer = self.call(Method::POST, path(event, None), body).await;
        // An event holds nothing secret; its errors are told as those of any kind that does not.
        let told = answer.map_err(|failure| failure.about(Kind::StatefulSet));
        told.map(drop)
    }

    async fn repeat_event(
        &self,
        event: &EventRecord,
        count: u32,
        last: Timestamp,
    ) -> Result<(), ClusterError> {
        let series = json!({"count": count, "lastObservedTime": format!("{last:.6}")});
        let patch = bytes(&json!({"series": series}));
        let body = Some(("application/merge-patch+json", patch));
        let path = path(event, Some(&event.name));
        let answer = self.call(Method::PATCH, path, body).await;
        let told = answer.map_err(|failure| failure.about(Kind::StatefulSet));
        told.map(drop)
    }
}

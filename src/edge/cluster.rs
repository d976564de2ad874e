//! Kubernetes: lists, dry runs, applies and deletes over one cluster, and its Leases. Sole user of `kube`.

pub mod client;
pub mod events;
pub mod leases;
mod watch;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;
use thiserror::Error;

use crate::model::document::Document;
use crate::model::{Kind, ObjectKey, Scope};

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The objects, with `metadata.managedFields`; kind and version as requested.
    pub items: Vec<Document>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Reads of one cluster; a planner handed only this cannot write.
#[async_trait]
pub trait ClusterRead: Send + Sync {
    /// Lists up to 500 objects of a kind in a namespace that carry our labels; those of other challenges than
    /// the scope's may be among them.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `Gone` when the page token has expired.
    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        scope: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError>;

    /// Lists up to 500 pods in a namespace that carry our labels. Pods are looked at and never written,
    /// so they are no [`Kind`].
    ///
    /// # Errors
    /// Any [`ClusterError`].
    async fn list_pods(&self, namespace: &str, scope: &Scope) -> Result<Vec<Value>, ClusterError>;

    /// Gets one object; `None` when the server says that it does not exist.
    ///
    /// # Errors
    /// Any [`ClusterError`] but `NotFound`.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError>;

    /// Asks what a forced server-side apply would store, without storing it.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError>;
}

/// Writes to one cluster.
#[async_trait]
pub trait ClusterWrite: ClusterRead {
    /// Server-side apply; `force` takes fields from other managers.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `Conflict` without `force` when another manager holds a field.
    async fn apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<Value, ClusterError>;

    /// Sends the operations of a JSON patch for the object at this version.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `Conflict` when the version is another, and then nothing is changed.
    async fn patch_json(
        &self,
        key: &ObjectKey,
        operations: &[Value],
        version: &str,
    ) -> Result<Value, ClusterError>;

    /// Creates an object that must not exist.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `AlreadyExists` when it does.
    async fn create(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError>;

    /// Deletes the object with this uid and version, in the background.
    ///
    /// # Errors
    /// Any [`ClusterError`]; `Conflict` when uid or version differ, `NotFound` when it is gone.
    async fn delete(&self, key: &ObjectKey, uid: &str, version: &str) -> Result<(), ClusterError>;
}

/// Watches one cluster.
pub trait ClusterWatch: Send + Sync {
    /// Watches what carries our labels among the objects of a kind in a namespace. The stream has no end: an
    /// error is followed by the next try, which is made when the stream is asked again, so that whoever reads
    /// it decides on the pause.
    fn watch(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> BoxStream<'static, Result<WatchEvent, ClusterError>>;
}

/// One event of a watch. Objects are as listed, but that a Secret holds the digests of its values.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// A list begins; what was known before counts until it is complete.
    Begun,
    /// An object of that list.
    Listed(Value),
    /// The list is complete: what it did not hold is not there.
    Complete,
    /// An object was made or changed.
    Applied(Value),
    /// An object was deleted, or lost our labels.
    Deleted(Value),
}

/// What the API server answered, or why it did not; never with object content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// 403.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// 401.
    #[error("not authenticated: the credentials of the kubeconfig were not accepted")]
    Unauthorized,
    /// 404.
    #[error("not found")]
    NotFound,
    /// 409, another writer or another identity.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 409, the name is taken.
    #[error("already exists")]
    AlreadyExists,
    /// 410, a page token or version that has expired.
    #[error("the list has expired")]
    Gone,
    /// 400 or 422, with the fields the server names.
    #[error("refused by the API server: {0}")]
    Invalid(String),
    /// 429, with the seconds the server asks for.
    #[error("the API server is overloaded")]
    TooManyRequests(Option<u64>),
    /// Any other answer.
    #[error("the API server answered {code}: {reason}")]
    Server {
        /// The status code.
        code: u16,
        /// Its reason, shortened.
        reason: String,
    },
    /// Not asked: who writes may no longer do so.
    #[error("nothing was sent: {0}")]
    NotSent(String),
    /// No answer: connection, TLS, cut or unreadable body.
    #[error("the API server could not be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the API server did not answer within {0} s")]
    Timeout(u64),
}

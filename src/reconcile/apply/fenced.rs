//! A cluster that is written to only while the turn to write lasts: asked directly before each request is sent.

use async_trait::async_trait;
use serde_json::Value;

use crate::edge::cluster::{ClusterError, ClusterRead, ClusterWrite, Page};
use crate::model::{Kind, ObjectKey, Scope};
use crate::reconcile::lease::turn::Fence;

/// A connection under a fence.
pub(super) struct Fenced<'a> {
    pub(super) cluster: &'a dyn ClusterWrite,
    pub(super) fence: &'a Fence,
}

impl Fenced<'_> {
    fn check(&self) -> Result<(), ClusterError> {
        let held = self.fence.check();
        held.map_err(|lost| ClusterError::NotSent(lost.to_string()))
    }
}

#[async_trait]
impl ClusterRead for Fenced<'_> {
    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        scope: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError> {
        self.cluster.list(kind, namespace, scope, from).await
    }

    async fn list_pods(&self, namespace: &str, scope: &Scope) -> Result<Vec<Value>, ClusterError> {
        self.cluster.list_pods(namespace, scope).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        self.cluster.get(key).await
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.cluster.dry_run(key, manifest).await
    }
}

#[async_trait]
impl ClusterWrite for Fenced<'_> {
    async fn apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<Value, ClusterError> {
        self.check()?;
        self.cluster.apply(key, manifest, force).await
    }

    async fn patch_json(
        &self,
        key: &ObjectKey,
        operations: &[Value],
        version: &str,
    ) -> Result<Value, ClusterError> {
        self.check()?;
        self.cluster.patch_json(key, operations, version).await
    }

    async fn create(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.check()?;
        self.cluster.create(key, manifest).await
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, version: &str) -> Result<(), ClusterError> {
        self.check()?;
        self.cluster.delete(key, uid, version).await
    }
}

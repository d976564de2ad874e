//! A cluster that stopped answering is not asked on and on: each question would wait as long as the last.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use serde_json::Value;

use crate::edge::cluster::{ClusterError, ClusterRead, Page};
use crate::model::{Kind, ObjectKey, Scope};

/// Questions in a row that may run out of time: as many as are under way at once.
const MAX_TIMEOUTS: u32 = 16;

/// Reads until too many answers in a row did not come; from then on every read fails at once.
pub struct Patience<'a> {
    reader: &'a dyn ClusterRead,
    timeouts: AtomicU32,
}

impl<'a> Patience<'a> {
    /// Begins with all patience.
    pub fn new(reader: &'a dyn ClusterRead) -> Self {
        Self {
            reader,
            timeouts: AtomicU32::new(0),
        }
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        if self.timeouts.load(Ordering::Relaxed) >= MAX_TIMEOUTS {
            let why = format!("it was not asked, for the {MAX_TIMEOUTS} before got no answer");
            return Err(ClusterError::Unreachable(why));
        }
        let answer = question.await;
        match &answer {
            Err(ClusterError::Timeout(_)) => self.timeouts.fetch_add(1, Ordering::Relaxed),
            _ => self.timeouts.swap(0, Ordering::Relaxed),
        };
        answer
    }
}

#[async_trait]
impl ClusterRead for Patience<'_> {
    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        scope: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError> {
        self.ask(self.reader.list(kind, namespace, scope, from))
            .await
    }

    async fn list_pods(&self, namespace: &str, scope: &Scope) -> Result<Vec<Value>, ClusterError> {
        self.ask(self.reader.list_pods(namespace, scope)).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        self.ask(self.reader.get(key)).await
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.ask(self.reader.dry_run(key, manifest)).await
    }
}

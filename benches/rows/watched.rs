//! A cluster connection that notes each call: what it was, when it began, when it ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use platform::edge::cluster::{
    ClusterError, ClusterRead, ClusterWatch, ClusterWrite, Page, WatchEvent,
};
use platform::model::{Kind, ObjectKey, Scope};
use platform::reconcile::live::watched::Watchable;
use serde_json::Value;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    List,
    Get,
    DryRun,
    Write,
}

/// One call.
#[derive(Clone, Copy)]
struct Noted {
    call: Call,
    began: Instant,
    ended: Instant,
    /// The pass it belongs to.
    pass: usize,
}

#[derive(Default)]
struct Notes {
    calls: Vec<Noted>,
    pass: usize,
}

/// A connection that is watched.
pub struct Watched {
    inner: Arc<dyn Watchable>,
    notes: Mutex<Notes>,
}

impl Watched {
    pub fn new(inner: Arc<dyn Watchable>) -> Self {
        Self {
            inner,
            notes: Mutex::default(),
        }
    }

    /// Marks the end of a pass.
    pub fn end_pass(&self) {
        self.notes().pass += 1;
    }

    /// Returns the number of calls of one sort.
    pub fn count(&self, call: Call) -> usize {
        let notes = self.notes();
        notes
            .calls
            .iter()
            .filter(|noted| noted.call == call)
            .count()
    }

    /// Returns how long writes were in flight: of each pass the time from its first write to the end of
    /// its last.
    pub fn writing(&self) -> Duration {
        let notes = self.notes();
        let of_pass = |pass: usize| {
            let writes = notes
                .calls
                .iter()
                .filter(move |noted| noted.call == Call::Write && noted.pass == pass);
            let began = writes.clone().map(|noted| noted.began).min()?;
            let ended = writes.map(|noted| noted.ended).max()?;
            Some(ended - began)
        };
        (0..=notes.pass).filter_map(of_pass).sum()
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn note<T>(&self, call: Call, answer: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = answer.await;
        let ended = Instant::now();
        let mut notes = self.notes();
        let pass = notes.pass;
        notes.calls.push(Noted {
            call,
            began,
            ended,
            pass,
        });
        answer
    }
}

#[async_trait]
impl ClusterRead for Watched {
    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        scope: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError> {
        self.note(Call::List, self.inner.list(kind, namespace, scope, from))
            .await
    }

    async fn list_pods(&self, namespace: &str, scope: &Scope) -> Result<Vec<Value>, ClusterError> {
        self.note(Call::List, self.inner.list_pods(namespace, scope))
            .await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        self.note(Call::Get, self.inner.get(key)).await
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.note(Call::DryRun, self.inner.dry_run(key, manifest))
            .await
    }
}

#[async_trait]
impl ClusterWrite for Watched {
    async fn apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<Value, ClusterError> {
        self.note(Call::Write, self.inner.apply(key, manifest, force))
            .await
    }

    async fn patch_json(
        &self,
        key: &ObjectKey,
        operations: &[Value],
        version: &str,
    ) -> Result<Value, ClusterError> {
        self.note(Call::Write, self.inner.patch_json(key, operations, version))
            .await
    }

    async fn create(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.note(Call::Write, self.inner.create(key, manifest))
            .await
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, version: &str) -> Result<(), ClusterError> {
        self.note(Call::Write, self.inner.delete(key, uid, version))
            .await
    }
}

impl ClusterWatch for Watched {
    fn watch(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(kind, namespace)
    }
}

//! A cluster whose lists come from memory: each kind that a pass asks for is watched from then on, so that a
//! pass over an unchanged world sends no request. All else goes to the server.
//!
//! Of each object its JSON text is kept, about 2 kB where the parsed value takes 20, and of a Secret the
//! digests of its values. What this process writes is kept from the answer at once, so that the next pass
//! does not see the world before its own writes. While a watch does not work its lists go to the server:
//! what is remembered then is no answer.

mod outlook;
mod shelf;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::outlook::Outlook;

use self::outlook::Lookout;
use self::shelf::Shelf;
use crate::edge::cluster::{
    ClusterError, ClusterRead, ClusterWatch, ClusterWrite, Page, WatchEvent,
};
use crate::model::{Kind, ObjectKey, Scope, Slug};

/// How long a list waits for its watch to come up before the server is asked instead.
const SYNC_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed watch, doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Short, so that drift is seen soon after an API server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A watch that failed and then was quiet for so long works again: longer than any call may hang.
const QUIET_WORKS: Duration = Duration::from_secs(30);
/// A watch that fails ends once nobody has asked for its list in so long, twice the time between two surveys: its kind
/// or its namespace is not wanted any more, and would be missed for ever.
const UNASKED_ENDS: Duration = Duration::from_secs(600);

/// A cluster that can be read, written and watched.
pub trait Watchable: ClusterWrite + ClusterWatch {}

impl<T: ClusterWrite + ClusterWatch> Watchable for T {}

/// The challenges whose objects changed in a way that a pass may have to see to; none stands for what belongs to
/// none of them, and for a kind that can be seen again.
pub type Touched = BTreeSet<Option<Slug>>;

/// A cluster whose lists come from memory.
pub struct Watched {
    cluster: Arc<dyn Watchable>,
    memory: Arc<Memory>,
    watches: Mutex<JoinSet<()>>,
}

/// How the watch of one kind stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// The first list is on its way.
    Listing,
    /// Every change is known as it happens.
    Current,
    /// The server does not let it, or does not answer.
    Failing(String),
}

type Place = (Kind, String);
type Panic = Box<dyn Any + Send>;

#[derive(Default)]
struct Memory {
    shelves: RwLock<BTreeMap<Place, Arc<Watch>>>,
    touched: Mutex<Touched>,
    notify: Notify,
    /// What a watch panicked with.
    panic: Mutex<Option<Panic>>,
    lookout: Arc<Lookout>,
}

struct Watch {
    place: Place,
    lookout: Arc<Lookout>,
    state: watch::Sender<WatchState>,
    shelf: RwLock<Shelf>,
    /// When its list was asked for last.
    asked: Mutex<Instant>,
}

impl Watched {
    /// Wraps a cluster; nothing is watched before it is listed.
    #[must_use]
    pub fn new(cluster: Arc<dyn Watchable>) -> Self {
        Self {
            cluster,
            memory: Arc::default(),
            watches: Mutex::default(),
        }
    }

    /// Waits until something of ours changed that a pass may have to see to, and returns whose it is. What
    /// controllers report in the meantime is none of it, as long as readiness stays.
    ///
    /// # Panics
    /// A watch did: what it remembers would be taken for the world for ever.
    pub async fn touched(&self) -> Touched {
        self.memory.touched().await
    }

    /// Returns how each watch stands.
    #[must_use]
    pub fn states(&self) -> BTreeMap<(Kind, String), WatchState> {
        let shelves = self.memory.shelves.read();
        let shelves = shelves.unwrap_or_else(PoisonError::into_inner);
        let state =
            |(place, watch): (&Place, &Arc<Watch>)| (place.clone(), watch.state.borrow().clone());
        shelves.iter().map(state).collect()
    }

    /// Returns for how long everything could be seen.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        self.memory.lookout.outlook()
    }

    /// Returns how many objects are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let shelves = self.memory.shelves.read();
        let shelves = shelves.unwrap_or_else(PoisonError::into_inner);
        shelves.values().map(|watch| watch.read().len()).sum()
    }

    /// Tells whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the watch of a kind, begun now if there is none.
    fn watch(&self, kind: Kind, namespace: &str) -> Arc<Watch> {
        let place = (kind, namespace.to_owned());
        let shelves = &self.memory.shelves;
        if let Some(watch) = shelves
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
        {
            return watch.clone();
        }
        let mut shelves = shelves.write().unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            let lookout = self.memory.lookout.clone();
            lookout.begins(&place);
            let watch = Arc::new(Watch {
                place: place.clone(),
                lookout,
                state: watch::Sender::new(WatchState::Listing),
                shelf: RwLock::default(),
                asked: Mutex::new(Instant::now()),
            });
            let follow = follow(
                self.cluster.clone(),
                place.clone(),
                watch.clone(),
                self.memory.clone(),
            );
            lock(&self.watches).spawn(supervise(follow, self.memory.clone()));
            watch
        };
        shelves.entry(place.clone()).or_insert_with(begin).clone()
    }

    /// Returns the watch of an object's kind, if that kind is watched there.
    fn watch_of(&self, key: &ObjectKey) -> Option<Arc<Watch>> {
        let shelves = self.memory.shelves.read();
        let shelves = shelves.unwrap_or_else(PoisonError::into_inner);
        shelves.get(&(key.kind, key.namespace.clone())).cloned()
    }

    fn keep_answer(&self, key: &ObjectKey, answer: &Value) {
        if let Some(watch) = self.watch_of(key) {
            watch.write().keep_answer(key.kind, answer.clone());
        }
    }
}

/// Has whoever waits for what is touched go on with the panic of a watch.
async fn supervise(follow: impl Future<Output = ()>, memory: Arc<Memory>) {
    if let Err(panic) = AssertUnwindSafe(follow).catch_unwind().await {
        *lock(&memory.panic) = Some(panic);
        memory.notify.notify_one();
    }
}

/// Follows one kind for as long as it works or somebody asks for it.
async fn follow(cluster: Arc<dyn Watchable>, place: Place, watch: Arc<Watch>, memory: Arc<Memory>) {
    let mut events = cluster.watch(place.0, &place.1);
    let mut pause = FIRST_PAUSE;
    loop {
        let failing = matches!(*watch.state.borrow(), WatchState::Failing(_));
        let next = match failing {
            true => tokio::time::timeout(QUIET_WORKS, events.next()).await,
            false => Ok(events.next().await),
        };
        match next {
            Ok(Some(Ok(event))) => {
                pause = FIRST_PAUSE;
                let touched = watch.take(place.0, event);
                memory.tell(touched);
            }
            Ok(Some(Err(error))) => {
                watch.fails(&error);
                if lock(&watch.asked).elapsed() > UNASKED_ENDS {
                    memory.end(&place);
                    return;
                }
                if error == ClusterError::Gone {
                    // The version that it would go on from is forgotten, however that was said.
                    events = cluster.watch(place.0, &place.1);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(None) => events = cluster.watch(place.0, &place.1),
            Err(_) => watch.works_again(),
        }
        if failing && watch.is_working() {
            // What could not be seen belongs to nobody yet.
            memory.tell(Touched::from([None]));
        }
    }
}

impl Watch {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, kind: Kind, event: WatchEvent) -> Touched {
        let is_list = matches!(event, WatchEvent::Begun | WatchEvent::Listed(_));
        let touched = self.write().take(kind, event);
        if !is_list {
            self.works_again();
        }
        touched
    }

    /// A shelf that was never complete is none yet, however well its watch works.
    fn works_again(&self) {
        if self.read().is_complete() {
            if self.lookout.works(&self.place) {
                tracing::info!("every watch works again");
            }
            self.state.send_replace(WatchState::Current);
        }
    }

    fn is_working(&self) -> bool {
        *self.state.borrow() == WatchState::Current
    }

    fn fails(&self, error: &ClusterError) {
        let (kind, namespace) = &self.place;
        let told = match is_of_server(error) {
            true => error.to_string(),
            false => format!("{kind}: {error}"),
        };
        if self.lookout.fails(&self.place, &told) {
            tracing::warn!(%kind, %namespace, %error, "the watch failed; it is begun again until it works");
        } else {
            tracing::debug!(%kind, %namespace, %error, "the watch failed; it is begun again");
        }
        self.state
            .send_replace(WatchState::Failing(error.to_string()));
    }

    /// Waits until the shelf can answer; not longer than for a first list, and not while the watch fails.
    async fn is_current(&self) -> bool {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| *state != WatchState::Listing);
        match tokio::time::timeout(SYNC_LIMIT, settled).await {
            Ok(settled) => settled.is_ok_and(|state| *state == WatchState::Current),
            Err(_) => {
                // The next list does not wait again; once the shelf is complete it is asked.
                let late = WatchState::Failing("it did not come up in time".to_owned());
                self.state.send_if_modified(|state| {
                    let waits = *state == WatchState::Listing;
                    if waits {
                        *state = late;
                    }
                    waits
                });
                false
            }
        }
    }
}

/// Tells whether every watch of the server fails in this way, and not that of one kind.
fn is_of_server(error: &ClusterError) -> bool {
    match error {
        ClusterError::Unauthorized
        | ClusterError::Gone
        | ClusterError::TooManyRequests(_)
        | ClusterError::Server { .. }
        | ClusterError::Unreachable(_)
        | ClusterError::Timeout(_) => true,
        ClusterError::Forbidden(_)
        | ClusterError::NotFound
        | ClusterError::Conflict(_)
        | ClusterError::AlreadyExists
        | ClusterError::Invalid(_)
        | ClusterError::NotSent(_) => false,
    }
}

impl Memory {
    fn end(&self, place: &Place) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.remove(place);
        self.lookout.ends(place);
    }

    async fn touched(&self) -> Touched {
        loop {
            let told = self.notify.notified();
            if let Some(panic) = lock(&self.panic).take() {
                std::panic::resume_unwind(panic);
            }
            let touched = std::mem::take(&mut *lock(&self.touched));
            if !touched.is_empty() {
                return touched;
            }
            told.await;
        }
    }

    fn tell(&self, touched: Touched) {
        if touched.is_empty() {
            return;
        }
        lock(&self.touched).extend(touched);
        self.notify.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let watch = self.watch(kind, namespace);
        *lock(&watch.asked) = Instant::now();
        // A list that the server began, the server ends.
        let is_ours = from.is_none_or(shelf::is_token);
        if is_ours && watch.is_current().await {
            return Ok(watch.read().page(scope, from));
        }
        let from = from.filter(|token| !shelf::is_token(token));
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
impl ClusterWrite for Watched {
    async fn apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<Value, ClusterError> {
        let answer = self.cluster.apply(key, manifest, force).await?;
        self.keep_answer(key, &answer);
        Ok(answer)
    }

    async fn patch_json(
        &self,
        key: &ObjectKey,
        operations: &[Value],
        version: &str,
    ) -> Result<Value, ClusterError> {
        let answer = self.cluster.patch_json(key, operations, version).await?;
        self.keep_answer(key, &answer);
        Ok(answer)
    }

    async fn create(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        let answer = self.cluster.create(key, manifest).await?;
        self.keep_answer(key, &answer);
        Ok(answer)
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, version: &str) -> Result<(), ClusterError> {
        self.cluster.delete(key, uid, version).await?;
        if let Some(watch) = self.watch_of(key) {
            watch.write().forget(&key.name, uid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream::{self, BoxStream};

    /// A cluster that refuses all of one kind.
    struct Refusing;

    const REFUSED: ClusterError = ClusterError::NotFound;

    impl ClusterWatch for Refusing {
        fn watch(&self, _: Kind, _: &str) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
            stream::repeat(Err(REFUSED)).boxed()
        }
    }

    #[async_trait]
    impl ClusterRead for Refusing {
        async fn list(
            &self,
            _: Kind,
            _: &str,
            _: &Scope,
            _: Option<&str>,
        ) -> Result<Page, ClusterError> {
            Err(REFUSED)
        }

        async fn list_pods(&self, _: &str, _: &Scope) -> Result<Vec<Value>, ClusterError> {
            Err(REFUSED)
        }

        async fn get(&self, _: &ObjectKey) -> Result<Option<Value>, ClusterError> {
            Err(REFUSED)
        }

        async fn dry_run(&self, _: &ObjectKey, _: &Value) -> Result<Value, ClusterError> {
            Err(REFUSED)
        }
    }

    #[async_trait]
    impl ClusterWrite for Refusing {
        async fn apply(&self, _: &ObjectKey, _: &Value, _: bool) -> Result<Value, ClusterError> {
            Err(REFUSED)
        }

        async fn patch_json(
            &self,
            _: &ObjectKey,
            _: &[Value],
            _: &str,
        ) -> Result<Value, ClusterError> {
            Err(REFUSED)
        }

        async fn create(&self, _: &ObjectKey, _: &Value) -> Result<Value, ClusterError> {
            Err(REFUSED)
        }

        async fn delete(&self, _: &ObjectKey, _: &str, _: &str) -> Result<(), ClusterError> {
            Err(REFUSED)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_is_missed_for_as_long_as_somebody_asks_for_it() {
        let watched = Watched::new(Arc::new(Refusing));
        let ask = || watched.list(Kind::ScaledObject, "ns", &Scope::All, None);
        for _ in 0..3 {
            assert_eq!(ask().await.unwrap_err(), REFUSED);
            tokio::time::sleep(UNASKED_ENDS).await;
            assert_eq!(watched.states().len(), 1);
            assert_eq!(watched.outlook().since, None);
        }
        tokio::time::sleep(2 * LONGEST_PAUSE).await;
        assert!(watched.states().is_empty());
        assert!(watched.outlook().since.is_some());
        assert_eq!(ask().await.unwrap_err(), REFUSED);
        assert_eq!(watched.states().len(), 1, "it is begun again");
    }

    #[tokio::test]
    #[should_panic(expected = "a watch that cannot go on")]
    async fn a_watch_that_panics_is_not_taken_for_one_that_is_quiet() {
        let memory = Arc::<Memory>::default();
        let watch = async { panic!("a watch that cannot go on") };
        supervise(watch, memory.clone()).await;
        memory.touched().await;
    }
}

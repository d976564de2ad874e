//! What tests of the served weights have in common: challenges that are told what to answer, a database, and
//! processes that serve from it over real HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use platform::admin::registry::Network;
use platform::edge::chain::{Chain, FileChain};
use platform::edge::database::{Database, open_and_migrate};
use platform::model::clock::Clock;
use platform::model::pass::{PassCounts, PassOutcome, PassRecord};
use platform::model::revision::Revision;
use platform::model::{Emission, FenceToken, Row, RowKey, Secret, Slug};
use platform::weights::epoch::{Collector, EpochError, Parts};
use platform::weights::registered::{Limits, Registered};
use platform::weights::roster::Asked;
use platform::weights::routes::{Behind, Views, routes};
use platform::weights::serving::{Serving, Terms};
use platform::weights::shelf::Shelf;
use platform::weights::signature::SigningKey;
use platform::weights::{Answer, Failure, Rules, Subnet};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub(super) const LIMITS: Limits = Limits {
    life: Duration::from_secs(300),
    stale: Duration::from_secs(3600),
};

/// The clock, as long as a test sets no other.
pub(super) const CLOCK: Clock = Clock {
    wall: Timestamp::now,
    steady,
};

fn steady() -> Duration {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed()
}

/// What a challenge answers.
pub(super) type Outcome = Result<Vec<(&'static str, f64)>, Failure>;

/// Challenges that answer what the test says, as long as it has the gate open.
pub(super) struct Told {
    pub(super) outcomes: Mutex<Vec<(&'static str, Outcome)>>,
    pub(super) rounds: AtomicUsize,
    pub(super) gate: Semaphore,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            outcomes: Mutex::default(),
            rounds: AtomicUsize::new(0),
            gate: Semaphore::new(1),
        }
    }
}

#[async_trait]
impl Collector for Told {
    async fn collect(&self, asked: Vec<Asked>) -> Vec<Answer> {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await.unwrap());
        let told = self.outcomes.lock().unwrap();
        let answer = |asked: Asked| {
            let found = told.iter().find(|(slug, _)| *slug == asked.slug.as_str());
            let (_, outcome) = found.cloned().unwrap_or(("", Err(Failure::Timeout)));
            Answer {
                slug: asked.slug,
                emission: asked.emission,
                outcome: outcome.map(|scores| scores.into_iter().collect()),
            }
        };
        asked.into_iter().map(answer).collect()
    }
}

pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) told: Arc<Told>,
    pub(super) database: Arc<dyn Database>,
    pub(super) terms: Terms,
}

/// One process: it serves until it is dropped.
pub(super) struct Process {
    pub(super) parts: Parts,
    views: Views,
    pub(super) base: String,
    pub(super) client: reqwest::Client,
    pub(super) stop: CancellationToken,
    pub(super) tasks: tokio::task::JoinSet<()>,
    pub(super) told: watch::Sender<Option<Terms>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn key() -> SigningKey {
    SigningKey::parse(&Secret::new("7".repeat(64))).unwrap()
}

/// A challenge as the declaration has it.
fn declared(slug: &str) -> (Slug, Emission) {
    (Slug::parse(slug).unwrap(), Emission::parse("50").unwrap())
}

/// The file that stands for the chain.
fn file_of(terms: &Terms) -> Arc<dyn Chain> {
    Arc::new(FileChain::new(terms.metagraph_file.clone().unwrap()))
}

impl World {
    pub(super) async fn new() -> Self {
        super::install_tls();
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("platform.db").display());
        let world = Self {
            told: Arc::default(),
            database: open_and_migrate(&Secret::new(url)).await.unwrap(),
            terms: Terms {
                subnet: Subnet {
                    netuid: 42,
                    chain_endpoint: "wss://chain.example:9944".to_owned(),
                },
                metagraph_file: Some(directory.path().join("metagraph.json")),
                rules: Rules::default(),
                network: Network {
                    name: "platform".to_owned(),
                    master_uid: 0,
                },
                active: ["aa", "bb"].map(declared).into(),
                revision: "c0ffee".to_owned(),
            },
            directory,
        };
        world.register(&["owner", "hk1", "hk2"]);
        world.declare("aa", "40", "active").await;
        world.declare("bb", "60", "active").await;
        world.declare("cc", "99", "inactive").await;
        world
    }

    pub(super) fn register(&self, hotkeys: &[&str]) {
        let text = json!({"hotkeys": hotkeys, "block": 7}).to_string();
        std::fs::write(self.directory.path().join("metagraph.json"), text).unwrap();
    }

    pub(super) async fn declare(&self, slug: &str, emission: &str, status: &str) {
        let row = Row(json!({
            "name": slug, "description": null, "status": status,
            "emission_percent": Emission::parse(emission).unwrap().to_string(),
            "version": "1.0.0", "api_version": "1.0", "image": format!("ghcr.io/o/{slug}:1.0.0"),
            "internal_base_url": format!("http://challenge-{slug}:8000"),
            "spec": {"secrets": {"api_key": {"secret": "canary", "key": "token"}}},
        }));
        self.write(slug, row).await;
    }

    /// Writes a row as a pass does.
    pub(super) async fn write(&self, slug: &str, row: Row) {
        let key = RowKey::Challenge(Slug::parse(slug).unwrap());
        let revision = Revision {
            digest: "c0ffee".to_owned(),
            commit: None,
        };
        let token = FenceToken::new(0);
        let written = self
            .database
            .write_row(token, &key, &row, &revision, Timestamp::now());
        written.await.unwrap();
    }

    pub(super) async fn remove(&self, slug: &str) {
        let key = RowKey::Challenge(Slug::parse(slug).unwrap());
        let deleted = self.database.delete_row(FenceToken::new(0), &key);
        deleted.await.unwrap();
    }

    /// Records a pass that did nothing.
    pub(super) async fn record_pass(&self) {
        let now = Timestamp::now();
        let pass = PassRecord {
            id: None,
            started_at: now,
            finished_at: now,
            source: "platform.yaml".to_owned(),
            revision: Revision {
                digest: "c0ffee".to_owned(),
                commit: None,
            },
            actor: "a test".to_owned(),
            plan_digest: "c0ffee".to_owned(),
            outcome: PassOutcome::Converged,
            counts: PassCounts::default(),
            chain: None,
            keys: Vec::new(),
        };
        let token = FenceToken::new(0);
        self.database.record_pass(token, &pass, &[]).await.unwrap();
    }

    pub(super) fn tell(&self, aa: Outcome, bb: Outcome) {
        *self.told.outcomes.lock().unwrap() = vec![("aa", aa), ("bb", bb)];
    }

    pub(super) async fn start(&self) -> Process {
        let process = self.start_before_it_knows().await;
        process.views.put_behind(Behind {
            database: self.database.clone(),
            key: Some(key()),
        });
        process.views.describe();
        process
    }

    /// Starts a process that serves and has not opened its database yet.
    pub(super) async fn start_before_it_knows(&self) -> Process {
        self.start_with(CLOCK).await
    }

    /// Starts a process with a clock of its own.
    pub(super) async fn start_with(&self, clock: Clock) -> Process {
        let (told, terms) = watch::channel(Some(self.terms.clone()));
        let serving = Serving {
            database: self.database.clone(),
            shelf: Arc::new(Shelf::default()),
            key: Some(key()),
            terms,
            clock,
        };
        let parts = Parts {
            serving,
            chain: file_of,
            collector: self.told.clone(),
            interval: Duration::from_secs(360),
            tally: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let views = Views::new(parts.serving.shelf.clone(), parts.serving.clock);
        let router = routes(views.clone());
        let (stop, mut tasks) = (CancellationToken::new(), tokio::task::JoinSet::new());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Process {
            parts,
            views,
            base,
            client: reqwest::Client::new(),
            stop,
            tasks,
            told,
        }
    }
}

impl Process {
    /// Makes one vector, knowing nothing of who is registered; returns its UIDs.
    pub(super) async fn epoch(&self, world: &World) -> Result<Vec<u64>, EpochError> {
        self.epoch_after(world, &mut Registered::new(LIMITS)).await
    }

    /// As [`Self::epoch`], with what was learned before.
    pub(super) async fn epoch_after(
        &self,
        world: &World,
        registered: &mut Registered,
    ) -> Result<Vec<u64>, EpochError> {
        let snapshot = self.parts.epoch(&world.terms, registered).await?;
        let document: Value = serde_json::from_str(&snapshot.document).unwrap();
        let uids = document["uids"].as_array().unwrap();
        Ok(uids.iter().filter_map(Value::as_u64).collect())
    }

    /// Looks after the shelf as a process that serves does.
    pub(super) fn look(&mut self) {
        let serving = self.parts.serving.clone();
        self.tasks.spawn(serving.serve(self.stop.clone()));
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.get(format!("{}{path}", self.base));
        let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        headers.iter().fold(request, add).send().await.unwrap()
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        self.get(path, &[]).await.json().await.unwrap()
    }

    pub(super) async fn refused(&self, path: &str) -> (StatusCode, String) {
        let answer = self.get(path, &[]).await;
        let code = answer.status();
        let body: Value = answer.json().await.unwrap();
        (code, body["detail"].as_str().unwrap().to_owned())
    }

    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what} did not come about");
    }
}

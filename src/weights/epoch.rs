//! The loop that makes vectors: ask who is registered, ask the challenges, compute, keep, put on the shelf.
//!
//! One process computes, the one that leads; every process serves, and looks every few seconds for what the
//! other has made. Each vector is in the database before it is on the shelf, so it survives a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::aggregate::aggregate;
use super::publish::{Outage, expiry, judge, judge_metagraph, snapshot};
use super::registered::Registered;
use super::shelf::{Copies, Served, Shelf};
use super::signature::SigningKey;
use super::{Answer, Metagraph, Published, Rules, Subnet};
use crate::admin::registry::{self, Network};
use crate::edge::chain::Chain;
use crate::edge::database::{Database, DatabaseError};
use crate::model::snapshot::Snapshot;
use crate::model::{Emission, Row, RowKey, Slug};

/// How often a process looks for what another has made.
const LOOK: Duration = Duration::from_secs(5);

/// The pause after an epoch that made no vector: an outage is mostly short, and a vector holds only two epochs.
const RETRY: Duration = Duration::from_secs(30);

/// The longest that rows are taken for unchanged because no pass was recorded.
const ROWS_FOR: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// How many vectors the history lists: somewhat more than three days of them.
const HISTORY: u32 = 800;

/// What the declaration says about weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The subnet.
    pub subnet: Subnet,
    /// What applies to every challenge alike.
    pub rules: Rules,
    /// How the registry document names the network.
    pub network: Network,
    /// The declaration: a commit, or the digest of the content.
    pub revision: String,
}

/// A challenge that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The challenge.
    pub slug: Slug,
    /// Its relative share.
    pub emission: Emission,
    /// Where it is reached.
    pub base: String,
}

/// Who asks the challenges.
#[async_trait]
pub trait Collector: Send + Sync {
    /// Asks all of them and returns an answer for each, within a time that is bounded however they behave.
    async fn collect(&self, asked: Vec<Asked>) -> Vec<Answer>;
}

/// What the loop works with.
#[derive(Clone)]
pub struct Parts {
    /// Where vectors are kept and challenges are registered.
    pub database: Arc<dyn Database>,
    /// Who is registered.
    pub chain: Arc<dyn Chain>,
    /// Who asks the challenges.
    pub collector: Arc<dyn Collector>,
    /// Where vectors are served from.
    pub shelf: Arc<Shelf>,
    /// What they are signed with.
    pub key: Option<SigningKey>,
    /// What the declaration says; none before there is one.
    pub terms: watch::Receiver<Option<Terms>>,
    /// The time from one vector to the next.
    pub interval: Duration,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Why an epoch ended without a vector.
#[derive(Debug, Error)]
pub enum EpochError {
    /// The registry could not be read, or the vector not be kept.
    #[error("the database failed")]
    Database(#[source] DatabaseError),
    /// A vector has no JSON form.
    #[error("the vector cannot be written")]
    Document(#[source] serde_json::Error),
    /// The computation ended by itself.
    #[error("the computation was ended")]
    Ended,
    /// A newer vector was kept meanwhile.
    #[error("another process has kept a newer vector")]
    Overtaken,
    /// No pass has been recorded yet, so that there are no challenges means nothing.
    #[error("nothing has been applied yet")]
    NotApplied,
    /// What came in is no ground for a vector.
    #[error("{0}")]
    Outage(Outage),
}

impl Parts {
    /// Makes one vector after the other until told to stop. Runs never overlap; an error ends an epoch and not
    /// the loop.
    pub async fn compute(mut self, mut registered: Registered, stop: CancellationToken) {
        loop {
            let began = tokio::time::Instant::now();
            let terms = self.terms.borrow_and_update().clone();
            let epoch = async {
                match &terms {
                    Some(terms) => self.epoch(terms, &mut registered).await.map(Some),
                    None => Ok(None),
                }
            };
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = epoch => ended,
            };
            let pause = match &ended {
                Ok(_) => self.interval,
                Err(EpochError::NotApplied) => LOOK.min(self.interval),
                Err(_) => RETRY.min(self.interval),
            };
            self.tell(ended, &registered);
            let next = tokio::time::sleep_until(began + pause);
            tokio::select! {
                () = stop.cancelled() => return,
                () = next => {}
                // The first declaration is not waited for by the clock.
                changed = self.terms.changed(), if terms.is_none() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Keeps the shelf as the database has it until told to stop.
    pub async fn serve(mut self, stop: CancellationToken) {
        let mut seen = Seen::default();
        loop {
            let terms = self.terms.borrow_and_update().clone();
            if let Some(terms) = &terms {
                let looked = self.look(terms, &mut seen).await;
                let now = (self.clock)();
                self.shelf.change(|stock| {
                    stock.is_database_away = looked.is_err();
                    stock.is_signed = self.key.is_some();
                    if looked.is_ok() {
                        stock.database_read_at = Some(now);
                    }
                });
                if let Err(error) = looked {
                    tracing::warn!(%error, "weights and registry are served as last read");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
                changed = self.terms.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Makes a vector.
    ///
    /// # Errors
    /// None could be made; the last one stays.
    pub async fn epoch(
        &self,
        terms: &Terms,
        registered: &mut Registered,
    ) -> Result<Snapshot, EpochError> {
        let computed_at = micros((self.clock)());
        self.refresh(registered).await;
        let metagraph =
            judge_metagraph(registered.known(computed_at)).map_err(EpochError::Outage)?;
        let rows = self.database.rows().await.map_err(EpochError::Database)?;
        if rows.is_empty()
            && self
                .last_pass()
                .await
                .map_err(EpochError::Database)?
                .is_none()
        {
            return Err(EpochError::NotApplied);
        }
        let answers = self.collector.collect(active(&rows)).await;
        let (terms, metagraph) = (terms.clone(), metagraph.clone());
        // A large vector takes a while, and the process serves meanwhile.
        let made =
            tokio::task::spawn_blocking(move || make(&terms, answers, &metagraph, computed_at));
        let snapshot = made.await.map_err(|_| EpochError::Ended)??;
        let kept = self.database.keep_weights(&snapshot).await;
        match kept.map_err(EpochError::Database)? {
            true => self.put(&snapshot).await.map(|()| snapshot),
            false => Err(EpochError::Overtaken),
        }
    }

    async fn refresh(&self, registered: &mut Registered) {
        if !self.chain.is_free() && !registered.is_due((self.clock)()) {
            return;
        }
        let read = self.chain.metagraph().await;
        if let Err(error) = &read {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "who is registered could not be read");
        }
        registered.take(read.ok(), (self.clock)());
    }

    fn tell(&self, ended: Result<Option<Snapshot>, EpochError>, registered: &Registered) {
        self.shelf.change(|stock| {
            stock.metagraph_read_at = registered.read_at();
            if let Err(EpochError::Outage(outage)) = &ended {
                stock.outage = Some(*outage);
            }
        });
        match ended {
            Ok(Some(snapshot)) => {
                tracing::info!(computed_at = %snapshot.summary.computed_at, "weights published");
            }
            Ok(None) | Err(EpochError::NotApplied) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "no new weights; the last ones are served until they expire");
            }
        }
    }

    /// Looks for what is new in the database.
    async fn look(&self, terms: &Terms, seen: &mut Seen) -> Result<(), EpochError> {
        let on_shelf = self.shelf.stock().weights;
        let after = on_shelf.map(|copies| copies.summary.computed_at);
        let newest = self
            .database
            .newest_weights(terms.subnet.netuid, after)
            .await;
        let newest = newest.map_err(EpochError::Database)?;
        if let Some(snapshot) = &newest {
            self.put(snapshot).await?;
        }
        if newest.is_some() || seen.history_of != after {
            let history = self.database.weights_history(terms.subnet.netuid, HISTORY);
            let history = Arc::new(history.await.map_err(EpochError::Database)?);
            seen.history_of = history.first().map(|summary| summary.computed_at);
            self.shelf.change(|stock| stock.history = history);
        }
        self.look_at_rows(terms, seen)
            .await
            .map_err(EpochError::Database)
    }

    /// Makes the registry document anew where a pass was recorded since, for only passes change rows.
    async fn look_at_rows(&self, terms: &Terms, seen: &mut Seen) -> Result<(), DatabaseError> {
        let now = (self.clock)();
        let newest = self.last_pass().await?;
        let is_recent = seen
            .rows_at
            .is_some_and(|read_at| now.duration_since(read_at) < ROWS_FOR);
        if is_recent && seen.pass == newest && seen.network == terms.network {
            return Ok(());
        }
        let rows = self.database.rows().await?;
        let document = registry::document(&terms.network, &rows);
        let document = serde_json::to_string(&document).expect("its keys are texts");
        let is_same = |served: &Arc<Served>| served.body == document.as_bytes();
        if !self.shelf.stock().registry.as_ref().is_some_and(is_same) {
            let served = Arc::new(Served::of(document, None));
            self.shelf.change(|stock| stock.registry = Some(served));
        }
        *seen = Seen {
            rows_at: Some(now),
            pass: newest,
            network: terms.network.clone(),
            ..seen.clone()
        };
        Ok(())
    }

    /// Returns the number of the newest pass.
    async fn last_pass(&self) -> Result<Option<i64>, DatabaseError> {
        let passes = self.database.passes(1, None).await?;
        Ok(passes.first().map(|pass| pass.id))
    }

    async fn put(&self, snapshot: &Snapshot) -> Result<(), EpochError> {
        let (snapshot, key) = (snapshot.clone(), self.key.clone());
        let copies = tokio::task::spawn_blocking(move || Copies::of(&snapshot, key.as_ref()));
        let copies = copies.await.map_err(|_| EpochError::Ended)?;
        self.shelf.put(copies.map_err(EpochError::Document)?);
        Ok(())
    }
}

/// What was last seen in the database.
#[derive(Clone, Debug, Default)]
struct Seen {
    rows_at: Option<Timestamp>,
    pass: Option<i64>,
    network: Network,
    history_of: Option<Timestamp>,
}

/// Returns the challenges that are asked.
fn active(rows: &BTreeMap<RowKey, Row>) -> Vec<Asked> {
    let active = rows.iter().filter(|(_, row)| row.0["status"] == "active");
    active
        .filter_map(|(key, row)| {
            let RowKey::Challenge(slug) = key else {
                return None;
            };
            Some(Asked {
                slug: slug.clone(),
                emission: Emission::parse(row.0["emission_percent"].as_str()?).ok()?,
                base: row.0["internal_base_url"].as_str()?.to_owned(),
            })
        })
        .collect()
}

fn make(
    terms: &Terms,
    mut answers: Vec<Answer>,
    metagraph: &Metagraph,
    computed_at: Timestamp,
) -> Result<Snapshot, EpochError> {
    answers.sort_by(|one, other| one.slug.cmp(&other.slug));
    let (vector, explanation) = aggregate(&answers, metagraph, terms.rules);
    judge(&answers, &vector).map_err(EpochError::Outage)?;
    let published = Published {
        subnet: terms.subnet.clone(),
        vector,
        explanation,
        answers,
        computed_at,
        expires_at: expiry(computed_at),
        metagraph_updated_at: metagraph.read_at.map_or(computed_at, micros),
    };
    let revision = terms.revision.clone();
    snapshot(&published, metagraph, terms.rules, revision).map_err(EpochError::Document)
}

/// The database keeps no more of a time.
fn micros(time: Timestamp) -> Timestamp {
    time.round(jiff::Unit::Microsecond).unwrap_or(time)
}

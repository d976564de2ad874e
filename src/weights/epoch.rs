//! The loop that makes vectors: ask who is registered, ask the challenges, compute, keep, put on the shelf.
//!
//! One process computes; every process serves. Each vector is in the database before it is on the shelf, so it
//! survives a restart.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::aggregate::aggregate;
use super::publish::{Outage, expiry, judge, judge_metagraph, snapshot};
use super::registered::Registered;
use super::roster::{Asked, Roster};
use super::serving::{Serving, ServingError, Terms};
use super::{Answer, Metagraph, Published};
use crate::edge::chain::Chain;
use crate::edge::database::DatabaseError;
use crate::model::Scope;
use crate::model::snapshot::Snapshot;

/// The pause while nothing has been applied.
const UNAPPLIED: Duration = Duration::from_secs(5);

/// The pause after an epoch that made no vector: an outage is mostly short, and a vector holds only two epochs.
const RETRY: Duration = Duration::from_secs(30);

/// Who asks the challenges.
#[async_trait]
pub trait Collector: Send + Sync {
    /// Asks all of them and returns an answer for each, within a time that is bounded however they behave.
    async fn collect(&self, asked: Vec<Asked>) -> Vec<Answer>;
}

/// What the loop works with.
#[derive(Clone)]
pub struct Parts {
    /// Where vectors are kept, and where they are served from.
    pub serving: Serving,
    /// Who is registered.
    pub chain: Arc<dyn Chain>,
    /// Who asks the challenges.
    pub collector: Arc<dyn Collector>,
    /// The time from one vector to the next.
    pub interval: Duration,
}

/// Why an epoch ended without a vector.
#[derive(Debug, Error)]
pub enum EpochError {
    /// The vector is kept, and this process does not serve it.
    #[error("the vector was not put on the shelf")]
    Shelf(#[source] ServingError),
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
            let terms = self.serving.terms.borrow_and_update().clone();
            let epoch = async {
                match &terms {
                    Some(terms) => {
                        let epoch = self.epoch(terms, &mut registered);
                        let span = tracing::debug_span!("epoch");
                        epoch.instrument(span).await.map(Some)
                    }
                    None => Ok(None),
                }
            };
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = epoch => ended,
            };
            let pause = match &ended {
                Ok(_) => self.interval,
                Err(EpochError::NotApplied) => UNAPPLIED.min(self.interval),
                Err(_) => RETRY.min(self.interval),
            };
            self.tell(ended, &registered);
            let next = tokio::time::sleep_until(began + pause);
            tokio::select! {
                () = stop.cancelled() => return,
                () = next => {}
                // The first declaration is not waited for by the clock.
                changed = self.serving.terms.changed(), if terms.is_none() => if changed.is_err() {
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
        let now = self.serving.clock.now();
        let computed_at = micros(now.wall);
        self.refresh(registered).await;
        let metagraph = judge_metagraph(registered.known(now)).map_err(EpochError::Outage)?;
        let rows = self
            .serving
            .database
            .rows(&Scope::All)
            .await
            .map_err(EpochError::Database)?;
        if rows.is_empty()
            && self
                .serving
                .last_pass()
                .await
                .map_err(EpochError::Database)?
                .is_none()
        {
            return Err(EpochError::NotApplied);
        }
        let answers = self.ask(Roster::of(&rows, &terms.active)).await;
        let (terms, metagraph) = (terms.clone(), metagraph.clone());
        // A large vector takes a while, and the process serves meanwhile.
        let made =
            tokio::task::spawn_blocking(move || make(&terms, answers, &metagraph, computed_at));
        let snapshot = made.await.map_err(|_| EpochError::Ended)??;
        let now = self.serving.clock.now().wall;
        let kept = self.serving.database.keep_weights(&snapshot, now).await;
        match kept.map_err(EpochError::Database)? {
            true => {
                let put = self.serving.put(&snapshot).await;
                put.map(|()| snapshot).map_err(EpochError::Shelf)
            }
            false => Err(EpochError::Overtaken),
        }
    }

    /// Returns what everybody answered who takes part.
    async fn ask(&self, roster: Roster) -> Vec<Answer> {
        for Answer { slug, outcome, .. } in &roster.failed {
            let why = outcome.as_ref().err();
            let why = why.map(ToString::to_string);
            tracing::warn!(%slug, why, "a challenge cannot be asked");
        }
        let mut answers = self.collector.collect(roster.asked).await;
        answers.extend(roster.failed);
        answers
    }

    async fn refresh(&self, registered: &mut Registered) {
        if !self.chain.is_free() && !registered.is_due(self.serving.clock.now()) {
            return;
        }
        let read = self.chain.metagraph().await;
        if let Err(error) = &read {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "who is registered could not be read");
        }
        registered.take(read.ok(), self.serving.clock.now());
    }

    fn tell(&self, ended: Result<Option<Snapshot>, EpochError>, registered: &Registered) {
        self.serving.shelf.change(|stock| {
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

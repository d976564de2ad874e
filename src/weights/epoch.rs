//! The loop that makes vectors: ask who is registered, ask the challenges, compute, keep, put on the shelf.
//!
//! One process computes; every process serves. Each vector is in the database before it is on the shelf, so it
//! survives a restart.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rand::TryRngCore as _;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::aggregate::aggregate;
use super::publish::{Outage, expiry, judge, judge_metagraph, snapshot};
use super::registered::{Origin, Registered};
use super::roster::{Asked, Roster};
use super::serving::{Serving, ServingError, Terms};
use super::tally::{Made, Tally};
use super::{Answer, Metagraph, Published};
use crate::edge::chain::Chain;
use crate::edge::database::DatabaseError;
use crate::model::Scope;
use crate::model::snapshot::Snapshot;

/// The pause while nothing has been applied.
const UNAPPLIED: Duration = Duration::from_secs(5);

/// The pause after an epoch that made no vector: an outage is mostly short, and a vector holds only two epochs.
const RETRY: Duration = Duration::from_secs(30);

/// The longest that is waited for who is registered.
const CHAIN_LIMIT: Duration = Duration::from_secs(30);

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
    /// The chain that a declaration names: who is registered.
    pub chain: fn(&Terms) -> Arc<dyn Chain>,
    /// Who asks the challenges.
    pub collector: Arc<dyn Collector>,
    /// The time from one vector to the next.
    pub interval: Duration,
    /// Where it is counted what comes of it.
    pub tally: Arc<Tally>,
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

impl EpochError {
    /// Returns how an epoch that ended so is counted.
    fn made(&self) -> Made {
        match self {
            Self::Overtaken => Made::Overtaken,
            Self::NotApplied => Made::NotApplied,
            Self::Outage(_) => Made::Outage,
            Self::Shelf(_) | Self::Database(_) | Self::Document(_) | Self::Ended => Made::Failed,
        }
    }
}

impl Parts {
    /// Makes one vector after the other until told to stop, and returns who is registered as it was last read. Runs never
    /// overlap; an error ends an epoch and not the loop.
    pub async fn compute(self, mut registered: Registered, stop: CancellationToken) -> Registered {
        stop.run_until_cancelled(self.compute_always(&mut registered))
            .await;
        registered
    }

    /// Begins anew, with nothing known and at once, where the declaration names another subnet or another place to
    /// ask who is registered there: UIDs of one subnet mean nothing in another.
    async fn compute_always(&self, registered: &mut Registered) {
        let mut told = self.serving.terms.clone();
        loop {
            let terms = told.borrow_and_update().clone();
            let origin = terms.as_ref().map(Terms::origin);
            if let Some(origin) = origin {
                registered.turn_to(origin);
            }
            let is_told = tokio::select! {
                other = told.wait_for(|told| told.as_ref().map(Terms::origin) != origin) => other.is_ok(),
                () = self.compute_for(origin, registered) => true,
            };
            if !is_told {
                return;
            }
        }
    }

    /// Makes vectors for as long as the declaration is about this subnet.
    async fn compute_for(&self, origin: Option<Origin<'_>>, registered: &mut Registered) {
        loop {
            let began = Instant::now();
            let terms = self.serving.terms.borrow().clone();
            if terms.as_ref().map(Terms::origin) != origin {
                return;
            }
            // The first declaration is waited for by who called.
            let Some(terms) = terms else {
                return std::future::pending().await;
            };
            let span = tracing::debug_span!("epoch");
            let ended = self.epoch(&terms, registered).instrument(span).await;
            let next = match &ended {
                Ok(_) | Err(EpochError::Overtaken) => began + self.interval,
                Err(EpochError::NotApplied) => began + UNAPPLIED.min(self.interval),
                Err(_) => Instant::now() + with_jitter(RETRY.min(self.interval)),
            };
            let is_kept = ended.is_ok();
            self.tell(ended, &terms, registered).await;
            if is_kept {
                self.make_room(terms.subnet.netuid).await;
            }
            tokio::time::sleep_until(next).await;
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
        self.refresh((self.chain)(terms).as_ref(), registered).await;
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
        self.tally.take_answers(&answers);
        answers
    }

    async fn refresh(&self, chain: &dyn Chain, registered: &mut Registered) {
        if !chain.is_free() && !registered.is_due(self.serving.clock.now()) {
            return;
        }
        let read = tokio::time::timeout(CHAIN_LIMIT, chain.metagraph()).await;
        let read = match read {
            Ok(Ok(read)) => Some(read),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "who is registered could not be read");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the chain did not say in time who is registered");
                None
            }
        };
        registered.take(read, self.serving.clock.now());
    }

    async fn tell(
        &self,
        ended: Result<Snapshot, EpochError>,
        terms: &Terms,
        registered: &Registered,
    ) {
        self.tally.count_epoch(match &ended {
            Ok(_) => Made::Published,
            Err(error) => error.made(),
        });
        let shelf = &self.serving.shelf;
        shelf.change(|stock| stock.metagraph_read_at = registered.read_at());
        match ended {
            Ok(snapshot) => {
                tracing::info!(computed_at = %snapshot.summary.computed_at, "weights published");
            }
            Err(EpochError::NotApplied) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "no new weights; the last ones are served until they expire");
                if let EpochError::Outage(outage) = error {
                    self.tell_outage(terms.subnet.netuid, outage).await;
                }
            }
        }
    }

    /// The oldest vectors make room once the new one is served: that they cannot is no reason to lose it.
    async fn make_room(&self, netuid: u16) {
        let dropped = self.serving.database.drop_oldest_weights(netuid).await;
        if let Err(error) = dropped {
            tracing::warn!(%error, "the oldest weights stay; they are dropped after the next");
        }
    }

    /// Every process that serves is to say the same.
    async fn tell_outage(&self, netuid: u16, outage: Outage) {
        self.serving
            .shelf
            .change(|stock| stock.outage = Some(outage));
        let now = self.serving.clock.now().wall;
        let kept = self.serving.database.keep_outage(netuid, outage, now).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "other processes are not told why there are no new weights");
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

/// Adds up to a tenth by chance, so that what failed together is not tried again in step.
fn with_jitter(pause: Duration) -> Duration {
    let dice = rand::rngs::OsRng.try_next_u32().unwrap_or_default();
    pause.mul_f64(1.0 + 0.1 * f64::from(dice) / f64::from(u32::MAX))
}

//! Carries out a plan: steps in order, challenges side by side, every step reported. No decision is made here.

mod derive;
mod fenced;
mod generate;
mod permits;
mod retry;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use thiserror::Error;
use tokio::time::Instant;
use tracing::Instrument as _;

pub use self::permits::Permits;

use self::write::Writer;
use super::lease::turn::Fence;
use super::live::Why;
use super::plan::order::AFTER_ALL;
use super::plan::{Plan, Step};
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::edge::database::{Database, DatabaseError};
use crate::model::{ClusterName, Key, Kind, ObjectKey, Slug};

/// The connections that a pass writes through.
pub struct Writers {
    /// Each cluster's connection, or why there is none.
    pub clusters: BTreeMap<ClusterName, Result<Arc<dyn ClusterWrite>, Why>>,
    /// The registry.
    pub database: Arc<dyn Database>,
    /// The turn that is written under.
    pub fence: Fence,
    /// When the time is over: nothing is begun after it, and nothing waited for.
    pub deadline: Option<Instant>,
    /// How many writes may be under way; shared by plans that are carried out side by side.
    pub permits: Arc<Permits>,
}

/// What became of one step.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Done(Key),
    /// It was tried and failed.
    Failed(Key, ApplyError),
    /// It was not tried, because another step comes first and is not done, or not ready.
    NotReached {
        /// What was not tried.
        key: Key,
        /// What comes first.
        behind: Key,
    },
    /// It was not tried, because the time was over.
    OutOfTime(Key),
}

impl Outcome {
    /// Returns what the outcome is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Done(key)
            | Self::Failed(key, _)
            | Self::NotReached { key, .. }
            | Self::OutOfTime(key) => key,
        }
    }
}

/// Why a step failed.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The cluster.
    #[error("the cluster did not take it")]
    Cluster(#[source] ClusterError),
    /// The database.
    #[error("the database did not take it")]
    Database(#[source] DatabaseError),
    /// There is no connection to its cluster.
    #[error("its cluster is not connected: {0}")]
    NotConnected(Why),
    /// It was under way when the time was over.
    #[error(
        "the time was over before the answer came; the next apply finds out whether it was done"
    )]
    CutOff,
    /// Another object has its name or place since the plan was made.
    #[error("{0}")]
    Moved(String),
}

impl ApplyError {
    /// Returns the error with its cause in one line.
    #[must_use]
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// Is told of each step as it ends.
pub type Progress<'a> = &'a (dyn Fn(&Step, &Outcome) + Sync);

/// Carries out a plan and returns the outcome of every step, in the plan's order.
///
/// Steps of no challenge run first; then challenges run side by side, each by ascending wave; then what is made of
/// all of them. A failure holds back what comes later in the same challenge and nothing else.
pub async fn apply(
    plan: &Plan,
    writers: &Writers,
    now: jiff::Timestamp,
    progress: Progress<'_>,
) -> Vec<Outcome> {
    let span = tracing::debug_span!("apply", revision = %plan.revision, steps = plan.steps.len());
    run_steps(plan, writers, now, progress)
        .instrument(span)
        .await
}

async fn run_steps(
    plan: &Plan,
    writers: &Writers,
    now: jiff::Timestamp,
    progress: Progress<'_>,
) -> Vec<Outcome> {
    let writer = Writer {
        writers,
        revision: &plan.revision,
        tokens: Mutex::default(),
        now,
    };
    let mut groups: BTreeMap<Option<&Slug>, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        groups.entry(step.slug.as_ref()).or_default().push(step);
    }
    let common = groups.remove(&None).unwrap_or_default();
    let (last, common): (Vec<&Step>, _) =
        common.into_iter().partition(|step| step.wave >= AFTER_ALL);
    let mut outcomes = run_group(&writer, &common, None, progress).await;
    let missing = missing_namespace(&outcomes);
    // All begin at once and their writes queue for a permit in turn: what starts no pod is written for all before the
    // cluster's own controllers are busy with the pods of the first.
    let mut running: FuturesUnordered<_> = groups
        .values()
        .map(|steps| run_group(&writer, steps, missing.as_ref(), progress).boxed())
        .collect();
    while let Some(group) = running.next().await {
        outcomes.extend(group);
    }
    drop(running);
    for step in last {
        let behind = missing.clone().or_else(|| derive::unmade(step, &outcomes));
        let key = step.key.clone();
        let outcome = match behind {
            Some(behind) => Outcome::NotReached { key, behind },
            None => writer.run(step).await,
        };
        progress(step, &outcome);
        outcomes.push(outcome);
    }
    let position: BTreeMap<&Key, usize> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| (&step.key, at))
        .collect();
    outcomes.sort_by_key(|outcome| position.get(outcome.key()).copied());
    outcomes
}

fn missing_namespace(outcomes: &[Outcome]) -> Option<Key> {
    let is_namespace = |key: &Key| {
        matches!(
            key,
            Key::Object(ObjectKey {
                kind: Kind::Namespace,
                ..
            })
        )
    };
    let failed = outcomes
        .iter()
        .filter(|outcome| !matches!(outcome, Outcome::Done(_)));
    failed
        .map(Outcome::key)
        .find(|key| is_namespace(key))
        .cloned()
}

/// Runs one challenge's steps wave by wave.
async fn run_group(
    writer: &Writer<'_>,
    steps: &[&Step],
    missing_namespace: Option<&Key>,
    progress: Progress<'_>,
) -> Vec<Outcome> {
    let waves: BTreeSet<u8> = steps.iter().map(|step| step.wave).collect();
    let made: BTreeSet<&Key> = steps.iter().map(|step| &step.key).collect();
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(steps.len());
    for wave in waves {
        let in_wave: Vec<&Step> = steps
            .iter()
            .copied()
            .filter(|step| step.wave == wave)
            .collect();
        let run = in_wave.iter().map(|step| async {
            let behind = match &step.key {
                Key::Object(_) => missing_namespace.cloned(),
                Key::Row(_) => None,
            };
            match behind.or_else(|| unmet(step, &made, &outcomes)) {
                Some(behind) => Outcome::NotReached {
                    key: step.key.clone(),
                    behind,
                },
                None => writer.run(step).await,
            }
        });
        let ended = futures::future::join_all(run).await;
        for (step, outcome) in in_wave.iter().zip(&ended) {
            progress(step, outcome);
        }
        outcomes.extend(ended);
    }
    outcomes
}

/// Returns what a step must wait for: an earlier step that was not done, or a workload that was written just
/// now and so cannot be ready yet.
fn unmet(step: &Step, made: &BTreeSet<&Key>, outcomes: &[Outcome]) -> Option<Key> {
    let not_done = outcomes
        .iter()
        .find(|outcome| !matches!(outcome, Outcome::Done(_)));
    let becomes_ready = |kind: Kind| matches!(kind, Kind::StatefulSet | Kind::Deployment);
    let needed = step
        .after
        .iter()
        .find(|on| becomes_ready(on.kind) && made.contains(&Key::Object((*on).clone())));
    needed
        .map(|on| Key::Object(on.clone()))
        .or_else(|| not_done.map(|outcome| outcome.key().clone()))
}

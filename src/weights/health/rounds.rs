//! The loop that asks: every active challenge once an interval, those that are not fit more often. What was found is
//! kept in the database, from where everybody else has it.
//!
//! One process asks, the one that computes weights. It writes when something changed, and once a minute that it has
//! asked: one statement for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::TryRngCore as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Expected, Found, Unfit, ask};
use crate::edge::challenge::Challenges;
use crate::edge::database::{Database, DatabaseError};
use crate::model::health::{AllHealth, Fitness, Health};
use crate::model::{Scope, Slug};

#[cfg(test)]
mod tests;

/// After how long those are asked again that are not fit, and all of them after a new declaration: what heals, or
/// has just come up, is soon seen.
const SOON: Duration = Duration::from_secs(10);

/// How often it is kept that challenges were asked where nothing else changed.
const TOUCH: Duration = Duration::from_secs(60);

/// The pause before one is asked a second time that was fit and now gives no answer: one lost packet is no outage.
const SECOND: Duration = Duration::from_secs(2);

/// How many intervals an answer holds: two rounds may be lost or late.
const HOLDS: u32 = 3;

/// Who asks, and what that takes.
pub struct Rounds {
    /// Where challenges are registered, and where it is kept how they were found.
    pub database: Arc<dyn Database>,
    /// The challenges.
    pub challenges: Arc<dyn Challenges>,
    /// Told when there is a new declaration.
    pub hint: Arc<Notify>,
    /// The time from one round to the next.
    pub interval: Duration,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// What is known of earlier rounds.
#[derive(Default)]
struct Memory {
    /// How each was found last.
    known: AllHealth,
    /// What of it the database has; nothing before that was read.
    kept: Option<AllHealth>,
    /// When it was last kept that all were asked.
    touched: Option<Instant>,
}

impl Rounds {
    /// Asks until told to stop.
    pub async fn keep(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.ask_always() => {}
        }
    }

    async fn ask_always(&self) {
        let mut memory = Memory::default();
        let mut next_of_all = Instant::now();
        loop {
            let began = Instant::now();
            let is_of_all = began >= next_of_all;
            if is_of_all {
                next_of_all = began + with_jitter(self.interval);
            }
            if let Err(error) = self.round(&mut memory, is_of_all).await {
                tracing::warn!(%error, "how challenges are could not be kept; tried again");
            }
            let soon = Instant::now() + SOON.min(self.interval);
            let next = match memory.is_settled() {
                true => next_of_all,
                false => next_of_all.min(soon),
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.hint.notified() => {
                    // The declaration has to be applied first.
                    tokio::time::sleep_until(soon).await;
                    next_of_all = Instant::now();
                }
            }
        }
    }

    /// Asks all active challenges, or those that were not found fit, and keeps what was found.
    async fn round(&self, memory: &mut Memory, is_of_all: bool) -> Result<(), DatabaseError> {
        let began = Instant::now();
        if memory.kept.is_none() {
            let kept = self.database.health().await?;
            memory.known.clone_from(&kept);
            memory.kept = Some(kept);
        }
        let rows = self.database.rows(&Scope::All).await?;
        let active = Expected::active(&rows);
        let is_due = |expected: &&Expected| is_of_all || !memory.is_fit(expected);
        let due: Vec<&Expected> = active.iter().filter(is_due).collect();
        let found = self.ask(&due, memory).await;
        memory.take(&active, found, self.interval.max(TOUCH) * HOLDS);
        let is_touch = memory.touched.is_none_or(|at| began >= at + TOUCH);
        self.write(memory, is_touch).await?;
        if is_touch {
            memory.touched = Some(began);
        }
        Ok(())
    }

    /// Asks each once, and those a second time that gave no answer where they were fit before.
    async fn ask(&self, due: &[&Expected], memory: &Memory) -> Vec<Found> {
        let mut found = ask(self.challenges.as_ref(), due, self.clock).await;
        let lost = found.iter().filter(|found| memory.is_lost(found));
        let lost: BTreeSet<&Slug> = lost.map(|found| &found.slug).collect();
        if lost.is_empty() {
            return found;
        }
        let is_lost = |expected: &&&Expected| lost.contains(&expected.place.slug);
        let lost: Vec<&Expected> = due.iter().filter(is_lost).copied().collect();
        tokio::time::sleep(SECOND).await;
        // What is taken last holds.
        found.extend(ask(self.challenges.as_ref(), &lost, self.clock).await);
        found
    }

    /// Keeps what changed; at a touch everything, so that nothing that another wrote meanwhile stays.
    async fn write(&self, memory: &mut Memory, is_touch: bool) -> Result<(), DatabaseError> {
        let kept = memory.kept.get_or_insert_default();
        let is_new = |(slug, health): &(&Slug, &Health)| {
            is_touch || !kept.get(*slug).is_some_and(|kept| is_same(kept, health))
        };
        let new = memory.known.iter().filter(is_new);
        let new: AllHealth = new
            .map(|(slug, health)| (slug.clone(), health.clone()))
            .collect();
        let is_gone = |slug: &&Slug| !memory.known.contains_key(*slug);
        let gone: BTreeSet<Slug> = kept.keys().filter(is_gone).cloned().collect();
        self.database.write_health(&new, &gone).await?;
        kept.retain(|slug, _| !gone.contains(slug));
        kept.extend(new);
        Ok(())
    }
}

impl Memory {
    fn is_fit(&self, expected: &Expected) -> bool {
        let known = self.known.get(&expected.place.slug);
        known
            .is_some_and(|known| known.fitness == Fitness::Fit && known.version == expected.version)
    }

    /// Tells whether a challenge gave no answer that was fit before.
    fn is_lost(&self, found: &Found) -> bool {
        let fitness = found.fitness.as_ref().map_err(Unfit::fitness);
        let known = self.known.get(&found.slug);
        fitness == Err(Fitness::NoAnswer)
            && known.is_some_and(|known| known.fitness == Fitness::Fit)
    }

    /// Tells whether all are known to be fit.
    fn is_settled(&self) -> bool {
        let mut known = self.known.values();
        self.kept.is_some() && known.all(|known| known.fitness == Fitness::Fit)
    }

    /// Takes what was found of the active challenges, and forgets all others.
    fn take(&mut self, active: &[Expected], found: Vec<Found>, holds: Duration) {
        let active: BTreeMap<&Slug, &Expected> = active
            .iter()
            .map(|expected| (&expected.place.slug, expected))
            .collect();
        self.known.retain(|slug, _| active.contains_key(slug));
        for found in found {
            let Some(expected) = active.get(&found.slug) else {
                continue;
            };
            let before = self.known.remove(&found.slug);
            let after = after(before.as_ref(), expected, &found, holds);
            tell(&found.slug, before.as_ref(), &after);
            self.known.insert(found.slug, after);
        }
    }
}

/// Returns how a challenge is, after how it was: since when is kept while its fitness stays.
fn after(before: Option<&Health>, expected: &Expected, found: &Found, holds: Duration) -> Health {
    let (fitness, why) = match &found.fitness {
        Ok(()) => (Fitness::Fit, String::new()),
        Err(unfit) => (unfit.fitness(), unfit.to_string()),
    };
    let stays = before.filter(|before| before.fitness == fitness);
    let asked_at = found.asked_at;
    Health {
        fitness,
        why,
        since: stays.map_or(asked_at, |before| before.since),
        asked_at,
        holds_until: asked_at.checked_add(holds).unwrap_or(Timestamp::MAX),
        version: expected.version.clone(),
    }
}

/// Tells whether one says the same as the other, whenever it was found.
fn is_same(one: &Health, other: &Health) -> bool {
    let Health {
        fitness,
        why,
        since,
        asked_at: _,
        holds_until: _,
        version,
    } = one;
    (fitness, why, since, version) == (&other.fitness, &other.why, &other.since, &other.version)
}

fn tell(slug: &Slug, before: Option<&Health>, after: &Health) {
    if before.is_some_and(|before| before.fitness == after.fitness) {
        return;
    }
    match after.fitness {
        Fitness::Fit => tracing::info!(%slug, "a challenge is fit"),
        unfit => {
            tracing::warn!(%slug, fitness = unfit.as_str(), why = after.why, "a challenge is not fit");
        }
    }
}

/// Returns somewhat more than a time, so that those who began together do not go on so.
fn with_jitter(interval: Duration) -> Duration {
    let random = rand::rngs::OsRng.try_next_u32().unwrap_or(0);
    interval + interval.mul_f64(f64::from(random) / f64::from(u32::MAX) / 5.0)
}

//! What came of new images, kept and read.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::DatabaseError;
use super::passes::stamp;
use super::rows;
use super::store::{Access, Call, Engine, MAX_ROWS, Store};
use crate::model::rollout::{Rollout, Rollouts};
use crate::model::{FenceToken, Scope, Slug};

/// The SQL about images that were rolled out.
pub(super) struct RolloutStatements {
    /// Which, as [`rows::scoped`] tells it; gives `[slug, rollout]`, at most 10 001 times.
    pub(super) read: &'static str,
    /// A list of rollouts with their slugs, time.
    pub(super) write: &'static str,
    /// How many are kept.
    pub(super) prune: &'static str,
    /// An act; what failed is tried again.
    pub(super) retry: &'static str,
}

#[cfg(test)]
impl RolloutStatements {
    pub(super) fn all(&self) -> [&'static str; 4] {
        let Self {
            read,
            write,
            prune,
            retry,
        } = self;
        [read, write, prune, retry]
    }
}

impl<E: Engine> Store<E> {
    pub(super) async fn read_rollouts(&self, scope: &Scope) -> Result<Rollouts, DatabaseError> {
        let sql = self.engine.statements().rollouts.read;
        let doing = "reading what came of images";
        let arguments = vec![rows::scoped(scope)];
        let texts = self.one(Access::Read, doing, sql, arguments).await?;
        let rows = self.parse_all("a row of table rollouts", &texts)?;
        Ok(rows.into_iter().collect())
    }

    pub(super) async fn keep_rollouts(
        &self,
        token: FenceToken,
        rollouts: &Rollouts,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let all = &self.engine.statements().rollouts;
        let document = |(slug, rollout): (&Slug, &Rollout)| json!({"slug": slug, "good": rollout.good, "failed": rollout.failed});
        let documents: Vec<Value> = rollouts.iter().map(document).collect();
        let arguments = vec![json!(documents).to_string(), stamp(now)];
        let calls = vec![
            Call::new(all.write, arguments),
            // Challenges that were removed are remembered too, for when they come back; the oldest make room.
            Call::new(all.prune, vec![MAX_ROWS.to_string()]),
        ];
        let doing = "keeping what came of images";
        self.write(token, doing, calls).await?;
        Ok(())
    }
}

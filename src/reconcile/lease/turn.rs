//! One turn of writing: the lease of passes, and its token in the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::pulse::{Lost, Pulse};
use super::{AcquireError, Held, Lease};
use crate::edge::database::{Database, DatabaseError};
use crate::model::FenceToken;

/// Returns the token of the newest turn, whosever that was; none where this process may not take one. What is planned
/// or kept by it without a turn is refused once another has taken one.
///
/// # Errors
/// The database did not answer.
pub async fn newest_token(
    lease: &Lease,
    database: &dyn Database,
) -> Result<Option<FenceToken>, DatabaseError> {
    let newest = database.fence().await?;
    // Asked after the read: one that was stopped before it, and deposed meanwhile, would have the token of the one that
    // came after it.
    Ok(lease.may_be_taken().then_some(newest))
}

/// The right to write, for as long as a turn lasts.
#[derive(Clone)]
pub struct Fence {
    pulse: Pulse,
    /// Of the lease under which alone this turn counts, if there is one.
    under: Option<Pulse>,
    token: FenceToken,
}

impl Fence {
    /// Tells whether the turn goes on, without a request. To be asked directly before each write to a cluster.
    ///
    /// # Errors
    /// The lease of this turn is lost, or the one above it.
    pub fn check(&self) -> Result<(), Lost> {
        self.under.as_ref().map_or(Ok(()), Pulse::check)?;
        self.pulse.check()
    }

    /// Returns the token that each write to the database carries.
    #[must_use]
    pub fn token(&self) -> FenceToken {
        self.token
    }
}

/// A turn that was taken. Dropped, it ends by itself; [`Turn::end`] waits until the next may begin.
pub struct Turn {
    held: Held,
    fence: Fence,
    database: Arc<dyn Database>,
    has_waited: bool,
    /// Tells the time, for what is recorded.
    wall: fn() -> Timestamp,
}

/// Why no turn was taken.
#[derive(Debug, Error)]
pub enum TurnError {
    /// The lease.
    #[error(transparent)]
    Lease(AcquireError),
    /// The database did not give a token.
    #[error("the registry did not give the turn to write")]
    Database(#[source] DatabaseError),
}

impl Turn {
    /// Takes the lease, waiting for it up to `limit`, and then a token of the database; from then on nothing of
    /// an earlier turn is written, and what an earlier one began and never recorded is in the history. `waiting` is told of each other holder that is waited for.
    ///
    /// # Errors
    /// Either of the two could not be had; the lease is given back.
    pub async fn take(
        lease: &Lease,
        database: &Arc<dyn Database>,
        limit: Duration,
        waiting: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, TurnError> {
        let has_waited = AtomicBool::new(false);
        let noted = |holder: &str| {
            has_waited.store(true, Ordering::Relaxed);
            waiting(holder);
        };
        let held = lease.acquire(limit, &noted).await;
        let held = held.map_err(TurnError::Lease)?;
        match database.take_fence((lease.clock.wall)()).await {
            Ok(token) => {
                let pulse = held.pulse();
                let fence = Fence {
                    pulse,
                    under: lease.under.clone(),
                    token,
                };
                Ok(Self {
                    held,
                    fence,
                    database: database.clone(),
                    has_waited: has_waited.into_inner(),
                    wall: lease.clock.wall,
                })
            }
            Err(error) => {
                held.release().await;
                Err(TurnError::Database(error))
            }
        }
    }

    /// Returns the right to write.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Tells whether somebody else wrote since the database showed this token, so that what was read then may
    /// no longer be so. `None` is a database that nobody had made yet.
    #[must_use]
    pub fn is_first_since(&self, seen: Option<FenceToken>) -> bool {
        let seen = seen.unwrap_or(FenceToken::UNTAKEN);
        !self.has_waited && self.fence.token.follows(seen)
    }

    /// Gives the lease back. A token is left behind, so that who planned meanwhile sees that somebody wrote; who
    /// planned under a turn that ended without has to wait for its lease, and sees it by that. What was begun in this
    /// turn and is not recorded is recorded as interrupted.
    pub async fn end(self) {
        if self.fence.check().is_ok()
            && let Err(error) = self.database.take_fence((self.wall)()).await
        {
            tracing::warn!(%error, "the end of a turn was not noted");
        }
        self.held.release().await;
    }
}

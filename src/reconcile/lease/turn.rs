//! One turn of writing: the lease of passes, and its token in the database.

use std::time::Duration;

use thiserror::Error;

use super::pulse::{Lost, Pulse};
use super::{AcquireError, Held, Lease};
use crate::edge::database::{Database, DatabaseError};
use crate::model::FenceToken;

/// The right to write, for as long as a turn lasts.
#[derive(Clone)]
pub struct Fence {
    pulse: Pulse,
    token: FenceToken,
}

impl Fence {
    /// Tells whether the turn goes on, without a request. To be asked directly before each write to a cluster.
    ///
    /// # Errors
    /// The lease of this turn is lost.
    pub fn check(&self) -> Result<(), Lost> {
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
    /// an earlier turn is written. `waiting` is told of each other holder that is waited for.
    ///
    /// # Errors
    /// Either of the two could not be had; the lease is given back.
    pub async fn take(
        lease: &Lease,
        database: &dyn Database,
        limit: Duration,
        waiting: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, TurnError> {
        let held = lease.acquire(limit, waiting).await;
        let held = held.map_err(TurnError::Lease)?;
        match database.take_fence().await {
            Ok(token) => {
                let pulse = held.pulse();
                let fence = Fence { pulse, token };
                Ok(Self { held, fence })
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
        self.fence
            .token
            .follows(seen.unwrap_or(FenceToken::UNTAKEN))
    }

    /// Gives the lease back.
    pub async fn end(self) {
        self.held.release().await;
    }
}

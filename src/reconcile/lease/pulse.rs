//! Whether a lease is still held, told without a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use super::clock::Clock;

/// Why a lease is no longer held. It stays so: it has to be acquired anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Lost {
    /// Another process has it.
    #[error("the lease {name} was taken over by {holder}")]
    Taken {
        /// Which lease.
        name: String,
        /// Who has it now.
        holder: String,
    },
    /// It was deleted, which is how a person forces it to change hands.
    #[error("the lease {name} was deleted")]
    Deleted {
        /// Which lease.
        name: String,
    },
    /// It was not renewed in time: this process was stopped, or the cluster did not take it.
    #[error("the lease {name} was not renewed in time: {why}")]
    NotRenewed {
        /// Which lease.
        name: String,
        /// What was in the way.
        why: String,
    },
    /// This process gave it back.
    #[error("the lease {name} was given back")]
    Released {
        /// Which lease.
        name: String,
    },
}

/// Tells whether a lease is still held. Cheap, and cheap to clone.
#[derive(Clone)]
pub struct Pulse {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    clock: Clock,
    /// For how long a renewal counts.
    holds: Duration,
    /// When the newest renewal that succeeded was sent.
    sent: Mutex<Duration>,
    /// Why those after it failed.
    hindrance: Mutex<Option<String>>,
    lost: watch::Sender<Option<Lost>>,
}

impl Pulse {
    pub(super) fn new(name: &str, clock: Clock, holds: Duration, sent: Duration) -> Self {
        let inner = Inner {
            name: name.to_owned(),
            clock,
            holds,
            sent: Mutex::new(sent),
            hindrance: Mutex::default(),
            lost: watch::Sender::new(None),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Tells whether the lease is held: whether the newest renewal that succeeded was sent not too long ago.
    ///
    /// # Errors
    /// It is lost, and stays so.
    pub fn check(&self) -> Result<(), Lost> {
        if let Some(lost) = self.inner.lost.borrow().clone() {
            return Err(lost);
        }
        if !self.left().is_zero() {
            return Ok(());
        }
        let why = self.hindrance().clone();
        let why = why.unwrap_or_else(|| "this process or its machine stood still".to_owned());
        Err(self.lose(Lost::NotRenewed {
            name: self.inner.name.clone(),
            why,
        }))
    }

    /// Waits until the lease is lost.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.inner.lost.subscribe();
        loop {
            if let Err(lost) = self.check() {
                return lost;
            }
            // The sender lives in this value. A timer of its own, for a renewal that is stuck.
            drop(tokio::time::timeout(self.left(), lost.changed()).await);
        }
    }

    /// Returns for how long it is held without another renewal.
    pub(super) fn left(&self) -> Duration {
        let sent = *self
            .inner
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (sent + self.inner.holds).saturating_sub((self.inner.clock.steady)())
    }

    /// Notes a renewal by when it was sent. It does not bring back what is lost.
    pub(super) fn renew(&self, sent: Duration) {
        *self.hindrance() = None;
        *self
            .inner
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = sent;
    }

    /// Notes why a renewal failed. Who asks at the end of the time is told that, and not that nobody tried.
    pub(super) fn hinder(&self, why: String) {
        *self.hindrance() = Some(why);
    }

    fn hindrance(&self) -> MutexGuard<'_, Option<String>> {
        let hindrance = self.inner.hindrance.lock();
        hindrance.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the loss and returns the first that was noted.
    pub(super) fn lose(&self, lost: Lost) -> Lost {
        self.inner.lost.send_if_modified(|noted| {
            let is_first = noted.is_none();
            if is_first {
                *noted = Some(lost.clone());
            }
            is_first
        });
        self.inner.lost.borrow().clone().unwrap_or(lost)
    }

    pub(super) fn name(&self) -> &str {
        &self.inner.name
    }
}

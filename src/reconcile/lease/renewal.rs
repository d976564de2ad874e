//! Keeps a lease that was acquired: renews it until it is lost or given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::pulse::{Lost, Pulse};
use super::{DURATION, RENEW_EVERY, jittered, stamp};
use crate::edge::cluster::ClusterError;
use crate::edge::cluster::leases::{LeaseRecord, Leases, StoredLease};

/// The pause after a renewal that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long giving back may take; after that the lease runs out by itself.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// A lease that is held.
pub(super) struct Renewal {
    pub(super) leases: Arc<dyn Leases>,
    pub(super) namespace: String,
    pub(super) clock: Clock,
    pub(super) pulse: Pulse,
    /// The Lease as this process wrote it last.
    pub(super) stored: StoredLease,
    /// What this process follows; it says so with each renewal.
    pub(super) source: String,
}

impl Renewal {
    /// Renews until it is lost, or until `stop` is sent or dropped; then gives it back.
    pub(super) async fn keep(mut self, stop: oneshot::Receiver<()>) {
        let lost = tokio::select! {
            lost = self.until_lost() => Some(lost),
            _ = stop => None,
        };
        if let Some(lost) = lost {
            let error = self.pulse.lose(lost);
            tracing::warn!(%error, "no longer the holder");
            return;
        }
        let name = self.pulse.name().to_owned();
        let is_held = self.pulse.check().is_ok();
        self.pulse.lose(Lost::Released { name });
        if is_held {
            // What is not given back runs out.
            drop(tokio::time::timeout(RELEASE_LIMIT, self.release()).await);
        }
    }

    async fn until_lost(&mut self) -> Lost {
        loop {
            tokio::time::sleep(jittered(RENEW_EVERY)).await;
            if let Err(lost) = self.renew().await {
                return lost;
            }
        }
    }

    /// Renews once, trying again for as long as the last renewal counts.
    async fn renew(&mut self) -> Result<(), Lost> {
        loop {
            self.pulse.check()?;
            // Half of what is left, so that one request that hangs is not the last.
            let limit = (self.pulse.left() / 2).max(AFTER_FAILURE);
            let sent = (self.clock.steady)();
            let record = self.renewed();
            let update = self.leases.update_lease(&self.stored, &record);
            let why = match tokio::time::timeout(limit, update).await {
                Ok(Ok(stored)) => {
                    self.stored = stored;
                    self.pulse.renew(sent);
                    return Ok(());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the API server did not answer in time".to_owned(),
            };
            self.pulse.hinder(why);
            if self.look_again(limit).await? == Some(record) {
                self.pulse.renew(sent);
                return Ok(());
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    /// Reads what the lease says now: a renewal whose answer was lost may have been stored.
    async fn look_again(&mut self, limit: Duration) -> Result<Option<LeaseRecord>, Lost> {
        let name = self.pulse.name().to_owned();
        let get = self.leases.get_lease(&self.namespace, &name);
        match tokio::time::timeout(limit, get).await {
            Ok(Ok(None)) => Err(Lost::Deleted { name }),
            Ok(Ok(Some(seen))) if seen.record.holder == self.stored.record.holder => {
                self.stored = seen;
                Ok(Some(self.stored.record.clone()))
            }
            Ok(Ok(Some(seen))) => Err(Lost::Taken {
                name,
                holder: super::shown(&seen.record.holder),
            }),
            // Not known; time decides.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Two records of one holder differ even where its clock stands still.
    fn renewed(&self) -> LeaseRecord {
        let mut record = LeaseRecord {
            seconds: DURATION.as_secs().cast_signed(),
            renewed: stamp((self.clock.wall)()),
            source: self.source.clone(),
            ..self.stored.record.clone()
        };
        if record.renewed == self.stored.record.renewed {
            let later = (self.clock.wall)() + Duration::from_micros(1);
            record.renewed = stamp(later);
        }
        record
    }

    async fn release(&mut self) {
        let record = LeaseRecord {
            holder: String::new(),
            seconds: 1,
            source: String::new(),
            ..self.renewed()
        };
        loop {
            match self.leases.update_lease(&self.stored, &record).await {
                // A renewal that was under way has moved its version.
                Err(ClusterError::Conflict(_)) => {
                    if self.look_again(RELEASE_LIMIT).await.is_err() {
                        return;
                    }
                }
                Err(error) if is_passing(&error) => tokio::time::sleep(AFTER_FAILURE).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Tells whether a failure may be another answer the next time.
pub(super) fn is_passing(error: &ClusterError) -> bool {
    match error {
        ClusterError::Forbidden(_)
        | ClusterError::Unauthorized
        | ClusterError::Invalid(_)
        | ClusterError::NotFound
        | ClusterError::NotSent(_)
        | ClusterError::Gone => false,
        ClusterError::Conflict(_)
        | ClusterError::AlreadyExists
        | ClusterError::TooManyRequests(_)
        | ClusterError::Server { .. }
        | ClusterError::Unreachable(_)
        | ClusterError::Timeout(_) => true,
    }
}

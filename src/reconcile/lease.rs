//! One writer at a time: a Lease of the cluster is acquired, renewed and given back.
//!
//! The algorithm is that of Kubernetes' own leader election. Who wants a lease reads its record; while that
//! changes, its holder lives; once it has not changed for as long as it says, by the reader's own clock, it is
//! taken with the version that was read, so that of several only one succeeds. The holder renews it, and stops
//! counting itself the holder before others may: its time begins when a renewal is sent, theirs when they see it.
//!
//! [`Lease::acquire`] gives a [`Held`]. [`Held::check`] says without a request whether it still is, [`Held::lost`]
//! waits until it is not, and [`Held::release`] gives it back; dropping does so in the background. [`turn::Turn`]
//! adds the database's token, and its [`turn::Fence`] is what a pass writes under.
//!
//! No lease can stop a write that was sent while it was held and comes late. That is for the write itself: each
//! carries the version of the object, or the token of the row, that it is meant for.

mod clock;
mod pulse;
mod renewal;
mod sight;
#[cfg(test)]
mod tests;
pub mod turn;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rand::TryRngCore as _;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::clock::Clock;
pub use self::pulse::{Lost, Pulse};
use self::renewal::{Renewal, is_passing};
use self::sight::{Sight, Standing};
use crate::edge::cluster::ClusterError;
use crate::edge::cluster::leases::{LeaseRecord, Leases, StoredLease};

/// The Lease of whoever runs the loop.
pub const LEADER: &str = "platform-leader";
/// The Lease of whoever writes: held while one pass does, by whoever runs it.
pub const PASS: &str = "platform-pass";

/// For how long a record that does not change holds others off. With the pause between two looks, the next
/// writer begins within five seconds of the last one's end, whatever that was.
const DURATION: Duration = Duration::from_secs(4);
/// For how long a renewal counts for the holder itself. What it sends at the very end has the difference to
/// arrive in.
const HOLDS: Duration = Duration::from_secs(3);
/// The pause between two renewals; two may fail.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// The pause between two looks at a lease that another holds.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long after a record runs out it is looked at again: by then it has.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// How long one request may take while the lease is not held.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long requests may fail one after the other before it is given up.
const FAILING_FOR: Duration = Duration::from_secs(10);
/// The longest name of a holder that is shown.
const SHOWN: usize = 120;

/// A Lease that this process may want. Copies of it share what they saw.
#[derive(Clone)]
pub struct Lease {
    leases: Arc<dyn Leases>,
    namespace: String,
    name: String,
    identity: String,
    clock: Clock,
    sight: Arc<Mutex<Sight>>,
    /// Without which it is not wanted.
    under: Option<Pulse>,
    /// What this process follows, if it says.
    source: String,
}

/// A Lease that this process holds.
pub struct Held {
    /// As others are told it.
    holder: String,
    pulse: Pulse,
    stop: oneshot::Sender<()>,
    renewal: JoinHandle<()>,
}

/// Whoever holds a lease, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who it is, as it is shown.
    pub name: String,
    /// What it follows; empty where it does not say.
    pub source: String,
}

impl Holder {
    fn of(record: &LeaseRecord) -> Self {
        Self {
            name: shown(&record.holder),
            source: record.source.clone(),
        }
    }
}

/// Why a lease was not acquired.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcquireError {
    /// Another holder kept it.
    #[error("{holder} holds the lease {name}")]
    Held {
        /// Which lease.
        name: String,
        /// Who holds it.
        holder: String,
    },
    /// The cluster refuses, or does not answer.
    #[error("the lease {name} could not be taken")]
    Cluster {
        /// Which lease.
        name: String,
        /// What it answered.
        #[source]
        source: ClusterError,
    },
    /// Another lease, under which alone this one is wanted, is lost.
    #[error("the lease {name} was not taken")]
    Deposed {
        /// Which lease.
        name: String,
        /// What became of the other.
        #[source]
        lost: Lost,
    },
    /// The system's random source failed, which tells two holders of one name apart.
    #[error("the system's random source failed")]
    NoRandomness,
}

/// What came of one try.
enum Try {
    Won(StoredLease, Duration),
    HeldBy(String, Duration),
    Failed(ClusterError),
}

impl Lease {
    /// Names a Lease. `identity` is who wants it, as people are told; one and the same may want it twice.
    #[must_use]
    pub fn new(
        leases: Arc<dyn Leases>,
        namespace: &str,
        name: &str,
        identity: &str,
        clock: Clock,
    ) -> Self {
        Self {
            leases,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            clock,
            sight: Arc::default(),
            under: None,
            source: String::new(),
        }
    }

    /// Returns it as one whose holder says what it follows.
    #[must_use]
    pub fn following(self, source: &str) -> Self {
        Self {
            source: source.to_owned(),
            ..self
        }
    }

    /// Returns it as one that is taken and counts only while another is held: who lost the lead, and has not
    /// noticed yet, writes nothing.
    #[must_use]
    pub fn under(self, lead: Pulse) -> Self {
        Self {
            under: Some(lead),
            ..self
        }
    }

    /// Tells whether the lease is held under which alone this one is wanted; there may be none.
    #[must_use]
    pub fn may_be_taken(&self) -> bool {
        self.under.as_ref().is_none_or(|lead| lead.check().is_ok())
    }

    /// Keeps an eye on it without wanting it: who wants it later knows already for how long its record has not
    /// changed.
    pub async fn observe(&self) -> Infallible {
        loop {
            tokio::time::sleep(jittered(LOOK_EVERY)).await;
            let get = self.leases.get_lease(&self.namespace, &self.name);
            if let Ok(Some(seen)) = limited(get).await {
                self.look(&seen.record, (self.clock.steady)());
            }
        }
    }

    /// Waits until it is certain whether somebody holds it, and returns what whoever does says of itself: one that
    /// lives changes its record within a second or two. `is_enough` tells of a record whether that need not be known.
    /// Requests that fail are tried again up to `limit`.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer.
    pub async fn living(
        &self,
        limit: Duration,
        is_enough: &(dyn Fn(&Holder) -> bool + Sync),
    ) -> Result<Option<Holder>, ClusterError> {
        let (began, mut first) = ((self.clock.steady)(), None);
        loop {
            let get = self.leases.get_lease(&self.namespace, &self.name);
            let pause = match limited(get).await {
                Ok(None) => return Ok(None),
                Ok(Some(StoredLease { record, .. })) => {
                    let standing = self.look(&record, (self.clock.steady)());
                    let Standing::Held(left) = standing else {
                        return Ok(None);
                    };
                    let holder = Holder::of(&record);
                    let is_first = *first.get_or_insert_with(|| record.clone()) == record;
                    if !is_first || is_enough(&holder) {
                        return Ok(Some(holder));
                    }
                    left + LOOK_AFTER
                }
                Err(error) => {
                    let waited = (self.clock.steady)().saturating_sub(began);
                    if !is_passing(&error) || waited >= limit {
                        return Err(error);
                    }
                    LOOK_EVERY
                }
            };
            tokio::time::sleep(jittered(LOOK_EVERY).min(pause)).await;
        }
    }

    fn look(&self, record: &LeaseRecord, now: Duration) -> Standing {
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        sight.look(record, now, DURATION)
    }

    /// Acquires it, waiting up to `limit` while another holds it; `waiting` is told who that is, each time it is
    /// another.
    ///
    /// # Errors
    /// `Held` when the time is over; `Cluster` at once when the cluster refuses, and soon when it fails.
    pub async fn acquire(
        &self,
        limit: Duration,
        waiting: &(dyn Fn(&str) + Sync),
    ) -> Result<Held, AcquireError> {
        let identity = self.new_identity()?;
        let began = (self.clock.steady)();
        let since = |time: Duration| (self.clock.steady)().saturating_sub(time);
        let (mut told, mut answered) = (String::new(), began);
        loop {
            if let Some(Err(lost)) = self.under.as_ref().map(Pulse::check) {
                let name = self.name.clone();
                return Err(AcquireError::Deposed { name, lost });
            }
            let (error, pause) = match self.try_once(&identity).await {
                Try::Won(stored, sent) => return Ok(self.hold(stored, sent)),
                Try::HeldBy(holder, left) => {
                    answered = (self.clock.steady)();
                    if holder != told {
                        waiting(&holder);
                        told.clone_from(&holder);
                    }
                    let name = self.name.clone();
                    (AcquireError::Held { name, holder }, left + LOOK_AFTER)
                }
                Try::Failed(source) => {
                    let is_final = !is_passing(&source) || since(answered) >= FAILING_FOR;
                    let name = self.name.clone();
                    let error = AcquireError::Cluster { name, source };
                    if is_final {
                        return Err(error);
                    }
                    (error, LOOK_EVERY)
                }
            };
            if since(began) >= limit {
                return Err(error);
            }
            let left = limit.saturating_sub(since(began));
            tokio::time::sleep(jittered(LOOK_EVERY).min(pause).min(left)).await;
        }
    }

    /// Looks once and, where nobody holds it, takes it.
    async fn try_once(&self, identity: &str) -> Try {
        let get = self.leases.get_lease(&self.namespace, &self.name);
        let seen = match limited(get).await {
            Ok(seen) => seen,
            Err(error) => return Try::Failed(error),
        };
        // Its time begins before the request: others count from when they see it.
        let sent = (self.clock.steady)();
        let taken = match seen {
            None => {
                let record = self.record(identity, 0);
                let create = self
                    .leases
                    .create_lease(&self.namespace, &self.name, &record);
                limited(create).await
            }
            Some(seen) => {
                // A request of ours whose answer was lost has made it ours already.
                let is_ours = seen.record.holder == identity;
                if let Standing::Held(left) = self.look(&seen.record, sent)
                    && !is_ours
                {
                    return Try::HeldBy(shown(&seen.record.holder), left);
                }
                let transitions = seen.record.transitions.saturating_add(1);
                let record = self.record(identity, transitions);
                limited(self.leases.update_lease(&seen, &record)).await
            }
        };
        match taken {
            Ok(stored) => Try::Won(stored, sent),
            Err(error) => Try::Failed(error),
        }
    }

    fn record(&self, identity: &str, transitions: i64) -> LeaseRecord {
        let now = stamp((self.clock.wall)());
        LeaseRecord {
            holder: identity.to_owned(),
            seconds: DURATION.as_secs().cast_signed(),
            acquired: now.clone(),
            renewed: now,
            transitions,
            source: self.source.clone(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is kept; dropped, the task goes on until it has given the lease back"
    )]
    fn hold(&self, stored: StoredLease, sent: Duration) -> Held {
        let pulse = Pulse::new(&self.name, self.clock, HOLDS, sent);
        let holder = shown(&stored.record.holder);
        let renewal = Renewal {
            leases: self.leases.clone(),
            namespace: self.namespace.clone(),
            clock: self.clock,
            pulse: pulse.clone(),
            stored,
            source: self.source.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let renewal = tokio::spawn(renewal.keep(stopped));
        Held {
            holder,
            pulse,
            stop,
            renewal,
        }
    }

    /// One process may want the same lease twice, and two may have the same name.
    fn new_identity(&self) -> Result<String, AcquireError> {
        let number = rand::rngs::OsRng.try_next_u32();
        let number = number.map_err(|_| AcquireError::NoRandomness)?;
        Ok(format!("{} #{number:08x}", self.identity))
    }
}

impl Held {
    /// Tells without a request whether it is still held.
    ///
    /// # Errors
    /// It is lost, and stays so.
    pub fn check(&self) -> Result<(), Lost> {
        self.pulse.check()
    }

    /// Waits until it is lost.
    pub async fn lost(&self) -> Lost {
        self.pulse.lost().await
    }

    /// Returns as whom it was acquired, as whoever waits for it is told.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Returns what tells whether it is held, for those who only ask.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Gives it back, so that the next holder need not wait. Takes two seconds at most.
    pub async fn release(self) {
        // It has ended by itself where the lease was lost.
        self.stop.send(()).ok();
        self.renewal.await.ok();
    }
}

async fn limited<T>(
    call: impl Future<Output = Result<T, ClusterError>>,
) -> Result<T, ClusterError> {
    let answer = tokio::time::timeout(CALL_LIMIT, call).await;
    answer.unwrap_or_else(|_| Err(ClusterError::Timeout(CALL_LIMIT.as_secs())))
}

/// Takes off up to a tenth by chance, so that many do not ask in step. Never more: what is waited for ends when
/// it ends, and without a random source all wait alike.
fn jittered(pause: Duration) -> Duration {
    let chance = rand::rngs::OsRng.try_next_u32().unwrap_or_default();
    pause.mul_f64(1.0 - f64::from(chance) / f64::from(u32::MAX) / 10.0)
}

/// As the API writes a time with microseconds.
fn stamp(time: Timestamp) -> String {
    format!("{time:.6}")
}

fn shown(holder: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    holder.chars().take(SHOWN).map(plain).collect()
}

//! The turn to write, shared by looks that run side by side: taken when the first has something to write, and
//! given back once none has had for a moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::Instant;

use super::with_causes;
use crate::edge::database::Database;
use crate::model::FenceToken;
use crate::model::pass::PassSummary;
use crate::reconcile::lease::Lease;
use crate::reconcile::lease::turn::{Fence, Turn, newest_token};
use crate::reconcile::live::Why;

/// How long a look waits for others that take a turn, and as long for another writer; one that waits longer is put off.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a turn is kept without a writer: waves of one change follow each other closely.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// The turns of one process.
pub(super) struct Turns {
    lease: Lease,
    database: Arc<dyn Database>,
    current: Mutex<Current>,
    /// Told when the last ticket is handed back.
    idle: Notify,
}

#[derive(Default)]
struct Current {
    turn: Option<Turn>,
    /// The pass that was the newest when the turn was taken.
    newest: Option<PassSummary>,
    writers: usize,
    idle_since: Option<Instant>,
}

/// The right to write that one look was given.
pub(super) struct Ticket {
    pub(super) fence: Fence,
    /// Whether nobody else wrote since the world was read.
    pub(super) is_current: bool,
    /// The newest pass before this turn.
    pub(super) newest: Option<PassSummary>,
}

impl Turns {
    pub(super) fn new(lease: Lease, database: Arc<dyn Database>) -> Self {
        Self {
            lease,
            database,
            current: Mutex::default(),
            idle: Notify::new(),
        }
    }

    /// Joins the turn, or takes one, waiting up to `patience` for looks that take a turn, and as long for another writer.
    /// `seen` is the token that the database showed when the world was read. Each ticket is handed back with
    /// [`Self::leave`].
    ///
    /// # Errors
    /// A look waits for its turn already, another writer kept it, the cluster or the database did not give it, or the
    /// controller is suspended.
    pub(super) async fn enter(
        &self,
        seen: Option<FenceToken>,
        patience: Duration,
    ) -> Result<Ticket, Why> {
        match tokio::time::timeout(patience, self.current.lock()).await {
            Ok(current) => self.join(current, seen, patience).await,
            Err(_) => Err(Why::from("another look waits for its turn")),
        }
    }

    async fn join(
        &self,
        mut current: MutexGuard<'_, Current>,
        seen: Option<FenceToken>,
        patience: Duration,
    ) -> Result<Ticket, Why> {
        if let Some(turn) = &current.turn
            && let Ok(()) = turn.fence().check()
        {
            self.check_suspension().await?;
            let fence = turn.fence();
            let is_current = seen == Some(fence.token()) || turn.is_first_since(seen);
            (current.writers, current.idle_since) = (current.writers + 1, None);
            return Ok(Ticket {
                fence,
                is_current,
                newest: current.newest.clone(),
            });
        }
        // One that was lost ends by itself.
        current.turn = None;
        let waiting = |holder: &str| tracing::info!(holder, "waiting for another writer");
        let turn = Turn::take(&self.lease, &self.database, patience, &waiting).await;
        let turn = turn.map_err(|error| Why(with_causes(&error)))?;
        let newest = async {
            self.check_suspension().await?;
            self.newest_pass().await
        };
        let newest = match newest.await {
            Ok(newest) => newest,
            Err(why) => {
                turn.end().await;
                return Err(why);
            }
        };
        let ticket = Ticket {
            fence: turn.fence(),
            is_current: turn.is_first_since(seen),
            newest: newest.clone(),
        };
        (current.turn, current.newest) = (Some(turn), newest);
        (current.writers, current.idle_since) = (current.writers + 1, None);
        Ok(ticket)
    }

    /// Refuses while the controller is suspended, or where that is not known. Asked once the turn is held: whoever
    /// suspends it and then takes the turn finds all that it wrote before, and nothing comes after.
    async fn check_suspension(&self) -> Result<(), Why> {
        match self.database.controller_suspension().await {
            Ok(None) => Ok(()),
            Ok(Some(suspension)) => Err(Why(format!("the controller is suspended {suspension}"))),
            Err(error) => Err(Why(error.to_string())),
        }
    }

    /// Returns the token of the newest turn, if it can be read and this process leads.
    pub(super) async fn newest_token(&self) -> Option<FenceToken> {
        let newest = newest_token(&self.lease, self.database.as_ref()).await;
        newest.ok().flatten()
    }

    /// Tells whether this process leads.
    pub(super) fn may_begin(&self) -> bool {
        self.lease.may_be_taken()
    }

    /// Returns the newest pass that is recorded.
    pub(super) async fn newest_pass(&self) -> Result<Option<PassSummary>, Why> {
        let newest = self.database.passes(1, None).await;
        let newest = newest.map_err(|error| Why(error.to_string()))?;
        Ok(newest.into_iter().next())
    }

    /// Hands tickets back.
    pub(super) async fn leave(&self, tickets: usize) {
        if tickets == 0 {
            return;
        }
        let mut current = self.current.lock().await;
        current.writers = current.writers.saturating_sub(tickets);
        if current.writers == 0 {
            current.idle_since = Some(Instant::now());
            self.idle.notify_one();
        }
    }

    /// Returns once nobody writes any more: [`LINGER`] later the turn may end.
    pub(super) async fn rested(&self) {
        self.idle.notified().await;
    }

    /// Gives the turn back if nobody has written under it for a moment.
    pub(super) async fn end_idle(&self) {
        let mut current = self.current.lock().await;
        if current
            .idle_since
            .is_some_and(|since| since.elapsed() >= LINGER)
        {
            current.end().await;
        }
    }

    /// Gives the turn back.
    pub(super) async fn end(&self) {
        self.current.lock().await.end().await;
    }
}

impl Current {
    async fn end(&mut self) {
        self.idle_since = None;
        if let Some(turn) = self.turn.take() {
            turn.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::edge::cluster::leases::fake::FakeLeases;
    use crate::edge::database::open_and_migrate;
    use crate::model::Secret;
    use crate::model::act::{Act, ActKind};
    use crate::reconcile::lease::{Clock, LEADER, PASS};

    async fn turns(leases: &FakeLeases, folder: &tempfile::TempDir) -> Turns {
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let database = open_and_migrate(&Secret::new(url)).await.unwrap();
        let clock = Clock::of_machine(jiff::Timestamp::now);
        let lease = Lease::new(Arc::new(leases.clone()), "ns", PASS, "it", clock);
        Turns::new(lease, database)
    }

    #[tokio::test]
    async fn a_turn_that_nothing_was_written_in_is_given_back_too() {
        let (leases, folder) = (FakeLeases::default(), tempfile::tempdir().unwrap());
        let turns = turns(&leases, &folder).await;
        assert_eq!(turns.rested().now_or_never(), None, "nobody wrote");
        let seen = turns.database.fence().await.unwrap();
        turns
            .database
            .take_fence(jiff::Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        let ticket = turns.enter(Some(seen), PATIENCE).await.unwrap();
        assert!(!ticket.is_current, "another writer was at work");
        turns.leave(1).await;
        turns.rested().await;
        assert_ne!(leases.record().holder, "");
        tokio::time::sleep(LINGER).await;
        turns.end_idle().await;
        assert_eq!(leases.record().holder, "");
    }

    #[tokio::test]
    async fn one_that_no_longer_leads_sees_no_token_to_record_by() {
        let (leases, folder) = (FakeLeases::default(), tempfile::tempdir().unwrap());
        let clock = Clock::of_machine(jiff::Timestamp::now);
        let leader = Lease::new(Arc::new(FakeLeases::default()), "ns", LEADER, "it", clock);
        let lead = leader.acquire(PATIENCE, &|_| {}).await.unwrap();
        let mut turns = turns(&leases, &folder).await;
        turns.lease = turns.lease.clone().under(lead.pulse());
        let newest = turns.database.fence().await.ok();
        assert_eq!(turns.newest_token().await, newest);
        lead.release().await;
        assert_eq!(turns.newest_token().await, None);
    }

    #[tokio::test]
    async fn nobody_enters_while_the_controller_is_suspended() {
        let (leases, folder) = (FakeLeases::default(), tempfile::tempdir().unwrap());
        let turns = turns(&leases, &folder).await;
        let act = |kind| Act {
            kind,
            slug: None,
            why: Some("by hand".to_owned()),
            actor: "ada".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let seen = turns.database.fence().await.ok();
        turns.enter(seen, PATIENCE).await.unwrap();
        let suspended = turns.database.act(&act(ActKind::Suspend)).await;
        suspended.unwrap();
        let refused = turns.enter(seen, PATIENCE).await.map(drop).unwrap_err();
        assert!(refused.0.contains("suspended since"), "{refused}");
        turns.leave(1).await;
        turns.end().await;
        assert!(turns.enter(seen, PATIENCE).await.is_err());
        assert_eq!(leases.record().holder, "", "the turn is given back");
        turns.database.act(&act(ActKind::Resume)).await.unwrap();
        turns.enter(seen, PATIENCE).await.unwrap();
        turns.leave(1).await;
        turns.end().await;
    }

    #[tokio::test]
    async fn a_turn_is_left_when_the_last_of_its_writers_leaves_it() {
        let (leases, folder) = (FakeLeases::default(), tempfile::tempdir().unwrap());
        let turns = turns(&leases, &folder).await;
        let seen = turns.database.fence().await.ok();
        for _ in 0..2 {
            turns.enter(seen, PATIENCE).await.unwrap();
        }
        turns.leave(1).await;
        assert_eq!(turns.rested().now_or_never(), None);
        turns.leave(1).await;
        turns.rested().await;
        turns.end().await;
    }
}

//! Keeps the conditions of challenges in the database, and tells of what changed.
//!
//! It runs beside the loop, so that a database that is slow holds up no look. What comes and goes within a moment,
//! such as a change that was put right, is no condition; over a world at rest nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Stands};
use super::commit_status::Outlook;
use super::notices::{Matters, of_conditions, of_correction, of_matters, subject};
use super::outlook::outlooks;
use super::tellers::Tellers;
use crate::edge::database::{Database, DatabaseError, revision_id};
use crate::model::condition::{AllConditions, ConditionType, Conditions, Truth};
use crate::model::{Revision, Slug};
use crate::reconcile::lease::Lease;
use crate::reconcile::lease::turn::newest_token;
use crate::reconcile::status::conditions::{Found, conditions, counts, stalls_at};

/// How long a change is left to settle.
const SETTLE: Duration = Duration::from_millis(500);
/// The pause after the database did not answer, doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often it is read how challenges were found.
const LOOK: Duration = Duration::from_secs(5);
/// How long reading it may hold up what is to be told.
const LOOK_TAKES: Duration = Duration::from_secs(1);
/// How long the last write may take when the process ends.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Keeps the conditions of challenges.
pub struct Ledger {
    board: Arc<Board>,
    database: Arc<dyn Database>,
    /// The lease of passes, as whoever leads may take it.
    pass: Lease,
    tellers: Tellers,
    deadline: Duration,
    clock: fn() -> Timestamp,
    known: AllConditions,
    matters: Matters,
    /// How it went with commits when that was last told.
    outlooks: Vec<Outlook>,
    /// What the database does not have yet.
    unsaved: BTreeSet<Slug>,
    pause: Duration,
    /// When the database is tried again.
    retry: Option<Instant>,
}

impl Ledger {
    /// Makes a ledger of what the board tells. Without progress for as long as `deadline` a challenge is stalled. It keeps
    /// nothing while the lease `pass` may not be taken.
    #[must_use]
    pub fn new(
        board: Arc<Board>,
        (database, pass): (Arc<dyn Database>, Lease),
        tellers: Tellers,
        deadline: Duration,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            board,
            database,
            pass,
            tellers,
            deadline,
            clock,
            known: AllConditions::new(),
            matters: Matters::default(),
            outlooks: Vec::new(),
            unsaved: BTreeSet::new(),
            pause: FIRST_PAUSE,
            retry: None,
        }
    }

    /// Keeps what the board tells until it is stopped, and then what it told last.
    pub async fn keep(mut self, stop: CancellationToken) {
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = self.read() => read,
        };
        // What was told by the process before this one is not told again.
        self.matters.converged = converged(&read);
        self.known = read;
        let mut look = Instant::now();
        while !stop.is_cancelled() {
            if look <= Instant::now() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.look() => {}
                }
                look = Instant::now() + LOOK;
            }
            let wake = self.wake().map_or(look, |wake| wake.min(look));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.board.told() => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(SETTLE) => {}
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            self.settle();
            if self.retry.is_none_or(|retry| retry <= Instant::now()) {
                self.write().await;
            }
        }
        self.settle();
        if tokio::time::timeout(LAST_WRITE, self.write())
            .await
            .is_err()
        {
            tracing::warn!("the last conditions were not kept in time");
        }
    }

    /// Reads what is kept, for as long as it takes: since when something is so is not to be forgotten.
    async fn read(&self) -> AllConditions {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.database.conditions().await {
                Ok(known) => return known,
                Err(error) => {
                    tracing::warn!(%error, "the conditions could not be read; tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Tells the board how challenges were found. Where that cannot be read, what was found before holds for its time.
    async fn look(&self) {
        let read = tokio::time::timeout(LOOK_TAKES, self.database.health()).await;
        let health = match read {
            Ok(Ok(health)) => {
                self.board.take_database((self.clock)());
                health
            }
            Ok(Err(_)) | Err(_) => {
                tracing::debug!("how challenges are could not be read; tried again");
                self.board.read().health
            }
        };
        self.board.take_health(health, (self.clock)());
    }

    /// Returns when something has to be done without news: a deadline passes, or the database is tried again.
    fn wake(&self) -> Option<Instant> {
        let stalls = self.known.values();
        let stalls = stalls.filter_map(|known| stalls_at(known, self.deadline));
        let now = (self.clock)();
        let stall = stalls.min().map(|at| {
            // A clock that jumped back makes it late, never busy.
            let left = Duration::try_from(now.duration_until(at)).unwrap_or_default();
            Instant::now() + left.clamp(SETTLE, LONGEST_PAUSE)
        });
        [stall, self.retry].into_iter().flatten().min()
    }

    /// Takes the news and finds out what changed.
    fn settle(&mut self) {
        let news = self.board.take_news();
        let now = (self.clock)();
        let mut slugs = news.slugs;
        if news.is_survey {
            // Those that left while nobody looked are among them.
            slugs.extend(self.known.keys().cloned());
        }
        let is_late =
            |known: &Conditions| stalls_at(known, self.deadline).is_some_and(|at| at <= now);
        let late = self.known.iter().filter(|(_, known)| is_late(known));
        let late: BTreeSet<Slug> = late.map(|(slug, _)| slug.clone()).collect();
        let mut stands = self.board.stands(&late);
        // What nobody has looked at yet is not gone.
        stands.retain(|_, stands| stands.is_some());
        stands.extend(self.board.stands(&slugs));
        let mut changed = false;
        for (slug, stands) in stands {
            changed |= self.take(&slug, stands.as_ref(), now);
        }
        if changed {
            self.board.take_conditions(counts(self.known.values()));
        }
        let corrected: BTreeSet<Slug> = news.corrected.keys().cloned().collect();
        let stands = self.board.stands(&corrected);
        for (slug, keys) in &news.corrected {
            let about = subject(slug, stands.get(slug).and_then(Option::as_ref));
            let revision = self
                .matters
                .kept
                .as_ref()
                .map(|r| revision_id(r).to_owned());
            self.tellers
                .tell(&of_correction(&about, keys, revision, now));
        }
        self.settle_matters(now);
    }

    /// Tells what changed of the platform as a whole. What converged once did so, whatever happens after it.
    fn settle_matters(&mut self, now: Timestamp) {
        let mut matters = self.board.matters();
        matters.converged = matters.converged.or_else(|| self.matters.converged.take());
        for notice in of_matters(&self.matters, &matters, now) {
            self.tellers.tell(&notice);
        }
        let outlooks = outlooks(&matters, &self.known);
        for outlook in &outlooks {
            if !self.outlooks.contains(outlook) {
                self.tellers.tell_outlook(outlook.clone());
            }
        }
        (self.matters, self.outlooks) = (matters, outlooks);
    }

    /// Takes how one challenge stands, and tells whether that changes its conditions.
    fn take(&mut self, slug: &Slug, stands: Option<&Stands>, now: Timestamp) -> bool {
        let before = self.known.get(slug);
        let after = stands.map(|stands| {
            let found = Found {
                status: &stands.status,
                kept: Some(&stands.kept),
                revision: &stands.revision,
                deadline: self.deadline,
                now,
            };
            conditions(before, &found)
        });
        if before == after.as_ref() {
            return false;
        }
        self.unsaved.insert(slug.clone());
        if let Some(after) = &after {
            let about = subject(slug, stands);
            for notice in of_conditions(&about, before, after, now) {
                self.tellers.tell(&notice);
            }
        }
        match after {
            Some(after) => drop(self.known.insert(slug.clone(), after)),
            None => drop(self.known.remove(slug)),
        }
        true
    }

    /// Writes what the database does not have; what it does not take is tried again later.
    async fn write(&mut self) {
        if self.unsaved.is_empty() {
            self.retry = None;
            return;
        }
        let (mut changed, mut gone) = (BTreeMap::new(), BTreeSet::new());
        for slug in &self.unsaved {
            match self.known.get(slug) {
                Some(known) => drop(changed.insert(slug.clone(), known.clone())),
                None => drop(gone.insert(slug.clone())),
            }
        }
        let write = async || {
            let database = self.database.as_ref();
            // Without a turn, for they are only what was found; but not once another leads, who found something else.
            match newest_token(&self.pass, database).await? {
                Some(token) => database
                    .write_conditions(token, &changed, &gone)
                    .await
                    .map(Some),
                None => Ok(None),
            }
        };
        let mut written = write().await;
        if let Err(DatabaseError::Fenced { .. }) = written {
            // A turn began in between.
            written = write().await;
        }
        match written {
            Ok(Some(())) => {
                self.unsaved.clear();
                (self.pause, self.retry) = (FIRST_PAUSE, None);
            }
            // One turn after the other began, or another leads.
            Ok(None) | Err(DatabaseError::Fenced { .. }) => {
                self.retry = Some(Instant::now() + FIRST_PAUSE);
            }
            Err(error) => {
                tracing::warn!(%error, "the conditions were not kept; tried again");
                self.retry = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Returns the revision that everything was as declared by, if there is one.
fn converged(known: &AllConditions) -> Option<Revision> {
    let ready = |known: &Conditions| {
        let ready = known.of.get(&ConditionType::Ready)?;
        let is_done = ready.status == Truth::True
            || ["Stopped", "Suspended", "Removed"].contains(&ready.reason.as_str());
        is_done.then(|| ready.revision.clone())
    };
    let mut revisions = known.values().map(ready);
    let first = revisions.next()??;
    let is_same = |revision: Option<String>| revision.as_ref() == Some(&first);
    revisions.all(is_same).then_some(Revision {
        digest: first.clone(),
        commit: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::agenda::Ended;
    use super::super::board::Done;
    use super::super::look::Looked;
    use super::super::tellers::Channel;
    use super::super::trials::Sight;
    use super::*;
    use crate::edge::cluster::leases::fake::FakeLeases;
    use crate::edge::database::open_and_migrate;
    use crate::model::health::{AllHealth, Fitness, Health};
    use crate::model::{Key, RowKey, Secret};
    use crate::reconcile::lease::{Clock, LEADER, PASS};
    use crate::reconcile::status::{ChallengeStatus, Condition, Reason, Word};
    use crate::spec::platform::Status as Declared;

    fn slug() -> Slug {
        Slug::parse("demo").unwrap()
    }

    fn lease(name: &str) -> Lease {
        let clock = Clock::of_machine(Timestamp::now);
        Lease::new(Arc::new(FakeLeases::default()), "ns", name, "it", clock)
    }

    fn pass() -> Lease {
        lease(PASS)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_no_longer_leads_keeps_nothing() {
        let url = Secret::new("sqlite::memory:".to_owned());
        let database = open_and_migrate(&url).await.unwrap();
        let board = Arc::new(Board::default());
        let tellers = Tellers::new(board.clone());
        let lead = lease(LEADER).acquire(SETTLE, &|_| {}).await.unwrap();
        let behind = (database.clone(), pass().under(lead.pulse()));
        let ledger = Ledger::new(board.clone(), behind, tellers, LAST_WRITE, clock);
        let stop = CancellationToken::new();
        let work = async {
            let ready = look(Condition::Ready, Vec::new(), Ended::AtRest);
            board.take_look(ready, None, false, clock());
            tokio::time::sleep(SETTLE * 2).await;
            let before = database.conditions().await.unwrap();
            assert!(before[&slug()].holds(ConditionType::Ready));
            lead.release().await;
            let why = vec![Reason::new(Word::Refused, "no")];
            let held = look(Condition::Held, why, Ended::Waits);
            board.take_look(held, None, false, clock());
            tokio::time::sleep(SETTLE * 2).await;
            stop.cancel();
            before
        };
        let ((), before) = tokio::join!(ledger.keep(stop.clone()), work);
        assert_eq!(database.conditions().await.unwrap(), before);
    }

    fn look(condition: Condition, why: Vec<Reason>, ended: Ended) -> Looked {
        let status = ChallengeStatus {
            declared: None,
            share: String::new(),
            image: String::new(),
            version: String::new(),
            wanted: 1,
            there: 1,
            condition,
            left: why.len(),
            why,
            workload: None,
        };
        Looked {
            slug: slug(),
            ended,
            status: Some(status),
            is_frozen: false,
            hindrance: None,
            sight: Sight::Settled,
            went_by: None,
            wants_survey: false,
            superseded: None,
            has_new_tokens: false,
            done: Done::default(),
        }
    }

    fn clock() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_put_right_at_once_is_told_and_no_condition() {
        let url = Secret::new("sqlite::memory:".to_owned());
        let database = open_and_migrate(&url).await.unwrap();
        let board = Arc::new(Board::default());
        let mut tellers = Tellers::new(board.clone());
        let mut notices = tellers.add(Channel::Events);
        let deadline = Duration::from_secs(600);
        let behind = (database.clone(), pass());
        let ledger = Ledger::new(board.clone(), behind, tellers, deadline, clock);
        let stop = CancellationToken::new();
        let work = async {
            let ready = || look(Condition::Ready, Vec::new(), Ended::AtRest);
            board.take_look(ready(), None, false, clock());
            tokio::time::sleep(SETTLE * 2).await;
            let before = database.conditions().await.unwrap();
            assert!(before[&slug()].holds(ConditionType::Ready));
            let why = vec![Reason::new(Word::Applying, "1 to apply")];
            let wrote = Ended::Wrote(vec![Key::Row(RowKey::Challenge(slug()))]);
            let blow = look(Condition::Progressing, why, wrote);
            board.take_look(blow, None, false, clock());
            board.take_look(ready(), None, false, clock());
            tokio::time::sleep(SETTLE * 2).await;
            assert_eq!(database.conditions().await.unwrap(), before);
            // What is found last is kept before the end.
            let why = vec![Reason::new(Word::Refused, "no")];
            let held = look(Condition::Held, why, Ended::Waits);
            board.take_look(held, None, false, clock());
            stop.cancel();
        };
        tokio::join!(ledger.keep(stop.clone()), work);
        let kept = database.conditions().await.unwrap();
        assert!(kept[&slug()].holds(ConditionType::Held));
        let mut told = Vec::new();
        while let Some(notice) = notices.recv().await {
            told.push(notice.reason);
        }
        assert_eq!(told, ["Ready", "DriftCorrected", "Held"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_challenge_that_was_unwell_before_a_restart_is_not_told_as_ready_after_it() {
        let url = Secret::new("sqlite::memory:".to_owned());
        let database = open_and_migrate(&url).await.unwrap();
        let unwell = |fitness| {
            let health = Health {
                fitness,
                why: "its health is no JSON object".to_owned(),
                since: clock(),
                asked_at: clock(),
                holds_until: Timestamp::MAX,
                version: String::new(),
            };
            AllHealth::from([(slug(), health)])
        };
        let none = BTreeSet::new();
        let found = unwell(Fitness::Unwell);
        database.write_health(&found, &none).await.unwrap();
        let mut words = Vec::new();
        // The second time is after a restart, the third after it healed.
        for fitness in [Fitness::Unwell, Fitness::Unwell, Fitness::Fit] {
            database
                .write_health(&unwell(fitness), &none)
                .await
                .unwrap();
            let board = Arc::new(Board::default());
            let mut tellers = Tellers::new(board.clone());
            let mut notices = tellers.add(Channel::Events);
            let deadline = Duration::from_secs(600);
            let behind = (database.clone(), pass());
            let ledger = Ledger::new(board.clone(), behind, tellers, deadline, clock);
            let stop = CancellationToken::new();
            let work = async {
                let mut ready = look(Condition::Ready, Vec::new(), Ended::AtRest);
                if let Some(status) = &mut ready.status {
                    status.declared = Some(Declared::Active);
                }
                board.take_look(ready, None, false, clock());
                tokio::time::sleep(SETTLE * 3).await;
                stop.cancel();
            };
            tokio::join!(ledger.keep(stop.clone()), work);
            let kept = database.conditions().await.unwrap();
            words.push(kept[&slug()].of[&ConditionType::Ready].reason.clone());
            let mut told = Vec::new();
            while let Some(notice) = notices.recv().await {
                told.push(notice.reason);
            }
            words.push(told.join(" "));
        }
        assert_eq!(words, ["Unwell", "", "Unwell", "", "AsDeclared", "Ready"]);
    }

    #[test]
    fn an_answer_changes_how_a_challenge_stands_and_its_age_ends_that() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let board = Board::default();
        let mut ready = look(Condition::Ready, Vec::new(), Ended::AtRest);
        if let Some(status) = &mut ready.status {
            status.declared = Some(Declared::Active);
        }
        board.take_look(ready, None, false, at(0));
        board.take_news();
        let health = Health {
            fitness: Fitness::NoAnswer,
            why: "its health could not be asked: timeout".to_owned(),
            since: at(10),
            asked_at: at(10),
            holds_until: at(190),
            version: String::new(),
        };
        let all = AllHealth::from([(slug(), health)]);
        for (second, condition, since, is_news) in [
            (10, Condition::Progressing, 10, true),
            (20, Condition::Progressing, 10, false),
            (190, Condition::Ready, 190, true),
        ] {
            board.take_health(all.clone(), at(second));
            let stands = board.read().challenges[&slug()].clone();
            assert_eq!(stands.status.condition, condition);
            assert_eq!(stands.since, at(since));
            assert_eq!(!board.take_news().slugs.is_empty(), is_news, "{second}");
        }
    }
}

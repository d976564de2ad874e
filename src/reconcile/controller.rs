//! When a pass runs: for a new revision, for what changed in the cluster, for what waits; and when not.
//!
//! A new revision is surveyed as a whole, from lists alone: the guards of `safety` judge it, and it tells
//! which challenges have work. From then on each challenge is on its own: a look at it plans and carries
//! out what belongs to it, as often as something of it changes, and one that is broken, refused or slow
//! holds up no other. Challenges that are due together share the record of one pass.

pub mod agenda;
mod asks;
pub mod board;
pub mod commit_status;
mod delivery;
pub mod events;
pub mod follow;
pub mod ledger;
mod look;
mod metrics;
mod notices;
pub mod notify;
mod outlook;
pub mod routes;
pub mod tellers;
mod trials;
mod turns;
pub mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::agenda::Agenda;
use self::asks::{Asked, Asks};
use self::board::Board;
use self::follow::{Declared, Followed};
use self::look::{Looked, Looker, Surveyed, Weighed, World};
use self::trials::Trials;
use self::turns::{LINGER, Turns};
use super::Tags;
use super::lease::Lease;
use super::live::Why;
use super::live::watched::{Touched, Watched};
use super::plan::Guard;
use crate::model::Told;

/// How often everything is surveyed without an event: rows of the registry have no watch.
const SURVEY_INTERVAL: Duration = Duration::from_secs(300);
/// How soon a survey follows one that could not see everything, or whose guards refused.
const SURVEY_AGAIN: Duration = Duration::from_secs(5);
/// How long new tokens wait for those of other challenges that are being looked at, before a survey follows; and how
/// soon the next one may, for somebody may change what is made of them again and again.
const TOKENS_TOGETHER: Duration = Duration::from_secs(1);
/// How long looks under way may take to end once the controller is stopped.
const GRACE: Duration = Duration::from_secs(20);

/// Keeps the cluster and the registry as declared.
pub struct Controller {
    looker: Arc<Looker>,
    watched: Arc<Watched>,
    followed: watch::Receiver<Followed>,
    board: Arc<Board>,
    agenda: Agenda,
    /// The revision that is kept.
    world: Option<Arc<World>>,
    looks: JoinSet<()>,
    ended: (
        mpsc::UnboundedSender<Looked>,
        mpsc::UnboundedReceiver<Looked>,
    ),
    survey_due: Option<Instant>,
    /// When new tokens are surveyed at the latest, while there are any.
    tokens_due: Option<Instant>,
    /// When that was last.
    tokens_seen: Option<Instant>,
    /// Since when a guard is known to hold a newer revision, while one does.
    weighed: Option<Weighed>,
    /// When it is asked whether the turn to write may be given back.
    turn_due: Option<Instant>,
    asks: Asks,
    trials: Trials,
    /// Why a revision was not begun, as far as that was told.
    told: Told,
}

/// What a controller works with.
pub struct Parts {
    /// The outside; the local cluster in it is `watched`.
    pub edges: super::Edges,
    /// The local cluster.
    pub watched: Arc<Watched>,
    /// The registry.
    pub database: Arc<dyn crate::edge::database::Database>,
    /// The lease of passes, which each writer takes in turn.
    pub lease: Lease,
    /// What is known of the source.
    pub followed: watch::Receiver<Followed>,
    /// Where it is told how things stand.
    pub board: Arc<Board>,
    /// Who it is, for records.
    pub actor: String,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl Controller {
    /// Puts a controller together; nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            edges,
            watched,
            database,
            lease,
            followed,
            board,
            actor,
            clock,
        } = parts;
        Self {
            looker: Arc::new(Looker::new(
                edges,
                database.clone(),
                Turns::new(lease, database),
                actor,
                clock,
            )),
            watched,
            followed,
            board,
            agenda: Agenda::default(),
            world: None,
            looks: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
            survey_due: None,
            tokens_due: None,
            tokens_seen: None,
            weighed: None,
            turn_due: None,
            asks: Asks::default(),
            trials: Trials::default(),
            told: Told::default(),
        }
    }

    /// Runs until it is stopped; then lets what is under way end.
    pub async fn run(mut self, stop: CancellationToken) {
        let watched = self.watched.clone();
        let mut survey: BoxFuture<'static, Surveyed> = futures::future::pending().boxed();
        let mut is_surveying = false;
        let mut asking = self.looker.clone().ask().boxed();
        self.take_source();
        loop {
            let now = Instant::now();
            self.gather_tokens(now);
            if !is_surveying && let Some(declared) = self.due_survey(now) {
                let tags = match self.asks.begin_survey() {
                    true => Tags::Anew,
                    false => Tags::Kept,
                };
                let surveying = self.looker.clone().survey(declared, tags);
                (survey, is_surveying) = (surveying.boxed(), true);
            }
            if !self.is_weighing(is_surveying, now) {
                self.begin_looks(now);
            }
            self.end_turn(now);
            let wakes = [
                self.agenda.next(),
                self.survey_due.filter(|_| !is_surveying),
                self.turn_due,
                self.tokens_due,
            ];
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.followed.changed() => match changed {
                    Ok(()) => self.take_source(),
                    Err(_) => break,
                },
                surveyed = &mut survey => {
                    (survey, is_surveying) = (futures::future::pending().boxed(), false);
                    self.take_survey(surveyed).await;
                }
                asked = &mut asking => {
                    asking = self.looker.clone().ask().boxed();
                    self.take_asked(asked);
                }
                touched = watched.touched() => self.touch(&touched),
                Some(looked) = self.ended.1.recv() => self.take_look(looked),
                () = sleep_until(wake), if wake.is_some() => {}
            }
            // Ends of tasks carry nothing; what they found came by the channel.
            while self.looks.try_join_next().is_some() {}
        }
        let rest = async { while self.looks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::warn!(
                "what was under way did not end in time; the next start goes on from there"
            );
        }
        self.looker.turns.end().await;
    }

    /// Takes what is known of the source to the board, and a new revision to the next survey.
    fn take_source(&mut self) {
        let followed = self.followed.borrow_and_update().clone();
        let is_new = match (&followed.good, &self.world) {
            (Some(good), Some(world)) => !Arc::ptr_eq(good, &world.declared),
            (good, _) => good.is_some(),
        };
        if let Some(bad) = &followed.bad {
            tracing::warn!(why = %bad.why, "the source cannot be used; the last good revision stays");
        }
        self.board.take_source(&followed);
        if is_new {
            self.survey_due = Some(Instant::now());
        }
    }

    /// Returns the declaration to survey, if a survey is due.
    fn due_survey(&mut self, now: Instant) -> Option<Arc<Declared>> {
        if self.survey_due.is_none_or(|due| due > now) {
            return None;
        }
        self.survey_due = None;
        self.followed.borrow().good.clone()
    }

    /// Takes a survey: a revision that no guard refuses becomes the one that is kept.
    async fn take_survey(&mut self, surveyed: Surveyed) {
        let now = Instant::now();
        let again = |due: Duration| Some(now + due);
        let is_newest = self
            .followed
            .borrow()
            .good
            .as_ref()
            .is_some_and(|good| Arc::ptr_eq(good, &surveyed.world.declared));
        if !is_newest {
            self.survey_due = Some(now);
            return;
        }
        if let Some(why) = surveyed.planned.live.blindness() {
            if self.board.take_blindness(why.clone()) {
                tracing::warn!(%why, "not everything can be seen; nothing is changed");
            }
            self.survey_due = again(SURVEY_AGAIN);
            return;
        }
        let guards: Vec<Guard> = surveyed.planned.plan.guards.clone();
        let refused: Vec<Guard> = guards
            .into_iter()
            .filter(|guard| !matches!(guard, Guard::Freeze { .. }))
            .collect();
        let is_new = self
            .world
            .as_ref()
            .is_none_or(|world| !Arc::ptr_eq(&world.declared, &surveyed.world.declared));
        let now_told = (self.looker.clock)();
        self.weighed = (!refused.is_empty()).then(|| surveyed.weighed());
        let are_other = self.board.take_survey(&surveyed, &refused, now_told);
        if !refused.is_empty() {
            if are_other {
                tracing::warn!(revision = %surveyed.revision(), guards = ?refused, "a guard of `safety` holds this revision; the one before it is kept");
            }
            self.survey_due = again(SURVEY_AGAIN);
            return;
        }
        self.survey_due = again(match surveyed.is_whole() {
            true => SURVEY_INTERVAL,
            false => SURVEY_AGAIN,
        });
        if is_new {
            tracing::info!(revision = %surveyed.revision(), "keeping a new revision");
        }
        if let Err(why) = self.looker.begin_revision(&surveyed, is_new).await {
            if self.told.is_news(&why.0) {
                tracing::warn!(%why, "the revision is not begun yet; tried until it is");
            }
            self.survey_due = again(match is_new {
                true => SURVEY_AGAIN,
                // Somebody wrote meanwhile, often this process itself; nothing is weighed anew.
                false => TOKENS_TOGETHER,
            });
            return;
        }
        self.told.ends();
        self.turn_due = again(LINGER);
        self.world = Some(surveyed.world.clone());
        let desired = &surveyed.planned.desired;
        self.asks.inform(&desired.suspended, surveyed.given_up());
        let (asked, busy) = (self.asks.end_survey(), surveyed.busy());
        self.end_acts(asked, format!("surveyed; {} looked at", busy.len()));
        for slug in &busy {
            match is_new {
                true => self.agenda.renew(slug, now),
                false => self.agenda.touch(slug, now),
            }
        }
    }

    fn touch(&mut self, touched: &Touched) {
        let now = Instant::now();
        for slug in touched.iter().flatten() {
            self.agenda.touch(slug, now);
        }
        if touched.contains(&None) {
            self.tokens_due.get_or_insert(now + TOKENS_TOGETHER);
        }
        // A revision that waits for a guard may have been let through by hand.
        if self.world.is_none() || self.weighed.is_some() {
            self.survey_soon(now);
        }
    }

    fn survey_soon(&mut self, now: Instant) {
        let soon = now + SURVEY_AGAIN;
        self.survey_due = Some(self.survey_due.map_or(soon, |due| due.min(soon)));
    }

    /// What is made of all tokens belongs to no challenge, so a survey sees to it: as soon as nobody is looked at who
    /// may have new ones too.
    fn gather_tokens(&mut self, now: Instant) {
        let is_rested = self
            .tokens_seen
            .is_none_or(|seen| seen + TOKENS_TOGETHER <= now);
        let is_due = |due: Instant| due <= now || (is_rested && self.agenda.is_idle());
        if self.tokens_due.is_some_and(is_due) {
            (self.tokens_due, self.tokens_seen) = (None, Some(now));
            self.survey_due = Some(now);
        }
    }

    /// Tells whether looks have to wait: a revision that a guard holds may have been let through by hand, and what
    /// was written for it would be taken for drift.
    fn is_weighing(&self, is_surveying: bool, now: Instant) -> bool {
        let is_due = self.survey_due.is_some_and(|due| due <= now);
        self.weighed.is_some() && (is_surveying || is_due)
    }

    /// Begins a look at each challenge that is due.
    fn begin_looks(&mut self, now: Instant) {
        let Some(world) = self.world.clone() else {
            return;
        };
        let due = self.agenda.take(now);
        self.asks.begin_looks(&due);
        if !due.is_empty() {
            let outlook = self.watched.outlook();
            let due = due.into_iter().map(|slug| {
                let overdue = self.trials.overdue(&slug, now, outlook);
                (slug, overdue)
            });
            let due = due.collect();
            let pass = self
                .looker
                .clone()
                .pass(world, due, self.ended.0.clone(), self.weighed);
            self.looks.spawn(pass);
        }
    }

    /// Asks whether the turn may be given back, once nobody has written for a moment.
    fn end_turn(&mut self, now: Instant) {
        if self.turn_due.is_some_and(|due| due <= now) {
            self.turn_due = None;
            let looker = self.looker.clone();
            self.looks
                .spawn(async move { looker.turns.end_idle().await });
        }
    }

    fn take_look(&mut self, looked: Looked) {
        let now = Instant::now();
        self.turn_due = Some(now + LINGER);
        match (looked.wants_survey, self.weighed) {
            (true, Some(_)) => self.survey_due = Some(now),
            (true, None) => self.survey_soon(now),
            (false, _) => {}
        }
        if looked.has_new_tokens {
            self.tokens_due.get_or_insert(now + TOKENS_TOGETHER);
        }
        let pause = self.agenda.end(&looked.slug, looked.ended.clone(), now);
        if let Some(ends) = self.take_sight(&looked, now) {
            self.agenda.put(&looked.slug, ends, now);
        }
        let fought = self.agenda.fought_over(&looked.slug).map(|key| {
            Why(format!(
                "{key} is changed back each time it is put right; the next try waits"
            ))
        });
        if let Some(why) = &fought {
            tracing::warn!(slug = %looked.slug, %why, "another writer does not agree");
        } else if let Some(pause) = pause {
            tracing::warn!(slug = %looked.slug, seconds = pause.as_secs(), why = looked.status.as_ref().map_or("", |status| status.why.first().map_or("", |why| why.text.as_str())), "not done; tried again later");
        }
        let asked = self.asks.end_look(&looked.slug, looked.went_by.as_ref());
        let found = looked.status.as_ref();
        let found = found.map_or("not known", |status| status.condition.as_str());
        self.end_acts(asked, format!("looked at; {found}"));
        let is_exhausted = self.agenda.is_exhausted(&looked.slug);
        let now = (self.looker.clock)();
        self.board.take_look(looked, fought, is_exhausted, now);
    }

    /// Takes what a look saw of an image, and returns when its time is over, if it is on trial.
    fn take_sight(&mut self, looked: &Looked, now: Instant) -> Option<Instant> {
        let revision = &self.world.as_ref()?.declared.snapshot.revision;
        let outlook = self.watched.outlook();
        let sight = looked.sight.clone();
        self.trials
            .take(&looked.slug, sight, revision, (now, outlook))
    }

    /// Takes what people ask for, unless it could not be read.
    fn take_asked(&mut self, asked: Option<Asked>) {
        let now = Instant::now();
        let due = asked.map(|asked| self.asks.take(asked)).unwrap_or_default();
        for slug in &due.looks {
            self.agenda.renew(slug, now);
        }
        if due.survey {
            self.survey_due = Some(now);
        }
    }

    fn end_acts(&mut self, acts: BTreeSet<i64>, outcome: String) {
        if !acts.is_empty() {
            self.looks
                .spawn(self.looker.clone().end_acts(acts, outcome));
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

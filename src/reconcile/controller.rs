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
pub mod heed;
pub mod ledger;
mod look;
mod metrics;
mod notices;
pub mod notify;
mod outlook;
pub mod routes;
mod surveys;
pub mod tellers;
mod trials;
mod turns;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::agenda::Agenda;
use self::asks::{Asked, Asks};
use self::board::Board;
use self::follow::{Declared, Followed};
use self::look::{Looked, Looker, Surveyed, Weighed, World};
use self::surveys::Surveys;
use self::trials::Trials;
use self::turns::{LINGER, Turns};
use super::Tags;
use super::lease::Lease;
use super::live::Why;
use super::live::watched::{Touched, Watched};
use super::plan::Guard;
use super::render::guards_hold;
use crate::model::Told;
use crate::model::act::Suspension;

/// How long looks under way may take to end once the controller is stopped.
const GRACE: Duration = Duration::from_secs(20);
/// How often it is asked whether the source was read, while that is waited for.
const READING: Duration = Duration::from_millis(100);
/// How long the beginning of a revision may: what writes ends soon, what waits for another writer may wait for minutes.
const BEGIN_GRACE: Duration = Duration::from_secs(2);
/// How long the turn may take to be given back at the end; one that is not is over by itself as soon.
const LAST_TURN: Duration = Duration::from_secs(4);

/// Keeps the cluster and the registry as declared.
pub struct Controller {
    looker: Arc<Looker>,
    watched: Arc<Watched>,
    /// Where the leases are under which it works.
    namespace: String,
    /// Where they have to be for the revision that is to be kept from now on.
    moves_to: Option<String>,
    followed: watch::Receiver<Followed>,
    hint: Arc<Notify>,
    board: Arc<Board>,
    agenda: Agenda,
    /// The revision that is kept.
    world: Option<Arc<World>>,
    looks: JoinSet<()>,
    ended: (
        mpsc::UnboundedSender<Looked>,
        mpsc::UnboundedReceiver<Looked>,
    ),
    surveys: Surveys,
    /// Whether the last survey could not see everything.
    is_blind: bool,
    /// Since when a newer revision is known to wait, for a guard or for its turn, while one does.
    weighed: Option<Weighed>,
    superseded: Superseded,
    /// When it is asked whether the turn to write may be given back.
    turn_due: Option<Instant>,
    asks: Asks,
    /// Why nothing is written, while it is suspended.
    suspended: Option<Suspension>,
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
    /// The namespace of that lease, and of the lead.
    pub namespace: String,
    /// What is known of the source.
    pub followed: watch::Receiver<Followed>,
    /// Where it is told that the source may have changed.
    pub hint: Arc<Notify>,
    /// Where it is told how things stand.
    pub board: Arc<Board>,
    /// Who it is, for records.
    pub actor: String,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Whether somebody applied another revision than the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Superseded {
    No,
    /// Somebody did, in a pass; a reading of the source is waited for since then.
    Awaited {
        pass: i64,
        since: Instant,
    },
    /// The reading came, and is not surveyed yet.
    Read,
}

impl Superseded {
    fn awaits_reading(self) -> bool {
        matches!(self, Self::Awaited { .. })
    }
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
            namespace,
            followed,
            hint,
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
            namespace,
            moves_to: None,
            followed,
            hint,
            board,
            agenda: Agenda::default(),
            world: None,
            looks: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
            surveys: Surveys::default(),
            is_blind: false,
            weighed: None,
            superseded: Superseded::No,
            turn_due: None,
            asks: Asks::default(),
            suspended: None,
            trials: Trials::default(),
            told: Told::default(),
        }
    }

    /// Runs until it is stopped, or until another namespace is the one to keep; then lets what is under way end.
    /// Returns that namespace: who writes there takes turns by the lease that is there.
    pub async fn run(mut self, stop: CancellationToken) -> Option<String> {
        let (watched, looker) = (self.watched.clone(), self.looker.clone());
        let mut survey: BoxFuture<'static, Surveyed> = futures::future::pending().boxed();
        let mut is_surveying = false;
        let mut asking = self.looker.clone().ask().boxed();
        self.take_source();
        while self.moves_to.is_none() {
            let now = Instant::now();
            self.take_reading(now);
            self.surveys.gather_tokens(self.agenda.is_idle(), now);
            if !is_surveying && let Some(declared) = self.due_survey(now) {
                let tags = match self.asks.begin_survey() {
                    true => Tags::Anew,
                    false => Tags::Kept,
                };
                let surveying = self.looker.clone().survey(declared, tags);
                (survey, is_surveying) = (surveying.boxed(), true);
            }
            let may_look = self.may_look(is_surveying, now);
            if may_look {
                self.begin_looks(now);
            }
            self.end_turn(now);
            let wakes = [
                // What is due and may not begin yet begins when something else wakes the loop.
                self.agenda.next().filter(|_| may_look),
                self.surveys
                    .next()
                    .filter(|_| !is_surveying && !self.superseded.awaits_reading()),
                self.superseded.awaits_reading().then(|| now + READING),
                self.surveys.next_tokens(),
                self.turn_due,
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
                    self.take_survey(surveyed, &stop).await;
                }
                asked = &mut asking => {
                    asking = self.looker.clone().ask().boxed();
                    self.take_asked(asked);
                }
                touched = watched.touched() => self.touch(&touched),
                () = looker.turns.rested() => self.turn_due = Some(Instant::now() + LINGER),
                Some(looked) = self.ended.1.recv() => self.take_look(looked),
                () = sleep_until(wake), if wake.is_some() => {}
            }
            // Ends of tasks carry nothing; what they found came by the channel.
            while let Some(ended) = self.looks.try_join_next() {
                go_on_panicking(ended);
            }
        }
        let moves_to = self.moves_to.take();
        self.end().await;
        moves_to
    }

    /// Lets what is under way end, and gives the turn to write back.
    async fn end(mut self) {
        let rest = async {
            while let Some(ended) = self.looks.join_next().await {
                go_on_panicking(ended);
            }
        };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::warn!(
                "what was under way did not end in time; the next start goes on from there"
            );
            // One that waits for its turn keeps the others from ending it.
            self.looks.shutdown().await;
        }
        let ended = tokio::time::timeout(LAST_TURN, self.looker.turns.end());
        if ended.await.is_err() {
            tracing::warn!("the turn to write could not be given back in time");
        }
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
        if is_new {
            self.surveys.renew(Instant::now());
        }
    }

    /// Returns the declaration to survey, if a survey is due.
    fn due_survey(&mut self, now: Instant) -> Option<Arc<Declared>> {
        // What the source says now comes first.
        let is_due = !self.superseded.awaits_reading() && self.surveys.begin(now);
        is_due.then(|| self.followed.borrow().good.clone())?
    }

    /// Takes a survey: a revision that no guard refuses becomes the one that is kept.
    async fn take_survey(&mut self, surveyed: Surveyed, stop: &CancellationToken) {
        let now = Instant::now();
        let is_newest = self
            .followed
            .borrow()
            .good
            .as_ref()
            .is_some_and(|good| Arc::ptr_eq(good, &surveyed.world.declared));
        if !is_newest {
            self.surveys.renew(now);
            return;
        }
        let blindness = surveyed.planned.live.blindness();
        self.is_blind = blindness.is_some();
        if let Some(why) = blindness {
            if self.board.take_blindness(why.clone()) {
                tracing::warn!(%why, "not everything can be seen; nothing is changed");
            }
            self.surveys.end(false, now);
            return;
        }
        if let Some(pass) = surveyed.superseded {
            self.await_source(pass);
            return;
        }
        self.superseded = Superseded::No;
        let guards: Vec<Guard> = surveyed.planned.plan.guards.clone();
        let refused: Vec<Guard> = guards
            .into_iter()
            .filter(|guard| !matches!(guard, Guard::Freeze { .. }))
            .collect();
        self.weighed = (!refused.is_empty()).then(|| surveyed.weighed());
        let told = (self.looker.clock)();
        let are_other = self.board.take_survey(&surveyed, &refused, told);
        if !refused.is_empty() {
            if are_other {
                tracing::warn!(revision = %surveyed.revision(), why = guards_hold(&refused), "a guard of `safety` holds this revision; the one before it is kept");
            }
            self.surveys.end(false, now);
            return;
        }
        // That it was resumed since is for the next answer to say.
        if surveyed.suspension.is_some() {
            self.take_suspension(surveyed.suspension.clone());
        }
        let is_whole = surveyed.is_whole();
        let namespace = &surveyed.world.declared.platform.namespace;
        let is_done = if self.suspended.is_some() {
            true
        } else if *namespace != self.namespace {
            tracing::info!(%namespace, "another namespace is kept from now on; the lead is taken there");
            self.moves_to = Some(namespace.clone());
            true
        } else {
            self.begin(surveyed, stop).await
        };
        self.surveys.end(is_whole && is_done, now);
    }

    /// Waits with everything until the source was read, for somebody applied another revision of it than the one that is
    /// known: put back, the older one would undo the newer.
    fn await_source(&mut self, pass: i64) {
        if !self.superseded.awaits_reading() {
            tracing::warn!(
                pass,
                "another revision was applied; nothing is written until the source was read again"
            );
        }
        let since = Instant::now();
        self.superseded = Superseded::Awaited { pass, since };
        self.hint.notify_one();
    }

    /// Goes on once the source was read since: what it says now holds, and is surveyed first.
    fn take_reading(&mut self, now: Instant) {
        let read_at = self.followed.borrow().read_at;
        if let Superseded::Awaited { pass, since } = self.superseded
            && read_at.is_some_and(|read_at| read_at >= since)
        {
            self.looker.answer(pass);
            self.superseded = Superseded::Read;
            self.surveys.renew(now);
        }
    }

    /// Begins to keep what was surveyed, and tells whether what belongs to no challenge was done.
    async fn begin(&mut self, surveyed: Surveyed, stop: &CancellationToken) -> bool {
        let is_new = self
            .world
            .as_ref()
            .is_none_or(|world| !Arc::ptr_eq(&world.declared, &surveyed.world.declared));
        if is_new {
            tracing::info!(revision = %surveyed.revision(), "keeping a new revision");
        }
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(BEGIN_GRACE).await;
        };
        let begun = tokio::select! {
            begun = self.looker.begin_revision(&surveyed, is_new) => begun,
            () = stopped => return true,
        };
        let is_done = match begun {
            Ok(is_done) => is_done,
            Err(why) => {
                if self.told.is_news(&why.0) {
                    tracing::warn!(%why, "the revision is not begun yet; tried until it is");
                }
                // Who wrote meanwhile may have applied this one, which is no drift from the one before it.
                self.weighed = is_new.then(|| surveyed.weighed());
                self.surveys.put_off(is_new, Instant::now());
                return true;
            }
        };
        self.told.ends();
        let now = Instant::now();
        self.board.take_revision(&surveyed, (self.looker.clock)());
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
        is_done
    }

    fn touch(&mut self, touched: &Touched) {
        let now = Instant::now();
        for slug in touched.iter().flatten() {
            self.agenda.touch(slug, now);
        }
        if touched.contains(&None) {
            self.surveys.take_tokens(now);
        }
        // A revision that waits for a guard may have been let through by hand.
        if self.world.is_none() || self.weighed.is_some() {
            self.surveys.hasten(now);
        }
    }

    /// Tells whether looks may begin: there is a revision to keep, nobody suspended the controller or applied another
    /// revision, and none that a guard holds is being weighed. That one may have been let through by hand, and what was
    /// written for it would be taken for drift.
    fn may_look(&self, is_surveying: bool, now: Instant) -> bool {
        let is_weighing = self.weighed.is_some() && (is_surveying || self.surveys.are_due(now));
        let is_held = self.suspended.is_some() || self.superseded != Superseded::No;
        self.world.is_some() && !is_held && !is_weighing
    }

    /// Takes whether the controller is suspended. Once it goes on, it surveys what became of everything meanwhile.
    fn take_suspension(&mut self, suspension: Option<Suspension>) {
        if self.suspended == suspension {
            return;
        }
        match &suspension {
            Some(suspension) => {
                tracing::warn!(%suspension, "the controller is suspended; nothing is written until it is resumed");
            }
            None => {
                tracing::info!("the controller is resumed");
                self.surveys.renew(Instant::now());
            }
        }
        self.board.take_suspension(suspension.clone());
        self.suspended = suspension;
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
        match (looked.wants_survey, self.weighed) {
            (true, Some(_)) => self.surveys.renew(now),
            (true, None) => self.surveys.hasten(now),
            (false, _) => {}
        }
        if let Some(pass) = looked.superseded {
            self.await_source(pass);
        }
        if looked.has_new_tokens {
            self.surveys.take_tokens(now);
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
        let Some(asked) = asked else { return };
        self.take_suspension(asked.controller.clone());
        // What is away does not tell when it is back; and who wrote may have let a revision through by hand.
        let was_written = |weighed: Weighed| weighed.is_before(asked.fence);
        if self.is_blind || self.weighed.is_some_and(was_written) {
            self.surveys.hasten(now);
        }
        let due = self.asks.take(asked);
        for slug in &due.looks {
            self.agenda.renew(slug, now);
        }
        if due.survey {
            self.surveys.renew(now);
        }
    }

    fn end_acts(&mut self, acts: BTreeSet<i64>, outcome: String) {
        if !acts.is_empty() {
            self.looks
                .spawn(self.looker.clone().end_acts(acts, outcome));
        }
    }
}

/// A look that panicked leaves its challenge looked at for ever, and the turn to write with a writer: only a new start
/// goes on from there.
fn go_on_panicking(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|ended| ended.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

/// Returns an error with its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

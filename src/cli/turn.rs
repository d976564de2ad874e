//! The turn to write, for the verbs that write: waited for, told about, and given back on every way out.

use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::session::{Session, now};
use super::{CliError, Context};
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::model::{Key, Kind, ObjectKey};
use crate::reconcile::Registry;
use crate::reconcile::lease::turn::{Turn, TurnError};
use crate::reconcile::lease::{AcquireError, Clock, Lease, Lost, PASS};
use crate::reconcile::plan::{Action, Plan};
use crate::reconcile::render::mask;

/// How long a turn is waited for that has nothing to write: that of a writer who was killed is over by then.
const MOMENT: Duration = Duration::from_secs(6);

/// Takes the turn, waiting for another writer up to `limit`. The database has to be open for writing.
///
/// # Errors
/// Another writer kept it, or the cluster or the database did not give it; nothing was done.
pub async fn take(
    context: &Context,
    session: &Session,
    (verb, plan): (&str, &Plan),
    limit: Duration,
) -> Result<Turn, CliError> {
    let Registry::Ready(database) = &session.edges.registry else {
        return Err(CliError::bug("the database is not open for writing"));
    };
    make_namespace(session, plan).await?;
    let lease = lease(context, session, verb);
    let waiting = |holder: &str| {
        let line = format!("waiting for another writer: {holder}");
        context.terminal.note(&mask::line(&line));
    };
    let taken = Turn::take(&lease, database, limit, &waiting).await;
    taken.map_err(|error| refusal(error, verb, &session.declaration.platform.namespace))
}

/// Takes a turn and gives it back where a pass was begun and is not recorded: the turn records one that never ended.
/// Where another writer is at work it may be that one's, and else it is the next writer's.
pub async fn record_interrupted(context: &Context, session: &Session) {
    let Registry::Ready(database) = &session.edges.registry else {
        return;
    };
    if !database.begun_passes().await.is_ok_and(|open| open > 0) {
        return;
    }
    let lease = lease(context, session, "apply");
    match Turn::take(&lease, database, MOMENT, &|_| {}).await {
        Ok(turn) => turn.end().await,
        Err(error) => tracing::debug!(%error, "a pass that was begun stays open"),
    }
}

/// Returns the lease of passes, as this process takes it.
fn lease(context: &Context, session: &Session, verb: &str) -> Lease {
    let namespace = &session.declaration.platform.namespace;
    let identity = identity(context, verb);
    let clock = Clock::of_machine(now);
    Lease::new(session.leases.clone(), namespace, PASS, &identity, clock)
}

/// Returns who this process is, as other writers are told.
pub fn identity(context: &Context, verb: &str) -> String {
    format!("{} ({verb}) on {}", context.settings.actor, host())
}

/// Returns the name of this machine.
pub fn host() -> String {
    let host = rustix::system::uname();
    host.nodename().to_string_lossy().into_owned()
}

/// A Lease needs its namespace, which is made first where the plan makes it. Two who do so at once do the same.
async fn make_namespace(session: &Session, plan: &Plan) -> Result<(), CliError> {
    let is_namespace = |key: &Key| key.object().is_some_and(|key| key.kind == Kind::Namespace);
    let step = plan.steps.iter().find(|step| is_namespace(&step.key));
    let Some((key, Action::Create(item))) =
        step.and_then(|step| Some((step.key.object()?, &step.action)))
    else {
        return Ok(());
    };
    let cluster = session.edges.clusters.get(&key.cluster);
    let Some((Ok(cluster), manifest)) = cluster.zip(item.manifest()) else {
        return Ok(());
    };
    create_namespace(cluster.as_ref(), key, &manifest).await
}

/// Makes a namespace that may be there by now.
///
/// # Errors
/// The cluster does not let us.
pub async fn create_namespace(
    cluster: &dyn ClusterWrite,
    key: &ObjectKey,
    manifest: &Value,
) -> Result<(), CliError> {
    match cluster.create(key, manifest).await {
        Ok(_) | Err(ClusterError::AlreadyExists) => Ok(()),
        Err(error) => Err(CliError::dependency(format!("{key} could not be made"))
            .because(error)
            .hint("make it first, or apply with credentials that may")),
    }
}

fn refusal(error: TurnError, verb: &str, namespace: &str) -> CliError {
    match error {
        TurnError::Lease(AcquireError::Held { holder, name }) => {
            let message =
                format!("another writer holds the lease {name}: {holder}; nothing was done");
            CliError::stale(mask::line(&message)).hint(match verb {
                "apply" => "run it again when that is done, or wait longer with --timeout",
                _ => "run it again when that is done",
            })
        }
        TurnError::Lease(error @ AcquireError::Cluster { .. }) => {
            let is_forbidden = matches!(
                &error,
                AcquireError::Cluster {
                    source: ClusterError::Forbidden(_),
                    ..
                }
            );
            let told = CliError::dependency("the turn to write was not taken; nothing was done");
            match is_forbidden {
                true => told.because(error).hint(format!(
                    "who writes needs get, create and update on leases in namespace {namespace}; the chart's Role there gives that right"
                )),
                false => told
                    .because(error)
                    .hint("see that the cluster answers, and run it again"),
            }
        }
        TurnError::Lease(error @ (AcquireError::NoRandomness | AcquireError::Deposed { .. })) => {
            CliError::dependency("the turn to write was not taken; nothing was done")
                .because(error)
                .hint("run it again")
        }
        TurnError::Database(error) => error.into(),
    }
}

/// The error of a verb whose turn was over before its work.
pub fn deposed(lost: &Lost) -> CliError {
    let message = format!(
        "the turn to write was lost before everything was done: {lost}; what was done stays"
    );
    let message = mask::line(&message);
    let error = match lost {
        Lost::NotRenewed { .. } => CliError::dependency(message),
        Lost::Taken { .. } | Lost::Deleted { .. } | Lost::Released { .. } => {
            CliError::stale(message)
        }
    };
    error.hint("look at `platform diff`, and run it again")
}

/// The signals that end a verb. From when they are watched, they no longer end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system refuses.
    pub fn watch() -> Result<Self, CliError> {
        let watch = |kind| {
            signal(kind)
                .map_err(|error| CliError::dependency("signals cannot be watched").because(error))
        };
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
        })
    }

    /// Waits for one, and returns the error that the verb ends with.
    pub async fn interrupted(&mut self) -> CliError {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        CliError::not_converged(format!("ended by {name} before everything was done"))
            .hint("run it again; it goes on where it stopped")
    }
}

//! `platform run` and `platform serve controller`: follow the source and keep the cluster and the registry
//! as it says, until told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::public::{Door, Hears, Public, await_policy};
use super::session::{connect, now};
use super::standing::{Vitals, first_namespace, follow_while, stop_on_signals};
use super::{CliError, Context, Exit, SourceArg, telling, turn};
use crate::edge::cluster::client::KubeCluster;
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::edge::database::Database;
use crate::edge::images::HttpRegistry;
use crate::model::address::masked;
use crate::model::{ClusterName, Told};
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::follow::Followed;
use crate::reconcile::controller::ledger::Ledger;
use crate::reconcile::controller::routes::{Views, metrics, readiness};
use crate::reconcile::controller::{Controller, Parts};
use crate::reconcile::desired::build_namespace;
use crate::reconcile::lease::{AcquireError, Clock, Held, LEADER, Lease, PASS, Pulse};
use crate::reconcile::live::watched::Watched;
use crate::reconcile::source::identify;
use crate::reconcile::{Edges, Registry};
use crate::weights::routes::Views as PublicViews;

pub const EXAMPLES: &str = "\
Examples:
  platform run                                   ./platform.yaml, followed as it changes
  platform run https://git.example/subnet.git#main
  curl -s localhost:8083/ready                   is everything seen to?
  curl -s localhost:8080/v1/weights/latest       the newest weight vector";

/// The pause after the cluster did not give the lead.
const LEAD_PAUSE: Duration = Duration::from_secs(1);
/// How long another leader is waited for before it is looked at anew.
const STAND_BY: Duration = Duration::from_secs(3600);

/// Arguments of `platform run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArg,
}

/// What a process has at hand before it knows what is declared.
struct Home {
    cluster: Arc<KubeCluster>,
    watched: Arc<Watched>,
    board: Arc<Board>,
    hint: Arc<Notify>,
    /// What is served of weights and registry, if they are.
    views: Option<PublicViews>,
}

/// Runs until told to stop by SIGTERM or Ctrl-C. One role of the program alone makes and serves no weights.
///
/// # Errors
/// A setting cannot be used, or the address to listen on is taken. What goes wrong later is waited out.
pub async fn run(context: &Context, is_whole: bool) -> Result<Exit, CliError> {
    let stop = CancellationToken::new();
    telling::check(context)?;
    let vitals = Vitals::open(context).await?;
    let door = match is_whole {
        true => Some(Door::open(context, Hears::Pushes).await?),
        false => None,
    };
    let cluster = Arc::new(connect(context).await?);
    let name = cluster.name().to_owned();
    let watched = Arc::new(Watched::new(cluster.clone()));
    let board = Arc::new(Board::default());
    let hint = Arc::new(Notify::new());
    let views = Views {
        board: board.clone(),
        watched: watched.clone(),
        clock: now,
    };
    let mut parts = vec![metrics(views.clone())];
    parts.extend(door.iter().flat_map(Door::metrics));
    let serving = vitals.serve((readiness(views), parts), stop.clone());
    let home = Home {
        cluster,
        watched,
        board,
        hint,
        views: door.as_ref().map(Door::views),
    };
    let told = (home.hint.clone(), home.board.clone());
    let pushes = door.as_ref().and_then(Door::pushes);
    let keeping = follow_while(context, told, &stop, async |database, followed| {
        if let Some(pushes) = pushes {
            pushes.put_database(database.clone());
        }
        control(context, home, database, followed, &stop).await
    });
    let source = masked(&context.settings.source);
    let following = format!("following {source} for cluster {name}");
    context.terminal.note(&following);
    let showing = async {
        if let Some(door) = door {
            door.serve(stop.clone()).await;
        }
    };
    let (signalled, (), (), kept) = tokio::join!(stop_on_signals(&stop), serving, showing, keeping);
    kept?;
    signalled?;
    context
        .terminal
        .note("stopped; what was under way has ended");
    Ok(Exit::Done)
}

/// Keeps what the first usable declaration says, and every one after it. Weights and registry are served before.
async fn control(
    context: &Context,
    home: Home,
    database: Arc<dyn Database>,
    followed: watch::Receiver<Followed>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let public = match &home.views {
        Some(views) => {
            let behind = (views, database.clone());
            Some(Public::new(context, behind, followed.clone())?)
        }
        None => None,
    };
    let serving = async {
        if let Some(public) = &public {
            public.serve(stop.clone()).await;
        }
    };
    let keeping = async {
        let kept = keep_declared(context, &home, public.as_ref(), &database, followed, stop).await;
        stop.cancel();
        kept
    };
    let ((), kept) = tokio::join!(serving, keeping);
    kept
}

/// Keeps what is declared, and makes weights when it is this process's turn.
async fn keep_declared(
    context: &Context,
    home: &Home,
    public: Option<&Public>,
    database: &Arc<dyn Database>,
    mut followed: watch::Receiver<Followed>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    if !await_policy(context, &mut followed, home.views.as_ref(), stop).await? {
        return Ok(());
    }
    let turns = async {
        let kept = keep_turns(context, home, database, &followed, stop).await;
        stop.cancel();
        kept
    };
    let Some(public) = public else {
        return turns.await;
    };
    let computing = public.compute_in_turn(context, home.cluster.clone(), stop);
    let ((), kept) = tokio::join!(computing, turns);
    kept
}

/// Leads whenever it is this process's turn, and does then what is one process's to do.
async fn keep_turns(
    context: &Context,
    home: &Home,
    database: &Arc<dyn Database>,
    followed: &watch::Receiver<Followed>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let mut namespace = first_namespace(followed);
    loop {
        let lease = |name: &str| {
            let identity = turn::identity(context, "controller");
            let clock = Clock::of_machine(now);
            Lease::new(home.cluster.clone(), &namespace, name, &identity, clock)
        };
        let source = identify(&context.settings.source, &turn::host());
        let (leader, pass) = (lease(LEADER).following(&source), lease(PASS));
        let make_namespace = async || {
            let (key, item) = build_namespace(&ClusterName::Local, &namespace);
            let manifest = item.manifest().unwrap_or_default();
            turn::create_namespace(home.cluster.as_ref(), &key, &manifest).await
        };
        let held = lead((&leader, &pass), &home.board, stop, &make_namespace).await;
        let Some(held) = held else { return Ok(()) };
        let parts = Parts {
            edges: edges(home, database),
            watched: home.watched.clone(),
            database: database.clone(),
            lease: pass.under(held.pulse()),
            namespace: namespace.clone(),
            followed: followed.clone(),
            hint: home.hint.clone(),
            board: home.board.clone(),
            actor: format!("{} (controller)", context.settings.actor),
            clock: now,
        };
        let kept = keep_turn(context, home, parts, held.pulse(), stop).await;
        held.release().await;
        if let Some(moved) = kept? {
            namespace = moved;
        }
    }
}

fn edges(home: &Home, database: &Arc<dyn Database>) -> Edges {
    let local: Arc<dyn ClusterWrite> = home.watched.clone();
    Edges {
        clusters: BTreeMap::from([(ClusterName::Local, Ok(local))]),
        registry: Registry::Ready(database.clone()),
        images: Arc::new(HttpRegistry::new()),
        fence: None,
    }
}

/// Keeps what is declared for as long as this process leads, and returns where it is to lead next, if elsewhere.
async fn keep_turn(
    context: &Context,
    home: &Home,
    parts: Parts,
    pulse: Pulse,
    stop: &CancellationToken,
) -> Result<Option<String>, CliError> {
    let place = telling::Place {
        cluster: home.cluster.name().to_owned(),
        namespace: parts.namespace.clone(),
    };
    let (tellers, tell) = telling::begin(context, home.cluster.clone(), &home.board, &place)?;
    let ledger = Ledger::new(
        home.board.clone(),
        (parts.database.clone(), parts.lease.clone()),
        tellers,
        context.settings.controller.rollout_deadline,
        now,
    );
    let controller = Controller::new(parts);
    let stop_it = stop.child_token();
    // It keeps what the last looks find; unless another leads, who keeps what it finds itself.
    let (closing, deposed) = (CancellationToken::new(), CancellationToken::new());
    let lost = async {
        tokio::select! {
            lost = pulse.lost() => {
                tracing::warn!(why = %lost, "no longer the leader");
                deposed.cancel();
                stop_it.cancel();
            }
            () = stop_it.cancelled() => {}
        }
    };
    let keeping = deposed.run_until_cancelled(ledger.keep(closing.clone()));
    let ((), _, moved) = tokio::join!(lost, telling::tell_while(tell, keeping), async {
        let moved = controller.run(stop_it.clone()).await;
        stop_it.cancel();
        closing.cancel();
        moved
    });
    Ok(moved)
}

/// Waits until this process is the one that runs the loop; `None` when it is stopped before. Meanwhile it keeps an
/// eye on the lease of passes, so that the turn of a leader that is gone is over for it as soon as the lead is.
async fn lead(
    (leader, pass): (&Lease, &Lease),
    board: &Board,
    stop: &CancellationToken,
    make_namespace: &impl AsyncFn() -> Result<(), CliError>,
) -> Option<Held> {
    let standing_by = |holder: &str| {
        tracing::info!(holder, "standing by");
        board.take_leader(Some(holder.to_owned()));
    };
    let mut told = Told::default();
    loop {
        let acquired = tokio::select! {
            () = stop.cancelled() => return None,
            acquired = leader.acquire(STAND_BY, &standing_by) => acquired,
            never = pass.observe() => match never {},
        };
        match acquired {
            Ok(held) => {
                board.take_leader(None);
                tracing::info!("leading");
                return Some(held);
            }
            Err(AcquireError::Held { .. }) => {}
            // A Lease needs its namespace.
            Err(AcquireError::Cluster {
                source: ClusterError::NotFound,
                ..
            }) if make_namespace().await.is_ok() => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                if told.is_news(cause.as_deref().unwrap_or_default()) {
                    tracing::warn!(%error, cause, "the lead is not to be had; tried again until it is");
                }
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(LEAD_PAUSE) => {}
                }
            }
        }
    }
}

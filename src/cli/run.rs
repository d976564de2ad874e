//! `platform run` and `platform serve controller`: follow the source and keep the cluster and the registry
//! as it says, until told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::public::{Door, Public};
use super::session::{connect, now};
use super::standing::{first_good, first_namespace, follow_while, listen, stop_on_signals};
use super::{CliError, Context, Exit, SourceArg, telling, turn};
use crate::edge::cluster::client::KubeCluster;
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::edge::database::Database;
use crate::edge::images::HttpRegistry;
use crate::model::{ClusterName, Told};
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::follow::Followed;
use crate::reconcile::controller::ledger::Ledger;
use crate::reconcile::controller::routes::{Views, routes};
use crate::reconcile::controller::webhook::WebhookSecret;
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
    /// What is served of weights and registry, if they are.
    views: Option<PublicViews>,
}

/// Runs until told to stop by SIGTERM or Ctrl-C. One role of the program alone makes and serves no weights.
///
/// # Errors
/// A setting cannot be used, or the address to listen on is taken. What goes wrong later is waited out.
pub async fn run(context: &Context, is_whole: bool) -> Result<Exit, CliError> {
    let stop = CancellationToken::new();
    let settings = &context.settings;
    telling::check(context)?;
    let listener = listen(settings.controller.listen, "controller.listen").await?;
    let address = listener.local_addr().unwrap_or(settings.controller.listen);
    let door = match is_whole {
        true => Some(Door::open(context).await?),
        false => None,
    };
    let cluster = Arc::new(connect(context).await?);
    let name = cluster.name().to_owned();
    let watched = Arc::new(Watched::new(cluster.clone()));
    let board = Arc::new(Board::default());
    let hint = Arc::new(Notify::new());
    let webhook = settings.controller.webhook_secret.clone();
    let views = Views {
        board: board.clone(),
        watched: watched.clone(),
        webhook: webhook.and_then(WebhookSecret::new),
        taken: Arc::default(),
        hint: hint.clone(),
        clock: now,
    };
    let serving =
        axum::serve(listener, routes(views)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let home = Home {
        cluster,
        watched,
        board,
        views: door.as_ref().map(Door::views),
    };
    let told = (hint, home.board.clone());
    let keeping = follow_while(context, told, &stop, async |database, followed| {
        control(context, home, database, followed, &stop).await
    });
    context.terminal.note(&format!(
        "following {} for cluster {name}; health, readiness and metrics on http://{address}",
        crate::model::address::masked(&settings.source)
    ));
    let (signalled, served, shown, kept) = tokio::join!(
        stop_on_signals(&stop),
        serving.into_future(),
        serve_at(door, &stop),
        keeping
    );
    kept?;
    signalled?;
    shown?;
    served.map_err(|error| {
        CliError::dependency("health and metrics are served no more").because(error)
    })?;
    context
        .terminal
        .note("stopped; what was under way has ended");
    Ok(Exit::Done)
}

async fn serve_at(door: Option<Door>, stop: &CancellationToken) -> Result<(), CliError> {
    match door {
        Some(door) => door.serve(stop.clone()).await,
        None => Ok(()),
    }
}

/// Keeps what the first usable declaration says, and every one after it.
async fn control(
    context: &Context,
    home: Home,
    database: Arc<dyn Database>,
    mut followed: watch::Receiver<Followed>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let first = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        first = first_good(&mut followed, &home.board) => first,
    };
    let Some(production) = first else {
        return Ok(());
    };
    context.settings.database_url(production)?;
    let turns = async {
        let kept = keep_turns(context, &home, &database, &followed, stop).await;
        stop.cancel();
        kept
    };
    let Some(views) = &home.views else {
        return turns.await;
    };
    let behind = (views, database.clone());
    let public = Public::new(context, production, behind, followed.clone())?;
    let computing = public.compute_in_turn(context, home.cluster.clone(), stop);
    let ((), (), kept) = tokio::join!(public.serve(stop.clone()), computing, turns);
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
        parts.database.clone(),
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

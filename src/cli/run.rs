//! `platform run` and `platform serve controller`: follow the source and keep the cluster and the registry
//! as it says, until told to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::session::{connect, last_applied_in, now};
use super::{CliError, Context, Exit, SourceArg, declaration, telling, turn};
use crate::edge::cluster::client::KubeCluster;
use crate::edge::cluster::{ClusterError, ClusterWrite};
use crate::edge::database::{self, Database, DatabaseError};
use crate::edge::images::HttpRegistry;
use crate::model::ClusterName;
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::follow::{Followed, Follower};
use crate::reconcile::controller::ledger::Ledger;
use crate::reconcile::controller::routes::{Views, routes};
use crate::reconcile::controller::webhook::WebhookSecret;
use crate::reconcile::controller::{Controller, Parts};
use crate::reconcile::desired::build_namespace;
use crate::reconcile::lease::{AcquireError, Clock, Held, LEADER, Lease, PASS};
use crate::reconcile::live::watched::Watched;
use crate::reconcile::{Edges, Registry};

pub const EXAMPLES: &str = "\
Examples:
  platform run                                   ./platform.yaml, followed as it changes
  platform run https://git.example/subnet.git#main
  curl -s localhost:8083/ready                   is everything seen to?";

/// The pause before the database is tried again.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

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

/// Arguments of `platform serve`.
#[derive(Args)]
pub struct ServeArgs {
    #[command(subcommand)]
    pub role: Role,
}

/// One role of the program.
#[derive(Subcommand)]
pub enum Role {
    /// Follow the source and keep the cluster and the registry as it says.
    Controller(RunArgs),
}

impl ServeArgs {
    /// Returns the source that the role follows.
    pub(super) fn source(&self) -> &SourceArg {
        match &self.role {
            Role::Controller(args) => &args.source,
        }
    }
}

/// Runs until told to stop by SIGTERM or Ctrl-C.
///
/// # Errors
/// A setting cannot be used, or the address to listen on is taken. What goes wrong later is waited out.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let stop = CancellationToken::new();
    let settings = &context.settings;
    telling::check(context)?;
    let listener = listen(settings.controller.listen).await?;
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
    let keeping = async {
        let kept = keep(context, (cluster, watched), board, hint, stop.clone()).await;
        stop.cancel();
        kept
    };
    context.terminal.note(&format!(
        "following {} for cluster {name}; health, readiness and metrics on http://{}",
        crate::model::address::masked(&settings.source),
        settings.controller.listen
    ));
    let (signalled, served, kept) =
        tokio::join!(stop_on_signals(&stop), serving.into_future(), keeping);
    kept?;
    signalled?;
    served.map_err(|error| {
        CliError::dependency("health and metrics are served no more").because(error)
    })?;
    context
        .terminal
        .note("stopped; what was under way has ended");
    Ok(Exit::Done)
}

/// Opens the registry, follows the source, and keeps what it says.
async fn keep(
    context: &Context,
    (cluster, watched): (Arc<KubeCluster>, Arc<Watched>),
    board: Arc<Board>,
    hint: Arc<Notify>,
    stop: CancellationToken,
) -> Result<(), CliError> {
    let settings = &context.settings;
    let database = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        database = open_database(context) => database?,
    };
    let (told, followed) = watch::channel(Followed::default());
    let follower = Follower {
        origin: declaration::origin(&settings.source, settings)?,
        policy: declaration::policy(settings),
        interval: settings.controller.interval,
        hint,
        last: match settings.git.verifies {
            true => last_applied_in(database.as_ref()).await?,
            false => None,
        },
        clock: now,
    };
    let controller = async {
        let controlled = control(
            context,
            (cluster, watched),
            board,
            database,
            followed,
            &stop,
        )
        .await;
        stop.cancel();
        controlled
    };
    // The follower ends once nobody listens.
    let (controlled, ()) = tokio::join!(controller, follower.follow(told));
    controlled
}

/// Keeps what the first usable declaration says, and every one after it.
async fn control(
    context: &Context,
    (cluster, watched): (Arc<KubeCluster>, Arc<Watched>),
    board: Arc<Board>,
    database: Arc<dyn Database>,
    mut followed: watch::Receiver<Followed>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let first = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        first = first_good(&mut followed, &board) => first,
    };
    let Some(production) = first else {
        return Ok(());
    };
    context.settings.database_url(production)?;
    let namespace = first_namespace(&followed);
    let lease = |name: &str| {
        let identity = turn::identity(context, "controller");
        let clock = Clock::of_machine(now);
        Lease::new(cluster.clone(), &namespace, name, &identity, clock)
    };
    let (leader, pass) = (lease(LEADER), lease(PASS));
    let make_namespace = async || {
        let (key, item) = build_namespace(&ClusterName::Local, &namespace);
        let manifest = item.manifest().unwrap_or_default();
        turn::create_namespace(cluster.as_ref(), &key, &manifest).await
    };
    while let Some(held) = lead((&leader, &pass), &board, stop, &make_namespace).await {
        let local: Arc<dyn ClusterWrite> = watched.clone();
        let edges = Edges {
            clusters: BTreeMap::from([(ClusterName::Local, Ok(local))]),
            registry: Registry::Ready(database.clone()),
            images: Arc::new(HttpRegistry::new()),
            fence: None,
        };
        let controller = Controller::new(Parts {
            edges,
            watched: watched.clone(),
            database: database.clone(),
            lease: pass.clone().under(held.pulse()),
            followed: followed.clone(),
            board: board.clone(),
            actor: format!("{} (controller)", context.settings.actor),
            clock: now,
        });
        let (stop_it, pulse) = (stop.child_token(), held.pulse());
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
        let place = telling::Place {
            cluster: cluster.name().to_owned(),
            namespace: namespace.clone(),
        };
        let (tellers, tell) = telling::begin(context, cluster.clone(), &board, &place)?;
        let ledger = Ledger::new(
            board.clone(),
            database.clone(),
            tellers,
            context.settings.controller.rollout_deadline,
            now,
        );
        let keeping = deposed.run_until_cancelled(ledger.keep(closing.clone()));
        tokio::join!(lost, telling::tell_while(tell, keeping), async {
            controller.run(stop_it.clone()).await;
            stop_it.cancel();
            closing.cancel();
        });
        held.release().await;
    }
    database.close().await;
    Ok(())
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
    loop {
        let acquired = tokio::select! {
            () = stop.cancelled() => return None,
            acquired = leader.acquire(STAND_BY, &standing_by) => acquired,
            never = pass.observe() => match never {},
        };
        match acquired {
            Ok(held) => {
                board.take_leader(None);
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
                tracing::warn!(%error, cause, "the lead is not to be had; tried again");
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(LEAD_PAUSE) => {}
                }
            }
        }
    }
}

/// The namespace that the first declaration names holds the leases.
fn first_namespace(followed: &watch::Receiver<Followed>) -> String {
    let known = followed.borrow();
    let good = known.good.as_ref();
    good.map(|good| good.platform.namespace.clone())
        .unwrap_or_default()
}

/// Waits for a declaration that can be used, and tells whether it asks for the production policy.
async fn first_good(followed: &mut watch::Receiver<Followed>, board: &Board) -> Option<bool> {
    loop {
        let known = followed.borrow_and_update().clone();
        if let Some(good) = &known.good {
            // The controller takes it from here.
            followed.mark_changed();
            return Some(good.platform.environment.enforces_policy());
        }
        if let Some(bad) = &known.bad {
            tracing::warn!(why = %bad.why, "the source cannot be used; nothing is kept before it can");
        }
        board.take_source(&known);
        followed.changed().await.ok()?;
    }
}

/// Opens the registry, for as long as it takes.
async fn open_database(context: &Context) -> Result<Arc<dyn Database>, CliError> {
    let url = context.settings.database_url(false)?;
    loop {
        match database::open_and_migrate(url).await {
            Ok(database) => return Ok(database),
            Err(error @ DatabaseError::Url { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the registry database cannot be opened; tried again");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::input(format!("cannot listen on {address}"))
            .because(error)
            .hint("choose another address with `controller.listen` or PLATFORM_CONTROLLER__LISTEN")
    })
}

/// Waits until the process is told to stop, and passes it on.
async fn stop_on_signals(stop: &CancellationToken) -> Result<(), CliError> {
    let failed = |error| CliError::dependency("signals cannot be waited for").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}

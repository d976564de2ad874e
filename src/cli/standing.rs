//! What processes that stay have in common: where they listen, the database, the source they follow, and how they
//! are told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::MethodRouter;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::session::{last_applied_in, now};
use super::{CliError, Context, declaration};
use crate::edge::database::{self, Database, DatabaseError};
use crate::edge::listener::{self, Limits};
use crate::model::Told;
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::follow::{Followed, Follower};
use crate::reconcile::controller::heed::heed;
use crate::vitals::{self, Part};

/// The pause before the database is tried again.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// Opens the registry, and follows the source for as long as `work` goes on with both. The board is told of each reading,
/// and a hint leads to one.
///
/// # Errors
/// A setting cannot be used, or what `work` ends with.
pub(super) async fn follow_while(
    context: &Context,
    (hint, board): (Arc<Notify>, Arc<Board>),
    stop: &CancellationToken,
    work: impl AsyncFnOnce(Arc<dyn Database>, watch::Receiver<Followed>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let ended = follow(context, (hint, board), stop, work).await;
    // Whoever serves beside this ends too, whatever it was.
    stop.cancel();
    ended
}

async fn follow(
    context: &Context,
    (hint, board): (Arc<Notify>, Arc<Board>),
    stop: &CancellationToken,
    work: impl AsyncFnOnce(Arc<dyn Database>, watch::Receiver<Followed>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let settings = &context.settings;
    let origin = declaration::origin(&settings.source, settings)?;
    let database = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        database = open_database(context) => database?,
    };
    let (told, followed) = watch::channel(Followed::default());
    let follower = Follower {
        origin,
        policy: declaration::policy(settings),
        unfit: settings.database_url(true).err().map(|why| why.to_string()),
        interval: settings.controller.interval,
        hint: hint.clone(),
        board,
        last: match settings.git.verifies {
            true => last_applied_in(database.as_ref()).await?,
            false => None,
        },
        database: database.clone(),
        clock: now,
    };
    let working = async {
        let worked = work(database.clone(), followed).await;
        stop.cancel();
        worked
    };
    let following = async {
        tokio::select! {
            // It ends once nobody listens.
            () = follower.follow(told) => {}
            never = heed(database.as_ref(), &hint) => match never {},
        }
    };
    let (worked, ()) = tokio::join!(working, following);
    database.close().await;
    worked
}

/// The namespace that the first declaration names holds the leases.
pub(super) fn first_namespace(followed: &watch::Receiver<Followed>) -> String {
    let known = followed.borrow();
    let good = known.good.as_ref();
    good.map(|good| good.platform.namespace.clone())
        .unwrap_or_default()
}

/// Waits for a declaration that can be used, and tells whether it asks for the production policy.
pub(super) async fn first_good(followed: &mut watch::Receiver<Followed>) -> Option<bool> {
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
        followed.changed().await.ok()?;
    }
}

/// Opens the registry, for as long as it takes.
async fn open_database(context: &Context) -> Result<Arc<dyn Database>, CliError> {
    let url = context.settings.database_url(false)?;
    let mut told = Told::default();
    loop {
        match database::open_and_migrate(url).await {
            Ok(database) => return Ok(database),
            Err(error @ DatabaseError::Url { .. }) => return Err(error.into()),
            Err(error) => {
                if told.is_news(&error.to_string()) {
                    tracing::warn!(%error, "the registry database cannot be opened; tried until it can");
                }
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
}

/// Where health, readiness and metrics are served from the first moment on.
pub(super) struct Vitals {
    listener: TcpListener,
}

impl Vitals {
    /// Takes the address that the settings name.
    ///
    /// # Errors
    /// It is taken.
    pub(super) async fn open(context: &Context) -> Result<Self, CliError> {
        let address = context.settings.observability.listen;
        let listener = listen(address, "observability.listen").await?;
        let address = listener.local_addr().unwrap_or(address);
        let served = format!("health, readiness and metrics on http://{address}");
        context.terminal.note(&served);
        Ok(Self { listener })
    }

    /// Serves until told to stop.
    pub(super) async fn serve(
        self,
        (ready, parts): (MethodRouter, Vec<Part>),
        stop: CancellationToken,
    ) {
        let routes = vitals::routes(ready, parts);
        listener::serve(self.listener, routes, Limits::default(), stop).await;
    }
}

/// Listens on an address that a setting names.
///
/// # Errors
/// It is taken, or none of this machine's.
pub(super) async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let variable = setting.to_ascii_uppercase().replace('.', "__");
        CliError::input(format!("cannot listen on {address}"))
            .because(error)
            .hint(format!(
                "choose another with `{setting}` or PLATFORM_{variable}"
            ))
    })
}

/// Waits until the process is told to stop, and passes it on.
///
/// # Errors
/// The system refuses.
pub(super) async fn stop_on_signals(stop: &CancellationToken) -> Result<(), CliError> {
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

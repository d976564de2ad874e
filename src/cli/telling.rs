//! Who a controller tells what happens: the cluster always, a webhook and a git host where settings name them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

use super::{CliError, Context, turn};
use crate::edge::cluster::events::Events;
use crate::edge::files::{self, Links};
use crate::edge::hooks::{Address, Hooks, HttpHooks};
use crate::model::{Secret, address};
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::commit_status::{CommitStatus, HostSettings};
use crate::reconcile::controller::events::EventTeller;
use crate::reconcile::controller::notify::Webhook;
use crate::reconcile::controller::tellers::{Channel, Tellers};

/// The largest file that holds a token.
const MAX_TOKEN: u64 = 16 * 1024;
/// How long telling may go on after the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where what happens goes.
pub(super) struct Place {
    /// The cluster's name.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
}

/// Returns the queues, and what empties them.
///
/// # Errors
/// A setting cannot be used.
pub(super) fn begin(
    context: &Context,
    events: Arc<dyn Events>,
    board: &Arc<Board>,
    place: &Place,
) -> Result<(Tellers, BoxFuture<'static, ()>), CliError> {
    let mut tellers = Tellers::new(board.clone());
    let mut telling = Vec::new();
    let instance = turn::identity(context, "controller");
    let teller = EventTeller::new(events, board.clone(), &place.namespace, &instance);
    telling.push(teller.tell(tellers.add(Channel::Events)).boxed());
    let hooks: Arc<dyn Hooks> = Arc::new(HttpHooks::default());
    if let Some(webhook) = webhook(context, place)? {
        let notices = tellers.add(Channel::Webhook);
        telling.push(webhook.tell(hooks.clone(), board.clone(), notices).boxed());
    }
    if let Some(host) = git_host(context)? {
        let outlooks = tellers.add_outlooks();
        telling.push(host.tell(hooks, board.clone(), outlooks).boxed());
    }
    Ok((tellers, join_all(telling).map(drop).boxed()))
}

/// Tells for as long as something is kept, and then what is left, for a moment.
pub(super) async fn tell_while<T>(
    telling: BoxFuture<'static, ()>,
    keeping: impl Future<Output = T>,
) {
    let mut telling = telling.fuse();
    tokio::select! {
        _ = keeping => {}
        // It ends with its queues, which the other side holds.
        () = &mut telling => return,
    }
    // What is not told in time is in the conditions.
    drop(tokio::time::timeout(LAST_WORDS, telling).await);
}

/// Tells whether the settings about telling can be used, before anything is begun.
///
/// # Errors
/// One cannot.
pub(super) fn check(context: &Context) -> Result<(), CliError> {
    let place = Place {
        cluster: String::new(),
        namespace: String::new(),
    };
    webhook(context, &place)?;
    git_host(context)?;
    Ok(())
}

fn webhook(context: &Context, place: &Place) -> Result<Option<Webhook>, CliError> {
    let settings = &context.settings.notify;
    let Some(url) = &settings.url else {
        return Ok(None);
    };
    let address = Address::parse(url.expose()).map_err(|error| {
        CliError::input("notify.url cannot be used")
            .because(error)
            .hint("set notify.url to the address of a webhook, or leave it out")
    })?;
    Ok(Some(Webhook {
        address,
        secret: settings.secret.clone(),
        on: settings.on.clone(),
        source: address::masked(&context.settings.source),
        cluster: format!("{}/{}", place.cluster, place.namespace),
    }))
}

fn git_host(context: &Context) -> Result<Option<CommitStatus>, CliError> {
    let settings = &context.settings.commit_status;
    let Some(form) = settings.form else {
        return Ok(None);
    };
    let token = match (&settings.token, &settings.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => {
            let read = files::read_regular(file, MAX_TOKEN, Links::Follow);
            let read = read.map_err(|error| {
                CliError::input("commit_status.token_file cannot be read")
                    .because(error)
                    .hint("name a readable file that holds the token, or set commit_status.token")
            })?;
            let text = String::from_utf8_lossy(&read).trim().to_owned();
            (!text.is_empty()).then(|| Secret::new(text))
        }
        (None, None) => None,
    };
    let host = CommitStatus::new(HostSettings {
        form,
        url: settings.url.as_deref(),
        repository: settings.repository.as_deref(),
        token,
        context: &settings.context,
        source: &context.settings.source,
    });
    host.map(Some).map_err(|error| {
        CliError::input("the status of commits cannot be told")
            .because(error)
            .hint("set commit_status.url, .repository and .token, or commit_status.form off")
    })
}

//! Health, readiness, metrics, and what a git host tells, over HTTP. Everything is answered from memory.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::board::{Board, Standing};
use super::metrics;
use super::webhook::{MAX_BODY, Refused, Taken, WebhookSecret};
use crate::reconcile::live::watched::{WatchState, Watched};

/// What the routes answer from.
#[derive(Clone)]
pub struct Views {
    /// How things stand.
    pub board: Arc<Board>,
    /// The local cluster.
    pub watched: Arc<Watched>,
    /// What a git host proves itself with; without it none is heard.
    pub webhook: Option<WebhookSecret>,
    /// The requests of git hosts taken of late.
    pub taken: Arc<Mutex<Taken>>,
    /// Told when something was pushed.
    pub hint: Arc<Notify>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Returns the routes `/health`, `/ready`, `/metrics` and `/v1/webhooks/git`.
pub fn routes(views: Views) -> Router {
    Router::new()
        .route("/health", get(async || Json(json!({"status": "ok"}))))
        .route("/ready", get(ready))
        .route("/metrics", get(tell_metrics))
        .route("/v1/webhooks/git", post(take_push))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(views)
}

async fn ready(State(views): State<Views>) -> Response {
    let standing = views.board.read();
    let now = (views.clock)();
    let failing = failing_watches(&views.watched);
    let sees_all =
        standing.surveyed_at.is_some() && standing.blindness.is_none() && failing.is_empty();
    // Who stands by is ready to.
    let is_ready = sees_all || standing.led_by.is_some();
    let (code, status) = match is_ready {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (
        code,
        Json(json!({"status": status, "checks": checks(&standing, &failing, now)})),
    )
        .into_response()
}

/// Returns each dependency with its age; reasons that may quote something are for the log and `status`.
fn checks(standing: &Standing, failing: &[String], now: Timestamp) -> Value {
    let age = |since: Option<Timestamp>| since.map(|since| now.duration_since(since).as_secs());
    json!({
        "source": {
            "age_seconds": age(standing.source_read_at),
            "revision": standing.revision.as_ref().map(ToString::to_string),
            "refused": standing.bad.is_some(),
            "guards": standing.guards,
        },
        "database": {"age_seconds": age(standing.database_read_at)},
        "survey": {"age_seconds": age(standing.surveyed_at), "complete": standing.blindness.is_none()},
        "watches": {"failing": failing},
        "leader": {"is_other": standing.led_by.is_some()},
        "controller": {"suspended": standing.suspended.is_some()},
    })
}

fn failing_watches(watched: &Watched) -> Vec<String> {
    let failing = watched
        .states()
        .into_iter()
        .filter(|(_, state)| matches!(state, WatchState::Failing(_)));
    failing.map(|((kind, _), _)| kind.to_string()).collect()
}

async fn tell_metrics(State(views): State<Views>) -> Response {
    let text = metrics::render(&views.board.read(), views.watched.len(), (views.clock)());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// Takes word of a push; who is not known learns nothing, not even whether pushes are listened for.
async fn take_push(State(views): State<Views>, headers: HeaderMap, body: Bytes) -> Response {
    let checked = match &views.webhook {
        Some(secret) => secret.check(&headers, &body),
        None => Err(Refused::Unsigned),
    };
    let mut taken = views.taken.lock().unwrap_or_else(PoisonError::into_inner);
    match checked.and_then(|()| taken.take(&body)) {
        Ok(()) => {
            views.hint.notify_one();
            StatusCode::ACCEPTED.into_response()
        }
        // The host may well send again what it got no answer to.
        Err(Refused::Repeated) => StatusCode::ACCEPTED.into_response(),
        Err(Refused::Unsigned | Refused::Wrong) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

//! How the controller is, for the listener of health: readiness and metrics, answered from memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::board::{Board, Standing};
use super::metrics;
use crate::reconcile::live::watched::{WatchState, Watched};
use crate::vitals::Part;

/// What is answered from.
#[derive(Clone)]
pub struct Views {
    /// How things stand.
    pub board: Arc<Board>,
    /// The local cluster.
    pub watched: Arc<Watched>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Returns the readiness of the controller.
pub fn readiness(views: Views) -> MethodRouter {
    get(ready).with_state(views)
}

/// Returns the metrics of the controller.
#[must_use]
pub fn metrics(views: Views) -> Part {
    Arc::new(move |registry| {
        let (standing, now) = (views.board.read(), (views.clock)());
        metrics::add(registry, &standing, views.watched.len(), now);
    })
}

/// Returns the metrics of a role that follows the source and keeps nothing.
#[must_use]
pub fn source_metrics(board: Arc<Board>, clock: fn() -> Timestamp) -> Part {
    Arc::new(move |registry| metrics::add_source(registry, &board.read(), clock()))
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

//! What the challenge answers. Below `/internal` the platform asks, with the token; all else is for everybody,
//! and reaches the challenge through the platform's proxy as `/challenges/<slug>/…`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::token::Token;
use super::work::{Board, Refused};

/// A body is a hotkey and a number.
const MAX_BODY: usize = 4096;

/// A challenge as it runs.
pub struct Challenge {
    /// Its name on the subnet.
    pub slug: String,
    /// Its version, which the platform compares with the declared one.
    pub version: String,
    /// What the platform proves itself with.
    pub token: Token,
    /// What the miners have found. It is in memory only: a real challenge keeps it in its database.
    pub board: Mutex<Board>,
}

impl Challenge {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns all routes.
pub fn router(challenge: Arc<Challenge>) -> Router {
    let internal = Router::new()
        .route("/internal/v1/get_weights", get(get_weights))
        .route("/internal/v1/bridge/submissions", post(submit))
        .route_layer(middleware::from_fn_with_state(
            challenge.clone(),
            check_token,
        ));
    Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/leaderboard", get(leaderboard))
        .route("/work", post(work))
        .merge(internal)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(challenge)
}

async fn check_token(
    State(challenge): State<Arc<Challenge>>,
    request: Request,
    next: Next,
) -> Response {
    match challenge.token.check(&challenge.slug, request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => refuse(status, why),
    }
}

async fn health(State(challenge): State<Arc<Challenge>>) -> Json<Value> {
    Json(json!({"status": "ok", "slug": challenge.slug, "version": challenge.version}))
}

async fn version(State(challenge): State<Arc<Challenge>>) -> Json<Value> {
    Json(json!({
        "api_version": "1.0",
        "challenge_version": challenge.version,
        "sdk_version": "1.0.0",
        "capabilities": ["get_weights", "proxy_routes"],
    }))
}

/// The scores, asked for in every epoch.
async fn get_weights(State(challenge): State<Arc<Challenge>>) -> Json<Value> {
    let board = challenge.board();
    Json(json!({"challenge_slug": challenge.slug, "weights": board.scores()}))
}

/// A number that a miner signed: the platform has checked the signature and says whose it is.
async fn submit(
    State(challenge): State<Arc<Challenge>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let hotkey = headers
        .get("x-platform-verified-hotkey")
        .and_then(|value| value.to_str().ok());
    match (hotkey, body.trim().parse()) {
        (Some(hotkey), Ok(number)) => offer(&challenge, hotkey, number),
        _ => refuse(StatusCode::BAD_REQUEST, "the body is a number"),
    }
}

#[derive(Deserialize)]
struct Work {
    hotkey: String,
    number: u64,
}

async fn work(State(challenge): State<Arc<Challenge>>, Json(work): Json<Work>) -> Response {
    offer(&challenge, &work.hotkey, work.number)
}

fn offer(challenge: &Challenge, hotkey: &str, number: u64) -> Response {
    match challenge.board().offer(&challenge.slug, hotkey, number) {
        Ok(zeros) => {
            let id = format!("{hotkey}-{number}");
            Json(json!({"id": id, "status": "accepted", "zeros": zeros})).into_response()
        }
        Err(Refused::NoHotkey) => refuse(StatusCode::BAD_REQUEST, "that is no hotkey"),
        Err(Refused::TooLittle) => refuse(StatusCode::CONFLICT, "others have done more work"),
    }
}

async fn leaderboard(State(challenge): State<Arc<Challenge>>) -> Json<Value> {
    Json(json!({"scores": challenge.board().scores()}))
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"detail": why}))).into_response()
}

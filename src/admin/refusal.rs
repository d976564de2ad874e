//! How a request is refused, by whichever route: with a code and a body that says why. Pure.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Why there is nothing to give.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refusal {
    /// The reason: a short text that names nothing secret.
    pub detail: String,
}

/// Returns a refusal as it is sent.
#[must_use]
pub fn refuse(code: StatusCode, detail: &str) -> Response {
    let detail = detail.to_owned();
    (code, Json(Refusal { detail })).into_response()
}

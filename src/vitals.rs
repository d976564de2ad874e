//! How a process is, for whoever watches it: health, readiness and metrics over HTTP, alike for every role.
//!
//! Metrics are in the OpenMetrics text form. Each part of a process adds its own to one registry, which is made anew for
//! each reading.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::http::header;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;

/// The content type of what [`render`] returns.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A part of a process: adds its metrics, as they are now.
pub type Part = Arc<dyn Fn(&mut Registry) + Send + Sync>;

/// Returns the routes `/health`, `/ready`, which its role answers, and `/metrics`.
pub fn routes(ready: MethodRouter, parts: Vec<Part>) -> Router {
    let tell = async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], render(&parts));
    Router::new()
        .route("/health", get(async || Json(json!({"status": "ok"}))))
        .route("/ready", ready)
        .route("/metrics", get(tell))
}

/// Returns the metrics of all parts.
#[must_use]
pub fn render(parts: &[Part]) -> String {
    let mut registry = Registry::with_prefix("platform");
    for add in parts {
        add(&mut registry);
    }
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a string does not fail.
        Err(std::fmt::Error) => String::new(),
    }
}

/// Adds a number.
pub fn add_number(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<u64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

/// Adds a time in seconds, which its name ends with.
pub fn add_seconds(registry: &mut Registry, name: &str, help: &str, seconds: f64) {
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(seconds);
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_in_one_text() {
        let parts: [Part; 2] = [
            Arc::new(|registry| add_number(registry, "one", "One", 1)),
            Arc::new(|registry| add_seconds(registry, "other", "Other", 1.5)),
        ];
        let text = render(&parts);
        for line in ["platform_one 1", "platform_other_seconds 1.5", "# EOF"] {
            assert!(text.lines().any(|other| other == line), "{text}");
        }
    }
}

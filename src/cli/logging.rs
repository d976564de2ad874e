//! Logs and traces of the program's own work.

use std::io::IsTerminal as _;
use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use tokio::runtime::Runtime;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use super::CliError;
use crate::edge::hooks::{Address, HttpHooks};
use crate::edge::traces::Traces;
use crate::settings::ObservabilitySettings;

/// Begins to write logs, and to send traces where a collector is set.
///
/// Logs go to standard error: warnings, with `-v` what happens, with `-vv` in detail. Dependencies are held to
/// warnings, because they may log what passes through them, and the one that watches to errors: of each watch that
/// fails it warns again and again.
///
/// # Errors
/// The setting of the collector cannot be used.
pub(super) fn begin(
    verbose: u8,
    settings: &ObservabilitySettings,
    runtime: &Runtime,
) -> Result<Option<Traces>, CliError> {
    let traces = traces(settings, runtime)?;
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse_lossy(format!("platform={level},kube_runtime=error"));
    let logs = tracing_subscriber::fmt::layer::<Registry>().with_writer(std::io::stderr);
    let logs = match settings.log_json && !std::io::stderr().is_terminal() {
        true => logs.json().with_filter(filter).boxed(),
        false => logs.with_filter(filter).boxed(),
    };
    let spans = traces.as_ref().map(|traces| {
        let tracer = traces.provider().tracer("platform");
        // Spans of our own, and what is logged within them short of details.
        let ours = filter_fn(|told| {
            told.target().starts_with("platform")
                && (told.is_span() || *told.level() <= Level::INFO)
        });
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    });
    let subscriber = tracing_subscriber::registry().with(logs).with(spans);
    // Fails only when logging has begun already, which then goes on.
    drop(subscriber.try_init());
    Ok(traces)
}

fn traces(settings: &ObservabilitySettings, runtime: &Runtime) -> Result<Option<Traces>, CliError> {
    let Some(endpoint) = &settings.otel_endpoint else {
        return Ok(None);
    };
    let unusable = || {
        CliError::input("the setting observability.otel_endpoint cannot be used")
            .hint("set it to a collector's address, such as http://localhost:4318, or leave it out")
    };
    let address = Address::parse(endpoint).map_err(|error| unusable().because(error))?;
    let hooks = Arc::new(HttpHooks::default());
    let name = &settings.otel_service_name;
    Traces::begin(&address, name, hooks, runtime.handle().clone())
        .map(Some)
        .map_err(|error| unusable().because(error))
}

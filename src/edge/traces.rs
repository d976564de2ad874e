//! Spans of what is done, for a collector that speaks the OpenTelemetry protocol (OTLP/HTTP, JSON).
//!
//! They wait in a queue with a bound, and what finds it full is dropped: no work ever waits for a collector. They go
//! out through the same door as everything that is posted: one deadline, no redirect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use thiserror::Error;
use tokio::runtime::Handle;

use super::hooks::{Address, Hooks, Posting};

/// Spans that wait to be sent; of a first apply of a hundred challenges there are about a thousand.
const QUEUE: usize = 8192;
/// Spans of one request: about half a megabyte.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHERING: Duration = Duration::from_secs(2);
/// How long the last ones may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// Spans cannot be sent at all.
#[derive(Debug, Error)]
#[error("traces cannot be sent")]
pub struct TracesError(#[source] opentelemetry_otlp::ExporterBuildError);

/// Where spans go, for as long as it is kept.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans to a collector under this service's name; `/v1/traces` is added to its address.
    ///
    /// # Errors
    /// The exporter cannot be made.
    pub fn begin(
        collector: &Address,
        service: &str,
        hooks: Arc<dyn Hooks>,
        runtime: Handle,
    ) -> Result<Self, TracesError> {
        let sender = Sender {
            address: collector.below(&["v1", "traces"]),
            hooks,
            runtime,
            is_refused: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_http_client(sender)
            .build()
            .map_err(TracesError)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(GATHERING)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder_empty().with_service_name(service.to_owned());
        Ok(Self(
            SdkTracerProvider::builder()
                .with_span_processor(processor)
                .with_resource(resource.build())
                .build(),
        ))
    }

    /// Returns what makes the spans.
    #[must_use]
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.0
    }

    /// Sends what is left, for a moment. The runtime must still be there; this blocks.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Posts batches. They come from a thread of their own, outside the runtime.
struct Sender {
    address: Address,
    hooks: Arc<dyn Hooks>,
    runtime: Handle,
    /// Whether the last batch was not taken; told when it changes.
    is_refused: AtomicBool,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.address).finish()
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let posting = Posting {
            address: self.address.clone(),
            headers: Vec::new(),
            body: request.into_body().to_vec(),
        };
        let hooks = self.hooks.clone();
        let posted = self
            .runtime
            .spawn(async move { hooks.post(&posting).await })
            .await?;
        let was_refused = self.is_refused.swap(posted.is_err(), Ordering::Relaxed);
        match (&posted, was_refused) {
            (Err(error), false) => {
                tracing::warn!(%error, "traces are not taken, and dropped until they are");
            }
            (Ok(()), true) => tracing::info!("traces are taken again"),
            _ => {}
        }
        posted?;
        Ok(Response::new(Bytes::new()))
    }
}

//! `POST /v1/webhooks/git`: a git host tells of a push. One that proves itself leads to a row in the database, which wakes
//! whoever follows the source, in whichever process.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::Semaphore;

use super::refusal::refuse;
use super::webhook::{MAX_BODY, WebhookSecret, digest};
use crate::edge::database::Database;
use crate::vitals::Part;

/// How many bodies are read at a time. Whether one is signed by who knows the secret is known only at its end, so anybody
/// can have 8 MiB held by this, and no more.
const READ: usize = 8;

/// When it is worth trying again while others are read: the listener waits 25 seconds for a body.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

/// What hears of pushes.
#[derive(Clone)]
pub struct Pushes {
    /// What a git host proves itself with; without it none is heard.
    secret: Option<WebhookSecret>,
    /// A process listens before it knows its database.
    database: Arc<OnceLock<Arc<dyn Database>>>,
    /// For bodies that are read.
    room: Arc<Semaphore>,
    counts: Family<WithOutcome, Counter>,
    clock: fn() -> Timestamp,
}

/// What came of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The source is read.
    Taken,
    /// It came before.
    Repeated,
    /// Who sent it does not prove itself.
    Unproven,
    /// It is too long.
    TooLong,
    /// As many others are read as may be.
    Busy,
    /// The database is away.
    Unavailable,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithOutcome {
    outcome: &'static str,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Repeated => "repeated",
            Self::Unproven | Self::TooLong => "refused",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }

    fn answer(self) -> Response {
        match self {
            // The host may well send again what it got no answer to.
            Self::Taken | Self::Repeated => StatusCode::ACCEPTED.into_response(),
            Self::Unproven => refuse(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::TooLong => refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is larger than 1 MiB",
            ),
            Self::Busy => {
                let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, "Busy; try again");
                answer
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER);
                answer
            }
            Self::Unavailable => refuse(StatusCode::SERVICE_UNAVAILABLE, "Database unavailable"),
        }
    }
}

impl Pushes {
    /// Hears of pushes from whoever knows the secret, or from nobody.
    #[must_use]
    pub fn new(secret: Option<WebhookSecret>, clock: fn() -> Timestamp) -> Self {
        let counts = Family::<WithOutcome, Counter>::default();
        for outcome in ["taken", "repeated", "refused", "busy", "unavailable"] {
            drop(counts.get_or_create(&WithOutcome { outcome }));
        }
        Self {
            secret,
            database: Arc::default(),
            room: Arc::new(Semaphore::new(READ)),
            counts,
            clock,
        }
    }

    /// Takes the database, once.
    pub fn put_database(&self, database: Arc<dyn Database>) {
        // A process has one.
        drop(self.database.set(database));
    }

    /// Returns the route.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/webhooks/git", post(take))
            .with_state(self.clone())
    }

    /// Returns what came of what was sent so far, as metrics.
    #[must_use]
    pub fn metrics(&self) -> Part {
        let counts = self.counts.clone();
        Arc::new(move |registry| {
            let help = "Pushes that git hosts announced to this process, by what came of it";
            registry.register("pushes", help, counts.clone());
        })
    }

    async fn hear(&self, headers: &HeaderMap, body: Body) -> Outcome {
        let body = match self.read(headers, body).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let Some(database) = self.database.get() else {
            return Outcome::Unavailable;
        };
        match database.keep_push(&digest(&body), (self.clock)()).await {
            Ok(true) => Outcome::Taken,
            Ok(false) => Outcome::Repeated,
            Err(error) => {
                tracing::warn!(%error, "a push was announced and could not be kept; the host is told so");
                Outcome::Unavailable
            }
        }
    }

    /// Reads a body that proves itself. Who does not learns nothing, not even whether pushes are listened for.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Outcome> {
        let secret = self.secret.as_ref().ok_or(Outcome::Unproven)?;
        let claim = secret.claim(headers).map_err(|_| Outcome::Unproven)?;
        let _room = self.room.try_acquire().map_err(|_| Outcome::Busy)?;
        let body = to_bytes(body, MAX_BODY).await;
        let body = body.map_err(|_| Outcome::TooLong)?;
        let checked = secret.check(claim, &body);
        checked.map(|()| body).map_err(|_| Outcome::Unproven)
    }
}

async fn take(State(pushes): State<Pushes>, headers: HeaderMap, body: Body) -> Response {
    let outcome = pushes.hear(&headers, body).await;
    let labels = WithOutcome {
        outcome: outcome.as_str(),
    };
    pushes.counts.get_or_create(&labels).inc();
    outcome.answer()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use futures::FutureExt as _;

    use super::*;
    use crate::edge::database::open_and_migrate;
    use crate::model::Secret;
    use crate::vitals;

    async fn database(folder: &tempfile::TempDir) -> Arc<dyn Database> {
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        open_and_migrate(&Secret::new(url)).await.unwrap()
    }

    fn pushes() -> Pushes {
        let secret = WebhookSecret::new(Secret::new("canary".to_owned()));
        Pushes::new(secret, || Timestamp::UNIX_EPOCH)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    /// Sends a body as GitLab does.
    async fn send(pushes: &Pushes, token: &'static str, body: impl Into<Body>) -> u16 {
        let headers = headers("x-gitlab-token", token);
        let answer = take(State(pushes.clone()), headers, body.into()).await;
        answer.status().as_u16()
    }

    /// A body that never comes.
    fn endless() -> Body {
        Body::from_stream(futures::stream::pending::<Result<Vec<u8>, axum::Error>>())
    }

    async fn detail(answer: Response) -> (u16, String) {
        let code = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), MAX_BODY).await.unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    fn count(pushes: &Pushes, outcome: &str) -> String {
        let text = vitals::render(&[pushes.metrics()]);
        let name = format!("platform_pushes_total{{outcome=\"{outcome}\"}} ");
        let mut counts = text.lines().filter_map(|line| line.strip_prefix(&name));
        counts.next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_push_is_kept_once_whichever_process_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (pushes(), pushes());
        one.put_database(database(&folder).await);
        let kept = database(&folder).await;
        other.put_database(kept.clone());
        assert_eq!(send(&one, "canary", "a").await, 202);
        let first = kept.newest_push().await.unwrap();
        assert!(first.is_some());
        assert_eq!(send(&other, "canary", "a").await, 202);
        assert_eq!(kept.newest_push().await.unwrap(), first);
        assert_eq!(
            (count(&one, "taken"), count(&other, "repeated")),
            ("1".to_owned(), "1".to_owned())
        );
    }

    #[tokio::test]
    async fn who_does_not_prove_itself_reaches_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let (hears, deaf) = (pushes(), Pushes::new(None, || Timestamp::UNIX_EPOCH));
        let kept = database(&folder).await;
        hears.put_database(kept.clone());
        deaf.put_database(kept.clone());
        assert_eq!(send(&hears, "Canary", "a").await, 401);
        assert_eq!(send(&deaf, "canary", "a").await, 401);
        // Nothing is read of a body that can be nobody's whom we know.
        for headers in [
            HeaderMap::new(),
            headers("x-gitlab-token", "Canary"),
            headers("x-hub-signature-256", "sha256=00"),
        ] {
            let answer = take(State(hears.clone()), headers, endless()).now_or_never();
            let told = detail(answer.expect("it is not read")).await;
            assert_eq!(told, (401, r#"{"detail":"Unauthorized"}"#.to_owned()));
        }
        assert_eq!(send(&hears, "canary", vec![0; MAX_BODY + 1]).await, 413);
        assert_eq!(kept.newest_push().await.unwrap(), None);
        assert_eq!(send(&hears, "canary", vec![0; MAX_BODY]).await, 202);
        assert_eq!(count(&hears, "refused"), "5");
    }

    #[tokio::test]
    async fn few_bodies_are_read_at_a_time() {
        let pushes = pushes();
        let send = || {
            let signed = headers("x-gitea-signature", &"00".repeat(32));
            Box::pin(take(State(pushes.clone()), signed, endless()))
        };
        let mut read: Vec<_> = (0..READ).map(|_| send()).collect();
        for sending in &mut read {
            assert!(futures::poll!(sending).is_pending());
        }
        let answer = send().now_or_never().expect("it is not read");
        assert_eq!(answer.headers()[header::RETRY_AFTER], RETRY_AFTER);
        let told = detail(answer).await;
        assert_eq!(told, (503, r#"{"detail":"Busy; try again"}"#.to_owned()));
        assert_eq!(count(&pushes, "busy"), "1");
        read.pop();
        assert!(send().now_or_never().is_none(), "there is room again");
    }

    #[tokio::test]
    async fn a_host_is_told_that_its_push_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let pushes = pushes();
        assert_eq!(send(&pushes, "canary", "a").await, 503, "it is not opened");
        let away = database(&folder).await;
        away.close().await;
        pushes.put_database(away);
        assert_eq!(send(&pushes, "canary", "a").await, 503);
        assert_eq!(count(&pushes, "unavailable"), "2");
    }
}

//! `POST /v1/webhooks/git`: a git host tells of a push. One that proves itself leads to a row in the database, which wakes
//! whoever follows the source, in whichever process.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::webhook::{MAX_BODY, WebhookSecret, digest, is_signed};
use crate::edge::database::Database;
use crate::vitals::Part;

/// What hears of pushes.
#[derive(Clone)]
pub struct Pushes {
    /// What a git host proves itself with; without it none is heard.
    secret: Option<WebhookSecret>,
    /// A process listens before it knows its database.
    database: Arc<OnceLock<Arc<dyn Database>>>,
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
    /// It is too long, or who sent it does not prove itself.
    Refused(StatusCode),
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
            Self::Refused(_) => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            // The host may well send again what it got no answer to.
            Self::Taken | Self::Repeated => StatusCode::ACCEPTED,
            Self::Refused(code) => code,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Pushes {
    /// Hears of pushes from whoever knows the secret, or from nobody.
    #[must_use]
    pub fn new(secret: Option<WebhookSecret>, clock: fn() -> Timestamp) -> Self {
        let counts = Family::<WithOutcome, Counter>::default();
        for outcome in ["taken", "repeated", "refused", "unavailable"] {
            drop(counts.get_or_create(&WithOutcome { outcome }));
        }
        Self {
            secret,
            database: Arc::default(),
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

    /// Who does not prove itself learns nothing, not even whether pushes are listened for.
    async fn hear(&self, headers: &HeaderMap, body: Body) -> Outcome {
        let unknown = Outcome::Refused(StatusCode::UNAUTHORIZED);
        let secret = self.secret.as_ref().filter(|_| is_signed(headers));
        let Some(secret) = secret else { return unknown };
        let Ok(body) = to_bytes(body, MAX_BODY).await else {
            return Outcome::Refused(StatusCode::PAYLOAD_TOO_LARGE);
        };
        if secret.check(headers, &body).is_err() {
            return unknown;
        }
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
}

async fn take(State(pushes): State<Pushes>, headers: HeaderMap, body: Body) -> StatusCode {
    let outcome = pushes.hear(&headers, body).await;
    let labels = WithOutcome {
        outcome: outcome.as_str(),
    };
    pushes.counts.get_or_create(&labels).inc();
    outcome.code()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

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

    /// Sends a body as GitLab does.
    async fn send(pushes: &Pushes, token: &'static str, body: impl Into<Body>) -> u16 {
        let name = HeaderName::from_static("x-gitlab-token");
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(token))]);
        take(State(pushes.clone()), headers, body.into())
            .await
            .as_u16()
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
        // Nothing is read of a body that nobody has signed.
        let endless = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, axum::Error>>());
        let unsigned = take(State(hears.clone()), HeaderMap::new(), endless).await;
        assert_eq!(unsigned.as_u16(), 401);
        assert_eq!(send(&hears, "canary", vec![0; MAX_BODY + 1]).await, 413);
        assert_eq!(kept.newest_push().await.unwrap(), None);
        assert_eq!(send(&hears, "canary", vec![0; MAX_BODY]).await, 202);
        assert_eq!(count(&hears, "refused"), "3");
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

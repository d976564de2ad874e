//! Challenges over HTTP: their scores, their health and their version. Each question is one attempt within
//! bounds of time and size; repeating it, and judging what was answered, is the caller's.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::model::failure::Failure;
use crate::model::{Secret, Slug};

mod body;
mod fetch;
#[cfg(test)]
mod tests;

use fetch::Http;

/// Health and version are a few names; whatever is longer is neither.
const MAX_NOTICE: usize = 64 * 1024;

const WEIGHTS: &str = "/internal/v1/get_weights";
const HEALTH: &str = "/health";
const VERSION: &str = "/version";

const SLUG: HeaderName = HeaderName::from_static("x-platform-challenge-slug");

/// A challenge as it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub slug: Slug,
    /// The declared `internal_base_url`; what is asked for is below it.
    pub base: String,
}

/// Challenges, as far as they are asked by the platform. All answers are bytes that nobody has looked at.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// Asks for the scores.
    ///
    /// # Errors
    /// Any [`Failure`].
    async fn get_weights(&self, place: &Place, token: &Secret<String>) -> Result<Vec<u8>, Failure>;

    /// Asks for the health.
    ///
    /// # Errors
    /// Any [`Failure`] but [`Failure::NoToken`].
    async fn get_health(&self, place: &Place) -> Result<Vec<u8>, Failure>;

    /// Asks for the version.
    ///
    /// # Errors
    /// Any [`Failure`] but [`Failure::NoToken`].
    async fn get_version(&self, place: &Place) -> Result<Vec<u8>, Failure>;
}

/// How long and how large an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For each whole attempt, from the name's look-up to the last byte.
    pub attempt: Duration,
    /// For the body of scores, in bytes, as sent and as unpacked.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            body: 16 << 20,
        }
    }
}

/// Challenges reached over HTTP, directly.
#[derive(Debug)]
pub struct HttpChallenges {
    http: Http,
    limits: Limits,
}

impl HttpChallenges {
    /// Makes a client; nothing is loaded or opened before the first question. A TLS provider must be
    /// installed by then, or nothing can be asked.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            http: Http::default(),
            limits,
        }
    }

    async fn get(
        &self,
        place: &Place,
        path: &str,
        headers: HeaderMap,
        max_body: usize,
    ) -> Result<Vec<u8>, Failure> {
        let url = address(place, path).ok_or(Failure::Unreachable)?;
        let attempt = async {
            let answer = self.http.get(url, headers).await?;
            if !answer.status().is_success() {
                return Err(Failure::Http(answer.status().as_u16()));
            }
            body::read(answer, max_body).await
        };
        let ended = tokio::time::timeout(self.limits.attempt, attempt).await;
        ended.unwrap_or(Err(Failure::Timeout))
    }
}

#[async_trait]
impl Challenges for HttpChallenges {
    async fn get_weights(&self, place: &Place, token: &Secret<String>) -> Result<Vec<u8>, Failure> {
        let mut headers = accepted();
        headers.insert(AUTHORIZATION, bearer(token).ok_or(Failure::NoToken)?);
        let slug = HeaderValue::from_str(place.slug.as_str()).map_err(|_| Failure::Unreachable)?;
        headers.insert(SLUG, slug);
        self.get(place, WEIGHTS, headers, self.limits.body).await
    }

    async fn get_health(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        self.get(place, HEALTH, accepted(), MAX_NOTICE).await
    }

    async fn get_version(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        self.get(place, VERSION, accepted(), MAX_NOTICE).await
    }
}

/// Returns what every question says of the answer it wants.
fn accepted() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    ])
}

/// Returns the header of a token. A line break at its end is an editor's, and challenges drop it too.
fn bearer(token: &Secret<String>) -> Option<HeaderValue> {
    let token = token.expose().trim();
    if token.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the address of a path below the base, which may have a path of its own.
fn address(place: &Place, path: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}{path}", place.base.trim_end_matches('/'))).ok()?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_http && !has_credentials && url.path().ends_with(path)).then_some(url)
}

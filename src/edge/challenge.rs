//! Challenges over HTTP: their scores, their health and their version. Each question is one attempt within
//! bounds of time and size; repeating it, and judging what was answered, is the caller's.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

pub use super::http::Body;
use super::http::{Http, Room, accepted, below};
use crate::model::failure::Failure;
use crate::model::{Secret, Slug};

#[cfg(test)]
mod tests;

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
    /// Asks for the scores. What has been answered takes room from others until it is dropped.
    ///
    /// # Errors
    /// Any [`Failure`].
    async fn get_weights(&self, place: &Place, token: &Secret<String>) -> Result<Body, Failure>;

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
    /// For the bodies of scores that are there at once and are not small, in bytes together. One has room in any case.
    pub room: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            body: 16 << 20,
            // With what 32 small ones take, 64 MiB.
            room: 48 << 20,
        }
    }
}

/// Challenges reached over HTTP, directly.
#[derive(Debug)]
pub struct HttpChallenges {
    http: Http,
    limits: Limits,
    room: Room,
}

impl HttpChallenges {
    /// Makes a client; nothing is loaded or opened before the first question. A TLS provider must be
    /// installed by then, or nothing can be asked.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            http: Http::default(),
            limits,
            room: Room::of(limits.room.max(limits.body)),
        }
    }

    async fn get(
        &self,
        place: &Place,
        path: &str,
        headers: HeaderMap,
        max_body: usize,
    ) -> Result<Body, Failure> {
        let url = below(&place.base, path).ok_or(Failure::Unreachable)?;
        let limits = (self.limits.attempt, max_body);
        let room = Some(&self.room);
        let answer = self.http.ask(url, headers, limits, room).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(Failure::Http(answer.status.as_u16())),
        }
    }
}

#[async_trait]
impl Challenges for HttpChallenges {
    async fn get_weights(&self, place: &Place, token: &Secret<String>) -> Result<Body, Failure> {
        let mut headers = accepted();
        headers.insert(AUTHORIZATION, bearer(token).ok_or(Failure::NoToken)?);
        let slug = HeaderValue::from_str(place.slug.as_str()).map_err(|_| Failure::Unreachable)?;
        headers.insert(SLUG, slug);
        self.get(place, WEIGHTS, headers, self.limits.body).await
    }

    async fn get_health(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        let answered = self.get(place, HEALTH, accepted(), MAX_NOTICE).await;
        answered.map(Body::into_bytes)
    }

    async fn get_version(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        let answered = self.get(place, VERSION, accepted(), MAX_NOTICE).await;
        answered.map(Body::into_bytes)
    }
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

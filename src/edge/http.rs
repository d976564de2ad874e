//! Questions over HTTP to those whom nobody need trust: bounds on time and size, no redirect, no proxy.

mod body;
mod fetch;
mod room;

use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

use crate::model::failure::Failure;

pub use self::body::Body;
pub use self::fetch::Http;
pub use self::room::Room;

/// An answer that came within the bounds.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unpacked; read only where the status is one of success.
    pub body: Body,
}

impl Http {
    /// Asks once, within `limit` from the name's look-up to the last byte, for at most `max_body` bytes as sent and
    /// as unpacked. Where there is a room, a large body has to have its part of that.
    ///
    /// # Errors
    /// Any [`Failure`] but `Http`, which is the caller's to say.
    pub async fn ask(
        &self,
        url: Url,
        headers: HeaderMap,
        (limit, max_body): (Duration, usize),
        room: Option<&Room>,
    ) -> Result<Answer, Failure> {
        let attempt = async {
            let answer = self.get(url, headers).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = match status.is_success() {
                true => body::read(answer, max_body, room).await?,
                false => Body::default(),
            };
            Ok(Answer {
                status,
                headers,
                body,
            })
        };
        let ended = tokio::time::timeout(limit, attempt).await;
        ended.unwrap_or(Err(Failure::Timeout))
    }
}

/// Returns what every question says of the answer it wants.
#[must_use]
pub fn accepted() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    ])
}

/// Returns the address of a path below a base, which may have a path of its own; `None` for a base that is none or
/// holds credentials.
#[must_use]
pub fn below(base: &str, path: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}{path}", base.trim_end_matches('/'))).ok()?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_http && !has_credentials && url.path().ends_with(path)).then_some(url)
}

//! What is posted to addresses of the operator's: notifications and the status of a commit. One request, no
//! redirect, nothing read of the answer but its status.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use rustls::crypto::CryptoProvider;
use thiserror::Error;
use url::Host;

use crate::model::Secret;

/// How long one request may take in all.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Texts of other programs are cut to this many characters.
const MAX_WHY: usize = 160;

/// One thing to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Where to.
    pub address: Address,
    /// What is said besides the body; a value may be secret.
    pub headers: Vec<(&'static str, Secret<String>)>,
    /// The body, JSON.
    pub body: Vec<u8>,
}

/// An address that may be posted to.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// Shows the host alone: the path of a hook is often its password.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host())
    }
}

/// Why an address may not be posted to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It is no `https` or `http` address.
    #[error("an address is expected, such as https://hooks.example/platform")]
    Form,
    /// It holds a user or a password.
    #[error("an address must not hold a user or a password")]
    Credentials,
    /// It would send a token in the clear.
    #[error("a token is sent over https only")]
    Clear,
}

impl Address {
    /// Parses an address that is told what is no secret.
    ///
    /// # Errors
    /// Any [`AddressError`] but `Clear`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError::Form)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(AddressError::Form);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        Ok(Self(url))
    }

    /// Parses an address that is sent a token: `https`, or this machine.
    ///
    /// # Errors
    /// Any [`AddressError`].
    pub fn parse_for_token(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text)?;
        match address.0.scheme() == "https" || is_loopback(&address.0) {
            true => Ok(address),
            false => Err(AddressError::Clear),
        }
    }

    /// Returns the address with more segments of a path, each escaped.
    #[must_use]
    pub fn below(&self, segments: &[&str]) -> Self {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Self(url)
    }

    /// Returns the host and port, for people.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Why something was not taken. No text holds what was sent, or where in the host to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HookError {
    /// It will not be taken however often it is sent.
    #[error("{host} refused it with status {status}")]
    Refused {
        /// The host.
        host: String,
        /// Its answer.
        status: u16,
    },
    /// It may be taken later.
    #[error("{host} did not take it: {why}")]
    Later {
        /// The host.
        host: String,
        /// Why not now.
        why: String,
        /// How long the host asks to be left alone.
        pause: Option<Duration>,
    },
}

/// Who posts.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Posts once.
    ///
    /// # Errors
    /// Any [`HookError`].
    async fn post(&self, posting: &Posting) -> Result<(), HookError>;
}

/// Posts over HTTP.
#[derive(Debug, Default)]
pub struct HttpHooks(OnceLock<Result<Client, String>>);

#[async_trait]
impl Hooks for HttpHooks {
    async fn post(&self, posting: &Posting) -> Result<(), HookError> {
        let host = posting.address.host();
        let later = |why: String, pause| HookError::Later {
            host: host.clone(),
            why,
            pause,
        };
        let client = self.0.get_or_init(build);
        let client = client.as_ref().map_err(|why| later(why.clone(), None))?;
        let mut request = client
            .post(posting.address.0.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(posting.body.clone());
        for (name, value) in &posting.headers {
            let value = HeaderValue::from_str(value.expose());
            let mut value = value.map_err(|_| later("a header cannot be sent".to_owned(), None))?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static(name), value);
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| later(root_cause(&error), None))?;
        let status = answer.status();
        let pause = answer.headers().get(RETRY_AFTER);
        let pause = pause.and_then(|value| value.to_str().ok()?.parse().ok());
        judge(status).map_or_else(
            || match is_for_later(status) {
                true => Err(later(
                    format!("it answered {}", status.as_u16()),
                    pause.map(Duration::from_secs),
                )),
                false => Err(HookError::Refused {
                    host: host.clone(),
                    status: status.as_u16(),
                }),
            },
            Ok,
        )
    }
}

/// Tells whether a status means that it was taken.
fn judge(status: StatusCode) -> Option<()> {
    status.is_success().then_some(())
}

/// Tells whether a status may be another one later.
fn is_for_later(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

fn build() -> Result<Client, String> {
    // The library would panic here.
    if CryptoProvider::get_default().is_none() {
        return Err("no TLS provider is installed".to_owned());
    }
    Client::builder()
        .user_agent(crate::edge::USER_AGENT)
        .connect_timeout(CONNECT)
        .timeout(DEADLINE)
        .referer(false)
        // What is meant for one host, a token above all, goes to no other.
        .redirect(Policy::none())
        .build()
        .map_err(|error| format!("no HTTP client: {}", root_cause(&error)))
}

/// Returns the innermost reason on one short line; the outer ones repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = match error.source() {
        Some(_) => cause.to_string(),
        None => "the request failed".to_owned(),
    };
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MAX_WHY).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_credentials_and_tokens_in_the_clear_are_refused() {
        for (text, plain, for_token) in [
            ("https://h.example/x", None, None),
            ("http://127.0.0.1:1/x", None, None),
            ("http://localhost/x", None, None),
            ("http://hooks.svc/x", None, Some(AddressError::Clear)),
            (
                "https://a:b@h.example/",
                Some(AddressError::Credentials),
                Some(AddressError::Credentials),
            ),
            (
                "ftp://h/",
                Some(AddressError::Form),
                Some(AddressError::Form),
            ),
            (
                "hooks.example",
                Some(AddressError::Form),
                Some(AddressError::Form),
            ),
        ] {
            assert_eq!(Address::parse(text).err(), plain, "{text}");
            assert_eq!(Address::parse_for_token(text).err(), for_token, "{text}");
        }
    }

    #[test]
    fn an_address_shows_its_host_and_grows_by_segments() {
        let address = Address::parse("https://hooks.example:444/services/canary/").unwrap();
        assert_eq!(format!("{address:?}"), "hooks.example:444");
        let below = address.below(&["projects", "a/b", "..", "x y"]);
        assert_eq!(below.path(), "/services/canary/projects/a%2Fb/x%20y");
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        for (status, is_taken, is_later) in [
            (204, true, false),
            (302, false, false),
            (401, false, false),
            (429, false, true),
            (503, false, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(status).is_some(), is_taken, "{status}");
            assert_eq!(is_for_later(status), is_later, "{status}");
        }
    }
}

//! One bounded question over HTTP: which redirects are followed, how much is read, what a failure is called.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Method, Response, Url};
use rustls::crypto::CryptoProvider;

use super::address;
use crate::model::Secret;

/// The most that is read of an answer; registries refuse manifests above 4 MiB themselves.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// Registries answer manifests directly; three covers those behind a mirror.
const MAX_REDIRECTS: usize = 3;

/// Long enough for a slow handshake, short enough that a dead address leaves time for its next one.
const CONNECT: Duration = Duration::from_secs(5);

/// Texts of other programs are cut to this many characters.
const MAX_WHY: usize = 160;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered, or not now: the next question to the same place will fail likewise.
    Unreachable(String),
    /// An answer that cannot be used.
    Unusable(String),
}

/// The HTTP clients, each built when first needed: loading the root certificates costs more than a
/// pass in which every image is pinned.
#[derive(Debug, Default)]
pub struct Http {
    secure: OnceLock<Result<Client, String>>,
    plain: OnceLock<Result<Client, String>>,
}

impl Http {
    /// Sends one request without a body and returns the answer's head.
    ///
    /// # Errors
    /// `Unusable` for an address or a redirect that must not be followed.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        accept: &'static str,
        token: Option<&Secret<HeaderValue>>,
    ) -> Result<Response, Failure> {
        if !address::is_allowed(&url) {
            return Err(Failure::Unusable("that address is not asked".to_owned()));
        }
        let mut request = self
            .client(&url)?
            .request(method, url)
            .header(ACCEPT, accept);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.expose());
        }
        request.send().await.map_err(|error| explain(&error))
    }

    fn client(&self, url: &Url) -> Result<&Client, Failure> {
        let client = if url.scheme() == "https" {
            self.secure.get_or_init(|| build(true))
        } else {
            self.plain.get_or_init(|| build(false))
        };
        client
            .as_ref()
            .map_err(|why| Failure::Unreachable(why.clone()))
    }
}

/// Builds the client for `https`, or the one for this machine, which needs no certificates and no proxy.
fn build(is_secure: bool) -> Result<Client, String> {
    // The library would panic here.
    if CryptoProvider::get_default().is_none() {
        return Err("no TLS provider is installed".to_owned());
    }
    let builder = Client::builder()
        .user_agent(crate::edge::USER_AGENT)
        .connect_timeout(CONNECT)
        .referer(false)
        .redirect(Policy::custom(follow));
    let builder = if is_secure {
        builder.https_only(true)
    } else {
        builder.no_proxy().tls_certs_only([])
    };
    builder
        .build()
        .map_err(|error| format!("no HTTP client: {}", root_cause(&error)))
}

/// Follows few redirects, none that changes the scheme; the client drops the token when the host changes.
fn follow(attempt: Attempt<'_>) -> Action {
    let keeps_scheme = attempt
        .previous()
        .last()
        .is_some_and(|from| from.scheme() == attempt.url().scheme());
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if !keeps_scheme || !address::is_allowed(attempt.url()) {
        attempt.error("a redirect to an address that is not asked")
    } else {
        attempt.follow()
    }
}

/// Reads a body of at most [`MAX_BODY`] bytes.
///
/// # Errors
/// `Unusable` when it is longer, announced as longer, or cut.
pub async fn read_body(mut response: Response) -> Result<Vec<u8>, Failure> {
    let too_long = || Failure::Unusable(format!("more than {MAX_BODY} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_BODY as u64 {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn explain(error: &reqwest::Error) -> Failure {
    let why = root_cause(error);
    if error.is_redirect() {
        Failure::Unusable(why)
    } else if error.is_body() || error.is_decode() {
        Failure::Unusable(format!("the answer was cut: {why}"))
    } else {
        Failure::Unreachable(why)
    }
}

/// Returns the innermost reason on one short line; the outer ones repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = if error.source().is_some() {
        cause.to_string()
    } else {
        "the request failed".to_owned()
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_WHY)
        .collect()
}

//! One question over HTTP: no redirect is followed, no proxy used, no connection kept.

use std::error::Error as _;
use std::sync::OnceLock;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use rustls::crypto::CryptoProvider;

use crate::model::failure::Failure;

/// The clients, each built when first needed: loading the root certificates takes a while, and most of who is
/// asked is in the same cluster, without TLS.
#[derive(Debug, Default)]
pub struct Http {
    secure: OnceLock<Option<Client>>,
    plain: OnceLock<Option<Client>>,
}

impl Http {
    /// Sends one question and returns the answer's head.
    ///
    /// # Errors
    /// `Transport`; `Unreachable` where no client could be made.
    pub async fn get(&self, url: Url, headers: HeaderMap) -> Result<Response, Failure> {
        let client = if url.scheme() == "https" {
            self.secure.get_or_init(|| build(true))
        } else {
            self.plain.get_or_init(|| build(false))
        };
        let client = client.as_ref().ok_or(Failure::Unreachable)?;
        let sent = client.get(url).headers(headers).send().await;
        sent.inspect_err(tell).map_err(|_| Failure::Transport)
    }
}

/// Builds a client; the one without TLS needs no certificates.
fn build(is_secure: bool) -> Option<Client> {
    // The library would panic here.
    CryptoProvider::get_default()?;
    let builder = Client::builder()
        .user_agent(crate::edge::USER_AGENT)
        .referer(false)
        .redirect(Policy::none())
        // The environment of this process says nothing about where those are that settings and declarations name.
        .no_proxy()
        // Minutes lie between two questions: what is kept is half closed by then, and looks like a failure.
        .pool_max_idle_per_host(0);
    let builder = if is_secure {
        builder.https_only(true)
    } else {
        builder.tls_certs_only([])
    };
    builder
        .build()
        .inspect_err(|error| tracing::error!(%error, "no HTTP client could be made"))
        .ok()
}

/// Tells the operator what was in the way: the innermost reason, which names no address.
fn tell(error: &reqwest::Error) {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    if let Some(cause) = causes.last() {
        tracing::debug!(%cause, "no answer came over HTTP");
    }
}

//! A master over HTTP: the registry that it serves to everybody.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{StatusCode, Url};
use thiserror::Error;

use super::http::{Http, accepted, below};
use crate::model::failure::Failure;

/// How long a registry may take, from the name's look-up to the last byte.
const LIMIT: Duration = Duration::from_secs(15);
/// The largest registry, in bytes: some thousand challenges.
const MAX_REGISTRY: usize = 16 << 20;

const REGISTRY: &str = "/v1/registry";

/// What a master serves, as far as it is asked. Its bytes nobody has looked at.
#[async_trait]
pub trait Master: Send + Sync {
    /// Asks for the registry, unless it still has the tag that is `known`.
    ///
    /// # Errors
    /// It did not give one.
    async fn registry(&self, known: Option<&Tag>) -> Result<Fetched, Failure>;
}

/// What came of asking for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is what is known.
    Same,
    /// This is it.
    New {
        /// What it is to be asked for with, where the master says so.
        tag: Option<Tag>,
        /// Its bytes.
        body: Vec<u8>,
    },
}

/// The tag of a document's bytes, with its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// The longest tag.
const MAX_TAG: usize = 256;

impl Tag {
    /// Parses a tag: visible characters in quotes, `W/` before them or not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let quoted = text.strip_prefix("W/").unwrap_or(text);
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let is_plain = inner
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        (is_plain && text.len() <= MAX_TAG).then(|| Self(text.to_owned()))
    }

    /// Returns the tag as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an address is no master's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "an address such as https://chain.platform.network is expected, without a user or a password"
)]
pub struct AddressError;

/// A master reached over HTTP.
#[derive(Debug)]
pub struct HttpMaster {
    http: Http,
    registry: Url,
}

impl HttpMaster {
    /// Names a master by the address below which it serves. A TLS provider must be installed when it is asked.
    ///
    /// # Errors
    /// It is no address of HTTP, or holds credentials.
    pub fn at(base: &str) -> Result<Self, AddressError> {
        Ok(Self {
            http: Http::default(),
            registry: below(base, REGISTRY).ok_or(AddressError)?,
        })
    }
}

#[async_trait]
impl Master for HttpMaster {
    async fn registry(&self, known: Option<&Tag>) -> Result<Fetched, Failure> {
        let mut headers = accepted();
        if let Some(known) = known.and_then(|tag| HeaderValue::from_str(tag.as_str()).ok()) {
            headers.insert(IF_NONE_MATCH, known);
        }
        let url = self.registry.clone();
        let limits = (LIMIT, MAX_REGISTRY);
        let answer = self.http.ask(url, headers, limits, None).await?;
        match answer.status {
            StatusCode::OK => {
                let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                Ok(Fetched::New {
                    tag: tag.and_then(Tag::parse),
                    body: answer.body.into_bytes(),
                })
            }
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(Fetched::Same),
            status => Err(Failure::Http(status.as_u16())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_http_without_credentials() {
        for good in [
            "https://chain.platform.network",
            "http://127.0.0.1:8080/",
            "https://host/below/",
        ] {
            assert!(HttpMaster::at(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "chain.platform.network",
            "ftp://host",
            "https://user:canary@host",
            "https://host?x=1",
            "https://host#x",
        ] {
            let refused = HttpMaster::at(bad).map(drop);
            assert!(
                refused.is_err_and(|error| !error.to_string().contains("canary")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_tag_is_quoted_plain_and_bounded() {
        for good in ["\"a\"", "W/\"a-gzip\"", "\"\""] {
            assert_eq!(Tag::parse(good).unwrap().as_str(), good);
        }
        let long = format!("\"{}\"", "a".repeat(MAX_TAG));
        for bad in [
            "",
            "a",
            "\"",
            "\"a",
            "\"a\"b\"",
            "\"a\nb\"",
            "\"a b\"",
            long.as_str(),
        ] {
            assert_eq!(Tag::parse(bad), None, "{bad}");
        }
    }
}

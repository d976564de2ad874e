//! Image registries: the digest that a tag points at now, asked anonymously over the OCI distribution
//! protocol. One `HEAD` per tag, a token where the registry wants one, the manifest itself only when no
//! digest is given with the answer.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::model::{Digest, ImageRef, Secret};

mod address;
mod bearer;
#[cfg(test)]
pub mod fake;
mod fetch;
#[cfg(test)]
mod tests;

use address::Place;
use bearer::Demand;
use fetch::{Failure, Http};

/// How long one tag may take in all, its token and its redirects included: a person waits for it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Every form of manifest, lists first: a tag for many machines has the digest of its list.
const MANIFEST: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const JSON: &str = "application/json";

const DIGEST_HEADER: &str = "docker-content-digest";

/// Registries, as far as a pass needs them.
#[async_trait]
pub trait ImageRegistry: Send + Sync {
    /// Returns the digest that the image's tag points at now; `latest` when it names none.
    ///
    /// An image that names a digest already gets that one, and nobody is asked.
    ///
    /// # Errors
    /// Any [`ImagesError`].
    async fn digest(&self, image: &ImageRef) -> Result<Digest, ImagesError>;
}

/// Why the digest of a tag is not known. The texts are short and hold nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImagesError {
    /// The repository or the tag does not exist.
    #[error("the registry {registry} has no such tag")]
    NotFound {
        /// The host that was asked.
        registry: String,
    },
    /// Anonymous reading is not allowed. Many registries say so of what does not exist, too.
    #[error("the registry {registry} wants credentials, or has no such repository")]
    Denied {
        /// The host that was asked.
        registry: String,
    },
    /// No answer, not in time, or not now.
    #[error("the registry {registry} could not be reached: {why}")]
    Unreachable {
        /// The host that was asked.
        registry: String,
        /// The reason.
        why: String,
    },
    /// An answer that says nothing about the tag, or must not be used.
    #[error("the registry {registry} gave no usable answer: {why}")]
    BadAnswer {
        /// The host that was asked.
        registry: String,
        /// The reason.
        why: String,
    },
}

/// Registries reached over HTTP, without credentials.
#[derive(Debug)]
pub struct HttpRegistry {
    http: Http,
    deadline: Duration,
}

impl Default for HttpRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpRegistry {
    /// Makes a client; nothing is loaded or opened before the first question. A TLS provider must be
    /// installed by then, or each answer is `Unreachable` with that reason.
    #[must_use]
    pub fn new() -> Self {
        Self {
            http: Http::default(),
            deadline: DEADLINE,
        }
    }

    async fn fetch_digest(&self, place: &Place) -> Result<Digest, ImagesError> {
        let mut token = None;
        let head = self.fetch_manifest(Method::HEAD, place, &mut token).await?;
        let has_no_head = matches!(
            head.status(),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        );
        if !has_no_head {
            check_status(head.status(), place)?;
            if let Some(digest) = digest_of(head.headers()) {
                return Ok(digest);
            }
        }
        let answer = self.fetch_manifest(Method::GET, place, &mut token).await?;
        check_status(answer.status(), place)?;
        let told = digest_of(answer.headers());
        let body = fetch::read_body(answer)
            .await
            .map_err(|f| place.failed(f))?;
        hash_manifest(&body, told.as_ref()).map_err(|why| place.unusable(why))
    }

    /// Asks for the manifest, and once more with a token when that is what the answer demands.
    async fn fetch_manifest(
        &self,
        method: Method,
        place: &Place,
        token: &mut Option<Secret<HeaderValue>>,
    ) -> Result<Response, ImagesError> {
        let answer = self.ask(&method, place, token.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || token.is_some() {
            return Ok(answer);
        }
        let given = token.insert(self.fetch_token(place, answer.headers()).await?);
        self.ask(&method, place, Some(given)).await
    }

    async fn ask(
        &self,
        method: &Method,
        place: &Place,
        token: Option<&Secret<HeaderValue>>,
    ) -> Result<Response, ImagesError> {
        let url = place.manifest.clone();
        let answer = self.http.send(method.clone(), url, MANIFEST, token).await;
        answer.map_err(|failure| place.failed(failure))
    }

    async fn fetch_token(
        &self,
        place: &Place,
        headers: &HeaderMap,
    ) -> Result<Secret<HeaderValue>, ImagesError> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let url = match Demand::read(values, &place.manifest, &place.repository) {
            Demand::Token(url) => *url,
            Demand::Credentials => return Err(place.denied()),
            Demand::Refused => {
                return Err(place.unusable("it names a token address that is not asked"));
            }
        };
        let answer = self.http.send(Method::GET, url, JSON, None).await;
        let answer = answer.map_err(|f| place.failed(f.of("its token address")))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(place.unusable("its token address answered 404")),
            status => check_status(status, place)?,
        }
        let body = fetch::read_body(answer).await;
        let body = body.map_err(|f| place.failed(f.of("its token address")))?;
        parse_token(&body).ok_or_else(|| place.unusable("its token cannot be read"))
    }
}

#[async_trait]
impl ImageRegistry for HttpRegistry {
    async fn digest(&self, image: &ImageRef) -> Result<Digest, ImagesError> {
        if let Some(digest) = &image.digest {
            return Ok(digest.clone());
        }
        let place = Place::of(image)?;
        let late = || Failure::Unreachable(format!("no answer within {:?}", self.deadline));
        tokio::time::timeout(self.deadline, self.fetch_digest(&place))
            .await
            .map_err(|_| place.failed(late()))?
    }
}

impl Place {
    fn denied(&self) -> ImagesError {
        let registry = self.registry.clone();
        ImagesError::Denied { registry }
    }

    fn unusable(&self, why: &str) -> ImagesError {
        self.failed(Failure::Unusable(why.to_owned()))
    }

    fn failed(&self, failure: Failure) -> ImagesError {
        let registry = self.registry.clone();
        match failure {
            Failure::Unreachable(why) => ImagesError::Unreachable { registry, why },
            Failure::Unusable(why) => ImagesError::BadAnswer { registry, why },
        }
    }
}

impl Failure {
    fn of(self, whose: &str) -> Self {
        match self {
            Self::Unreachable(why) => Self::Unreachable(format!("{whose}: {why}")),
            Self::Unusable(why) => Self::Unusable(format!("{whose}: {why}")),
        }
    }
}

/// Overload and gateway errors count as unreachable: the whole registry answers so, not one tag.
fn check_status(status: StatusCode, place: &Place) -> Result<(), ImagesError> {
    let why = format!("it answered {}", status.as_u16());
    match status.as_u16() {
        200 => Ok(()),
        401 | 403 => Err(place.denied()),
        404 => Err(ImagesError::NotFound {
            registry: place.registry.clone(),
        }),
        429 | 502..=504 => Err(place.failed(Failure::Unreachable(why))),
        _ => Err(place.unusable(&why)),
    }
}

fn digest_of(headers: &HeaderMap) -> Option<Digest> {
    Digest::parse(headers.get(DIGEST_HEADER)?.to_str().ok()?).ok()
}

/// Hashes a manifest. Manifests of version 1 are refused: their digest is not the hash of their bytes;
/// and so is whatever a login page of the network answers in the registry's place.
fn hash_manifest(body: &[u8], told: Option<&Digest>) -> Result<Digest, &'static str> {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(rename = "schemaVersion")]
        version: u64,
    }
    let manifest: Manifest =
        serde_json::from_slice(body).map_err(|_| "the manifest cannot be read")?;
    if manifest.version != 2 {
        return Err("the manifest is not of version 2");
    }
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(body)));
    let digest = Digest::parse(&hash).map_err(|_| "the manifest cannot be hashed")?;
    if told.is_some_and(|told| *told != digest) {
        return Err("the manifest is not the one its digest names");
    }
    Ok(digest)
}

/// Reads a token; registries call it either way, and the specification prefers `token`.
fn parse_token(body: &[u8]) -> Option<Secret<HeaderValue>> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = [answer.token, answer.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(Secret::new(value))
}

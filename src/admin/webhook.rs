//! Whether a request comes from the git host that shares our secret. Pure.
//!
//! It says only that something was pushed: what, the source itself is asked.

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::model::Secret;

/// The largest body: more than any host sends for a push.
pub const MAX_BODY: usize = 1024 * 1024;

/// How GitHub, Gitea and GitLab sign.
const GITHUB: &str = "x-hub-signature-256";
const GITEA: &str = "x-gitea-signature";
const GITLAB: &str = "x-gitlab-token";

/// The secret that a git host and this process share.
#[derive(Clone, Debug)]
pub struct WebhookSecret(Secret<String>);

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No host that is known signs like that.
    Unsigned,
    /// It is not signed with our secret.
    Wrong,
}

/// Tells whether a request is signed at all, by whomever. The body of one that is not need not be read.
#[must_use]
pub fn is_signed(headers: &HeaderMap) -> bool {
    let known = [GITHUB, GITEA, GITLAB];
    known.iter().any(|name| headers.contains_key(*name))
}

/// Returns what a request is known by when it comes again: the digest of its body. A signature says nothing of headers,
/// so an id in one of them could be made up.
#[must_use]
pub fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

impl WebhookSecret {
    /// Returns the secret, unless it is empty: anybody could sign with that.
    #[must_use]
    pub fn new(secret: Secret<String>) -> Option<Self> {
        (!secret.expose().is_empty()).then_some(Self(secret))
    }

    /// Checks a request as GitHub, Gitea (HMAC over the body) and GitLab (the secret itself) sign it.
    ///
    /// # Errors
    /// It is not signed, or not by who knows the secret.
    pub fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(signature) = header(GITHUB) {
            return self.check_hmac(signature.strip_prefix("sha256="), body);
        }
        if let Some(signature) = header(GITEA) {
            return self.check_hmac(Some(signature), body);
        }
        let token = header(GITLAB).ok_or(Refused::Unsigned)?;
        // Digests are compared, so that the time it takes tells nothing of the secret.
        let is_ours = Sha256::digest(token) == Sha256::digest(self.0.expose());
        is_ours.then_some(()).ok_or(Refused::Wrong)
    }

    fn check_hmac(&self, signature: Option<&str>, body: &[u8]) -> Result<(), Refused> {
        let signature = signature
            .and_then(|hex| hex::decode(hex).ok())
            .ok_or(Refused::Wrong)?;
        let key = self.0.expose().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refused::Wrong)?;
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| Refused::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn secret() -> WebhookSecret {
        WebhookSecret::new(Secret::new("canary".to_owned())).unwrap()
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    fn signed(body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"canary").unwrap();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn each_host_is_known_by_its_way_of_signing() {
        let (secret, body) = (secret(), b"{}");
        let right = signed(body);
        for (name, value) in [
            ("x-hub-signature-256", format!("sha256={right}")),
            ("x-gitea-signature", right.clone()),
            ("x-gitlab-token", "canary".to_owned()),
        ] {
            let headers = headers(name, &value);
            assert_eq!(secret.check(&headers, body), Ok(()), "{name}");
            assert!(is_signed(&headers), "{name}");
        }
        for (name, value) in [
            ("x-hub-signature-256", right.clone()),
            ("x-hub-signature-256", format!("sha256={}", &right[2..])),
            ("x-hub-signature-256", String::new()),
            ("x-gitea-signature", signed(b"another body")),
            ("x-gitea-signature", "no hex".to_owned()),
            ("x-gitlab-token", "Canary".to_owned()),
            ("x-gitlab-token", String::new()),
        ] {
            let answer = secret.check(&headers(name, &value), body);
            assert_eq!(answer, Err(Refused::Wrong), "{name}: {value}");
        }
        assert_eq!(
            secret.check(&HeaderMap::new(), body),
            Err(Refused::Unsigned)
        );
        assert!(!is_signed(&headers("x-hub-signature", &right)));
    }

    #[test]
    fn an_empty_secret_is_none() {
        assert!(WebhookSecret::new(Secret::new(String::new())).is_none());
    }
}

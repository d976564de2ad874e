//! Whether a request comes from the git host that shares our secret. Pure.
//!
//! It says only that something was pushed: what, the source itself is asked.

use axum::http::HeaderMap;
use hex::FromHex as _;
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

/// What the head of a request has of a proof. The body of one that has nothing of it need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// All: it has the secret itself.
    Proven,
    /// The HMAC that the body is to have.
    Signed([u8; 32]),
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

    /// Reads what the head of a request has of a proof, as GitHub, Gitea (HMAC over the body) and GitLab (the secret
    /// itself) send it.
    ///
    /// # Errors
    /// It has none, or of a form that no host sends, or the secret is another.
    pub fn claim(&self, headers: &HeaderMap) -> Result<Claim, Refused> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(signature) = header(GITHUB) {
            return signed(signature.strip_prefix("sha256="));
        }
        if let Some(signature) = header(GITEA) {
            return signed(Some(signature));
        }
        let token = header(GITLAB).ok_or(Refused::Unsigned)?;
        // Digests are compared, so that the time it takes tells nothing of the secret.
        let is_ours = Sha256::digest(token) == Sha256::digest(self.0.expose());
        is_ours.then_some(Claim::Proven).ok_or(Refused::Wrong)
    }

    /// Checks that a claim is true of a body.
    ///
    /// # Errors
    /// It was not signed by who knows the secret.
    pub fn check(&self, claim: Claim, body: &[u8]) -> Result<(), Refused> {
        let Claim::Signed(signature) = claim else {
            return Ok(());
        };
        let key = self.0.expose().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refused::Wrong)?;
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| Refused::Wrong)
    }
}

fn signed(signature: Option<&str>) -> Result<Claim, Refused> {
    let signature = signature.and_then(|hex| <[u8; 32]>::from_hex(hex).ok());
    signature.map(Claim::Signed).ok_or(Refused::Wrong)
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

    fn hmac_of(body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"canary").unwrap();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn each_host_is_known_by_its_way_of_signing() {
        let (secret, body) = (secret(), b"{}");
        let check = |headers: &HeaderMap| {
            let claim = secret.claim(headers)?;
            secret.check(claim, body)
        };
        let right = hmac_of(body);
        for (name, value) in [
            ("x-hub-signature-256", format!("sha256={right}")),
            ("x-gitea-signature", right.clone()),
            ("x-gitlab-token", "canary".to_owned()),
        ] {
            assert_eq!(check(&headers(name, &value)), Ok(()), "{name}");
        }
        let other = hmac_of(b"another body");
        for (name, value) in [
            ("x-hub-signature-256", format!("sha256={other}")),
            ("x-gitea-signature", other),
        ] {
            let answer = check(&headers(name, &value));
            assert_eq!(answer, Err(Refused::Wrong), "{name}: {value}");
        }
        assert_eq!(check(&HeaderMap::new()), Err(Refused::Unsigned));
    }

    #[test]
    fn what_can_be_no_proof_is_known_without_the_body() {
        let right = hmac_of(b"{}");
        for (name, value) in [
            ("x-hub-signature-256", right.clone()),
            ("x-hub-signature-256", format!("sha256={}", &right[2..])),
            ("x-hub-signature-256", format!("sha256={right}00")),
            ("x-hub-signature-256", String::new()),
            ("x-gitea-signature", format!("sha256={right}")),
            ("x-gitea-signature", "no hex".to_owned()),
            ("x-gitlab-token", "Canary".to_owned()),
            ("x-gitlab-token", String::new()),
        ] {
            let claim = secret().claim(&headers(name, &value));
            assert_eq!(claim, Err(Refused::Wrong), "{name}: {value}");
        }
        let unknown = secret().claim(&headers("x-hub-signature", &right));
        assert_eq!(unknown, Err(Refused::Unsigned));
    }

    #[test]
    fn an_empty_secret_is_none() {
        assert!(WebhookSecret::new(Secret::new(String::new())).is_none());
    }
}

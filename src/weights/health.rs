//! Whether a challenge is fit to be asked: what its health and its version have to say. Nothing that it answers is
//! quoted.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use serde_json::{Map, Value};
use thiserror::Error;

use super::Failure;
use crate::edge::challenge::{Challenges, Place};
use crate::model::Slug;
use crate::spec::Platform;
use crate::spec::platform::{Challenge, Status};

/// Challenges that are asked side by side.
const AT_ONCE: usize = 32;

/// What a challenge must say of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Where it is.
    pub place: Place,
    /// The declared version of its interface.
    pub api_version: String,
    /// Its declared version.
    pub version: String,
    /// What it must be able to do.
    pub capabilities: Vec<String>,
}

/// How a challenge was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The challenge.
    pub slug: Slug,
    /// What is wrong with it, if anything is.
    pub fitness: Result<(), Unfit>,
}

/// Why a challenge is not fit to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It did not say how it is.
    #[error("its health could not be asked: {0}")]
    NoHealth(Failure),
    /// What it says is no JSON object.
    #[error("its health is no JSON object")]
    HealthForm,
    /// Its `status` is another one.
    #[error("its health has a `status` other than `ok` and `healthy`")]
    Unwell,
    /// Its `slug` is another one.
    #[error("its health has the `slug` of another challenge")]
    OtherSlug,
    /// It did not say what it is.
    #[error("its version could not be asked: {0}")]
    NoVersion(Failure),
    /// What it says is no JSON object.
    #[error("its version is no JSON object")]
    VersionForm,
    /// Its `api_version` is another one.
    #[error("its `api_version` is not the declared {0}")]
    OtherApi(String),
    /// Its `capabilities` are no list.
    #[error("its `capabilities` are no list")]
    CapabilitiesForm,
    /// Its `capabilities` lack one that is required.
    #[error("its `capabilities` lack {0}")]
    Lacks(String),
    /// Its `challenge_version` is another one.
    #[error("its `challenge_version` is not the declared {0}")]
    OtherVersion(String),
}

impl Expected {
    /// Returns what each active challenge of a declaration must say.
    #[must_use]
    pub fn all(platform: &Platform) -> Vec<Self> {
        let challenges = platform.challenges.values();
        let active = challenges.filter(|challenge| challenge.status == Status::Active);
        active.map(Self::of).collect()
    }

    fn of(challenge: &Challenge) -> Self {
        Self {
            place: Place {
                slug: challenge.slug.clone(),
                base: challenge.internal_base_url.clone(),
            },
            api_version: challenge.api_version.clone(),
            version: challenge.version.clone(),
            capabilities: challenge.required_capabilities.clone(),
        }
    }

    /// Judges what it answered to `/health`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_health(&self, body: &[u8]) -> Result<(), Unfit> {
        let health = object(body).ok_or(Unfit::HealthForm)?;
        match member(&health, "status") {
            None => {}
            Some(status) if status == "ok" || status == "healthy" => {}
            Some(_) => return Err(Unfit::Unwell),
        }
        match member(&health, "slug") {
            Some(slug) if slug != self.place.slug.as_str() => Err(Unfit::OtherSlug),
            _ => Ok(()),
        }
    }

    /// Judges what it answered to `/version`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_version(&self, body: &[u8]) -> Result<(), Unfit> {
        let said = object(body).ok_or(Unfit::VersionForm)?;
        let api_version = member(&said, "api_version").or_else(|| member(&said, "apiVersion"));
        if api_version.is_some_and(|version| version != self.api_version.as_str()) {
            return Err(Unfit::OtherApi(self.api_version.clone()));
        }
        if let Some(capabilities) = member(&said, "capabilities") {
            let listed = capabilities.as_array().ok_or(Unfit::CapabilitiesForm)?;
            let is_missing = |name: &&String| !listed.iter().any(|listed| listed == name.as_str());
            if let Some(missing) = self.capabilities.iter().find(is_missing) {
                return Err(Unfit::Lacks(missing.clone()));
            }
        }
        match member(&said, "challenge_version") {
            Some(version) if version != self.version.as_str() => {
                Err(Unfit::OtherVersion(self.version.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Asks each challenge how it is and what it is, once, some side by side.
pub async fn ask(client: &dyn Challenges, challenges: &[Expected]) -> Vec<Found> {
    let asked: Vec<BoxFuture<'_, Found>> = challenges
        .iter()
        .map(|expected| -> BoxFuture<'_, Found> { Box::pin(ask_one(client, expected)) })
        .collect();
    let mut found: Vec<Found> = stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    found.sort_by(|one, other| one.slug.cmp(&other.slug));
    found
}

async fn ask_one(client: &dyn Challenges, expected: &Expected) -> Found {
    let place = &expected.place;
    let (health, version) = futures::join!(client.get_health(place), client.get_version(place));
    let health = health.map_err(Unfit::NoHealth);
    let version = version.map_err(Unfit::NoVersion);
    let fitness = health
        .and_then(|body| expected.check_health(&body))
        .and(version)
        .and_then(|body| expected.check_version(&body));
    Found {
        slug: place.slug.clone(),
        fitness,
    }
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

/// Returns a member; null is as good as none.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            place: Place {
                slug: Slug::parse("demo").unwrap(),
                base: String::new(),
            },
            api_version: "1.0".to_owned(),
            version: "1.4.2".to_owned(),
            capabilities: ["get_weights", "proxy_routes"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn health_is_ok_or_healthy_or_says_nothing() {
        for good in [
            "{}",
            r#"{"status": "ok", "slug": "demo", "version": "9"}"#,
            r#"{"status": "healthy"}"#,
            r#"{"status": null, "slug": null, "more": [1]}"#,
        ] {
            assert_eq!(expected().check_health(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", Unfit::HealthForm),
            ("ok", Unfit::HealthForm),
            ("[]", Unfit::HealthForm),
            ("\"ok\"", Unfit::HealthForm),
            (r#"{"status": "OK"}"#, Unfit::Unwell),
            (r#"{"status": true}"#, Unfit::Unwell),
            (r#"{"status": "ok", "slug": "other"}"#, Unfit::OtherSlug),
            (r#"{"slug": 1}"#, Unfit::OtherSlug),
        ] {
            assert_eq!(expected().check_health(bad.as_bytes()), Err(why), "{bad}");
        }
    }

    #[test]
    fn version_is_the_declared_one_with_all_that_is_required() {
        for good in [
            "{}",
            r#"{"api_version": "1.0", "challenge_version": "1.4.2", "capabilities": ["proxy_routes", "x", "get_weights"]}"#,
            r#"{"apiVersion": "1.0"}"#,
            r#"{"capabilities": null, "sdk_version": "7"}"#,
        ] {
            assert_eq!(expected().check_version(good.as_bytes()), Ok(()), "{good}");
        }
        let lacks = |name: &str| Unfit::Lacks(name.to_owned());
        for (bad, why) in [
            ("null", Unfit::VersionForm),
            (
                r#"{"api_version": "2.0"}"#,
                Unfit::OtherApi("1.0".to_owned()),
            ),
            (r#"{"apiVersion": 1.0}"#, Unfit::OtherApi("1.0".to_owned())),
            (
                r#"{"capabilities": "get_weights"}"#,
                Unfit::CapabilitiesForm,
            ),
            (r#"{"capabilities": {}}"#, Unfit::CapabilitiesForm),
            (r#"{"capabilities": []}"#, lacks("get_weights")),
            (
                r#"{"capabilities": ["get_weights", 1]}"#,
                lacks("proxy_routes"),
            ),
            (
                r#"{"challenge_version": "1.4.3"}"#,
                Unfit::OtherVersion("1.4.2".to_owned()),
            ),
        ] {
            assert_eq!(expected().check_version(bad.as_bytes()), Err(why), "{bad}");
        }
    }
}

//! Whether a challenge is fit: what its health and its version have to say. Nothing that it answers is quoted.

pub mod rounds;

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;

use super::Failure;
use crate::edge::challenge::{Challenges, Place};
use crate::model::health::Fitness;
use crate::model::{Row, RowKey, Slug};

/// Challenges that are asked side by side.
const AT_ONCE: usize = 32;

/// What a challenge must say of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Where it is.
    pub place: Place,
    /// The declared version of its interface.
    pub api_version: String,
    /// Its declared version; empty where none is declared. Where that is no version, as `latest`, any is as good.
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
    /// When it had answered, or was waited for no more.
    pub asked_at: Timestamp,
}

/// Why a challenge is not fit.
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

impl Unfit {
    /// Returns it in one word.
    #[must_use]
    pub fn fitness(&self) -> Fitness {
        match self {
            Self::NoHealth(_) | Self::NoVersion(_) => Fitness::NoAnswer,
            Self::HealthForm | Self::Unwell | Self::OtherSlug => Fitness::Unwell,
            Self::VersionForm
            | Self::OtherApi(_)
            | Self::CapabilitiesForm
            | Self::Lacks(_)
            | Self::OtherVersion(_) => Fitness::Mismatched,
        }
    }
}

impl Expected {
    /// Returns what each active challenge of the registry must say. One that runs on a target is reached through
    /// that target alone, so nobody can say here how it is.
    #[must_use]
    pub fn active(rows: &BTreeMap<RowKey, Row>) -> Vec<Self> {
        let expected = rows.iter().filter_map(|(key, row)| match key {
            RowKey::Challenge(slug) if row.0["status"] == "active" => {
                let is_away = rows.contains_key(&RowKey::Assignment(slug.clone()));
                (!is_away).then(|| Self::of(slug, row)).flatten()
            }
            _ => None,
        });
        expected.collect()
    }

    fn of(slug: &Slug, row: &Row) -> Option<Self> {
        let text = |name: &str| row.0[name].as_str().map(str::to_owned);
        let capabilities = row.0["spec"]["required_capabilities"].as_array();
        let capabilities = capabilities.into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            place: Place {
                slug: slug.clone(),
                base: text("internal_base_url")?,
            },
            api_version: text("api_version")?,
            version: text("version")?,
            capabilities: capabilities.map(str::to_owned).collect(),
        })
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
            Some(version) if names_version(&self.version) => {
                match version.as_str().map(without_v) == Some(without_v(&self.version)) {
                    true => Ok(()),
                    false => Err(Unfit::OtherVersion(self.version.clone())),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Asks each challenge how it is and what it is, once, some side by side.
pub async fn ask(
    client: &dyn Challenges,
    challenges: &[&Expected],
    clock: fn() -> Timestamp,
) -> Vec<Found> {
    let asked: Vec<BoxFuture<'_, Found>> = challenges
        .iter()
        .map(|expected| -> BoxFuture<'_, Found> { Box::pin(ask_one(client, expected, clock)) })
        .collect();
    let mut found: Vec<Found> = stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    found.sort_by(|one, other| one.slug.cmp(&other.slug));
    found
}

async fn ask_one(client: &dyn Challenges, expected: &Expected, clock: fn() -> Timestamp) -> Found {
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
        asked_at: clock(),
    }
}

/// Tells whether a declared version is one: it comes from the image's tag, which may be `latest`.
fn names_version(declared: &str) -> bool {
    without_v(declared).starts_with(|first: char| first.is_ascii_digit())
}

/// A version is written `1.4.2` or, as tags mostly are, `v1.4.2`.
fn without_v(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
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
    fn what_is_active_is_expected_as_its_row_says() {
        let row = |status: &str| {
            Row(serde_json::json!({
                "status": status, "version": "1.4.2", "api_version": "1.0",
                "internal_base_url": "",
                "spec": {"required_capabilities": ["get_weights", "proxy_routes"]},
            }))
        };
        let slug = |text: &str| Slug::parse(text).unwrap();
        let target = Row(serde_json::json!({"target": "gpu", "gpu_count": 1}));
        let rows = BTreeMap::from([
            (RowKey::Challenge(slug("demo")), row("active")),
            (RowKey::Challenge(slug("stopped")), row("inactive")),
            (RowKey::Challenge(slug("away")), row("active")),
            (RowKey::Assignment(slug("away")), target),
        ]);
        assert_eq!(Expected::active(&rows), [expected()]);
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
        let with_v = br#"{"challenge_version": "v1.4.2"}"#;
        assert_eq!(expected().check_version(with_v), Ok(()));
        let of_tag = Expected {
            version: "v1.4.2".to_owned(),
            ..expected()
        };
        let without_v = br#"{"challenge_version": "1.4.2"}"#;
        assert_eq!(of_tag.check_version(without_v), Ok(()));
        let other = br#"{"challenge_version": "1.4.3"}"#;
        assert!(of_tag.check_version(other).is_err());
        for declared in ["", "latest", "main", "vanilla"] {
            let any = Expected {
                version: declared.to_owned(),
                ..expected()
            };
            assert_eq!(any.check_version(other), Ok(()), "{declared}");
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

//! How challenges were found when they were last asked how they are and what they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Slug;

/// How each challenge was found that was asked.
pub type AllHealth = BTreeMap<Slug, Health>;

/// How a challenge was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it is fit, in one word.
    pub fitness: Fitness,
    /// What is wrong with it, in words of the platform; nothing where nothing is.
    pub why: String,
    /// Since when its fitness is that.
    pub since: Timestamp,
    /// When it was last asked, to the minute.
    pub asked_at: Timestamp,
    /// Until when that tells how it is: whoever asks has asked again several times by then.
    pub holds_until: Timestamp,
    /// The declared version that it was asked for.
    pub version: String,
}

/// Whether a challenge is fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fitness {
    /// It is well, and what it is declared to be.
    Fit,
    /// It gave no answer that could be used.
    NoAnswer,
    /// It says that it is not well, or that it is another challenge.
    Unwell,
    /// It is well, and not what it is declared to be.
    Mismatched,
}

impl Fitness {
    /// Returns its name, as the database and every form of output spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::NoAnswer => "no_answer",
            Self::Unwell => "unwell",
            Self::Mismatched => "mismatched",
        }
    }

    /// Returns what to do about it; nothing where nothing is to be done.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Fit => "",
            Self::NoAnswer => "does it serve /health and /version where `internal_base_url` says?",
            Self::Unwell => "its own log says why",
            Self::Mismatched => {
                "declare what it says at /version, or run the image that says what is declared"
            }
        }
    }
}

/// What is known of a challenge's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// It was not asked, or not for the version that is declared now.
    NotAsked,
    /// It was not asked for so long that nobody knows how it is.
    Outdated(&'a Health),
    /// It was asked of late.
    Found(&'a Health),
}

impl<'a> Known<'a> {
    /// Judges what was found of a challenge of this declared version.
    #[must_use]
    pub fn of(found: Option<&'a Health>, version: &str, now: Timestamp) -> Self {
        match found.filter(|health| health.version == version) {
            None => Self::NotAsked,
            Some(health) if now >= health.holds_until => Self::Outdated(health),
            Some(health) => Self::Found(health),
        }
    }

    /// Returns it in one word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotAsked | Self::Outdated(_) => "unknown",
            Self::Found(health) => health.fitness.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_how_a_challenge_is_for_its_version_and_for_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let health = Health {
            fitness: Fitness::Unwell,
            why: String::new(),
            since: at(0),
            asked_at: at(100),
            holds_until: at(280),
            version: "1.0.0".to_owned(),
        };
        let word = |found, version, second| Known::of(found, version, at(second)).as_str();
        for (found, version, second, expected) in [
            (None, "1.0.0", 100, "unknown"),
            (Some(&health), "1.0.0", 100, "unwell"),
            (Some(&health), "1.0.0", 279, "unwell"),
            (Some(&health), "1.0.0", 280, "unknown"),
            (Some(&health), "1.0.1", 100, "unknown"),
            // A clock that was set back makes no answer old.
            (Some(&health), "1.0.0", 1, "unwell"),
        ] {
            assert_eq!(word(found, version, second), expected, "{version} {second}");
        }
        assert_eq!(Known::of(None, "1.0.0", at(0)), Known::NotAsked);
        let outdated = Known::of(Some(&health), "1.0.0", at(300));
        assert_eq!(outdated, Known::Outdated(&health));
    }
}

//! Which image of a challenge is to run: the declared one, or the one before it where that did not become ready.

use sha2::{Digest as _, Sha256};

use super::registry;
use super::resolved::Resolved;
use crate::model::rollout::Rollout;
use crate::model::{ImageRef, Item, ObjectKey};
use crate::spec::platform::{Challenge, OnFailure};

/// How the image of a challenge that runs is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rolled {
    /// The workload that runs it.
    pub workload: ObjectKey,
    /// The database that the workload needs, if the platform keeps one.
    pub database: Option<ObjectKey>,
    /// The image that is to run.
    pub image: ImageRef,
    /// What is at stake, where the challenge is to return to an earlier image.
    pub trial: Option<Trial>,
    /// What is known of the images before.
    pub known: Rollout,
    /// Why another image than the declared one is to run, where that is so.
    pub instead: Option<String>,
}

/// What a new image has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The image.
    pub image: ImageRef,
    /// The digest of the challenge's declaration.
    pub declared: String,
    /// How long it may take to become ready, in seconds.
    pub seconds: u32,
}

impl Rolled {
    /// Returns what is to be kept once the image is ready, where that is something new: it is the last good one,
    /// and what failed before under another declaration is forgotten.
    #[must_use]
    pub fn when_ready(&self) -> Option<Rollout> {
        let failed = self.known.failed.clone();
        let ready = Rollout {
            good: Some(self.image.clone()),
            failed: failed.filter(|_| self.instead.is_some()),
        };
        (ready != self.known).then_some(ready)
    }
}

/// Returns what a challenge puts at stake with its declared image, if it is to return to an earlier one.
pub(super) fn trial(resolved: &Resolved<'_>) -> Option<Trial> {
    let rollout = resolved.challenge.rollout;
    (rollout.on_failure == OnFailure::Rollback).then(|| Trial {
        image: resolved.image.clone(),
        declared: declared(resolved),
        seconds: rollout.timeout_seconds,
    })
}

/// Returns the challenge as it is to run instead, and why, where its declared image was given up.
pub(super) fn fall_back(
    challenge: &Challenge,
    trial: Option<&Trial>,
    known: &Rollout,
) -> Option<(Challenge, String)> {
    let (trial, failed, good) = (trial?, known.failed.as_ref()?, known.good.as_ref()?);
    let is_it = failed.image == trial.image && failed.declared == trial.declared;
    if !is_it || *good == trial.image {
        return None;
    }
    let mut before = challenge.clone();
    // A version that was written down stays: nobody knows what it was before.
    if trial.image.tag.as_ref() == Some(&challenge.version) {
        before.version = good.tag.clone().unwrap_or_default();
    }
    before.image = good.clone();
    Some((before, failed.told(&challenge.slug, good)))
}

/// Returns how the image of a challenge is rolled out.
pub(super) fn rolled(
    resolved: &Resolved<'_>,
    (workload, database): (ObjectKey, Option<ObjectKey>),
    (trial, known): (Option<Trial>, Rollout),
    instead: Option<String>,
) -> Rolled {
    let has_other = known
        .good
        .as_ref()
        .is_some_and(|good| *good != resolved.image);
    Rolled {
        workload,
        database,
        image: resolved.image.clone(),
        trial: trial.filter(|_| has_other),
        known,
        instead,
    }
}

/// Returns the digest of what is declared of a challenge. Its emission is declared beside it.
fn declared(resolved: &Resolved<'_>) -> String {
    let Item::Row(mut row) = registry::challenge_row(resolved) else {
        return String::new();
    };
    if let Some(members) = row.0.as_object_mut() {
        members.remove("emission_percent");
    }
    hex::encode(Sha256::digest(row.0.to_string()))
}

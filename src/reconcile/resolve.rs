//! Facts a declaration only points at: the digest behind a mutable tag, where a challenge is placed.
//!
//! A fact that cannot be found out is a reason, not a failure of the pass: the challenge that needs it
//! is withheld, so nothing of it is touched, and all others go on. That holds for the default database
//! image too. A tag is never used as it stands when its registry is away: two nodes could then run two
//! versions under one name. Whoever works without a network pins digests, as the example does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures::StreamExt as _;
use futures::stream;

use crate::edge::images::{ImageRegistry, ImagesError};
use crate::model::{ClusterName, Digest, ImageRef, Slug, TargetId};
use crate::spec::Platform;
use crate::spec::platform::{Challenge, Database};

mod placement;
#[cfg(test)]
mod tests;

/// How many tags are asked for at once: a first pass is quick, and no registry takes it for an attack.
const AT_ONCE: usize = 8;

/// Which target holds which challenge, with the GPUs it was given.
pub type Assignments = BTreeMap<Slug, (TargetId, u32)>;

/// What a pass has found out before it builds objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The digest behind each image that was declared without one; or why it is not known.
    pub digests: BTreeMap<ImageRef, Result<Digest, String>>,
    /// What stood behind such an image for an earlier revision, where it is not known for this one: for what is kept as
    /// it is beside a challenge that is stopped.
    pub earlier: BTreeMap<ImageRef, Digest>,
    /// The cluster of each challenge that runs elsewhere than here; or why it can run nowhere.
    pub placements: BTreeMap<Slug, Result<ClusterName, String>>,
}

impl Facts {
    /// Returns the assignments to keep after this pass, given those before it.
    ///
    /// A challenge that found no place stays noted where it was, because it still runs there; one that
    /// is no longer declared, or runs here now, is noted nowhere.
    #[must_use]
    pub fn assignments(&self, platform: &Platform, current: &Assignments) -> Assignments {
        let note = |(slug, place): (&Slug, &Result<ClusterName, String>)| {
            let noted = match place {
                Ok(ClusterName::Target(id)) => {
                    (id.clone(), gpus_of(platform.challenges.get(slug)?))
                }
                Ok(ClusterName::Local) => return None,
                Err(_) => current.get(slug)?.clone(),
            };
            Some((slug.clone(), noted))
        };
        self.placements.iter().filter_map(note).collect()
    }

    /// Takes what was known of images for earlier revisions.
    pub fn take_earlier(&mut self, mut known: BTreeMap<ImageRef, Digest>) {
        known.retain(|image, _| matches!(self.digests.get(image), Some(Err(_))));
        self.earlier = known;
    }

    /// Returns the digests that are known, to be kept for this revision.
    #[must_use]
    pub fn known_digests(&self) -> BTreeMap<ImageRef, Digest> {
        let known = self.digests.iter();
        known
            .filter_map(|(image, digest)| Some((image.clone(), digest.as_ref().ok()?.clone())))
            .collect()
    }
}

/// Finds out what `platform` only points at.
///
/// Every image declared without a digest gets an entry, drafts included. `known` (the digests kept for
/// this revision) is used first; the rest is asked for, each image once. Under the production policy
/// nobody is asked. `current` are the assignments of the last pass.
pub async fn resolve(
    platform: &Platform,
    images: &dyn ImageRegistry,
    known: &BTreeMap<ImageRef, Digest>,
    current: &Assignments,
) -> Facts {
    Facts {
        digests: fetch_digests(platform, images, known).await,
        earlier: BTreeMap::new(),
        placements: placement::place(platform, current),
    }
}

async fn fetch_digests(
    platform: &Platform,
    images: &dyn ImageRegistry,
    known: &BTreeMap<ImageRef, Digest>,
) -> BTreeMap<ImageRef, Result<Digest, String>> {
    let is_policy = platform.environment.enforces_policy();
    let away = Mutex::new(BTreeMap::new());
    let answer = |image: ImageRef| {
        let away = &away;
        async move {
            let found = match known.get(&image) {
                _ if is_policy => Err(unknown(&image, "the production policy follows no tag")),
                Some(digest) => Ok(digest.clone()),
                None => ask(images, &image, away)
                    .await
                    .map_err(|error| explain(&image, &error)),
            };
            (image, found)
        }
    };
    stream::iter(list_unpinned(platform))
        .map(answer)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// Asks a registry unless it was found away before: its other tags would each wait as long.
async fn ask(
    images: &dyn ImageRegistry,
    image: &ImageRef,
    away: &Mutex<BTreeMap<String, ImagesError>>,
) -> Result<Digest, ImagesError> {
    let seen = || {
        away.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let known = seen().get(&image.registry).cloned();
    if let Some(error) = known {
        return Err(error);
    }
    let answer = images.digest(image).await;
    if let Err(error @ ImagesError::Unreachable { .. }) = &answer {
        seen().insert(image.registry.clone(), error.clone());
    }
    answer
}

/// Returns the images that are declared without a digest.
#[must_use]
pub fn list_unpinned(platform: &Platform) -> BTreeSet<ImageRef> {
    let images = platform.challenges.values().flat_map(|challenge| {
        let database = match &challenge.database {
            Database::Managed(postgres) => Some(&postgres.image),
            Database::Sqlite | Database::External(_) => None,
        };
        [Some(&challenge.image), database].into_iter().flatten()
    });
    images
        .filter(|image| image.digest.is_none())
        .cloned()
        .collect()
}

fn explain(image: &ImageRef, error: &ImagesError) -> String {
    match error {
        ImagesError::NotFound { .. } => format!("{image}: {error}; correct the tag, or push it"),
        _ => unknown(image, &error.to_string()),
    }
}

fn unknown(image: &ImageRef, why: &str) -> String {
    format!("{image}: {why}; pin the digest: write `@sha256:<64 hex>` behind it")
}

fn gpus_of(challenge: &Challenge) -> u32 {
    challenge.resources.gpu_count.unwrap_or(0)
}

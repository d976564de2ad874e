//! A challenge joined with the facts: where it goes and which digests it runs. After this step nothing can fail.

use k8s_openapi::api::core::v1::Toleration;
use serde::Deserialize as _;

use crate::model::{ClusterName, ImageRef, Kind, ObjectKey, Slug};
use crate::reconcile::resolve::Facts;
use crate::spec::Platform;
use crate::spec::platform::{Challenge, Database, Placement, Postgres, Status};

/// A challenge of which everything is known.
pub(super) struct Resolved<'a> {
    /// What was declared.
    pub(super) challenge: &'a Challenge,
    /// The image, with its digest if it is to run.
    pub(super) image: ImageRef,
    /// The managed Postgres, if there is one, and its image with the digest.
    pub(super) postgres: Option<(&'a Postgres, ImageRef)>,
    /// The cluster.
    pub(super) cluster: ClusterName,
    /// The namespace on that cluster.
    pub(super) namespace: &'a str,
    /// Where pods may run on that cluster.
    pub(super) placement: &'a Placement,
    /// The placement's tolerations.
    pub(super) tolerations: Vec<Toleration>,
    /// The target's storage class; goes before a declared one, which names a class of the local cluster.
    pub(super) target_storage_class: Option<&'a str>,
    /// Where challenges reach the broker.
    pub(super) broker_url: &'a str,
}

impl<'a> Resolved<'a> {
    /// Joins a challenge with the facts.
    ///
    /// # Errors
    /// The reason, with the remedy, why nothing can be decided for this challenge now.
    pub(super) fn new(
        challenge: &'a Challenge,
        platform: &'a Platform,
        facts: &Facts,
    ) -> Result<Self, String> {
        let cluster = match facts.placements.get(&challenge.slug) {
            None => ClusterName::Local,
            Some(placed) => placed.clone()?,
        };
        let (namespace, placement, target_storage_class) = match &cluster {
            ClusterName::Local => (platform.namespace.as_str(), &challenge.placement, None),
            ClusterName::Target(id) => {
                let target = platform.targets.get(id).ok_or_else(|| {
                    format!("it is placed on target {id}, which is not declared; declare it under `targets`")
                })?;
                (
                    target.namespace.as_str(),
                    &target.placement,
                    target.storage_class.as_deref(),
                )
            }
        };
        Ok(Self {
            challenge,
            image: challenge_image(challenge, facts)?,
            postgres: managed_postgres(challenge, facts)?,
            cluster,
            namespace,
            placement,
            tolerations: tolerations(placement)?,
            target_storage_class,
            broker_url: &platform.broker.url,
        })
    }

    /// Returns the slug.
    pub(super) fn slug(&self) -> &'a Slug {
        &self.challenge.slug
    }

    /// Returns the key of an object on this challenge's cluster, in its namespace.
    pub(super) fn key(&self, kind: Kind, name: String) -> ObjectKey {
        ObjectKey {
            cluster: self.cluster.clone(),
            kind,
            namespace: self.namespace.to_owned(),
            name,
        }
    }
}

/// Returns the image to run. A challenge that does not run is not withheld for want of a digest, or it could
/// not be stopped while the registry is away.
fn challenge_image(challenge: &Challenge, facts: &Facts) -> Result<ImageRef, String> {
    match pinned(&challenge.image, facts) {
        Err(_) if challenge.status != Status::Active => Ok(challenge.image.clone()),
        found => found,
    }
}

fn managed_postgres<'a>(
    challenge: &'a Challenge,
    facts: &Facts,
) -> Result<Option<(&'a Postgres, ImageRef)>, String> {
    match &challenge.database {
        Database::Managed(postgres) => {
            let image = postgres_image(&postgres.image, challenge.status, facts)?;
            Ok(Some((postgres, image)))
        }
        Database::Sqlite | Database::External(_) => Ok(None),
    }
}

/// Returns the image of a database. That of a challenge that is stopped goes on with the digest that it has, for the
/// same reason.
fn postgres_image(image: &ImageRef, status: Status, facts: &Facts) -> Result<ImageRef, String> {
    match (pinned(image, facts), facts.earlier.get(image)) {
        (Err(_), Some(earlier)) if status != Status::Active => {
            Ok(image.with_digest(earlier.clone()))
        }
        (found, _) => found,
    }
}

fn pinned(image: &ImageRef, facts: &Facts) -> Result<ImageRef, String> {
    if image.digest.is_some() {
        return Ok(image.clone());
    }
    match facts.digests.get(image) {
        Some(Ok(digest)) => Ok(image.with_digest(digest.clone())),
        Some(Err(why)) => Err(why.clone()),
        None => Err(format!("{image} was not looked up")),
    }
}

fn tolerations(placement: &Placement) -> Result<Vec<Toleration>, String> {
    let read = |value| Toleration::deserialize(value);
    placement.tolerations.iter().map(read).collect::<Result<_, _>>().map_err(|error| {
        format!("a toleration has not the Kubernetes form: {error}; write `{{key, operator, value, effect}}`")
    })
}

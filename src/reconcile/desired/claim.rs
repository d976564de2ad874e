//! Claims, in templates and alone.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetPersistentVolumeClaimRetentionPolicy;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::Quantity;

/// Returns a claim.
pub(super) fn claim(
    metadata: ObjectMeta,
    size: &Quantity,
    class: Option<&str>,
    access: &str,
) -> PersistentVolumeClaim {
    let size = Amount(size.as_str().to_owned());
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![access.to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                limits: None,
            }),
            storage_class_name: class.map(str::to_owned),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// Returns a claim as a StatefulSet's template: with what the server would add, for the list of templates
/// is compared as one value. A template has no namespace.
pub(super) fn template(mut claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
    claim.metadata.namespace = None;
    claim.status = Some(PersistentVolumeClaimStatus {
        phase: Some("Pending".to_owned()),
        ..PersistentVolumeClaimStatus::default()
    });
    claim
}

/// Returns the policy under which neither deleting nor scaling a StatefulSet deletes its claims.
pub(super) fn retained() -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}

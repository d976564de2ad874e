//! The namespace that objects go to: made when missing, never changed, never deleted.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::manifest::{MANAGED_BY, text_map};
use crate::model::{ClusterName, FIELD_MANAGER, Item, Kind, Object, ObjectKey, document::Document};

/// Returns the key of a namespace.
pub(super) fn key(cluster: &ClusterName, name: &str) -> ObjectKey {
    ObjectKey {
        cluster: cluster.clone(),
        kind: Kind::Namespace,
        namespace: String::new(),
        name: name.to_owned(),
    }
}

/// Returns a namespace in which the API server itself refuses pods below the level `restricted`.
pub(super) fn namespace(name: &str) -> Item {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(text_map([
                (MANAGED_BY, FIELD_MANAGER),
                ("pod-security.kubernetes.io/enforce", "restricted"),
                ("pod-security.kubernetes.io/enforce-version", "latest"),
            ])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Item::CreateOnly(Object {
        ownership: None,
        manifest: Document::of(namespace),
    })
}

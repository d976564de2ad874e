//! What all pods share: the security that admits them at the Pod Security level `restricted`, and their placement.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, LocalObjectReference, PodSecurityContext, PodSpec, SeccompProfile,
    SecurityContext, Volume,
};

use super::resolved::Resolved;
use crate::spec::platform::Placement;

/// Returns a pod whose processes run as user and group `id`, without rights on node and API server.
/// Refusals are written although they are the defaults, so that nobody can turn them round unseen.
pub(super) fn pod_spec(
    resolved: &Resolved<'_>,
    id: i64,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        containers,
        // The variables of other challenges' Services are no part of the promised environment.
        enable_service_links: Some(false),
        host_ipc: Some(false),
        host_network: Some(false),
        host_pid: Some(false),
        image_pull_secrets: pull_secrets(resolved.placement),
        node_selector: not_empty(resolved.placement.node_selector.clone()),
        security_context: Some(pod_security(id)),
        tolerations: Some(resolved.tolerations.clone()),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// Returns the security of a container that runs as user and group `id`.
pub(super) fn container_security(id: i64) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        privileged: Some(false),
        // Challenges write beside `/data` too, and Postgres its socket.
        read_only_root_filesystem: Some(false),
        run_as_group: Some(id),
        run_as_non_root: Some(true),
        run_as_user: Some(id),
        ..SecurityContext::default()
    }
}

fn pod_security(id: i64) -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(id),
        // A volume that is right already is not walked again: that takes minutes on a large one.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_group: Some(id),
        run_as_non_root: Some(true),
        run_as_user: Some(id),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn pull_secrets(placement: &Placement) -> Option<Vec<LocalObjectReference>> {
    let names = placement.image_pull_secrets.iter().cloned();
    Some(names.map(|name| LocalObjectReference { name }).collect())
}

fn not_empty<K, V>(
    map: std::collections::BTreeMap<K, V>,
) -> Option<std::collections::BTreeMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

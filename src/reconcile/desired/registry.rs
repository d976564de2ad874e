//! Rows of the registry: what is declared, with the effective values that shape objects. No secret stands here.

use serde_json::{Value, json};

use super::resolved::Resolved;
use crate::model::{ClusterName, Item, Row};
use crate::spec::platform::{Challenge, Database, Mode, Reach, Target};

/// Returns a challenge's row.
pub(super) fn challenge_row(resolved: &Resolved<'_>) -> Item {
    let challenge = resolved.challenge;
    Item::Row(Row(json!({
        "name": challenge.name,
        "description": challenge.description,
        "status": challenge.status,
        "emission_percent": challenge.emission.to_string(),
        "version": challenge.version,
        "api_version": challenge.api_version,
        "image": resolved.image.to_string(),
        "internal_base_url": challenge.internal_base_url,
        "spec": challenge_spec(resolved, challenge),
    })))
}

/// Returns a target's row; its credentials are named, not held.
pub(super) fn target_row(target: &Target) -> Item {
    let mode = match &target.reach {
        Reach::Direct { .. } => "direct",
        Reach::Agent { .. } => "agent",
    };
    Item::Row(Row(json!({
        "mode": mode,
        "enabled": target.enabled,
        "draining": target.draining,
        "verify_tls": target.verify_tls,
        "gpu_count": target.gpu_count,
        "spec": {
            "reach": target.reach,
            "description": target.description,
            "namespace": target.namespace,
            "service_account": target.service_account,
            "timeout_seconds": target.timeout_seconds,
            "labels": target.labels,
            "storage_class": target.storage_class,
            "placement": target.placement,
        },
    })))
}

/// Returns the row that says on which target a challenge runs, unless it runs here.
pub(super) fn assignment_row(resolved: &Resolved<'_>) -> Option<Item> {
    let ClusterName::Target(target) = &resolved.cluster else {
        return None;
    };
    let gpu_count = resolved.challenge.resources.gpu_count.unwrap_or(0);
    Some(Item::Row(Row(
        json!({"target": target, "gpu_count": gpu_count}),
    )))
}

fn challenge_spec(resolved: &Resolved<'_>, challenge: &Challenge) -> Value {
    let mut storage = json!(challenge.storage);
    if let Some(class) = resolved.target_storage_class {
        storage["class"] = class.into();
    }
    json!({
        "namespace": resolved.namespace,
        "port": challenge.port,
        "required_capabilities": challenge.required_capabilities,
        "resources": challenge.resources,
        "volumes": challenge.volumes,
        "env": challenge.env,
        "secrets": challenge.secrets,
        "metadata": challenge.metadata,
        "worker": challenge.worker,
        "database": database(resolved),
        "storage": storage,
        "mode": mode(&challenge.mode),
        "placement": resolved.placement,
        "broker": challenge.broker,
        "updates": challenge.updates,
        "drift": challenge.drift,
        "rollout": challenge.rollout,
        "proxy": challenge.proxy,
    })
}

fn database(resolved: &Resolved<'_>) -> Value {
    match (&resolved.challenge.database, &resolved.postgres) {
        (Database::Managed(declared), Some((_, image))) => json!({
            "kind": "managed",
            "image": image,
            "storage_size": declared.storage_size,
            "storage_class": resolved.target_storage_class.or(declared.storage_class.as_deref()),
            "resources": declared.resources,
        }),
        (Database::External(reference), _) => json!({"kind": "external", "url": reference}),
        (Database::Managed(_) | Database::Sqlite, _) => json!({"kind": "sqlite"}),
    }
}

fn mode(mode: &Mode) -> Value {
    match mode {
        Mode::StatefulSet => json!({"kind": "statefulset"}),
        Mode::Deployment { autoscaling } => {
            json!({"kind": "deployment", "autoscaling": autoscaling})
        }
    }
}

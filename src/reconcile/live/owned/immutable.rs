//! Fields the server never lets anyone change: known before any request, never read out of a 422.

use serde_json::Value;

use super::{
    difference::{Difference, Effect, Values},
    path::{FieldPath, Segment},
    quantity, record,
};

/// All that may change in a StatefulSet's `spec`.
const STATEFUL_SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// All that may change in a claim's `spec`; `resources` only to more, see [`is_refused`].
const CLAIM_MUTABLE: [&str; 2] = ["resources", "volumeAttributesClassName"];

/// Tells whether the field at this path can never change once the object exists.
///
/// By path only. A Secret's or ConfigMap's `immutable` may be set once; [`is_refused`] knows that, and
/// also which changes depend on the values.
pub fn immutable(kind: &str, path: &FieldPath) -> bool {
    match kind {
        "StatefulSet" => is_below_spec_except(path, &STATEFUL_SET_MUTABLE),
        "PersistentVolumeClaim" => is_below_spec_except(path, &CLAIM_MUTABLE),
        "Deployment" => path.starts_with(&["spec", "selector"]),
        "Job" => path.starts_with(&["spec", "template"]),
        "Service" => path.starts_with(&["spec", "clusterIP"]),
        "Secret" => path.is(&["type"]) || path.is(&["immutable"]),
        "ConfigMap" => path.is(&["immutable"]),
        "RoleBinding" | "ClusterRoleBinding" => path.starts_with(&["roleRef"]),
        _ => false,
    }
}

/// Tells whether the server would refuse to make this difference good, whatever else is applied.
///
/// False where only ownership would change: giving a value its owner back is always accepted.
pub fn is_refused(kind: &str, difference: &Difference, live: &Value) -> bool {
    if difference.effect() == Effect::Ownership {
        return false;
    }
    let path = difference.path();
    match kind {
        "Secret" | "ConfigMap" if !path.is(&["type"]) => {
            is_sealed(live) && !path.starts_with(&["metadata"])
        }
        "PersistentVolumeClaim" if path.starts_with(&["spec", "resources", "requests"]) => {
            !is_bound(live) || is_shrinking(difference)
        }
        _ => immutable(kind, path),
    }
}

fn is_below_spec_except(path: &FieldPath, mutable: &[&str]) -> bool {
    match path.segments() {
        [spec, Segment::Name(name), ..] => {
            spec.is_name("spec") && !mutable.contains(&name.as_str())
        }
        _ => false,
    }
}

fn is_sealed(live: &Value) -> bool {
    live.get("immutable") == Some(&Value::Bool(true))
}

fn is_bound(live: &Value) -> bool {
    live.get("status")
        .is_some_and(|status| record::text(status, "phase") == "Bound")
}

fn is_shrinking(difference: &Difference) -> bool {
    let Values::Shown {
        want: Some(want),
        live: Some(live),
    } = difference.values()
    else {
        return false;
    };
    match (quantity::thousandths(want), quantity::thousandths(live)) {
        (Some(want), Some(live)) => want < live,
        _ => false,
    }
}

//! The autoscaler of a Deployment: the built-in one or KEDA's, never both.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use serde_json::{Value, json};

use super::manifest::{metadata, object};
use super::resolved::Resolved;
use crate::model::{Component, Item, Kind, names};
use crate::spec::platform::{Autoscaling, Engine, Mode};

/// Returns the autoscaler, if one is due, with its kind.
pub(super) fn autoscaler(resolved: &Resolved<'_>) -> Option<(Kind, Item)> {
    let Mode::Deployment {
        autoscaling: Some(scaling),
    } = &resolved.challenge.mode
    else {
        return None;
    };
    Some(match scaling.engine {
        Engine::Hpa => (
            Kind::HorizontalPodAutoscaler,
            object(
                resolved,
                Component::ChallengeHpa,
                built_in(resolved, scaling),
            ),
        ),
        Engine::Keda => (
            Kind::ScaledObject,
            object(
                resolved,
                Component::ChallengeScaledObject,
                scaled_object(resolved, scaling),
            ),
        ),
    })
}

fn built_in(resolved: &Resolved<'_>, scaling: &Autoscaling) -> HorizontalPodAutoscaler {
    let name = names::workload(resolved.slug());
    HorizontalPodAutoscaler {
        metadata: metadata(resolved, name.clone(), Component::ChallengeHpa),
        spec: HorizontalPodAutoscalerSpec {
            max_replicas: count(scaling.max_replicas),
            metrics: Some(vec![MetricSpec {
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        average_utilization: Some(count(scaling.target_cpu_utilization)),
                        type_: "Utilization".to_owned(),
                        ..MetricTarget::default()
                    },
                }),
                type_: "Resource".to_owned(),
                ..MetricSpec::default()
            }]),
            min_replicas: Some(count(scaling.min_replicas)),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(Kind::Deployment.api_version().to_owned()),
                kind: Kind::Deployment.as_str().to_owned(),
                name,
            },
            ..HorizontalPodAutoscalerSpec::default()
        },
        status: None,
    }
}

/// KEDA's kind has no generated type.
fn scaled_object(resolved: &Resolved<'_>, scaling: &Autoscaling) -> Value {
    let name = names::workload(resolved.slug());
    json!({
        "apiVersion": Kind::ScaledObject.api_version(),
        "kind": Kind::ScaledObject.as_str(),
        "metadata": metadata(resolved, name.clone(), Component::ChallengeScaledObject),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": Kind::Deployment.api_version(),
                "kind": Kind::Deployment.as_str(),
                "name": name,
            },
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "triggers": [{
                "type": "cpu",
                "metricType": "Utilization",
                "metadata": {"value": scaling.target_cpu_utilization.to_string()},
            }],
        },
    })
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

//! The challenge itself: token Secret, Service, workload and the `/data` claim.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateStatefulSetStrategy, StatefulSet,
    StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    Secret, Service, ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::claim::{claim, retained, template};
use super::environment::{environment, secrets_mount, secrets_volume};
use super::manifest::{
    IMAGE_DIGEST, add_version, annotate, generated, instance_labels, instance_selector, metadata,
    object, owned, workload_labels,
};
use super::pod::{container_security, pod_spec};
use super::resolved::Resolved;
use crate::model::{Component, Item, item::Recipe, names};
use crate::spec::platform::{Access, Mode};

/// The user and group of a challenge's processes.
const USER: i64 = 1000;
const PORT_NAME: &str = "http";
const HEALTH_PATH: &str = "/health";
/// Notes for who wonders where the declared ceilings went.
const NOTES: [(&str, &str); 2] = [
    (
        "platform.network/kubernetes-pid-semantics",
        "pids_limit is not a PodSpec field; enforce it in the cluster or by admission",
    ),
    (
        "platform.network/kubernetes-swap-semantics",
        "memory_swap is not a PodSpec field; enforce it in the cluster or by admission",
    ),
];

/// Returns the Secret with the challenge's two tokens.
pub(super) fn token_secret(resolved: &Resolved<'_>) -> Item {
    let name = names::token_secret(resolved.slug());
    let secret = Secret {
        metadata: metadata(resolved, name, Component::ChallengeSecret),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    generated(resolved, Component::ChallengeSecret, secret, Recipe::Tokens)
}

/// Returns the stable address.
pub(super) fn service(resolved: &Resolved<'_>) -> Item {
    let name = names::workload(resolved.slug());
    let port = i32::from(resolved.challenge.port);
    let service = cluster_service(resolved, name, Component::Challenge, PORT_NAME, port);
    object(resolved, Component::Challenge, service)
}

/// Returns a Service of type `ClusterIP` before the pods of the workload of the same name.
pub(super) fn cluster_service(
    resolved: &Resolved<'_>,
    name: String,
    component: Component,
    port_name: &str,
    port: i32,
) -> Service {
    let spec = ServiceSpec {
        ports: Some(vec![ServicePort {
            name: Some(port_name.to_owned()),
            port,
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::Int(port)),
            ..ServicePort::default()
        }]),
        selector: Some(instance_labels(&name)),
        type_: Some("ClusterIP".to_owned()),
        ..ServiceSpec::default()
    };
    Service {
        metadata: metadata(resolved, name, component),
        spec: Some(spec),
        status: None,
    }
}

/// Returns the workload of the declared mode.
pub(super) fn workload(resolved: &Resolved<'_>) -> Item {
    match &resolved.challenge.mode {
        Mode::StatefulSet => object(resolved, Component::Challenge, stateful_set(resolved)),
        Mode::Deployment { autoscaling } => {
            // An autoscaler writes the replicas; whoever else does so fights it at every pass.
            let replicas = autoscaling.is_none().then_some(1);
            object(
                resolved,
                Component::Challenge,
                deployment(resolved, replicas),
            )
        }
    }
}

/// Returns the `/data` claim of Deployment mode, under the name of the one a StatefulSet would make.
pub(super) fn data_claim(resolved: &Resolved<'_>) -> Item {
    let claim = data_claim_named(resolved, names::data_claim(resolved.slug()));
    Item::CreateOnly(owned(resolved, Component::ChallengeData, claim))
}

fn data_claim_named(resolved: &Resolved<'_>, name: String) -> PersistentVolumeClaim {
    let storage = &resolved.challenge.storage;
    let class = resolved.target_storage_class.or(storage.class.as_deref());
    let access = match storage.access {
        Access::ReadWriteOnce => "ReadWriteOnce",
        Access::ReadWriteMany => "ReadWriteMany",
    };
    let metadata = metadata(resolved, name, Component::ChallengeData);
    claim(metadata, &storage.size, class, access)
}

fn stateful_set(resolved: &Resolved<'_>) -> StatefulSet {
    let name = names::workload(resolved.slug());
    let data = data_claim_named(resolved, names::DATA_CLAIM_TEMPLATE.to_owned());
    StatefulSet {
        metadata: workload_metadata(resolved, &name),
        spec: Some(StatefulSetSpec {
            selector: instance_selector(&name),
            service_name: Some(name.clone()),
            template: pod_template(resolved, &name, vec![]),
            volume_claim_templates: Some(vec![template(data)]),
            ..single_replica()
        }),
        status: None,
    }
}

/// Returns the settings of every StatefulSet: one pod, claims that stay.
pub(super) fn single_replica() -> StatefulSetSpec {
    StatefulSetSpec {
        persistent_volume_claim_retention_policy: Some(retained()),
        // For one pod this changes the order of nothing; but under `OrderedReady` a pod that never
        // became ready is not replaced when its image is corrected.
        pod_management_policy: Some("Parallel".to_owned()),
        replicas: Some(1),
        update_strategy: Some(StatefulSetUpdateStrategy {
            rolling_update: Some(RollingUpdateStatefulSetStrategy {
                partition: Some(0),
                ..RollingUpdateStatefulSetStrategy::default()
            }),
            type_: Some("RollingUpdate".to_owned()),
        }),
        ..StatefulSetSpec::default()
    }
}

fn deployment(resolved: &Resolved<'_>, replicas: Option<i32>) -> Deployment {
    let name = names::workload(resolved.slug());
    let data = Volume {
        name: names::DATA_CLAIM_TEMPLATE.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: names::data_claim(resolved.slug()),
            read_only: None,
        }),
        ..Volume::default()
    };
    Deployment {
        metadata: workload_metadata(resolved, &name),
        spec: Some(DeploymentSpec {
            replicas,
            selector: instance_selector(&name),
            // Old and new pod must not hold one claim at once.
            strategy: Some(DeploymentStrategy {
                rolling_update: None,
                type_: Some("Recreate".to_owned()),
            }),
            template: pod_template(resolved, &name, vec![data]),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn workload_metadata(resolved: &Resolved<'_>, name: &str) -> ObjectMeta {
    let mut meta = metadata(resolved, name.to_owned(), Component::Challenge);
    meta.labels = Some(workload_labels(resolved.slug(), Component::Challenge, name));
    add_version(&mut meta, &resolved.challenge.version);
    add_digest(&mut meta, resolved);
    meta
}

fn pod_template(resolved: &Resolved<'_>, name: &str, data: Vec<Volume>) -> PodTemplateSpec {
    let mut meta = ObjectMeta {
        labels: Some(workload_labels(resolved.slug(), Component::Challenge, name)),
        ..ObjectMeta::default()
    };
    add_version(&mut meta, &resolved.challenge.version);
    add_digest(&mut meta, resolved);
    for (key, note) in NOTES {
        annotate(&mut meta, key, note);
    }
    let volumes = data.into_iter().chain([secrets_volume(resolved.challenge)]);
    PodTemplateSpec {
        metadata: Some(meta),
        spec: Some(PodSpec {
            runtime_class_name: resolved.placement.runtime_class_name.clone(),
            ..pod_spec(resolved, USER, containers(resolved), volumes.collect())
        }),
    }
}

fn add_digest(meta: &mut ObjectMeta, resolved: &Resolved<'_>) {
    if let Some(digest) = &resolved.image.digest {
        annotate(meta, IMAGE_DIGEST, digest.as_str());
    }
}

fn containers(resolved: &Resolved<'_>) -> Vec<Container> {
    let mut resources = resources(resolved);
    let worker = resolved.challenge.worker.as_ref().map(|command| Container {
        command: Some(command.clone()),
        ..container(resolved, "worker", resources.clone())
    });
    // GPUs on both containers would take twice the declared number.
    if let Some(count) = resolved.challenge.resources.gpu_count {
        let name = resolved.placement.gpu_resource_name.clone();
        let limits = resources.limits.get_or_insert_default();
        limits.insert(name, Amount(count.to_string()));
    }
    let main = Container {
        liveness_probe: Some(health_probe(resolved.challenge.port)),
        ports: Some(vec![ContainerPort {
            container_port: i32::from(resolved.challenge.port),
            name: Some(PORT_NAME.to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(health_probe(resolved.challenge.port)),
        ..container(resolved, "challenge", resources)
    };
    std::iter::once(main).chain(worker).collect()
}

/// Returns what both containers share.
fn container(resolved: &Resolved<'_>, name: &str, resources: ResourceRequirements) -> Container {
    let data = VolumeMount {
        mount_path: "/data".to_owned(),
        name: names::DATA_CLAIM_TEMPLATE.to_owned(),
        ..VolumeMount::default()
    };
    Container {
        env: Some(environment(resolved)),
        image: Some(resolved.image.to_string()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        name: name.to_owned(),
        resources: Some(resources),
        security_context: Some(container_security(USER)),
        volume_mounts: Some(vec![data, secrets_mount()]),
        ..Container::default()
    }
}

fn resources(resolved: &Resolved<'_>) -> ResourceRequirements {
    let declared = &resolved.challenge.resources;
    let amounts: BTreeMap<_, _> = [("cpu", &declared.cpu), ("memory", &declared.memory)]
        .into_iter()
        .map(|(name, amount)| (name.to_owned(), Amount(amount.as_str().to_owned())))
        .collect();
    ResourceRequirements {
        limits: Some(amounts.clone()),
        requests: Some(amounts),
        ..ResourceRequirements::default()
    }
}

fn health_probe(port: u16) -> Probe {
    Probe {
        failure_threshold: Some(6),
        http_get: Some(HTTPGetAction {
            path: Some(HEALTH_PATH.to_owned()),
            port: IntOrString::Int(i32::from(port)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(10),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

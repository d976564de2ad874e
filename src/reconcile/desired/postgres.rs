//! The managed Postgres of a challenge: Secret, Service, StatefulSet with its claim. Never shared, never resized.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, ObjectFieldSelector,
    PersistentVolumeClaim, PodTemplateSpec, Probe, ResourceRequirements, Secret, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::challenge::{cluster_service, single_replica};
use super::claim::{claim, template};
use super::environment::{plain_env, secret_env};
use super::manifest::{
    IMAGE_DIGEST, annotate, generated, instance_selector, labels, mark_kept, metadata, object,
    workload_labels,
};
use super::pod::{container_security, pod_spec};
use super::resolved::Resolved;
use crate::model::{Component, ImageRef, Item, Quantity, item::Recipe, names};
use crate::spec::platform::{PodResources, Postgres, SecretRef};

/// The port of every managed Postgres.
pub(super) const PORT: u16 = 5432;

/// The user and group `postgres` of the Alpine image.
const USER: i64 = 70;
const DATA_PATH: &str = "/var/lib/postgresql/data";
/// A directory below the mount, which on some volumes holds `lost+found`.
const PGDATA: &str = "/var/lib/postgresql/data/pgdata";

/// A query with the stored user and password, over the pod's own address: the image trusts the socket and
/// loopback, where any password would do.
const READY: &str = r#"PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=3 psql -X -w -q -h "$POD_IP" -U "$POSTGRES_USER" -d "$POSTGRES_DB" -tAc 'SELECT 1' >/dev/null"#;
/// Fails only when nothing answers (2): a server that is still recovering refuses (1), and killing that
/// would make it begin again for ever.
const ALIVE: &str = "pg_isready -q -t 3; test $? -ne 2";
/// Nothing answers while the first start fills the directory, and a kill there leaves half a database.
const FIRST_START_SECONDS: i32 = 120;

/// Returns the Secret with user, password and URL.
pub(super) fn secret(resolved: &Resolved<'_>) -> Item {
    let slug = resolved.slug();
    let component = Component::ChallengePostgresSecret;
    let secret = Secret {
        metadata: mark_kept(metadata(resolved, names::postgres_secret(slug), component)),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let recipe = Recipe::Postgres {
        host: names::postgres(slug),
        claim: names::postgres_claim(slug),
    };
    generated(resolved, component, secret, recipe)
}

/// Returns the stable address.
pub(super) fn service(resolved: &Resolved<'_>) -> Item {
    let name = names::postgres(resolved.slug());
    let component = Component::ChallengePostgres;
    let service = cluster_service(resolved, name, component, "postgres", i32::from(PORT));
    object(resolved, component, service)
}

/// Returns the StatefulSet.
pub(super) fn stateful_set(resolved: &Resolved<'_>, postgres: &Postgres, image: &ImageRef) -> Item {
    let name = names::postgres(resolved.slug());
    let component = Component::ChallengePostgres;
    let pod_labels = workload_labels(resolved.slug(), component, &name);
    let mut meta = metadata(resolved, name.clone(), component);
    meta.labels = Some(pod_labels.clone());
    let mut pod_meta = ObjectMeta {
        labels: Some(pod_labels),
        ..ObjectMeta::default()
    };
    if let Some(digest) = &image.digest {
        annotate(&mut meta, IMAGE_DIGEST, digest.as_str());
        annotate(&mut pod_meta, IMAGE_DIGEST, digest.as_str());
    }
    let containers = vec![container(resolved, postgres, image)];
    let set = StatefulSet {
        metadata: meta,
        spec: Some(StatefulSetSpec {
            selector: instance_selector(&name),
            service_name: Some(name),
            template: PodTemplateSpec {
                metadata: Some(pod_meta),
                spec: Some(pod_spec(resolved, USER, containers, vec![])),
            },
            volume_claim_templates: Some(vec![template(data_claim(resolved, postgres))]),
            ..single_replica()
        }),
        status: None,
    };
    object(resolved, component, set)
}

fn data_claim(resolved: &Resolved<'_>, postgres: &Postgres) -> PersistentVolumeClaim {
    let metadata = ObjectMeta {
        name: Some(names::postgres_claim_template(resolved.slug())),
        labels: Some(labels(resolved.slug(), Component::ChallengePostgresData)),
        ..ObjectMeta::default()
    };
    let declared = postgres.storage_class.as_deref();
    let class = resolved.target_storage_class.or(declared);
    claim(
        mark_kept(metadata),
        &postgres.storage_size,
        class,
        "ReadWriteOnce",
    )
}

fn container(resolved: &Resolved<'_>, postgres: &Postgres, image: &ImageRef) -> Container {
    Container {
        env: Some(environment(resolved)),
        image: Some(image.to_string()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(FIRST_START_SECONDS),
            ..probe(ALIVE)
        }),
        name: "postgres".to_owned(),
        ports: Some(vec![ContainerPort {
            container_port: i32::from(PORT),
            name: Some("postgres".to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(probe(READY)),
        resources: resources(&postgres.resources),
        security_context: Some(container_security(USER)),
        volume_mounts: Some(vec![VolumeMount {
            mount_path: DATA_PATH.to_owned(),
            name: names::postgres_claim_template(resolved.slug()),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// Returns the environment, sorted by name.
fn environment(resolved: &Resolved<'_>) -> Vec<EnvVar> {
    let stored = |key: &str| {
        let secret = names::postgres_secret(resolved.slug());
        secret_env(
            key,
            &SecretRef {
                secret,
                key: key.to_owned(),
            },
        )
    };
    let pod_ip = EnvVar {
        name: "POD_IP".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "status.podIP".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    vec![
        plain_env("PGDATA", PGDATA),
        pod_ip,
        stored("POSTGRES_DB"),
        stored("POSTGRES_PASSWORD"),
        stored("POSTGRES_USER"),
    ]
}

fn probe(script: &str) -> Probe {
    let command = ["sh", "-c", script].map(str::to_owned);
    Probe {
        exec: Some(ExecAction {
            command: Some(command.to_vec()),
        }),
        failure_threshold: Some(6),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn resources(declared: &PodResources) -> Option<ResourceRequirements> {
    let amounts = |from: &BTreeMap<String, Quantity>| {
        let amount = |(name, amount): (&String, &Quantity)| {
            (name.clone(), Amount(amount.as_str().to_owned()))
        };
        (!from.is_empty()).then(|| from.iter().map(amount).collect())
    };
    (*declared != PodResources::default()).then(|| ResourceRequirements {
        limits: amounts(&declared.limits),
        requests: amounts(&declared.requests),
        ..ResourceRequirements::default()
    })
}

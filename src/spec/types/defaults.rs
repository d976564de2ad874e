//! What a challenge or a target does not say itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Autoscaling, Mode, PodResources, StorageAccess, Text, Toleration};

/// What a challenge or a target does not say itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// StatefulSet or Deployment. Default: `statefulset`.
    pub challenge_mode: Option<Mode>,
    /// The size of `/data` volumes. Default: `10Gi`.
    pub storage_size: Option<Text>,
    /// The storage class of volumes. Default: the cluster's.
    pub storage_class: Option<String>,
    /// How many nodes may mount `/data` volumes. Default: `ReadWriteOnce`.
    pub storage_access: Option<StorageAccess>,
    /// Managed Postgres databases.
    pub postgres: Option<DefaultPostgres>,
    /// Autoscalers of challenges in Deployment mode.
    pub autoscaling: Option<Autoscaling>,
    /// Labels that a node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, in the Kubernetes form.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// The runtime class of pods.
    pub runtime_class_name: Option<String>,
    /// Secrets with registry credentials.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// The account that acts on targets that name none. Default: `platform-master`.
    pub service_account: Option<String>,
    /// What a target does not say itself; before the fields above.
    pub target_defaults: Option<TargetDefaults>,
}

/// Managed Postgres databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultPostgres {
    /// Whether challenges that say nothing get one; otherwise SQLite on `/data`. Default: true.
    pub enabled: Option<bool>,
    /// The image. Default outside production: `postgres:16-alpine`.
    pub image: Option<String>,
    /// The size of its volume. Default: `10Gi`.
    pub storage_size: Option<Text>,
    /// The storage class of its volume. Default: `defaults.storage_class`.
    pub storage_class: Option<String>,
    /// Requests and limits of its container. Default: none.
    pub resources: Option<PodResources>,
    /// Removed challenges keep their database volume: always `true`. `platform purge` deletes it.
    pub retain_pvc: Option<bool>,
    /// Removed challenges keep their database password: always `true`. `platform purge` deletes it.
    pub retain_secret: Option<bool>,
}

/// What a target does not say itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetDefaults {
    /// Labels that a node must have, over those of `defaults`.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, in the Kubernetes form.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// The runtime class of pods.
    pub runtime_class_name: Option<String>,
    /// Secrets with registry credentials.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// The name under which nodes offer GPUs. Default: `broker.gpu_resource_name`.
    pub gpu_resource_name: Option<String>,
}

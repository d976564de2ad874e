//! A challenge as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{SecretRef, Text};

/// A challenge.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The name shown to people. Default: the slug.
    pub name: Option<String>,
    /// The version shown to people. Default: the image's tag.
    pub version: Option<String>,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// The image. Production wants `ghcr.io/<repository>:<semver>@sha256:<64 hex>`.
    #[schemars(required)]
    pub image: Option<String>,
    /// Whether it runs. Default: `draft`.
    pub status: Option<Status>,
    /// The API version that its `/version` must answer. Default: `1.0`.
    pub api_version: Option<String>,
    /// Where the platform reaches it. Default: `http://challenge-<slug>:8000`.
    pub internal_base_url: Option<String>,
    /// What its `/version` must list. Default: `get_weights` and `proxy_routes`.
    pub required_capabilities: Option<Vec<String>>,
    /// What it may use.
    pub resources: Option<Resources>,
    /// Named volumes, kept for the registry document.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// Environment variables. No secrets: those go to `secrets`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Secret values by the name the challenge sees: each a reference to a Secret, mounted as
    /// `/run/secrets/platform/<name>`.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// Free metadata; `tagline`, `docs_url` and their like are public.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    /// A second container with the same image.
    pub worker: Option<Worker>,
    /// Where its relational data is. Default: `managed`.
    pub database: Option<Database>,
    /// The Secret that holds the URL of an external database; its value is a Postgres URL.
    pub database_secret: Option<SecretRef>,
    /// Its managed Postgres, where it differs from `defaults.postgres`.
    pub postgres: Option<Postgres>,
    /// The size of its `/data` volume. Default: `defaults.storage_size`.
    pub storage_size: Option<Text>,
    /// The storage class of its `/data` volume. Default: `defaults.storage_class`.
    pub storage_class: Option<String>,
    /// How many nodes may mount its `/data` volume. Default: `defaults.storage_access`.
    pub storage_access: Option<StorageAccess>,
    /// StatefulSet or Deployment. Default: `defaults.challenge_mode`.
    pub challenge_mode: Option<Mode>,
    /// Its autoscaler, where it differs from `defaults.autoscaling`. Deployments only.
    pub autoscaling: Option<Autoscaling>,
    /// Its limits at the broker.
    pub broker: Option<BrokerLimits>,
    /// Whether new image versions are committed. Default: off.
    pub updates: Option<Updates>,
    /// What happens when somebody else changes its objects. Default: `correct`.
    pub drift: Option<Drift>,
    /// How long a new image may take to become ready, and what happens when it does not.
    pub rollout: Option<Rollout>,
    /// How the public door treats it.
    pub proxy: Option<Proxy>,
}

/// Whether a challenge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is made for it, and nothing of it is public.
    Draft,
    /// It runs.
    Active,
    /// Its workload is stopped.
    Inactive,
    /// Its workload is stopped.
    Disabled,
}

/// What a challenge may use. The short names in brackets are the same fields under an older name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU, request and limit: `2`, `0.5` or `500m`. Default outside production: 2.
    pub cpu: Option<Text>,
    /// Same as `cpu`.
    pub cpus: Option<Text>,
    /// Memory, request and limit: `4Gi` or `512Mi`. Default outside production: `4Gi`.
    pub memory: Option<Text>,
    /// Swap. Kubernetes has no field for it: only `4g` or the same as `memory` is accepted.
    pub memory_swap: Option<Text>,
    /// Same as `memory_swap`.
    pub memswap_limit: Option<Text>,
    /// Processes. Kubernetes has no field for it: only 512 is accepted.
    pub pids_limit: Option<Text>,
    /// Same as `pids_limit`.
    pub pids: Option<Text>,
    /// GPUs, one or more.
    pub gpu_count: Option<Text>,
    /// Same as `gpu_count`.
    pub gpus: Option<Text>,
    /// The target it must run on.
    pub target: Option<String>,
    /// Device ids with commas between them; metadata only.
    pub gpu_device_ids: Option<Text>,
    /// GPU capabilities with commas between them; metadata only.
    pub gpu_capabilities: Option<Text>,
}

/// A second container with the same image, environment, volumes and resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Its command, a list of texts.
    #[schemars(required)]
    pub command: Option<Vec<String>>,
}

/// Where a challenge's relational data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Database {
    /// A Postgres of its own, kept by the platform.
    Managed,
    /// A file on `/data`; refused in production.
    Sqlite,
    /// A Postgres elsewhere, its URL in `database_secret`.
    External,
}

/// A managed Postgres.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Its image; with a digest in production.
    pub image: Option<String>,
    /// The size of its volume.
    pub storage_size: Option<Text>,
    /// The storage class of its volume.
    pub storage_class: Option<String>,
    /// Requests and limits of its container.
    pub resources: Option<PodResources>,
}

/// Requests and limits by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodResources {
    /// What is reserved.
    #[serde(default)]
    pub requests: BTreeMap<String, Text>,
    /// What is the most.
    #[serde(default)]
    pub limits: BTreeMap<String, Text>,
}

/// How many nodes may mount a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum StorageAccess {
    /// One node.
    ReadWriteOnce,
    /// Many nodes; needed for more than one replica.
    ReadWriteMany,
}

/// The kind of a challenge's workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One replica.
    #[serde(rename = "statefulset")]
    StatefulSet,
    /// One replica, or an autoscaler's.
    Deployment,
}

/// An autoscaler for challenges in Deployment mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoscaling {
    /// Whether there is one. Default: true.
    pub enabled: Option<bool>,
    /// Whether it is KEDA's. Default: false.
    pub keda_enabled: Option<bool>,
    /// The fewest replicas. Default: 1.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<u32>,
    /// The most replicas. Default: 3.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<u32>,
    /// The CPU utilisation to hold, in percent. Default: 70.
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization: Option<u32>,
}

/// A challenge's limits at the broker. What is left out is unlimited. This version runs no broker: they are kept in the
/// registry and have no effect yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerLimits {
    /// How many of its jobs run at a time.
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<u32>,
    /// How long one of its jobs runs, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: Option<u32>,
}

/// Whether new image versions are committed. They are never patched into a running cluster. This version commits none:
/// it is kept in the registry and has no effect yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Updates {
    /// What is committed. Default: `off`.
    pub policy: Option<UpdatePolicy>,
    /// The range of versions for `semver`, such as `^2`.
    pub range: Option<String>,
}

/// What is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdatePolicy {
    /// Nothing.
    Off,
    /// The digest of a bare tag, once.
    Pin,
    /// New versions within `range`.
    Semver,
}

/// What happens when somebody else changes a challenge's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// The declared value is put back.
    Correct,
    /// It is shown, and left.
    Report,
}

/// How long a new image may take to become ready, and what happens when it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// What a running controller does with an image that is not ready in time. Default: `hold`.
    pub on_failure: Option<OnFailure>,
    /// How long that is, in seconds. Default: 600.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: Option<u32>,
}

/// What happens to an image that is not ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It stays.
    Hold,
    /// The image that was ready last comes back, until the challenge is declared otherwise.
    Rollback,
}

/// How the public door treats a challenge. This version has no public door: it is kept in the registry and has no
/// effect yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Paths that are refused, beside those refused for all: `/benchmark-executions`.
    pub deny: Option<Vec<String>>,
    /// Routes that keep the miner's signature: `PUT /submissions/{id}/env`.
    pub signed: Option<Vec<String>>,
    /// Paths that are sent to another path: `/leaderboard: /v1/leaderboard`.
    pub rewrite: Option<BTreeMap<String, String>>,
}

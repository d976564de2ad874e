//! `platform.yaml` as checked: every default filled in, every reference resolved. Only [`super::check`]
//! makes one, so whoever holds a [`Platform`] need not check anything again.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::model::{Emission, ImageRef, Quantity, Share, Slug, TargetId};

/// A checked declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// Development, staging or production; production also where the reader's settings demand its policy.
    pub environment: Environment,
    /// Where objects go on the local cluster.
    pub namespace: String,
    /// The subnet.
    pub network: Network,
    /// The declared challenges.
    pub challenges: BTreeMap<Slug, Challenge>,
    /// The declared targets.
    pub targets: BTreeMap<TargetId, Target>,
    /// What the broker may do.
    pub broker: Broker,
    /// The guards of a pass.
    pub safety: Safety,
}

impl Platform {
    /// Returns a challenge's share among those that are active; zero for any other.
    #[must_use]
    pub fn share(&self, slug: &Slug) -> Share {
        let counts = |challenge: &&Challenge| challenge.status == Status::Active;
        let part = self
            .challenges
            .get(slug)
            .filter(counts)
            .map(|c| c.emission)
            .unwrap_or_default();
        Share::of(
            part,
            self.challenges.values().filter(counts).map(|c| c.emission),
        )
    }
}

/// Which policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Mutable tags and SQLite are allowed.
    Development,
    /// As production.
    Staging,
    /// The production policy.
    Production,
}

impl Environment {
    /// Tells whether the production policy is on.
    #[must_use]
    pub fn enforces_policy(self) -> bool {
        !matches!(self, Self::Development)
    }
}

/// The subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The network's name in the registry document.
    pub name: String,
    /// The subnet's number.
    pub netuid: u16,
    /// The chain's WebSocket address.
    pub chain_endpoint: Option<String>,
    /// The UID that takes what nobody gets.
    pub burn_uid: u16,
    /// The master's own UID, informational.
    pub master_uid: u16,
    /// The version key of submitted weights.
    pub version_key: u64,
    /// A file that stands for the chain's metagraph.
    pub metagraph_file: Option<String>,
}

/// A challenge with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// Its name.
    pub slug: Slug,
    /// The name shown to people; the slug unless declared.
    pub name: String,
    /// The version shown to people; the image's tag unless declared, empty when there is none.
    pub version: String,
    /// The API version its `/version` must answer.
    pub api_version: String,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// The image as declared.
    pub image: ImageRef,
    /// Whether it runs.
    pub status: Status,
    /// Its relative share.
    pub emission: Emission,
    /// Where the platform reaches it.
    pub internal_base_url: String,
    /// The port of that address.
    pub port: u16,
    /// What its `/version` must list.
    pub required_capabilities: Vec<String>,
    /// What it may use.
    pub resources: Resources,
    /// Named volumes, kept for the registry document.
    pub volumes: BTreeMap<String, String>,
    /// Author's environment, free of secrets and of names the platform owns.
    pub env: BTreeMap<String, String>,
    /// Values that stand in cluster Secrets, by the name the challenge sees.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Free metadata.
    pub metadata: BTreeMap<String, Value>,
    /// The command of the second container.
    pub worker: Option<Vec<String>>,
    /// Where its relational data is.
    pub database: Database,
    /// Its `/data` volume.
    pub storage: Storage,
    /// StatefulSet or Deployment.
    pub mode: Mode,
    /// Where its pods may run.
    pub placement: Placement,
    /// Its limits at the broker.
    pub broker: BrokerLimits,
    /// Whether new versions are committed.
    pub updates: Updates,
    /// What happens when somebody else changes its objects.
    pub drift: Drift,
    /// What happens to a new image that does not become ready.
    pub rollout: Rollout,
    /// How the public door treats it.
    pub proxy: Proxy,
}

/// Whether a challenge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is made for it, and nothing of it is in the public registry.
    Draft,
    /// It runs.
    Active,
    /// Its workload is stopped.
    Inactive,
    /// Its workload is stopped.
    Disabled,
}

/// A key of a Secret in the platform's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretRef {
    /// The Secret's name.
    pub secret: String,
    /// The key inside it.
    pub key: String,
}

/// What a challenge may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// CPU, request and limit.
    pub cpu: Quantity,
    /// Memory, request and limit.
    pub memory: Quantity,
    /// GPUs, a limit on the `challenge` container only.
    pub gpu_count: Option<u32>,
    /// The target it must run on.
    pub target: Option<TargetId>,
    /// Metadata only.
    pub gpu_device_ids: Option<String>,
    /// Metadata only.
    pub gpu_capabilities: Option<String>,
    /// As declared; Kubernetes has no field for it.
    pub memory_swap: Option<String>,
    /// As declared, 512; Kubernetes has no field for it.
    pub pids_limit: Option<u32>,
}

/// Where a challenge's relational data is.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// A Postgres of its own, kept by the platform.
    Managed(Postgres),
    /// A file on `/data`.
    Sqlite,
    /// A Postgres elsewhere; the URL is in this Secret.
    External(SecretRef),
}

/// A managed Postgres.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// Its image.
    pub image: ImageRef,
    /// The claim's size.
    pub storage_size: Quantity,
    /// The claim's storage class; the cluster's default when absent.
    pub storage_class: Option<String>,
    /// Requests and limits by name, absent when not set.
    pub resources: PodResources,
}

/// Requests and limits by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PodResources {
    /// What is reserved.
    pub requests: BTreeMap<String, Quantity>,
    /// What is the most.
    pub limits: BTreeMap<String, Quantity>,
}

/// A `/data` volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// The claim's size.
    pub size: Quantity,
    /// The claim's storage class; the cluster's default when absent.
    pub class: Option<String>,
    /// How many nodes may mount it.
    pub access: Access,
}

/// How many nodes may mount a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Access {
    /// One node.
    ReadWriteOnce,
    /// Many nodes; needed for more than one replica.
    ReadWriteMany,
}

/// The kind of a challenge's workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One replica with a claim template.
    StatefulSet,
    /// A Deployment; with an autoscaler its replicas are not the platform's to write.
    Deployment {
        /// The autoscaler, if one is due (more than one replica allowed).
        autoscaling: Option<Autoscaling>,
    },
}

/// An autoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Autoscaling {
    /// The built-in one or KEDA's.
    pub engine: Engine,
    /// The fewest replicas, 1 or more.
    pub min_replicas: u32,
    /// The most replicas, above `min_replicas` or equal, and above 1.
    pub max_replicas: u32,
    /// The CPU utilisation to hold, 1 to 100.
    pub target_cpu_utilization: u32,
}

/// Whose autoscaler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// `autoscaling/v2`.
    Hpa,
    /// `keda.sh/v1alpha1`.
    Keda,
}

/// Where pods may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Placement {
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, in the Kubernetes form.
    pub tolerations: Vec<Value>,
    /// The runtime class.
    pub runtime_class_name: Option<String>,
    /// Secrets with registry credentials.
    pub image_pull_secrets: Vec<String>,
    /// The name under which nodes offer GPUs.
    pub gpu_resource_name: String,
}

/// A challenge's limits at the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BrokerLimits {
    /// Runs at a time; no limit when absent.
    pub max_concurrent: Option<u32>,
    /// The longest run, in seconds; no limit when absent.
    pub timeout_seconds: Option<u32>,
}

/// Whether new image versions are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Updates {
    /// Never.
    Off,
    /// A bare tag gets its digest, once.
    Pin,
    /// New versions in this range.
    Semver {
        /// The range, such as `^2`.
        range: String,
    },
}

/// What happens when somebody else changes a challenge's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// The declared value is put back.
    Correct,
    /// It is shown, and left.
    Report,
}

/// What happens to a new image that does not become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// What a controller does when its time is over.
    pub on_failure: OnFailure,
    /// How long it may take, in seconds.
    pub timeout_seconds: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::Hold,
            // As a Deployment's own deadline for progress.
            timeout_seconds: 600,
        }
    }
}

/// What happens to an image that is not ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It stays.
    Hold,
    /// The image that was ready last comes back.
    Rollback,
}

/// How the public door treats a challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// Paths that are refused, beside those refused for all.
    pub deny: Vec<String>,
    /// Signed action routes: method and path pattern.
    pub signed: Vec<String>,
    /// Paths sent to another path.
    pub rewrite: BTreeMap<String, String>,
}

/// A target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// How it is reached, and with which credentials.
    pub reach: Reach,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// Where objects go there.
    pub namespace: String,
    /// The account that acts there.
    pub service_account: String,
    /// Whether it takes anything at all.
    pub enabled: bool,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// Whether certificates are checked.
    pub verify_tls: bool,
    /// The longest call, in seconds.
    pub timeout_seconds: u32,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// How many GPUs it offers.
    pub gpu_count: u32,
    /// The storage class there.
    pub storage_class: Option<String>,
    /// Where pods may run there.
    pub placement: Placement,
}

/// How a target is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum Reach {
    /// By its API server, with a kubeconfig in a Secret.
    Direct {
        /// Where the kubeconfig is.
        kubeconfig: SecretRef,
        /// Shown to people.
        api_url: Option<String>,
    },
    /// By its agent, with a token in a Secret.
    Agent {
        /// The agent's address.
        agent_url: String,
        /// Where the token is.
        token: SecretRef,
    },
}

/// What the broker may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broker {
    /// Where challenges reach the broker.
    pub url: String,
    /// Image prefixes that jobs may use.
    pub allowed_images: Vec<String>,
    /// The name under which nodes offer GPUs.
    pub gpu_resource_name: String,
    /// Whether any job may run privileged.
    pub allow_privileged: bool,
    /// Whose jobs may run privileged.
    pub privileged_slugs: Vec<Slug>,
}

/// The guards of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Safety {
    /// The most a pass deletes, in percent of all owned objects and rows.
    pub max_deleted_percent: u32,
    /// The most a share moves in one pass, in percent points of the whole.
    pub max_emission_change_points: u32,
    /// When nothing is changed.
    pub freeze: Vec<Freeze>,
}

/// A time in which nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// When it begins, UTC.
    pub from: jiff::Timestamp,
    /// When it ends, UTC.
    pub to: jiff::Timestamp,
    /// The reason, shown to whoever is refused.
    pub why: String,
}

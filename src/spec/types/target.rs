//! A target as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;

/// Another cluster that takes challenges and jobs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How it is reached. Default: `direct`.
    pub mode: Option<TargetMode>,
    /// The Secret that holds its kubeconfig, for `direct`.
    pub kubeconfig: Option<SecretRef>,
    /// Its API server's address, for `direct`; shown to people.
    pub api_url: Option<String>,
    /// Its agent's address, for `agent`; `https://` in production.
    pub agent_url: Option<String>,
    /// The Secret that holds its agent's token, for `agent`.
    pub token: Option<SecretRef>,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// Where objects go there. Default: `platform`.
    pub namespace: Option<String>,
    /// The account that acts there. Default: `defaults.service_account`.
    pub service_account: Option<String>,
    /// Whether it takes anything at all. Default: true.
    pub enabled: Option<bool>,
    /// Whether it takes nothing new. Default: false.
    pub draining: Option<bool>,
    /// Whether certificates are checked. Default: true; production wants true.
    pub verify_tls: Option<bool>,
    /// The longest call, in seconds. Default: 30.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: Option<u32>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How many GPUs it offers. Default: 0.
    #[schemars(range(min = 0, max = 100_000))]
    pub gpu_count: Option<u32>,
    /// The storage class of volumes there. Default: `defaults.storage_class`.
    pub storage_class: Option<String>,
    /// Labels that a node must have, over those of `defaults.target_defaults`.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, in the Kubernetes form. Default: those of `defaults.target_defaults`.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// The runtime class of pods there. Default: that of `defaults.target_defaults`.
    pub runtime_class_name: Option<String>,
}

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetMode {
    /// By its API server, with a kubeconfig.
    Direct,
    /// By its agent, with a token.
    Agent,
}

/// A toleration, in the Kubernetes form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Toleration {
    /// The taint's key; left out with `Exists` it tolerates everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How the value is compared. Default: `Equal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// The taint's value, for `Equal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The taint's effect; left out it tolerates all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TolerationEffect>,
    /// How long a pod stays after the taint appears, for `NoExecute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<u32>,
}

/// How a taint's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// The value is the same.
    Equal,
    /// There is such a taint.
    Exists,
}

/// A taint's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationEffect {
    /// New pods stay away.
    NoSchedule,
    /// New pods stay away where possible.
    PreferNoSchedule,
    /// Running pods leave too.
    NoExecute,
}

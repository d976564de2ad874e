//! The whole file and what is not about one challenge or target.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Challenge, Defaults, Target, Text};

/// The declaration of one platform: which challenges run, what share each has, and where.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The version of this form: `platform.network/v1`.
    #[schemars(required)]
    pub api_version: Option<String>,
    /// `production`, `staging` or `development`. The first two turn the production policy on. There is
    /// no default.
    #[schemars(required)]
    pub environment: Option<String>,
    /// Where objects go on the local cluster. Default: `platform`.
    pub namespace: Option<String>,
    /// The subnet.
    pub network: Option<Network>,
    /// Relative shares by challenge: exact decimals from 0 to 9999.9999 with at most four decimals.
    #[serde(default)]
    pub emissions: BTreeMap<String, Text>,
    /// The challenges by slug. To declare none, write `{}`.
    #[schemars(required)]
    pub challenges: Option<BTreeMap<String, Challenge>>,
    /// Other clusters that take challenges and jobs, by id.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    /// What a challenge or a target does not say itself.
    pub defaults: Option<Defaults>,
    /// What short-lived jobs of challenges may do.
    pub broker: Option<Broker>,
    /// When a pass stops and asks.
    pub safety: Option<Safety>,
}

/// The subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The network's name in the registry document. Default: `platform`.
    pub name: Option<String>,
    /// The subnet's number. Default: 100.
    pub netuid: Option<u16>,
    /// The chain's WebSocket address, `ws://` or `wss://`.
    pub chain_endpoint: Option<String>,
    /// The UID that takes what nobody gets. Default: 0.
    pub burn_uid: Option<u16>,
    /// The master's own UID, informational. Default: 0.
    pub master_uid: Option<u16>,
    /// The version key of submitted weights. Default: 0.
    pub version_key: Option<u64>,
    /// A file that stands for the chain's metagraph, for trials without a chain.
    pub metagraph_file: Option<String>,
}

/// What short-lived jobs of challenges may do. This version runs no broker: only `url`, which challenges are given, and
/// `gpu_resource_name` have an effect yet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Where challenges reach the broker. Default: `http://platform-docker-broker:8082`.
    pub url: Option<String>,
    /// Image prefixes that jobs may use, such as `ghcr.io/platformnetwork/`, which is the default. An
    /// empty list admits nothing.
    pub allowed_images: Option<Vec<String>>,
    /// The name under which nodes offer GPUs. Default: `nvidia.com/gpu`.
    pub gpu_resource_name: Option<String>,
    /// Whether any job may run privileged. Default: false.
    pub allow_privileged: Option<bool>,
    /// The challenges whose jobs may run privileged, if any may.
    #[serde(default)]
    pub privileged_slugs: Vec<String>,
}

/// When a pass stops and asks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// The most a pass deletes, in percent of all owned objects and rows. Default: 20. More needs
    /// `apply --allow-deletes`.
    #[schemars(range(min = 0, max = 100))]
    pub max_deleted_percent: Option<u32>,
    /// The most a share moves in one pass, in percentage points of the whole. Default: 25. More needs
    /// `apply --allow-emission-change`.
    #[schemars(range(min = 0, max = 100))]
    pub max_emission_change_points: Option<u32>,
    /// Times in which nothing is changed.
    #[serde(default)]
    pub freeze: Vec<Freeze>,
}

/// A time in which nothing is changed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// When it begins, such as `2026-12-24T00:00Z`.
    #[schemars(required)]
    pub from: Option<String>,
    /// When it ends.
    #[schemars(required)]
    pub to: Option<String>,
    /// The reason, shown to whoever is refused.
    #[schemars(required)]
    pub why: Option<String>,
}

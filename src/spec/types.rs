//! The file as its author writes it: one type per mapping, unknown fields refused. The comment of each
//! field is its description in the JSON Schema, from which [`super::parse`] also takes what is allowed
//! where; so an editor and the program never disagree.
//!
//! Every field is optional here, those that must be written carry `required` for the schema: what is
//! missing or malformed has been noted when a value of these types exists, and the rest can still be
//! checked.

mod challenge;
mod defaults;
mod platform;
mod target;
mod text;

pub use challenge::{
    Autoscaling, BrokerLimits, Challenge, Database, Drift, Mode, OnFailure, PodResources, Postgres,
    Proxy, Resources, Rollout, Status, StorageAccess, UpdatePolicy, Updates, Worker,
};
pub use defaults::{DefaultPostgres, Defaults, TargetDefaults};
pub use platform::{Broker, File, Freeze, Network, Safety};
pub use target::{Target, TargetMode, Toleration, TolerationEffect, TolerationOperator};
pub use text::{SecretRef, Text};

//! How the controller runs.

use std::net::SocketAddr;
use std::time::Duration;

use super::{SettingsError, Values};
use crate::model::Secret;

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// How often the source is read without a hint.
    pub interval: Duration,
    /// Where health, readiness and metrics are served.
    pub listen: SocketAddr,
    /// What a git host proves itself with.
    pub webhook_secret: Option<Secret<String>>,
}

impl ControllerSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            interval: values.seconds("controller.interval_seconds")?,
            listen: values.address("controller.listen")?,
            webhook_secret: values.text("controller.webhook_secret")?.map(Secret::new),
        })
    }
}

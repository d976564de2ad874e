//! How the controller runs.

use std::net::SocketAddr;
use std::time::Duration;

use super::{SettingsError, Values};

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// How often the source is read without a hint.
    pub interval: Duration,
    /// Where health, readiness and metrics are served.
    pub listen: SocketAddr,
}

impl ControllerSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            interval: values.seconds("controller.interval_seconds")?,
            listen: values.address("controller.listen")?,
        })
    }
}

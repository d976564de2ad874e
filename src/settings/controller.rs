//! How the controller runs.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{SettingsError, Values};

/// What a rollout may take: a model is slow to load, and after a day nobody waits any more.
const ROLLOUT_SECONDS: RangeInclusive<u64> = 1..=86_400;

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// How often the source is read without a hint.
    pub interval: Duration,
    /// How long a challenge may make no progress before it is said to be stalled.
    pub rollout_deadline: Duration,
}

impl ControllerSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            interval: values.seconds("controller.interval_seconds")?,
            rollout_deadline: values.seconds_in(
                "controller.rollout_deadline_seconds",
                ROLLOUT_SECONDS,
                "a number of seconds from 1 to 86400",
            )?,
        })
    }
}

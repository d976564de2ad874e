//! How weights are made and served.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{SettingsError, Values};
use crate::model::Secret;
use crate::weights::Unassigned;
use crate::weights::collect::Patience;
use crate::weights::publish::GOOD_FOR;
use crate::weights::registered::Limits;

const EPOCH: &str = "master.epoch_interval_seconds";

/// A vector is good for 720 seconds: a longer epoch would leave none in between. How much shorter it has to be follows
/// from how long challenges are asked; see [`check_epoch`].
const EPOCH_SECONDS: RangeInclusive<u64> = 5..=720;
/// The longest attempt: ten of them and the pauses between end within what a vector is good for.
const ATTEMPT_SECONDS: RangeInclusive<u64> = 1..=60;
/// Whoever looks is to learn within minutes that a challenge is away.
const HEALTH_SECONDS: RangeInclusive<u64> = 5..=3600;
/// What a metagraph may be kept for: the chain's own epochs are about an hour.
const METAGRAPH_SECONDS: RangeInclusive<u64> = 1..=86_400;

/// How weights are made and served.
#[derive(Clone, Debug)]
pub struct MasterSettings {
    /// Where weights and registry are served.
    pub listen: SocketAddr,
    /// The time from one vector to the next.
    pub epoch: Duration,
    /// How long one attempt to ask a challenge may take.
    pub challenge_timeout: Duration,
    /// How often a challenge is asked in one epoch, at most.
    pub challenge_retries: u32,
    /// The largest answer of a challenge, in bytes.
    pub challenge_max_response: usize,
    /// The time from one round of questions for health and version to the next; none where nobody asks.
    pub health: Option<Duration>,
    /// How long a metagraph holds.
    pub metagraph: Limits,
    /// Where a share goes that nobody registered has earned.
    pub unassigned: Unassigned,
    /// What vectors are signed with.
    pub signing_key_file: Option<PathBuf>,
    /// What a git host proves itself with.
    pub webhook_secret: Option<Secret<String>>,
}

impl MasterSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        let seconds = |path, range, expected| values.seconds_in(path, range, expected);
        let metagraph = |path| {
            let expected = "a number of seconds from 1 to 86400";
            seconds(path, METAGRAPH_SECONDS, expected)
        };
        let settings = Self {
            listen: SocketAddr::new(host(values)?, port(values)?),
            epoch: seconds(EPOCH, EPOCH_SECONDS, "a number of seconds from 5 to 720")?,
            challenge_timeout: seconds(
                "master.challenge_timeout_seconds",
                ATTEMPT_SECONDS,
                "a number of seconds from 1 to 60",
            )?,
            challenge_retries: number(
                values,
                "master.challenge_retries",
                0..=10,
                "a number from 0 to 10",
            )?,
            challenge_max_response: number(
                values,
                "master.challenge_max_response_bytes",
                1024..=(256 << 20),
                "a number of bytes from 1024 to 268435456",
            )?,
            health: health(values)?,
            metagraph: Limits {
                life: metagraph("master.metagraph_cache_ttl_seconds")?,
                stale: metagraph("master.metagraph_max_stale_seconds")?,
            },
            unassigned: unassigned(values)?,
            signing_key_file: values
                .text("master.weights_signing_key_file")?
                .map(PathBuf::from),
            webhook_secret: values.text("master.webhook_secret")?.map(Secret::new),
        };
        check_epoch(values, &settings)?;
        Ok(settings)
    }

    /// Returns how often a challenge is asked in one epoch, and how long.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience {
            attempts: self.challenge_retries,
            attempt: self.challenge_timeout,
        }
    }
}

/// Checks that a vector is still good when the next one is there: that one's making begins an epoch later, and takes as
/// long as the slowest challenge may.
fn check_epoch(values: &Values, settings: &MasterSettings) -> Result<(), SettingsError> {
    let good_for = GOOD_FOR.unsigned_abs();
    let asking = settings.patience().budget();
    if settings.epoch + asking <= good_for {
        return Ok(());
    }
    Err(SettingsError::Epoch {
        origin: values.origin(EPOCH),
        epoch: settings.epoch.as_secs(),
        asking: asking.as_secs_f64(),
        good_for: good_for.as_secs(),
        most: good_for.saturating_sub(asking).as_secs(),
    })
}

fn number<T: FromStr + PartialOrd>(
    values: &Values,
    path: &str,
    range: RangeInclusive<T>,
    expected: &'static str,
) -> Result<T, SettingsError> {
    let text = values.text(path)?.unwrap_or_default();
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| values.refuse(path, expected))
}

fn health(values: &Values) -> Result<Option<Duration>, SettingsError> {
    let path = "master.health_interval_seconds";
    let expected = "a number of seconds from 5 to 3600, or 0";
    match values.text(path)?.as_deref().map(str::trim) {
        Some("0") => Ok(None),
        _ => values.seconds_in(path, HEALTH_SECONDS, expected).map(Some),
    }
}

fn host(values: &Values) -> Result<IpAddr, SettingsError> {
    let path = "master.admin_host";
    let text = values.text(path)?.unwrap_or_default();
    let refuse = |_| values.refuse(path, "an address such as 0.0.0.0");
    text.parse().map_err(refuse)
}

fn port(values: &Values) -> Result<u16, SettingsError> {
    let path = "master.admin_port";
    let text = values.text(path)?.unwrap_or_default();
    let refuse = |_| values.refuse(path, "a port, 0 to 65535");
    text.parse().map_err(refuse)
}

fn unassigned(values: &Values) -> Result<Unassigned, SettingsError> {
    let path = "master.unassigned_share";
    let text = values.text(path)?.unwrap_or_default();
    let refuse = || values.refuse(path, "spread, within_challenge or burn");
    Unassigned::parse(&text).ok_or_else(refuse)
}

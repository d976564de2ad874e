//! Which refusals are worth another try, and when. Only calls that may be repeated come here.

use std::time::Duration;

use crate::edge::cluster::ClusterError;

/// Tries of one call in all.
pub const TRIES: u32 = 5;
/// The longest pause that a server may ask for; more would hold up the whole pass.
const LONGEST: Duration = Duration::from_secs(10);

/// Tries in all of a change that carries the version it was decided on, while nothing but that version moves.
pub const RACES: u32 = 8;

/// Waits after the `lost`th such change met another version: controllers that report on an object do so several
/// times in a row.
pub async fn yield_to_others(lost: u32) {
    tokio::time::sleep(Duration::from_millis(4) * 2u32.saturating_pow(lost.min(RACES))).await;
}

/// Returns how long to wait before trying again after the `tried`th failure, or `None` when it is final.
pub fn pause(error: &ClusterError, tried: u32) -> Option<Duration> {
    let back_off = Duration::from_millis(200) * 2u32.saturating_pow(tried.min(6));
    let pause = match error {
        ClusterError::TooManyRequests(Some(seconds)) => Duration::from_secs(*seconds).max(back_off),
        ClusterError::TooManyRequests(None)
        | ClusterError::Unreachable(_)
        | ClusterError::Timeout(_) => back_off,
        ClusterError::Server {
            code: 502..=504, ..
        } => back_off,
        // A manifest that breaks its schema is answered 500 too, and stays broken.
        ClusterError::Server { code: 500, reason } if !reason.contains("typed patch") => back_off,
        ClusterError::Forbidden(_)
        | ClusterError::Unauthorized
        | ClusterError::NotFound
        | ClusterError::Conflict(_)
        | ClusterError::AlreadyExists
        | ClusterError::Gone
        | ClusterError::Invalid(_)
        | ClusterError::NotSent(_)
        | ClusterError::Server { .. } => return None,
    };
    (tried < TRIES).then_some(pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_final_and_overload_is_not() {
        assert_eq!(pause(&ClusterError::Forbidden(String::new()), 1), None);
        assert_eq!(pause(&ClusterError::Conflict(String::new()), 1), None);
        let broken = ClusterError::Server {
            code: 500,
            reason: "failed to create typed patch object".to_owned(),
        };
        assert_eq!(pause(&broken, 1), None);
        assert_eq!(
            pause(&ClusterError::TooManyRequests(Some(3)), 1),
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            pause(&ClusterError::TooManyRequests(Some(3600)), 1),
            Some(LONGEST)
        );
        assert_eq!(pause(&ClusterError::TooManyRequests(None), TRIES), None);
    }
}

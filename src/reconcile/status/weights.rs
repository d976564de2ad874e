//! The newest weight vector, as part of where everything stands. Pure.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::health::NOT_READ;
use crate::model::snapshot::SnapshotSummary;

/// The newest vector of the declared subnet, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Newest {
    /// There is one.
    Made {
        /// When, and what of.
        summary: SnapshotSummary,
        /// Whether nobody registered has earned anything, so that all goes to the burn UID.
        is_burn: bool,
    },
    /// There has been none yet.
    Absent,
    /// The database could not be read, or not what it keeps.
    Unknown,
}

/// The newest vector of the declared subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShownWeights {
    /// The subnet.
    pub netuid: u16,
    /// `in_force`, `expired`, `absent` where there has been none yet; or `unknown`.
    pub state: String,
    /// Why it is unknown.
    pub why: Option<String>,
    /// When its making began (RFC 3339).
    pub computed_at: Option<String>,
    /// How long ago that was.
    pub age_seconds: Option<i64>,
    /// When it is too old to be used (RFC 3339).
    pub expires_at: Option<String>,
    /// Whether nobody registered has earned anything, so that all goes to the burn UID.
    pub burn: Option<bool>,
}

/// Returns the form of it that machines read.
#[must_use]
pub fn shown(netuid: u16, newest: &Newest, now: Timestamp) -> ShownWeights {
    let without = |state: &str, why: Option<&str>| ShownWeights {
        netuid,
        state: state.to_owned(),
        why: why.map(str::to_owned),
        computed_at: None,
        age_seconds: None,
        expires_at: None,
        burn: None,
    };
    match newest {
        Newest::Absent => without("absent", None),
        Newest::Unknown => without("unknown", Some(NOT_READ)),
        Newest::Made { summary, is_burn } => ShownWeights {
            computed_at: Some(summary.computed_at.to_string()),
            age_seconds: Some(now.duration_since(summary.computed_at).as_secs().max(0)),
            expires_at: Some(summary.expires_at.to_string()),
            burn: Some(*is_burn),
            ..match now < summary.expires_at {
                true => without("in_force", None),
                false => without("expired", None),
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    fn made() -> Newest {
        Newest::Made {
            summary: SnapshotSummary {
                netuid: 42,
                computed_at: at(0),
                expires_at: at(720),
                revision: "c0ffee".to_owned(),
                metagraph_block: None,
                metagraph_updated_at: at(0),
                inputs_digest: "c0ffee".to_owned(),
            },
            is_burn: false,
        }
    }

    #[test]
    fn a_vector_is_in_force_until_it_expires() {
        for (now, state, age) in [
            (-5, "in_force", 0),
            (719, "in_force", 719),
            (720, "expired", 720),
        ] {
            let shown = shown(42, &made(), at(now));
            assert_eq!(
                (shown.state.as_str(), shown.age_seconds),
                (state, Some(age))
            );
            assert_eq!(shown.expires_at, Some(at(720).to_string()));
            assert_eq!((shown.burn, shown.why), (Some(false), None));
        }
    }

    #[test]
    fn none_yet_is_another_word_than_unknown() {
        let absent = shown(42, &Newest::Absent, at(0));
        assert_eq!((absent.state.as_str(), absent.why), ("absent", None));
        let unknown = shown(42, &Newest::Unknown, at(0));
        assert_eq!(unknown.state, "unknown");
        assert_eq!(unknown.why.as_deref(), Some(NOT_READ));
        assert_eq!((unknown.computed_at, unknown.burn), (None, None));
    }
}

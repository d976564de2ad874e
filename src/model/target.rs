//! A target: another cluster, usually with GPUs, that may take a challenge or a job; and whether it may take this one.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A target's id: 1 to 63 letters, digits and `_.-`, never `local`, which names the cluster of the platform itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetId(String);

/// The text is no target id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a target id is 1 to 63 letters, digits, `_`, `.` or `-`, and not `local`")]
pub struct TargetIdError;

impl TargetId {
    /// Parses a target id.
    ///
    /// # Errors
    /// The text is empty, too long, reserved or holds another character.
    pub fn parse(text: &str) -> Result<Self, TargetIdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if text.is_empty() || text.len() > 63 || text == "local" || !text.bytes().all(allowed) {
            return Err(TargetIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TargetId {
    type Error = TargetIdError;

    fn try_from(text: String) -> Result<Self, TargetIdError> {
        Self::parse(&text)
    }
}

impl From<TargetId> for String {
    fn from(id: TargetId) -> Self {
        id.0
    }
}

/// What decides whether a target may take a load. Health is not among it: that is asked where a
/// connection exists, and a target whose health nobody asked is not thereby ineligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether the target takes anything at all.
    pub is_enabled: bool,
    /// Whether it takes nothing new and gives up what it has.
    pub is_draining: bool,
    /// Whether the policy in force trusts its connection.
    pub is_trusted: bool,
    /// How many GPUs it offers.
    pub gpus: u32,
}

/// Why a target may not take a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ineligible {
    /// It is switched off.
    #[error("is disabled")]
    Disabled,
    /// It is being emptied.
    #[error("is draining")]
    Draining,
    /// The production policy wants checked certificates and, for an agent, `https`.
    #[error("is not trusted: the policy wants `verify_tls: true` and an `https` agent")]
    Untrusted,
    /// Others hold too many of its GPUs.
    #[error("has {left} of {offered} GPUs left, {wanted} wanted")]
    Full {
        /// How many it has not given away.
        left: u32,
        /// How many it offers.
        offered: u32,
        /// How many the load asks for.
        wanted: u32,
    },
}

impl Offer {
    /// Checks that the target may take a load that wants `wanted` GPUs while others hold `taken`.
    ///
    /// # Errors
    /// The first reason against it. A load without GPUs is never refused for capacity.
    pub fn check(self, wanted: u32, taken: u32) -> Result<(), Ineligible> {
        let left = self.gpus.saturating_sub(taken);
        match self {
            Self {
                is_enabled: false, ..
            } => Err(Ineligible::Disabled),
            Self {
                is_draining: true, ..
            } => Err(Ineligible::Draining),
            Self {
                is_trusted: false, ..
            } => Err(Ineligible::Untrusted),
            Self { gpus, .. } if left < wanted => Err(Ineligible::Full {
                left,
                offered: gpus,
                wanted,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Offer = Offer {
        is_enabled: true,
        is_draining: false,
        is_trusted: true,
        gpus: 8,
    };

    #[test]
    fn capacity_is_what_others_left() {
        assert_eq!(GOOD.check(4, 4), Ok(()));
        assert_eq!(
            GOOD.check(5, 4).unwrap_err().to_string(),
            "has 4 of 8 GPUs left, 5 wanted"
        );
        assert_eq!(GOOD.check(0, u32::MAX), Ok(()));
    }

    #[test]
    fn state_comes_before_capacity() {
        let is_enabled = false;
        let (is_draining, is_trusted) = (true, false);
        let check = |offer: Offer| offer.check(9, 0);
        assert_eq!(
            check(Offer {
                is_enabled,
                is_draining,
                ..GOOD
            }),
            Err(Ineligible::Disabled)
        );
        assert_eq!(
            check(Offer {
                is_draining,
                is_trusted,
                ..GOOD
            }),
            Err(Ineligible::Draining)
        );
        assert_eq!(
            check(Offer { is_trusted, ..GOOD }),
            Err(Ineligible::Untrusted)
        );
    }
}

//! Why a challenge gave no scores: a category, short and fit for everybody to read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a challenge gave no scores. Shown as a category: never an address, a token or what the challenge sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Failure {
    /// It did not answer in time.
    Timeout,
    /// No connection, or one that broke.
    Transport,
    /// It answered with this status.
    Http(u16),
    /// It answered with more than is read.
    TooLarge,
    /// It answered with something that is no map of scores.
    InvalidPayload,
    /// It answered for another challenge.
    WrongSlug,
    /// There is no token to ask it with.
    NoToken,
    /// There is no way to ask it: its address or its target cannot be used.
    Unreachable,
    /// It is declared active, and the registry does not have it so yet.
    NotRegistered,
    /// What the registry has of it cannot be read.
    InvalidRecord,
    /// Said elsewhere, in words of that place: of an input file, or of a target.
    Other(String),
}

impl Failure {
    /// The longest text of [`Failure::Other`], in characters.
    pub const MAX: usize = 64;

    /// Reads a category as it is shown; one that is none of ours is kept, cut to [`Self::MAX`] plain characters.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = [
            Self::Timeout,
            Self::Transport,
            Self::TooLarge,
            Self::InvalidPayload,
            Self::WrongSlug,
            Self::NoToken,
            Self::Unreachable,
            Self::NotRegistered,
            Self::InvalidRecord,
        ];
        let status = text.strip_prefix("http ");
        if let Some(status) = status.and_then(|status| status.parse().ok()) {
            return Self::Http(status);
        }
        let known = known.into_iter().find(|known| known.to_string() == text);
        known.unwrap_or_else(|| {
            let plain = text.chars().filter(|c| !c.is_control());
            Self::Other(plain.take(Self::MAX).collect())
        })
    }

    /// Returns its name in metrics: one of few.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Http(_) => "http",
            Self::TooLarge => "too_large",
            Self::InvalidPayload => "invalid_payload",
            Self::WrongSlug => "wrong_slug",
            Self::NoToken => "no_token",
            Self::Unreachable => "unreachable",
            Self::NotRegistered => "not_registered",
            Self::InvalidRecord => "invalid_record",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Transport => "connection failed",
            Self::Http(status) => return write!(f, "http {status}"),
            Self::TooLarge => "response too large",
            Self::InvalidPayload => "invalid payload",
            Self::WrongSlug => "wrong challenge slug",
            Self::NoToken => "no token",
            Self::Unreachable => "unreachable",
            Self::NotRegistered => "not registered",
            Self::InvalidRecord => "invalid record",
            Self::Other(text) => text,
        })
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_read_as_it_is_shown() {
        for text in [
            "timeout",
            "http 503",
            "invalid payload",
            "gpu_server_unknown",
            "not registered",
            "invalid record",
        ] {
            assert_eq!(Failure::parse(text).to_string(), text);
        }
        assert_eq!(Failure::parse("http 500"), Failure::Http(500));
        assert_eq!(Failure::parse("timeout"), Failure::Timeout);
        let long = Failure::parse(&"x\n".repeat(100)).to_string();
        assert_eq!(long, "x".repeat(Failure::MAX));
    }
}

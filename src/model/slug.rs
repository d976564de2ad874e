//! A challenge's slug: the one name from which all others are derived.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A challenge's slug: `^[a-z0-9][a-z0-9-]*[a-z0-9]$`, 2 to 40 characters, no `--`.
///
/// 40 because the slug is a label value and part of names that Kubernetes limits; no `--` and no
/// `-postgres` ending so that no two slugs can derive one object name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// Why a text is no slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlugError {
    /// Fewer than two characters.
    #[error("a slug has at least two characters")]
    TooShort,
    /// More than [`Slug::MAX`] characters.
    #[error("a slug has at most 40 characters")]
    TooLong,
    /// A character outside the alphabet, or a hyphen at an end.
    #[error("a slug is lower-case letters, digits and inner hyphens")]
    Alphabet,
    /// Two hyphens in a row.
    #[error("a slug has no `--`")]
    DoubleHyphen,
    /// The ending that derived database names use.
    #[error(
        "a slug does not end in `-postgres`: those are the names of another challenge's database"
    )]
    Reserved,
}

impl Slug {
    /// The longest slug.
    pub const MAX: usize = 40;

    /// Parses a slug.
    ///
    /// # Errors
    /// Says which rule of the grammar the text breaks.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(SlugError::TooShort);
        };
        if !inner(*first) || !inner(*last) || !bytes.iter().all(|b| inner(*b) || *b == b'-') {
            return Err(SlugError::Alphabet);
        }
        match text {
            _ if bytes.len() < 2 => Err(SlugError::TooShort),
            _ if bytes.len() > Self::MAX => Err(SlugError::TooLong),
            _ if text.contains("--") => Err(SlugError::DoubleHyphen),
            _ if text.ends_with("-postgres") => Err(SlugError::Reserved),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// Returns the slug as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = SlugError;

    fn try_from(text: String) -> Result<Self, SlugError> {
        Self::parse(&text)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_is_the_contracts() {
        for good in ["ab", "a1", "agent-challenge", "0x", &"a".repeat(40)] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", SlugError::TooShort),
            ("a", SlugError::TooShort),
            ("-a", SlugError::Alphabet),
            ("a-", SlugError::Alphabet),
            ("aB", SlugError::Alphabet),
            ("a_b", SlugError::Alphabet),
            ("a\n", SlugError::Alphabet),
            ("é1", SlugError::Alphabet),
            ("a--b", SlugError::DoubleHyphen),
            ("demo-postgres", SlugError::Reserved),
        ] {
            assert_eq!(Slug::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(Slug::parse(&"a".repeat(41)), Err(SlugError::TooLong));
    }
}

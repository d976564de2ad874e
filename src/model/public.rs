//! What everybody may read, and how values are told from it that must not stand there.
//!
//! A declaration that holds such a value is refused. What is published does not rely on that: whatever row or document a
//! text comes from, it is a [`Public`] one before it goes out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Words in the name of an environment variable that mark its value as secret, unless it ends in `_FILE`.
const MARKS: [&str; 6] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PRIVATE_KEY",
    "API_KEY",
    "CREDENTIAL",
];

/// How far behind `://` an `@` is looked for when a password is not encoded as it should be; a bound, so
/// that a text full of `://` costs no more than its length.
const LOOSE: usize = 512;

/// What stands in the place of a text that holds a password.
const HIDDEN: &str = "***";

/// A text that everybody may read: it holds no URL with a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Public(String);

impl Public {
    /// Takes a text; nothing is left of one that holds a password.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match has_password(text) {
            true => Self(HIDDEN.to_owned()),
            false => Self(text.to_owned()),
        }
    }
}

impl From<String> for Public {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl JsonSchema for Public {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// Tells whether an environment variable's name says that its value is secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    !name.ends_with("_FILE") && MARKS.iter().any(|mark| name.contains(mark))
}

/// Tells whether a text holds a URL with a password.
#[must_use]
pub fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let end = rest.find(['/', '?', '#', ' ', '"', '\'']);
        let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let near = rest
            .get(..rest.floor_char_boundary(LOOSE))
            .unwrap_or_default();
        let near = near.split([' ', '"', '\'']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((user, _)) => user.split_once(':').is_some_and(|(_, p)| !p.is_empty()),
            None => loose_password(near),
        }
    })
}

/// Tells whether `user:pass/word@host` stands at the start of what follows `://`; a port followed by a
/// path with an `@` is no password.
fn loose_password(text: &str) -> bool {
    let Some((before, _)) = text.rsplit_once('@') else {
        return false;
    };
    let Some((user, password)) = before.split_once(':') else {
        return false;
    };
    let port: String = password.chars().take_while(char::is_ascii_digit).collect();
    let is_port = !port.is_empty() && password[port.len()..].starts_with('/');
    !user.contains(['/', '?', '#']) && !password.is_empty() && !is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_with_passwords_are_found_wherever_they_stand() {
        for with in [
            "postgres://u:p@h/db",
            "postgresql+asyncpg://user:p%40ss@host:5432/x",
            "see https://a:b@c for more",
            "redis://:secret@host",
            "https://u:pa/ss@host",
            "a://b c://u:p@d",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "postgres://host/db",
            "https://user@host/x",
            "https://host:8080/@scope/package",
            "https://host/a:b@c",
            "ghcr.io/o/i:1.0@sha256:00",
            "mailto:a@b",
            "https://u:@host",
            "",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }
}

//! Who may ask for what is internal: whoever has the challenge's token, and asks this challenge.

use std::path::PathBuf;

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Where the token is.
pub enum Token {
    /// In a file that the platform mounts. It is read each time, so that a new token needs no restart.
    File(PathBuf),
    /// As given.
    Text(String),
    /// Nowhere.
    Missing,
}

/// Why a question is not answered.
pub type Refusal = (StatusCode, &'static str);

impl Token {
    /// The file goes before the text.
    pub fn find(file: Option<String>, text: Option<String>) -> Self {
        match (file, text) {
            (Some(file), _) => Self::File(PathBuf::from(file)),
            (None, Some(text)) => Self::Text(text),
            (None, None) => Self::Missing,
        }
    }

    fn read(&self) -> Option<String> {
        let text = match self {
            Self::File(path) => std::fs::read_to_string(path).ok()?,
            Self::Text(text) => text.clone(),
            Self::Missing => return None,
        };
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Checks that a question has this token and is meant for this challenge.
    ///
    /// Without a token of its own a challenge answers nobody: an empty one must not match an empty one.
    pub fn check(&self, slug: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = self.read();
        let token = token.ok_or((StatusCode::SERVICE_UNAVAILABLE, "no token is configured"))?;
        let offered = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()));
        // How long the comparison of two hashes takes tells nothing about the token.
        let is_right = offered
            .is_some_and(|offered| Sha256::digest(offered) == Sha256::digest(token.as_bytes()));
        if !is_right {
            return Err((StatusCode::UNAUTHORIZED, "the token is missing or wrong"));
        }
        let meant = headers.get("x-platform-challenge-slug");
        if meant.is_none_or(|meant| meant.as_bytes() != slug.as_bytes()) {
            return Err((StatusCode::BAD_REQUEST, "this is another challenge"));
        }
        Ok(())
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

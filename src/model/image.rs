//! Image references: how they are split, what is refused, and what production demands.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A `sha256:` digest: the prefix and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The text is no sha256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an image digest is `sha256:` and 64 lower-case hex digits")]
pub struct DigestError;

impl Digest {
    /// Parses `sha256:<64 hex>`.
    ///
    /// # Errors
    /// Another algorithm, length or alphabet.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 64 || !hex.bytes().all(lower_hex) {
            return Err(DigestError);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns `sha256:` and the hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// An image reference taken apart; [`fmt::Display`] joins it again (without `docker.io/`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    /// The registry host with its port; `docker.io` when the text names none.
    pub registry: String,
    /// The path inside the registry, as written (`library/` is not added here).
    pub repository: String,
    /// The tag, when the text names one.
    pub tag: Option<String>,
    /// The digest, when the text names one.
    pub digest: Option<Digest>,
}

/// Why a text is no image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Empty, over 255 characters, or a character that no reference holds.
    #[error(
        "an image reference is 1 to 255 letters, digits and `./_:@+-`, starting with a letter or digit"
    )]
    Alphabet,
    /// An empty, `.` or `..` path component, or no repository at all.
    #[error("an image's path has no empty, `.` or `..` component")]
    Path,
    /// A malformed tag.
    #[error("an image tag is 1 to 128 letters, digits, `_`, `.`, `+` or `-`")]
    Tag,
    /// A malformed digest.
    #[error("an image digest is `sha256:` and 64 lower-case hex digits")]
    Digest,
}

/// Why an image is refused under the production policy; the texts are those of the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotProduction {
    /// No tag.
    #[error("production image references must include a tag")]
    NoTag,
    /// No digest.
    #[error("production image references must include a digest")]
    NoDigest,
    /// The tag is no semantic version.
    #[error("production image tags must be semver")]
    NotSemver,
}

impl ImageRef {
    /// Returns the last part of its path with its tag and the first digits of its digest, for people who know where
    /// their images are.
    #[must_use]
    pub fn short(&self) -> String {
        let name = self.repository.rsplit('/').next();
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digits = self
            .digest
            .as_ref()
            .and_then(|digest| digest.as_str().get(7..14));
        let digits = digits.map(|digits| format!("@{digits}"));
        [name.map(str::to_owned), tag, digits]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Parses a reference: the digest follows `@`, the tag the last `:` behind the last `/`, and the
    /// registry is the first part if it holds `.` or `:` or is `localhost`.
    ///
    /// # Errors
    /// Says which part is malformed.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"./_:@+-".contains(&b);
        let starts = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if !starts || text.len() > 255 || !text.bytes().all(allowed) {
            return Err(ImageError::Alphabet);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(Digest::parse(digest).map_err(|_| ImageError::Digest)?),
            ),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[last..].rfind(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ImageError::Tag);
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => ("docker.io", path),
        };
        let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(':');
        if !repository.split('/').all(good) || registry.is_empty() {
            return Err(ImageError::Path);
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// Checks the production form `<repository>:<semver>@sha256:<hex>`.
    ///
    /// # Errors
    /// The first of: no tag, no digest, a tag that is not `v?N.N.N` with an optional suffix.
    pub fn check_production(&self) -> Result<(), NotProduction> {
        let tag = self.tag.as_deref().ok_or(NotProduction::NoTag)?;
        if self.digest.is_none() {
            return Err(NotProduction::NoDigest);
        }
        if !is_semver(tag) {
            return Err(NotProduction::NotSemver);
        }
        Ok(())
    }

    /// Returns the same reference with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns the reference without its digest, which is what a registry is asked for.
    #[must_use]
    pub fn without_digest(&self) -> Self {
        Self {
            digest: None,
            ..self.clone()
        }
    }
}

fn is_tag(tag: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_.+-".contains(&b);
    (1..=128).contains(&tag.len()) && tag.bytes().all(inner) && !tag.starts_with(['.', '-', '+'])
}

fn is_semver(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    semver::Version::parse(version).is_ok()
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry != "docker.io" {
            write!(f, "{}/", self.registry)?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::parse(&text)
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex() -> String {
        "a".repeat(64)
    }

    #[test]
    fn round_trips_are_exact() {
        for text in [
            format!("ghcr.io/o/d@sha256:{}", hex()),
            "localhost:5000/p/d:latest".to_owned(),
            format!("ghcr.io/o/d:1.0@sha256:{}", hex()),
            "postgres:16-alpine".to_owned(),
            "localhost/d".to_owned(),
        ] {
            assert_eq!(ImageRef::parse(&text).unwrap().to_string(), text);
        }
        let image = ImageRef::parse("localhost:5000/p/d").unwrap();
        assert_eq!(
            (image.registry.as_str(), image.tag),
            ("localhost:5000", None)
        );
    }

    #[test]
    fn malformed_references_are_refused() {
        for (bad, why) in [
            ("", ImageError::Alphabet),
            ("/a", ImageError::Alphabet),
            ("a\n", ImageError::Alphabet),
            ("a b", ImageError::Alphabet),
            ("ghcr.io/a/../b:1", ImageError::Path),
            ("ghcr.io/a//b", ImageError::Path),
            ("ghcr.io/a/./b", ImageError::Path),
            ("ghcr.io/", ImageError::Path),
            ("a:", ImageError::Tag),
            ("a@sha256:abc", ImageError::Digest),
            ("a@sha512:abc", ImageError::Digest),
        ] {
            assert_eq!(ImageRef::parse(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn production_wants_semver_and_digest() {
        let check = |text: &str| ImageRef::parse(text).unwrap().check_production();
        let digest = format!("@sha256:{}", hex());
        assert_eq!(check(&format!("ghcr.io/o/d:1.4.2{digest}")), Ok(()));
        assert_eq!(check(&format!("ghcr.io/o/d:v1.4.2-rc.1{digest}")), Ok(()));
        assert_eq!(
            check(&format!("ghcr.io/o/d{digest}")),
            Err(NotProduction::NoTag)
        );
        assert_eq!(check("ghcr.io/o/d:1.4.2"), Err(NotProduction::NoDigest));
        for tag in ["latest", "1.4", "main", "sha-1234567"] {
            let image = format!("ghcr.io/o/d:{tag}{digest}");
            assert_eq!(check(&image), Err(NotProduction::NotSemver), "{tag}");
        }
        assert_eq!(check("localhost:5000/o/d"), Err(NotProduction::NoTag));
    }
}

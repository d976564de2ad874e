//! What came of new images: which one of a challenge was ready last, and which is not tried again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ImageRef, Slug};

/// What is known of each challenge's images.
pub type Rollouts = BTreeMap<Slug, Rollout>;

/// What is known of one challenge's images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The image that was ready last.
    pub good: Option<ImageRef>,
    /// The newest one that did not become ready in its time, and is not tried again.
    pub failed: Option<FailedImage>,
}

/// An image that did not become ready in its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImage {
    /// The image.
    pub image: ImageRef,
    /// The digest of the challenge's declaration that it was tried with: with another it is tried again.
    pub declared: String,
    /// The revision that declared it, as people are shown it.
    pub revision: String,
    /// How long it was given, in seconds.
    pub seconds: u32,
    /// When it was given up.
    pub at: Timestamp,
}

impl FailedImage {
    /// Tells what happened and what runs instead, with the remedy.
    #[must_use]
    pub fn told(&self, slug: &Slug, good: &ImageRef) -> String {
        let Self {
            image,
            revision,
            seconds,
            ..
        } = self;
        let (time, image, good) = (span(*seconds), image.short(), good.short());
        format!(
            "image {image} of revision {revision} did not become ready in {time}; running {good}; write a newer image, or `platform resume {slug}` tries it again"
        )
    }
}

/// Returns a time in the largest unit that tells it exactly.
fn span(seconds: u32) -> String {
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_with_the_remedy() {
        let image = |text: &str, digit: &str| {
            ImageRef::parse(&format!("ghcr.io/o/{text}@sha256:{}", digit.repeat(64))).unwrap()
        };
        let failed = FailedImage {
            image: image("demo:2", "b"),
            declared: String::new(),
            revision: "1a2b3c4".to_owned(),
            seconds: 600,
            at: Timestamp::UNIX_EPOCH,
        };
        let told = failed.told(&Slug::parse("demo").unwrap(), &image("demo:1", "a"));
        assert_eq!(
            told,
            "image demo:2@bbbbbbb of revision 1a2b3c4 did not become ready in 10m; running demo:1@aaaaaaa; \
             write a newer image, or `platform resume demo` tries it again"
        );
    }

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_tells_it_exactly() {
        assert_eq!(
            [7200, 600, 90, 3].map(span),
            ["2h", "10m", "90s", "3s"].map(str::to_owned)
        );
    }
}

//! Facts a declaration only points at: the digest behind a mutable tag, where a challenge is placed.

use std::collections::BTreeMap;

use crate::model::{ClusterName, Digest, ImageRef, Slug};

/// What a pass has found out before it builds objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The digest behind each image that was declared without one; or why it is not known.
    pub digests: BTreeMap<ImageRef, Result<Digest, String>>,
    /// The cluster of each challenge that runs elsewhere than here; or why it can run nowhere.
    pub placements: BTreeMap<Slug, Result<ClusterName, String>>,
}

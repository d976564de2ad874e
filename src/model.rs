//! The words of the domain, each a type that is parsed once: slugs, images, quantities, shares,
//! keys and the names derived from them. No client, no clock, no randomness.

pub mod act;
pub mod address;
pub mod chain;
pub mod clock;
pub mod condition;
pub mod document;
pub mod emission;
pub mod failure;
pub mod fence;
pub mod health;
pub mod image;
pub mod item;
pub mod key;
pub mod metagraph;
pub mod names;
pub mod network;
pub mod notice;
pub mod pass;
pub mod public;
pub mod quantity;
pub mod revision;
pub mod rollout;
pub mod scope;
pub mod secret;
pub mod slug;
pub mod snapshot;
pub mod sorted;
pub mod ss58;
pub mod target;
pub mod token;
pub mod told;

pub use emission::{Emission, Share};
pub use fence::FenceToken;
pub use image::{Digest, ImageRef};
pub use item::{Component, Copied, Derived, Generated, Item, Object, Ownership, Recipe, Row};
pub use key::{ClusterName, Key, Kind, ObjectKey, RowKey};
pub use quantity::Quantity;
pub use revision::{CommitId, Revision};
pub use scope::Scope;
pub use secret::Secret;
pub use slug::Slug;
pub use target::{Ineligible, Offer, TargetId};
pub use told::Told;

/// The field manager of every server-side apply and the value of the `managed-by` label.
pub const FIELD_MANAGER: &str = "platform-network";

/// The annotation, on objects of a challenge whose drift is only reported, with the digest of what was
/// declared. It changes with the declaration and with nothing else, so that a change of its author's is told
/// from one of somebody else's however many passes it takes.
pub const DECLARED_DIGEST: &str = "platform.network/declared-digest";

//! Every object and registry row, fully decided: `Platform` and `Facts` to `Desired`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Item, Key, ObjectKey, Slug};

/// Everything that should be there. Nothing is left to choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// What each key should hold.
    pub items: BTreeMap<Key, Wanted>,
    /// The claims that wanted StatefulSets make, each with its StatefulSet: in use, and nobody's to delete.
    pub claims: BTreeMap<ObjectKey, ObjectKey>,
    /// The declared challenges.
    pub declared: BTreeSet<Slug>,
    /// Challenges that cannot be decided now, and why: nothing of theirs is touched.
    pub withheld: BTreeMap<Slug, String>,
    /// Challenges whose objects are shown, not corrected, when somebody else changes them.
    pub report_only: BTreeSet<Slug>,
}

/// What one key should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The content.
    pub item: Item,
    /// Whether it is made when missing.
    pub presence: Presence,
    /// The objects that must be there and ready before this one is written.
    pub after: Vec<ObjectKey>,
}

/// Whether a missing item is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is made.
    Required,
    /// It is kept right where it exists, and not made: a draft's objects.
    IfPresent,
}

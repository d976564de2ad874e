//! What is to be done, in which order, and what must not be done and why: `Desired` and `Live` to `Plan`. Pure.

pub mod digest;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::live::{Change, Why};
use crate::model::{Item, Key, ObjectKey, Revision, Slug};

/// Everything one pass would do, as a value: printed, tested, and executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The source's revision.
    pub revision: Revision,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What is not done, and why.
    pub held: Vec<Held>,
    /// How many wanted keys are as they should be.
    pub unchanged: usize,
    /// Guards that this plan would pass; it is not carried out until each is allowed.
    pub guards: Vec<Guard>,
    /// Shares before and after, of challenges whose share changes.
    pub shares: BTreeMap<Slug, (String, String)>,
    /// Remarks that change nothing, such as foreign items in an object of ours.
    pub notes: Vec<Note>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it is about.
    pub key: Key,
    /// The challenge it belongs to, if any.
    pub slug: Option<Slug>,
    /// What is done.
    pub action: Action,
    /// Steps of one challenge run by ascending wave; steps of no challenge come before all others.
    pub wave: u8,
    /// The object that must be ready first.
    pub after: Option<ObjectKey>,
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is made.
    Create(Item),
    /// It is changed.
    Update {
        /// What it should hold.
        new: Item,
        /// The object's identity as seen; `None` for a row.
        uid: Option<String>,
        /// The fields that change.
        changes: Vec<Change>,
    },
    /// It is deleted: an object as seen, or a row.
    Delete {
        /// Identity and version as seen; `None` for a row.
        seen: Option<(String, String)>,
    },
}

/// Something that is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "held")]
pub enum Held {
    /// Removal keeps it: it holds data or the key to data.
    Retained {
        /// What is kept.
        key: Key,
        /// Whose it was.
        slug: Option<Slug>,
    },
    /// The name is taken by an object that is not ours.
    Foreign {
        /// The name.
        key: Key,
        /// The challenge that wants it.
        slug: Option<Slug>,
        /// Whose it seems to be.
        why: Why,
    },
    /// Its state could not be read.
    Unknown {
        /// What was not read.
        key: Key,
        /// The challenge.
        slug: Option<Slug>,
        /// Why not.
        why: Why,
    },
    /// It would be refused, or must not be done.
    Refused {
        /// What is refused.
        key: Key,
        /// The challenge.
        slug: Option<Slug>,
        /// The reason, with the remedy.
        why: Why,
    },
    /// Somebody else changed it and the challenge says `drift: report`.
    Drifted {
        /// What was changed.
        key: Key,
        /// The challenge.
        slug: Option<Slug>,
        /// Which fields, and by whom.
        why: Why,
    },
    /// It waits for another object.
    Waits {
        /// What waits.
        key: Key,
        /// The challenge.
        slug: Option<Slug>,
        /// What it waits for.
        on: Key,
        /// The state of that.
        why: Why,
    },
    /// The whole challenge is withheld; nothing of it is touched.
    Withheld {
        /// The challenge.
        slug: Slug,
        /// The reason, with the remedy.
        why: Why,
    },
}

/// A guard of `safety` that a plan would pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "guard")]
pub enum Guard {
    /// More deletes than `safety.max_deleted_percent` of everything owned.
    Deletes {
        /// How many.
        deletes: usize,
        /// Of how many.
        owned: usize,
        /// The limit in percent.
        limit_percent: u32,
    },
    /// A share that moves further than `safety.max_emission_change_points`.
    EmissionChange {
        /// The challenge that moves furthest.
        slug: Slug,
        /// How far, in hundredths of a percent point.
        basis_points: u32,
        /// The limit in percent points.
        limit_points: u32,
    },
    /// A freeze window is open.
    Freeze {
        /// When it ends, RFC 3339.
        until: String,
        /// Its reason.
        why: String,
    },
}

/// A remark about a key that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is about.
    pub key: Key,
    /// The challenge.
    pub slug: Option<Slug>,
    /// The remark.
    pub text: String,
}

//! Whether an object is as wanted, decided from the object alone: no request, no clock, no client.
//!
//! In go the object we would apply, the object as the server lists it, and the name of our field
//! manager; out comes a [`Comparison`]. "Equal" means that an apply would change no content.
//!
//! # Why this works
//!
//! The server keeps, in `metadata.managedFields`, a record of which manager last set which field, and it
//! keeps it honestly: whenever anyone else sets one of our fields to another value, or removes it, by
//! edit, replacement, forced apply or `/scale`, the server takes that path out of our record in the same
//! write. Nobody can change a value of ours and leave us its owner. So a path that we want and no longer
//! own has been touched, even if the old value is back; and a path that we own holds what our last apply
//! put there, give or take how the server spells it. What remains is to compare, at each owned path, the
//! value wanted now with the value there, and to forgive the spellings: quantities, dropped blanks, one
//! defaulted key. Everything that others added beside our fields is theirs, and an apply would leave it.
//!
//! Where the comparison errs it errs towards "different", which costs one dry run. It is known to do so
//! for `{}` wanted over foreign content, for defaults inside values that the server treats as one, and
//! for admission that rewrites what we own. [`fingerprint`] and [`owned_fingerprint`] make the memo that
//! such a pair was found settled. Keep memos per process, and for a day at most: the admission policy
//! behind one may be gone.
//!
//! # What it cannot see
//!
//! Fields that we never wrote: what matters is written even at its default, and is guarded then. Foreign
//! items in our lists: [`foreign_items`] reports those where a stranger matters.

mod alternatives;
mod canonical;
mod difference;
mod foreign;
mod immutable;
mod items;
mod path;
pub mod quantity;
mod record;
mod same;
mod settled;
mod takeover;
#[cfg(test)]
mod tests;
mod unblock;
mod walk;

use serde_json::Value;

pub use self::{
    alternatives::replace_alternatives,
    canonical::{Fingerprint, fingerprint, owned_fingerprint, standing},
    difference::{Difference, Differences, Effect, Kind, Values},
    foreign::{ForeignItem, foreign_items},
    immutable::{immutable, is_refused},
    path::{FieldPath, Segment},
    record::Holder,
    settled::is_settled,
    takeover::{TakeOver, merge, needs_take_over, release, take_over, without_updates},
    unblock::unblock,
};

/// How a live object stands to what we want of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// An apply would change no content.
    Equal,
    /// We own nothing of it: made by somebody else, or its ownership records were wiped. Fields that an
    /// earlier want had and this one lacks cannot be told.
    NothingOwned,
    /// Our fields are recorded in this other API version: ask the server.
    OtherVersion(String),
    /// It is being deleted; an apply would be accepted and lost. Hold until it is gone.
    Terminating,
    /// An apply would change content, or at least ownership.
    Different(Differences),
}

/// Compares the object we would apply with the object as listed, as far as `manager` owns it.
///
/// `want` carries `apiVersion` and `kind`; `live` carries `metadata.managedFields`, and may lack both as
/// items of a list response do. Null and `[]` members of the want are ignored, as
/// [`Document::of`](crate::model::document::Document::of) drops them before sending. Never fails: records of an unknown form are differences.
pub fn compare(want: &Value, live: &Value, manager: &str) -> Comparison {
    if is_terminating(live) {
        return Comparison::Terminating;
    }
    let Some(record) = record::ours(live, manager) else {
        return Comparison::NothingOwned;
    };
    let version = record::text(record, "apiVersion");
    if version != record::text(want, "apiVersion") {
        return Comparison::OtherVersion(version.to_owned());
    }
    let fields = record.get("fieldsV1").unwrap_or(&Value::Null);
    walk::walk(want, fields, live, manager).map_or(Comparison::Equal, Comparison::Different)
}

/// Returns the ownership record of `manager`'s applies to the object itself, if there is one.
pub fn record_of<'a>(live: &'a Value, manager: &str) -> Option<&'a Value> {
    record::ours(live, manager)
}

/// As [`record_of`], in a list of records.
pub fn record_in<'a>(records: &'a Value, manager: &str) -> Option<&'a Value> {
    let mut records = records.as_array().into_iter().flatten();
    records.find(|entry| record::is_ours(entry, manager))
}

fn is_terminating(live: &Value) -> bool {
    let deleted = live
        .get("metadata")
        .and_then(|metadata| metadata.get("deletionTimestamp"));
    deleted.is_some_and(|time| !time.is_null())
}

//! What is made of the challenges' token Secrets: the row with their hashes, and the Secret that repeats one token of
//! each. Pure.
//!
//! In that Secret a token that could not be read, or is not made yet, keeps its key as it is. One that is known to be
//! gone loses it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, World, unknown_row, waits};
use crate::model::{Component, Copied, Derived, Item, Key, ObjectKey, Ownership, RowKey, Slug};
use crate::reconcile::desired::{Presence, Wanted};
use crate::reconcile::live::{Change, Observed, Seen};
use crate::reconcile::plan::{Action, diff};

/// A value in the Secret that it is copied from.
enum Source<'a> {
    /// It is there, with this hash.
    There(&'a str),
    /// It is made by the same plan.
    ToCome,
    /// It is known not to be there.
    Gone,
    /// It could not be read, or is not one of ours.
    Unknown,
}

impl World<'_> {
    /// The row follows the Secret: hash and hint are known once that exists.
    pub(super) fn decide_token_row(
        &self,
        row: &RowKey,
        wanted: &Wanted,
        seen: Option<&Seen>,
    ) -> Decision {
        let Some(secret) = row.slug().and_then(|slug| self.token_secrets.get(slug)) else {
            return Decision::Nothing;
        };
        if let Some(why) = &self.live.rows_unknown {
            return unknown_row(row, why);
        }
        let old = match seen {
            Some(Seen::Row(row)) => Some(row),
            _ => None,
        };
        let write = |changes| {
            let action = match old {
                Some(_) => Action::Update {
                    new: Item::TokenRow,
                    seen: None,
                    before: None,
                    changes,
                },
                None => Action::Create(Item::TokenRow),
            };
            Decision::Do {
                action,
                after: secret.object().into_iter().cloned().collect(),
            }
        };
        let wait = |why| {
            let key = Key::Row(row.clone());
            waits(&key, row.slug().cloned(), secret, why)
        };
        match self.live.seen.get(secret) {
            Some(Seen::Absent { .. }) if wanted.presence == Presence::IfPresent => {
                Decision::Nothing
            }
            Some(Seen::Absent { .. }) => write(Vec::new()),
            Some(Seen::Object(observed)) => {
                match observed.contents.as_ref().and_then(|c| c.tokens.as_ref()) {
                    Some(new) if Some(new) == old => Decision::Unchanged,
                    Some(new) => write(
                        old.map(|old| diff::changes(&old.0, &new.0))
                            .unwrap_or_default(),
                    ),
                    None => wait("its tokens are incomplete"),
                }
            }
            _ => wait("it could not be read"),
        }
    }

    /// Decides the Secret against what is there of it, if it is there.
    pub(super) fn decide_derived(
        &self,
        derived: &Derived,
        wanted: &Wanted,
        observed: Option<&Observed>,
    ) -> Decision {
        let contents = observed.and_then(|observed| observed.contents.clone());
        let contents = contents.unwrap_or_default();
        let (mut keys, mut copies) = (BTreeSet::new(), BTreeMap::new());
        for (slug, copied) in &derived.copies {
            let hash = match self.source(slug, &copied.from) {
                Source::There(hash) => Some(hash.to_owned()),
                Source::ToCome => None,
                Source::Unknown => {
                    keys.insert(slug.clone());
                    continue;
                }
                Source::Gone => continue,
            };
            keys.insert(slug.clone());
            if hash.is_none() || hash.as_ref() != contents.hashes.get(slug.as_str()) {
                let from = copied.from.clone();
                copies.insert(slug.clone(), Copied { from, hash });
            }
        }
        let gone = contents
            .keys
            .iter()
            .filter(|key| !keys.contains(key.as_str()));
        let changed = copies.keys().map(Slug::as_str);
        let changes: Vec<Change> = changed
            .chain(gone.map(String::as_str))
            .map(change)
            .collect();
        let is_missing = observed.is_none();
        if changes.is_empty() {
            return match is_missing {
                true => Decision::Nothing,
                false => Decision::Unchanged,
            };
        }
        let to_come = copies.values().filter(|copied| copied.hash.is_none());
        let after = to_come.map(|copied| copied.from.clone());
        let after = wanted.after.iter().cloned().chain(after).collect();
        let new = Item::Derived(Derived {
            keys,
            copies,
            ..derived.clone()
        });
        let action = match observed {
            None => Action::Create(new),
            Some(observed) => Action::Update {
                new,
                seen: Some(observed.sighting()),
                before: None,
                changes,
            },
        };
        Decision::Do { action, after }
    }

    fn source(&self, slug: &Slug, from: &ObjectKey) -> Source<'_> {
        let key = Key::Object(from.clone());
        let is_made = || {
            let wanted = self.desired.items.get(&key);
            wanted.is_some_and(|wanted| wanted.presence == Presence::Required)
        };
        match self.live.seen.get(&key) {
            Some(Seen::Object(observed)) if is_of(observed, slug) => {
                let tokens = observed
                    .contents
                    .as_ref()
                    .and_then(|found| found.tokens.as_ref());
                let hash = tokens.and_then(|tokens| tokens.0["token_hash"].as_str());
                hash.map_or(Source::Unknown, Source::There)
            }
            Some(Seen::Object(_) | Seen::Unknown(_) | Seen::Row(_)) => Source::Unknown,
            Some(Seen::Absent { .. }) if is_made() => Source::ToCome,
            Some(Seen::Absent { .. }) => Source::Gone,
            None => {
                let list = (from.cluster.clone(), from.kind);
                match self.live.partial.contains_key(&list) {
                    true => Source::Unknown,
                    false => Source::Gone,
                }
            }
        }
    }
}

fn is_of(observed: &Observed, slug: &Slug) -> bool {
    let owner = Ownership {
        slug: Some(slug.clone()),
        component: Component::ChallengeSecret,
    };
    observed.owner.as_ref() == Some(&owner)
}

/// Names the key; neither value may be known here.
fn change(key: &str) -> Change {
    Change {
        path: format!("data.{key}"),
        old: None,
        new: None,
        taken_by: None,
    }
}

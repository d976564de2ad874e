//! A plan by challenge: what belongs together on a page. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{Key, RowKey, Slug},
    reconcile::plan::{Action, Held, Note, Plan, Step},
};

/// What happens to a challenge as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outline {
    /// It is new.
    Create,
    /// Something of it changes.
    Change,
    /// It is removed.
    Delete,
    /// Nothing is done, and something waits or was refused.
    Held,
    /// Nothing is done and nothing waits: its share moves, something is kept, or there is a remark.
    None,
}

/// How many keys a plan creates, changes, deletes, keeps, holds and leaves alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Keys that are made.
    pub create: usize,
    /// Keys that are changed.
    pub change: usize,
    /// Keys that are deleted.
    pub delete: usize,
    /// Keys that removal keeps.
    pub keep: usize,
    /// Keys that wait or were refused.
    pub held: usize,
    /// Keys that are as they should be.
    pub unchanged: usize,
}

/// What a plan says about one challenge, or about what belongs to none.
#[derive(Debug, Default)]
pub struct Group<'a> {
    /// The challenge; `None` for what belongs to none.
    pub slug: Option<&'a Slug>,
    /// Its steps in the order of the plan.
    pub steps: Vec<&'a Step>,
    /// What waits or was refused.
    pub held: Vec<&'a Held>,
    /// What removal keeps.
    pub kept: Vec<&'a Key>,
    /// Remarks.
    pub notes: Vec<&'a Note>,
    /// Its share before and after, where that changes.
    pub share: Option<&'a (String, String)>,
}

impl Totals {
    /// Counts a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut totals = Self {
            unchanged: plan.unchanged,
            ..Self::default()
        };
        for step in &plan.steps {
            match step.action {
                Action::Create(_) => totals.create += 1,
                Action::Update { .. } => totals.change += 1,
                Action::Delete { .. } => totals.delete += 1,
            }
        }
        for held in &plan.held {
            match held {
                Held::Retained { .. } => totals.keep += 1,
                _ => totals.held += 1,
            }
        }
        totals
    }
}

/// Tells whether a plan does nothing and nothing waits: kept data alone is nothing to change.
#[must_use]
pub fn is_quiet(plan: &Plan) -> bool {
    let totals = Totals::of(plan);
    totals.create + totals.change + totals.delete + totals.held == 0
}

/// Returns the groups of a plan: what belongs to no challenge first, then challenges by name.
pub fn groups(plan: &Plan) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<Option<&Slug>, Group<'_>> = BTreeMap::new();
    for step in &plan.steps {
        let group = groups.entry(step.slug.as_ref()).or_default();
        group.steps.push(step);
    }
    for held in &plan.held {
        let group = groups.entry(held.slug()).or_default();
        match held {
            Held::Retained { key, .. } => group.kept.push(key),
            held => group.held.push(held),
        }
    }
    for note in &plan.notes {
        let group = groups.entry(note.slug.as_ref()).or_default();
        group.notes.push(note);
    }
    for (slug, share) in &plan.shares {
        groups.entry(Some(slug)).or_default().share = Some(share);
    }
    let named = |(slug, group)| Group { slug, ..group };
    groups.into_iter().map(named).collect()
}

impl Group<'_> {
    /// Returns what happens to the challenge as a whole: it is new or removed when its registry row is.
    pub fn outline(&self) -> Outline {
        let is_row = |step: &&&Step| matches!(step.key, Key::Row(RowKey::Challenge(_)));
        let row = self.steps.iter().find(is_row).map(|step| &step.action);
        match row {
            _ if self.steps.is_empty() && self.held.is_empty() => Outline::None,
            _ if self.steps.is_empty() => Outline::Held,
            Some(Action::Create(_)) => Outline::Create,
            Some(Action::Delete { .. }) => Outline::Delete,
            Some(Action::Update { .. }) | None => Outline::Change,
        }
    }

    /// Tells whether all that is done is what making or removing a challenge always means.
    pub fn is_uniform(&self) -> bool {
        let outline = self.outline();
        self.steps.iter().all(|step| match step.action {
            Action::Create(_) => outline == Outline::Create,
            Action::Delete { .. } => outline == Outline::Delete,
            Action::Update { .. } => false,
        })
    }
}

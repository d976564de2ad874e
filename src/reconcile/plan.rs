//! What is to be done, in which order, and what must not be done and why: `Desired` and `Live` to `Plan`. Pure.

pub mod decide;
pub mod diff;
pub mod digest;
pub mod guard;
pub mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::decide::{Decision, World};
use self::order::Direction;
use super::desired::Desired;
use super::live::{Change, Live, Repair, Sighting, Why};
use crate::model::act::Suspensions;
use crate::model::pass::KeyAction;
use crate::model::{
    ClusterName, Copied, Derived, Item, Key, Kind, ObjectKey, Revision, Scope, Slug,
};
use crate::spec::platform::Safety;

/// What a plan is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The source's revision.
    pub revision: Revision,
    /// The challenges that may be changed; all when empty.
    pub only: BTreeSet<Slug>,
    /// The challenges that were looked at. The guards that weigh a plan against everything are judged only
    /// where everything was.
    pub scope: Scope,
    /// The time, for freeze windows.
    pub now: jiff::Timestamp,
}

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
    /// The objects that must be there and ready first.
    pub after: Vec<ObjectKey>,
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
        /// The object as seen; `None` for a row.
        seen: Option<Sighting>,
        /// What has to be put right first, if anything.
        before: Option<Repair>,
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
    /// A kind could not be listed, so that nothing of it is deleted.
    Unlisted {
        /// The cluster.
        cluster: ClusterName,
        /// The kind.
        kind: Kind,
        /// Why not.
        why: Why,
    },
    /// The registry's rows could not be read, so that none is written or deleted.
    Unrecorded {
        /// Why not.
        why: Why,
    },
    /// The whole challenge is withheld; nothing of it is touched.
    Withheld {
        /// The challenge.
        slug: Slug,
        /// The reason, with the remedy.
        why: Why,
    },
    /// Somebody suspended the challenge; nothing of it is touched.
    Suspended {
        /// The challenge.
        slug: Slug,
        /// Since when, by whom, and their reason.
        why: Why,
    },
    /// The declared image of the challenge did not become ready in its time; the one before it is to run.
    RolledBack {
        /// The challenge.
        slug: Slug,
        /// Which images, and the remedy.
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
    /// The registry knows applied challenges, and they are elsewhere: the place has no object of any, or they
    /// were applied in another namespace.
    Elsewhere {
        /// How many challenges the registry knows as applied.
        challenges: usize,
        /// The namespace in which everything would be made anew.
        namespace: String,
        /// The namespace that they were applied in, where the registry knows that it was another.
        before: Option<String>,
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

impl Action {
    /// Returns what it does, in one word.
    #[must_use]
    pub fn word(&self) -> KeyAction {
        match self {
            Self::Create(_) => KeyAction::Create,
            Self::Update { .. } => KeyAction::Update,
            Self::Delete { .. } => KeyAction::Delete,
        }
    }

    fn derived_mut(&mut self) -> Option<&mut Derived> {
        match self {
            Self::Create(Item::Derived(derived))
            | Self::Update {
                new: Item::Derived(derived),
                ..
            } => Some(derived),
            Self::Create(_) | Self::Update { .. } | Self::Delete { .. } => None,
        }
    }

    /// Tells whether nothing of it can be done before other steps of its plan.
    #[must_use]
    pub fn waits(&self) -> bool {
        match self {
            Self::Create(Item::Derived(derived)) => derived.waits(),
            Self::Update {
                new: Item::Derived(derived),
                changes,
                ..
            } => derived.waits() && changes.len() == derived.copies.len(),
            Self::Create(_) | Self::Update { .. } | Self::Delete { .. } => false,
        }
    }
}

impl Held {
    /// Returns what is held, if it is one key.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Retained { key, .. }
            | Self::Foreign { key, .. }
            | Self::Unknown { key, .. }
            | Self::Refused { key, .. }
            | Self::Drifted { key, .. }
            | Self::Waits { key, .. } => Some(key),
            Self::Unlisted { .. }
            | Self::Unrecorded { .. }
            | Self::Withheld { .. }
            | Self::Suspended { .. }
            | Self::RolledBack { .. } => None,
        }
    }

    /// Returns the challenge it belongs to, if any.
    #[must_use]
    pub fn slug(&self) -> Option<&Slug> {
        match self {
            Self::Retained { slug, .. }
            | Self::Foreign { slug, .. }
            | Self::Unknown { slug, .. }
            | Self::Refused { slug, .. }
            | Self::Drifted { slug, .. }
            | Self::Waits { slug, .. } => slug.as_ref(),
            Self::Withheld { slug, .. }
            | Self::Suspended { slug, .. }
            | Self::RolledBack { slug, .. } => Some(slug),
            Self::Unlisted { .. } | Self::Unrecorded { .. } => None,
        }
    }

    /// Tells whether something could not be read.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. } | Self::Unlisted { .. } | Self::Unrecorded { .. }
        )
    }
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

impl Plan {
    /// Returns a plan of nothing.
    #[must_use]
    pub fn empty(revision: Revision) -> Self {
        Self {
            revision,
            steps: Vec::new(),
            held: Vec::new(),
            unchanged: 0,
            guards: Vec::new(),
            shares: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Adds the plan of other challenges for the same revision.
    pub fn absorb(&mut self, other: Self) {
        let Self {
            revision: _,
            steps,
            held,
            unchanged,
            guards,
            shares,
            notes,
        } = other;
        self.steps.extend(steps);
        self.held.extend(held);
        self.unchanged += unchanged;
        self.guards.extend(guards);
        self.shares.extend(shares);
        self.notes.extend(notes);
    }

    /// Returns the plan without the steps of challenges that were suspended since it was made.
    #[must_use]
    pub fn without(&self, suspended: &Suspensions) -> Self {
        let mut rest = self.clone();
        let is_left = |slug: &Slug| suspended.contains_key(slug);
        rest.steps
            .retain(|step| !step.slug.as_ref().is_some_and(is_left));
        rest
    }

    /// Leaves out what belongs to challenges not in `only`; an empty set leaves everything. The shares of others
    /// stay: they move with those of the challenges in `only`.
    fn narrow(&mut self, only: &BTreeSet<Slug>) {
        if only.is_empty() {
            return;
        }
        let is_in = |slug: Option<&Slug>| slug.is_none_or(|slug| only.contains(slug));
        self.steps.retain(|step| is_in(step.slug.as_ref()));
        self.held.retain(|held| is_in(held.slug()));
        self.notes.retain(|note| is_in(note.slug.as_ref()));
    }

    /// Leaves out of what is made of all challenges what no step of this plan makes: it is the next plan's. To be
    /// called when steps were left out.
    pub fn drop_orphans(&mut self) {
        let made: BTreeSet<Key> = self.steps.iter().map(|step| step.key.clone()).collect();
        let is_made = |from: &ObjectKey| made.contains(&Key::Object(from.clone()));
        self.steps.retain_mut(|step| {
            let Some(derived) = step.action.derived_mut() else {
                return true;
            };
            let is_there = |copied: &Copied| copied.hash.is_some() || is_made(&copied.from);
            let before = derived.copies.len();
            derived.copies.retain(|_, copied| is_there(copied));
            let (left, dropped) = (derived.copies.len(), before - derived.copies.len());
            let keys: BTreeSet<String> = derived.copies.keys().map(Derived::path).collect();
            let stays: BTreeSet<String> = derived.keys.iter().map(Derived::path).collect();
            step.after.retain(is_made);
            match &mut step.action {
                Action::Update { changes, .. } if dropped > 0 => {
                    changes.retain(|change| {
                        keys.contains(&change.path) || !stays.contains(&change.path)
                    });
                    !changes.is_empty()
                }
                _ => left > 0 || dropped == 0,
            }
        });
    }

    /// Tells whether there is nothing to do and nothing that waits, was refused or is unknown; kept data alone is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self
                .held
                .iter()
                .all(|held| matches!(held, Held::Retained { .. }))
    }

    /// Tells whether there is nothing to do but what somebody suspended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_meant = |held: &Held| matches!(held, Held::Retained { .. } | Held::Suspended { .. });
        self.steps.is_empty() && self.held.iter().all(is_meant)
    }

    /// Tells whether something could not be read.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.held.iter().any(Held::is_unknown)
    }

    /// Tells whether carrying it out may write: at once, or when what something waits for is there.
    #[must_use]
    pub fn may_write(&self) -> bool {
        let waits = |held: &Held| matches!(held, Held::Waits { .. });
        !self.steps.is_empty() || self.held.iter().any(waits)
    }
}

/// Decides what one pass does, for the challenges in `only` or, when that is empty, for all. The clock is an
/// argument: only the freeze windows depend on it.
#[must_use]
pub fn plan_pass(request: &Request, desired: &Desired, live: &Live, safety: &Safety) -> Plan {
    let world = World::new(desired, live);
    let mut plan = Plan::empty(request.revision.clone());
    plan.shares = guard::shares(desired, live, &request.only);
    for (key, decision) in world.decide() {
        match decision {
            Decision::Unchanged => plan.unchanged += 1,
            Decision::Nothing => {}
            Decision::Held(held) => plan.held.push(held),
            Decision::Do { action, after } => {
                let direction = match action {
                    Action::Delete { .. } => Direction::Delete,
                    Action::Create(_) | Action::Update { .. } => Direction::Write,
                };
                plan.steps.push(Step {
                    slug: world.slug(key).cloned(),
                    wave: order::wave(key, world.ownership(key), direction),
                    key: key.clone(),
                    action,
                    after,
                });
            }
        }
    }
    plan.held.extend(world.withheld());
    plan.notes = world.notes();
    plan.narrow(&request.only);
    plan.drop_orphans();
    plan.steps
        .sort_by(|a, b| (&a.slug, a.wave, &a.key).cmp(&(&b.slug, b.wave, &b.key)));
    plan.guards = guard::guards(&plan, desired, live, safety, request);
    plan
}

//! One decision per key: what is wanted against what is there. Pure.

mod gate;
mod tokens;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Action, Held, Note, diff};
use crate::model::{
    Component, DECLARED_DIGEST, Generated, Item, Key, Kind, ObjectKey, Ownership, Recipe, Row,
    RowKey, Slug,
};
use crate::reconcile::desired::{Desired, Presence, Wanted};
use crate::reconcile::live::observe::TAKE_OVER;
use crate::reconcile::live::{Change, Live, Observed, Seen, Verdict, Why, is_scaled_by_keda};

/// What is decided for one key.
pub(super) enum Decision {
    /// It is as it should be.
    Unchanged,
    /// It is nobody's business: a draft's missing object, a claim in use.
    Nothing,
    /// It is not touched, and why.
    Held(Held),
    /// It is written or deleted.
    Do {
        action: Action,
        after: Vec<ObjectKey>,
    },
}

/// One key with what is wanted of it and what is there, of which it has one at least.
#[derive(Clone, Copy)]
struct Sides<'a> {
    key: &'a Key,
    wanted: Option<&'a Wanted>,
    seen: Option<&'a Seen>,
}

/// What was decided for each key, in the order of keys.
pub(super) struct Decisions<'a>(Vec<(&'a Key, Decision)>);

impl<'a> Decisions<'a> {
    fn get(&self, key: &Key) -> Option<&Decision> {
        let found = self.0.binary_search_by(|(at, _)| (*at).cmp(key));
        found.ok().map(|index| &self.0[index].1)
    }

    fn of_object(&self, key: &ObjectKey) -> Option<&Decision> {
        self.get(&Key::Object(key.clone()))
    }
}

impl<'a> IntoIterator for Decisions<'a> {
    type Item = (&'a Key, Decision);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Both sides of the comparison.
pub(super) struct World<'a> {
    desired: &'a Desired,
    live: &'a Live,
    /// Where each challenge's token Secret is wanted.
    token_secrets: BTreeMap<&'a Slug, &'a Key>,
    /// The workload of each challenge that is to run.
    workloads: BTreeMap<&'a Slug, &'a Key>,
}

impl<'a> World<'a> {
    pub(super) fn new(desired: &'a Desired, live: &'a Live) -> Self {
        let token_secret = |(key, wanted): (&'a Key, &'a Wanted)| match (&wanted.item, key) {
            (
                Item::Generated(Generated {
                    recipe: Recipe::Tokens,
                    ownership,
                    ..
                }),
                Key::Object(_),
            ) => Some((ownership.slug.as_ref()?, key)),
            _ => None,
        };
        let workload = |(key, wanted): (&'a Key, &'a Wanted)| {
            let owner = wanted.item.ownership()?;
            let is_workload = owner.component == Component::Challenge
                && matches!(key.object()?.kind, Kind::StatefulSet | Kind::Deployment);
            is_workload.then_some((owner.slug.as_ref()?, key))
        };
        Self {
            desired,
            live,
            token_secrets: desired.items.iter().filter_map(token_secret).collect(),
            workloads: desired.items.iter().filter_map(workload).collect(),
        }
    }

    /// Returns the challenge that a key belongs to.
    pub(super) fn slug<'k>(&self, key: &'k Key) -> Option<&'k Slug>
    where
        'a: 'k,
    {
        match key {
            Key::Row(row) => row.slug(),
            Key::Object(_) => self.ownership(key)?.slug.as_ref(),
        }
    }

    /// Returns whose an object is: as wanted, else as its labels say.
    pub(super) fn ownership(&self, key: &Key) -> Option<&'a Ownership> {
        match (self.desired.items.get(key), self.live.seen.get(key)) {
            (Some(wanted), _) => wanted.item.ownership(),
            (None, Some(Seen::Object(observed))) => observed.owner.as_ref(),
            (None, _) => None,
        }
    }

    /// Decides every wanted key and every key of ours that is not wanted.
    pub(super) fn decide(&self) -> Decisions<'a> {
        let decide = |sides: Sides<'a>| {
            let decision = match (sides.wanted, sides.seen) {
                (Some(wanted), seen) => self.decide_wanted(sides.key, wanted, seen),
                (None, Some(seen)) => self.decide_unwanted(sides.key, seen),
                (None, None) => Decision::Nothing,
            };
            (sides.key, decision)
        };
        let mut decisions = Decisions(self.sides().map(decide).collect());
        self.gate(&mut decisions);
        decisions
    }

    /// Walks both sides together, so that nothing is looked up.
    fn sides(&self) -> impl Iterator<Item = Sides<'a>> + use<'a> {
        let mut wanted = self.desired.items.iter().peekable();
        let mut seen = self.live.seen.iter().peekable();
        std::iter::from_fn(move || {
            let order = match (wanted.peek(), seen.peek()) {
                (Some((wanted, _)), Some((seen, _))) => wanted.cmp(seen),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let wanted = wanted.next_if(|_| order.is_le());
            let seen = seen.next_if(|_| order.is_ge());
            let key = wanted.map(|(key, _)| key).or(seen.map(|(key, _)| key))?;
            Some(Sides {
                key,
                wanted: wanted.map(|(_, wanted)| wanted),
                seen: seen.map(|(_, seen)| seen),
            })
        })
    }

    /// Returns what is held as a whole: challenges that are withheld, suspended or rolled back, kinds that could not
    /// be listed, and rows that could not be read.
    pub(super) fn withheld(&self) -> Vec<Held> {
        let challenges = self.desired.withheld.iter();
        let challenges = challenges.map(|(slug, why)| Held::Withheld {
            slug: slug.clone(),
            why: Why(why.clone()),
        });
        let suspended = self.desired.suspended.iter();
        let suspended = suspended.map(|(slug, suspension)| Held::Suspended {
            slug: slug.clone(),
            why: Why(suspension.to_string()),
        });
        let unlisted = self
            .live
            .partial
            .iter()
            .map(|((cluster, kind), why)| Held::Unlisted {
                cluster: cluster.clone(),
                kind: *kind,
                why: why.clone(),
            });
        let unrecorded = self.live.rows_unknown.clone();
        let unrecorded = unrecorded.map(|why| Held::Unrecorded { why });
        let rolled_back = self.desired.rollouts.iter();
        let rolled_back = rolled_back.filter_map(|(slug, rolled)| {
            Some(Held::RolledBack {
                slug: slug.clone(),
                why: Why(rolled.instead.clone()?),
            })
        });
        let challenges = challenges.chain(suspended).chain(rolled_back);
        challenges.chain(unlisted).chain(unrecorded).collect()
    }

    /// Returns remarks: strangers in lists of ours, and strangers that carry our labels.
    pub(super) fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        for Sides { key, wanted, seen } in self.sides() {
            let Some(Seen::Object(observed)) = seen else {
                continue;
            };
            let mut add = |text| {
                notes.push(Note {
                    key: key.clone(),
                    slug: self.slug(key).cloned(),
                    text,
                });
            };
            for item in &observed.foreign {
                add(format!("{item} was put there by somebody else"));
            }
            if let (Verdict::NotAsked(why), false) =
                (&observed.verdict, observed.changes.is_empty())
            {
                add(format!(
                    "could not be tried beforehand, only our own fields were compared: {why}"
                ));
            }
            if wanted.is_none() && observed.owner.is_none() && !self.is_claim_in_use(key) {
                add(
                    "carries our labels under a name that is not ours; it is left alone".to_owned(),
                );
            }
        }
        notes
    }

    fn is_claim_in_use(&self, key: &Key) -> bool {
        let key = key.object();
        key.is_some_and(|key| self.desired.claims.contains_key(key))
    }

    fn decide_wanted(&self, key: &Key, wanted: &Wanted, seen: Option<&Seen>) -> Decision {
        match (key, &wanted.item) {
            (Key::Row(row), Item::TokenRow) => self.decide_token_row(row, wanted, seen),
            (Key::Row(row), Item::Row(new)) => self.decide_row(row, new, wanted, seen),
            (Key::Object(_), _) => self.decide_object(key, wanted, seen),
            (Key::Row(_), _) => Decision::Nothing,
        }
    }

    fn decide_object(&self, key: &Key, wanted: &Wanted, seen: Option<&Seen>) -> Decision {
        let unknown = |why| {
            Decision::Held(Held::Unknown {
                key: key.clone(),
                slug: wanted.item.slug().cloned(),
                why,
            })
        };
        match seen {
            None => unknown(Why::from("it was not looked at")),
            Some(Seen::Unknown(why)) => unknown(why.clone()),
            Some(Seen::Absent { verdict }) => self.decide_absent(key, wanted, verdict),
            Some(Seen::Object(observed)) => self.decide_present(key, wanted, observed),
            Some(Seen::Row(_)) => Decision::Nothing,
        }
    }

    fn decide_absent(&self, key: &Key, wanted: &Wanted, verdict: &Verdict) -> Decision {
        let (item, slug) = (&wanted.item, wanted.item.slug());
        if wanted.presence == Presence::IfPresent {
            return Decision::Nothing;
        }
        if let Verdict::Refused(why) = verdict {
            return Decision::Held(Held::Refused {
                key: key.clone(),
                slug: slug.cloned(),
                why: why.clone(),
            });
        }
        if let Item::Derived(derived) = item {
            return self.decide_derived(derived, wanted, None);
        }
        if let Some(held) = self.password_without_secret(key, slug, item) {
            return Decision::Held(held);
        }
        Decision::Do {
            action: Action::Create(item.clone()),
            after: wanted.after.clone(),
        }
    }

    /// A claim that is there, or may be there, holds data that knows a password: none is invented for it.
    fn password_without_secret(&self, key: &Key, slug: Option<&Slug>, item: &Item) -> Option<Held> {
        let Item::Generated(Generated {
            recipe: Recipe::Postgres { claim, .. },
            ..
        }) = item
        else {
            return None;
        };
        let object = key.object()?;
        let claim_key = ObjectKey {
            kind: Kind::PersistentVolumeClaim,
            name: claim.clone(),
            ..object.clone()
        };
        let slug = slug.cloned();
        match self.live.seen.get(&Key::Object(claim_key)) {
            Some(Seen::Object(found)) => {
                let give_up = match (&found.owner, &slug) {
                    (Some(_), Some(slug)) => {
                        format!("take the challenge out, apply, and run `platform purge {slug}`")
                    }
                    _ => "delete the claim".to_owned(),
                };
                let why = Why(format!(
                    "claim {claim} holds a database whose password was in this Secret; restore the Secret from a backup or, to give the data up, {give_up}"
                ));
                Some(Held::Refused {
                    key: key.clone(),
                    slug,
                    why,
                })
            }
            Some(Seen::Unknown(why)) => Some(Held::Unknown {
                key: key.clone(),
                slug,
                why: why.clone(),
            }),
            _ => {
                let listing = (object.cluster.clone(), Kind::PersistentVolumeClaim);
                let why = self.live.partial.get(&listing)?;
                Some(Held::Unknown {
                    key: key.clone(),
                    slug,
                    why: why.clone(),
                })
            }
        }
    }

    fn decide_present(&self, key: &Key, wanted: &Wanted, observed: &Observed) -> Decision {
        let item = &wanted.item;
        let slug = || item.slug().cloned();
        let is_namespace = matches!(key, Key::Object(key) if key.kind == Kind::Namespace);
        if !is_namespace && observed.owner.as_ref() != item.ownership() {
            let why = match &observed.owner {
                Some(owner) => Why(match &owner.slug {
                    Some(slug) => format!("it belongs to {} of {slug}", owner.component),
                    None => format!("it is labelled as {}", owner.component),
                }),
                None => Why::from(
                    "an object of this name exists without our labels; rename it, or label it as ours",
                ),
            };
            return Decision::Held(Held::Foreign {
                key: key.clone(),
                slug: slug(),
                why,
            });
        }
        if observed.terminating {
            return waits(key, slug(), key, "it is being deleted");
        }
        match item {
            Item::Generated(generated) => decide_generated(key, generated, observed),
            Item::Derived(derived) => self.decide_derived(derived, wanted, Some(observed)),
            Item::CreateOnly(_) => Decision::Unchanged,
            Item::Object(_) | Item::Row(_) | Item::TokenRow => {
                self.decide_changes(key, wanted, observed)
            }
        }
    }

    fn decide_changes(&self, key: &Key, wanted: &Wanted, observed: &Observed) -> Decision {
        let item = &wanted.item;
        let slug = item.slug();
        match &observed.verdict {
            _ if observed.changes.is_empty() => Decision::Unchanged,
            Verdict::Refused(why) => Decision::Held(Held::Refused {
                key: key.clone(),
                slug: slug.cloned(),
                why: why.clone(),
            }),
            Verdict::Same => Decision::Unchanged,
            _ if self.is_reported_drift(slug, &observed.changes) => Decision::Held(Held::Drifted {
                key: key.clone(),
                slug: slug.cloned(),
                why: drift(&observed.changes),
            }),
            Verdict::Accepted | Verdict::Deferred(_) | Verdict::NotAsked(_) => Decision::Do {
                action: Action::Update {
                    new: item.clone(),
                    seen: Some(observed.sighting()),
                    before: observed.repair.clone(),
                    changes: observed.changes.clone(),
                },
                after: wanted.after.clone(),
            },
        }
    }

    /// A difference is drift unless the declaration changed, which the object's own annotation tells: the
    /// registry has the new declaration before the last object does. An object that is about to become ours
    /// has no annotation, and the registry decides.
    fn is_reported_drift(&self, slug: Option<&Slug>, changes: &[Change]) -> bool {
        let Some(slug) = slug.filter(|slug| self.desired.report_only.contains(*slug)) else {
            return false;
        };
        const ANNOTATIONS: &str = "metadata.annotations";
        let declared = format!("{ANNOTATIONS}[{DECLARED_DIGEST}]");
        // Without any annotation the object lacks the whole map.
        let is_digest = |path: &str| path == declared || path == ANNOTATIONS;
        let is_declared = |change: &Change| is_digest(&change.path) && change.taken_by.is_none();
        let takes_over = changes.iter().any(|change| change.path == TAKE_OVER);
        !changes.iter().any(is_declared) && (!takes_over || self.is_recorded(slug))
    }

    fn is_recorded(&self, slug: &Slug) -> bool {
        let key = Key::Row(RowKey::Challenge(slug.clone()));
        let wanted = self.desired.items.get(&key).map(|wanted| &wanted.item);
        matches!((self.live.seen.get(&key), wanted), (Some(Seen::Row(old)), Some(Item::Row(new))) if old == new)
    }

    fn decide_row(
        &self,
        row: &RowKey,
        new: &Row,
        wanted: &Wanted,
        seen: Option<&Seen>,
    ) -> Decision {
        match (seen, &self.live.rows_unknown) {
            (Some(Seen::Row(old)), _) if old == new => Decision::Unchanged,
            (Some(Seen::Row(old)), _) => match self.unseen_autoscaler(old, new) {
                Some(why) => unknown_row(row, why),
                None => Decision::Do {
                    action: Action::Update {
                        new: Item::Row(new.clone()),
                        seen: None,
                        before: None,
                        changes: diff::changes(&old.0, &new.0),
                    },
                    after: wanted.after.clone(),
                },
            },
            (_, Some(why)) => unknown_row(row, why),
            _ => Decision::Do {
                action: Action::Create(Item::Row(new.clone())),
                after: wanted.after.clone(),
            },
        }
    }

    /// KEDA's objects are listed where a row tells of them: one that may be there is told of until that is known.
    fn unseen_autoscaler(&self, old: &Row, new: &Row) -> Option<&Why> {
        let mut unlisted = self.live.partial.iter();
        let (_, why) = unlisted.find(|((_, kind), _)| *kind == Kind::ScaledObject)?;
        (is_scaled_by_keda(old) && !is_scaled_by_keda(new)).then_some(why)
    }

    fn decide_unwanted(&self, key: &Key, seen: &Seen) -> Decision {
        match (key, seen) {
            (Key::Row(row), Seen::Row(_)) => match row.slug() {
                Some(slug) if self.desired.is_untouched(slug) => Decision::Nothing,
                // Objects of the challenge may be left among those that were not listed, and its row tells of them.
                Some(_) if !self.live.partial.is_empty() => Decision::Nothing,
                _ => Decision::Do {
                    action: Action::Delete { seen: None },
                    after: Vec::new(),
                },
            },
            (Key::Object(object), Seen::Object(observed)) => self.decide_stray(object, observed),
            _ => Decision::Nothing,
        }
    }

    fn decide_stray(&self, key: &ObjectKey, observed: &Observed) -> Decision {
        let Some(owner) = &observed.owner else {
            return Decision::Nothing;
        };
        let in_use = self.desired.claims.contains_key(key);
        let incomplete = self
            .live
            .partial
            .contains_key(&(key.cluster.clone(), key.kind));
        let is_untouched = |slug: &Slug| self.desired.is_untouched(slug);
        if in_use || observed.terminating || owner.slug.as_ref().is_some_and(is_untouched) {
            return Decision::Nothing;
        }
        // A claim holds data whatever its labels say: the kind alone keeps it.
        if owner.component.keeps_data() || key.kind == Kind::PersistentVolumeClaim {
            return Decision::Held(Held::Retained {
                key: Key::Object(key.clone()),
                slug: owner.slug.clone(),
            });
        }
        if incomplete {
            return Decision::Nothing;
        }
        if let Verdict::Refused(why) = &observed.verdict {
            return Decision::Held(Held::Refused {
                key: Key::Object(key.clone()),
                slug: owner.slug.clone(),
                why: why.clone(),
            });
        }
        let seen = Some((observed.uid.clone(), observed.version.clone()));
        Decision::Do {
            action: Action::Delete { seen },
            after: Vec::new(),
        }
    }
}

fn unknown_row(row: &RowKey, why: &Why) -> Decision {
    Decision::Held(Held::Unknown {
        key: Key::Row(row.clone()),
        slug: row.slug().cloned(),
        why: why.clone(),
    })
}

fn decide_generated(key: &Key, generated: &Generated, observed: &Observed) -> Decision {
    let has = |name: &&&str| {
        observed
            .contents
            .as_ref()
            .is_some_and(|contents| contents.keys.contains(**name))
    };
    let lacking: Vec<&str> = generated
        .recipe
        .keys()
        .iter()
        .filter(|name| !has(name))
        .copied()
        .collect();
    if lacking.is_empty() {
        return Decision::Unchanged;
    }
    let remedy = match generated.recipe {
        Recipe::Tokens => "delete the Secret, and the next apply makes a new pair",
        Recipe::Postgres { .. } => {
            "restore it from a backup: its password is known to the data alone"
        }
    };
    let why = Why(format!("it lacks {}; {remedy}", lacking.join(", ")));
    Decision::Held(Held::Refused {
        key: key.clone(),
        slug: generated.ownership.slug.clone(),
        why,
    })
}

fn waits(key: &Key, slug: Option<Slug>, on: &Key, why: &str) -> Decision {
    Decision::Held(Held::Waits {
        key: key.clone(),
        slug,
        on: on.clone(),
        why: Why::from(why),
    })
}

fn drift(changes: &[Change]) -> Why {
    let shown: Vec<String> = changes
        .iter()
        .take(5)
        .map(|change| match &change.taken_by {
            Some(by) => format!("{} (by {by})", change.path),
            None => change.path.clone(),
        })
        .collect();
    let more = changes.len().saturating_sub(shown.len());
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Why(format!(
        "changed by somebody else: {}{tail}; `drift: report` leaves it",
        shown.join(", ")
    ))
}

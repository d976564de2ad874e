//! A world that agrees with a declaration, and what may be different in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::observed;
use crate::model::token::Digested;
use crate::model::{
    ClusterName, Component, Item, Key, Kind, ObjectKey, Ownership, Recipe, RowKey, Slug,
};
use crate::reconcile::desired::{Desired, Wanted};
use crate::reconcile::live::reduce::token_row;
use crate::reconcile::live::{Change, Contents, Live, Observed, Readiness, Seen, Verdict, Why};
use crate::reconcile::plan::diff;

/// What is different; objects and rows by their names, such as `Service challenge-demo`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Differences {
    /// Not there.
    absent: Vec<String>,
    /// Not there, and the server would refuse to make it, or to change it.
    refused: BTreeMap<String, String>,
    /// Not known, and why.
    unknown: BTreeMap<String, String>,
    /// Kinds that were not listed to the end, and why.
    unlisted: BTreeMap<String, String>,
    /// Why the rows are not known.
    rows: Option<String>,
    /// There and not ready.
    not_ready: BTreeMap<String, String>,
    /// There without our labels.
    foreign: Vec<String>,
    /// There and on its way out.
    terminating: Vec<String>,
    /// Changed by somebody: the path and who it was.
    changed: BTreeMap<String, (String, String)>,
    /// A generated Secret that lacks these keys.
    lacking: BTreeMap<String, Vec<String>>,
}

/// Returns the world in which everything of `applied` was done, looked at for what is wanted now.
pub fn agreeing(applied: &Desired, wanted: &Desired) -> Live {
    let mut live = Live::default();
    for (key, item) in &applied.items {
        live.seen.insert(key.clone(), seen(item));
    }
    for (claim, set) in &applied.claims {
        let key = Key::Object(claim.clone());
        live.seen
            .insert(key, Seen::Object(Box::new(data(applied, set))));
    }
    for (key, item) in &wanted.items {
        match (live.seen.get_mut(key), &item.item) {
            (Some(Seen::Object(observed)), Item::Object(object)) => {
                let old = applied.items[key].item.manifest().unwrap();
                observed.changes = diff::changes(&old, &object.manifest.to_value());
                if !observed.changes.is_empty() {
                    observed.verdict = Verdict::Accepted;
                }
            }
            (None, Item::Row(_) | Item::TokenRow) | (Some(_), _) => {}
            (None, _) => {
                live.seen.insert(key.clone(), absent());
            }
        }
    }
    live
}

fn absent() -> Seen {
    Seen::Absent {
        verdict: Verdict::Accepted,
    }
}

fn seen(wanted: &Wanted) -> Seen {
    let digested = |value: &str| Digested::of("challenge_token", value.as_bytes());
    let tokens = || token_row(digested("challenge"), digested("broker"));
    let contents = match &wanted.item {
        Item::Row(row) => return Seen::Row(row.clone()),
        Item::TokenRow => return Seen::Row(tokens()),
        Item::Generated(generated) => Some(Contents {
            keys: generated
                .recipe
                .keys()
                .iter()
                .map(ToString::to_string)
                .collect(),
            tokens: (generated.recipe == Recipe::Tokens).then(tokens),
            hashes: BTreeMap::new(),
        }),
        Item::Derived(derived) => {
            let keys = derived.keys.iter().map(ToString::to_string);
            let hashes = keys.map(|key| (key, digested("challenge").hash));
            let hashes: BTreeMap<String, String> = hashes.collect();
            Some(Contents {
                keys: hashes.keys().cloned().collect(),
                hashes,
                tokens: None,
            })
        }
        Item::Object(_) | Item::CreateOnly(_) => None,
    };
    Seen::Object(Box::new(Observed {
        contents,
        ..observed(wanted.item.ownership().cloned())
    }))
}

/// The claim that a StatefulSet made.
fn data(applied: &Desired, set: &ObjectKey) -> Observed {
    let wanted = applied.items.get(&Key::Object(set.clone()));
    let owner = wanted.and_then(|wanted| wanted.item.ownership());
    let is_postgres = set.name.ends_with("-postgres");
    let slug = set.name.trim_start_matches("challenge-");
    let slug = Slug::parse(slug.trim_end_matches("-postgres")).unwrap();
    let component = match is_postgres {
        true => Component::ChallengePostgresData,
        false => Component::ChallengeData,
    };
    observed(Some(Ownership {
        slug: owner.map_or(Some(slug), |owner| owner.slug.clone()),
        component,
    }))
}

impl Differences {
    /// Makes a world different.
    pub fn apply(&self, live: &mut Live) {
        let Self {
            absent: gone,
            refused,
            unknown,
            unlisted,
            rows,
            not_ready,
            foreign,
            terminating,
            changed,
            lacking,
        } = self;
        for name in gone {
            put(live, name, absent());
        }
        for (name, why) in refused {
            let verdict = Verdict::Refused(Why(why.clone()));
            match live.seen.get_mut(&find(live, name)) {
                Some(Seen::Object(observed)) => observed.verdict = verdict,
                Some(seen) => *seen = Seen::Absent { verdict },
                None => unreachable!("found keys are there"),
            }
        }
        for (name, why) in unknown {
            put(live, name, Seen::Unknown(Why(why.clone())));
        }
        for (kind, why) in unlisted {
            unlist(live, kind_of(kind), why);
        }
        if let Some(why) = rows {
            live.seen.retain(|key, _| key.object().is_some());
            live.rows_unknown = Some(Why(why.clone()));
        }
        for (name, state) in not_ready {
            object(live, name).readiness = Readiness::NotReady(state.clone());
        }
        for name in foreign {
            object(live, name).owner = None;
        }
        for name in terminating {
            object(live, name).terminating = true;
        }
        for (name, (path, by)) in changed {
            let observed = object(live, name);
            observed.verdict = Verdict::Accepted;
            observed.changes.push(Change {
                path: path.clone(),
                old: Some(Value::from("theirs")),
                new: Some(Value::from("ours")),
                taken_by: Some(by.clone()),
            });
        }
        for (name, keys) in lacking {
            let contents = object(live, name).contents.as_mut().unwrap();
            contents.keys.retain(|key| !keys.contains(key));
        }
    }
}

/// Makes a kind one that was not listed: nothing of it is known.
pub fn unlist(live: &mut Live, kind: Kind, why: &str) {
    let why = Why(format!("{kind} list: {why}"));
    for (key, seen) in &mut live.seen {
        if key.object().is_some_and(|key| key.kind == kind) {
            *seen = Seen::Unknown(why.clone());
        }
    }
    live.partial.insert((ClusterName::Local, kind), why);
}

fn kind_of(name: &str) -> Kind {
    let mut kinds = Kind::ALL.into_iter();
    kinds
        .find(|kind| kind.as_str() == name)
        .unwrap_or_else(|| panic!("{name} is no kind"))
}

fn find(live: &Live, name: &str) -> Key {
    let found = live.seen.keys().find(|key| key.to_string() == name);
    found
        .unwrap_or_else(|| {
            let known: Vec<String> = live.seen.keys().map(ToString::to_string).collect();
            panic!("{name} is none of {known:?}")
        })
        .clone()
}

fn put(live: &mut Live, name: &str, seen: Seen) {
    let key = find(live, name);
    match key {
        Key::Row(RowKey::Tokens(_) | RowKey::Challenge(_)) => live.seen.remove(&key),
        _ => live.seen.insert(key, seen),
    };
}

fn object<'a>(live: &'a mut Live, name: &str) -> &'a mut Observed {
    let key = find(live, name);
    match live.seen.get_mut(&key) {
        Some(Seen::Object(observed)) => observed,
        _ => panic!("{name} is not there"),
    }
}

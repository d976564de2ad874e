//! The digest of a plan: what a saved plan, a review and an audit entry name it by. Pure.
//!
//! It covers what would be done and what stands in the way, and nothing that changes by itself: an object's
//! `resourceVersion` moves with its status, so only its uid takes part. The bytes hashed are JSON with sorted
//! members, so the digest is the same in every process and on every machine.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Action, Held, Plan, Step};
use crate::{
    model::{Copied, Item, Key, Recipe, Slug},
    reconcile::live::{Change, Repair},
};

/// Returns the sha256 of a plan in hex: its revision, its steps in order, what is held, and its guards.
///
/// Counts of unchanged keys, remarks and shares take no part: they follow from the rest, or change nothing.
#[must_use]
pub fn plan_digest(plan: &Plan) -> String {
    let Plan {
        revision,
        steps,
        held,
        unchanged: _,
        guards,
        shares: _,
        notes: _,
    } = plan;
    hash(&json!({
        "revision": revision.digest,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "held": held.iter().map(in_the_way).collect::<Vec<_>>(),
        "guards": guards,
    }))
}

/// Tells whether a plan is the one shown before, but for waits of it that have ended: what waited is done now, as
/// the passes after it would have done it. All else is as it was: the revision, the steps, what is held, the guards.
#[must_use]
pub fn is_as_shown(plan: &Plan, shown: &Plan) -> bool {
    let waited: BTreeSet<&Key> = waits(shown).collect();
    let still: BTreeSet<&Key> = plan.held.iter().filter_map(Held::key).collect();
    let has_ended = |key: &Key| waited.contains(key) && !still.contains(key);
    let steps = plan.steps.iter().filter(|step| !has_ended(&step.key));
    let held = shown
        .held
        .iter()
        .filter(|held| !held.key().is_some_and(has_ended));
    plan.revision.digest == shown.revision.digest
        && plan.guards == shown.guards
        && steps.map(step).eq(shown.steps.iter().map(step))
        && plan.held.iter().map(in_the_way).eq(held.map(in_the_way))
}

fn waits(plan: &Plan) -> impl Iterator<Item = &Key> {
    plan.held.iter().filter_map(|held| match held {
        Held::Waits { key, .. } => Some(key),
        _ => None,
    })
}

/// How far along that is which is waited for moves by itself; that it is waited for does not.
fn in_the_way(held: &Held) -> Value {
    match held {
        Held::Waits { key, on, .. } => json!({"held": "waits", "key": key, "on": on}),
        held => json!(held),
    }
}

fn step(step: &Step) -> Value {
    let Step {
        key,
        slug,
        action: what,
        wave,
        after,
    } = step;
    json!({"key": key, "slug": slug, "action": action(what), "wave": wave, "after": after})
}

fn action(action: &Action) -> Value {
    match action {
        Action::Create(new) => json!({"create": item(new)}),
        Action::Update {
            new,
            seen,
            before,
            changes,
        } => {
            let changes: Vec<_> = changes.iter().map(change).collect();
            // The version moves by itself.
            let uid = seen.as_ref().map(|seen| &seen.uid);
            let mut update = json!({"update": item(new), "uid": uid, "changes": changes});
            // The operations follow from the changes, and hold times that move by themselves.
            if let Some(Repair { reasons, .. }) = before {
                update["before"] = json!(reasons);
            }
            update
        }
        Action::Delete { seen } => json!({"delete": seen.as_ref().map(|(uid, _version)| uid)}),
    }
}

/// Who took a field is left out: it is told to people and changes nothing that is done.
fn change(change: &Change) -> Value {
    let Change {
        path,
        old,
        new,
        taken_by: _,
    } = change;
    json!({"path": path, "old": old, "new": new})
}

/// The content of an item by its own hash, so that no manifest is copied into the document as a whole.
fn item(item: &Item) -> Value {
    match item {
        Item::Object(object) => json!({"object": hash(&object.manifest.to_value())}),
        Item::CreateOnly(object) => json!({"create_only": hash(&object.manifest.to_value())}),
        Item::Generated(generated) => json!({
            "generated": hash(&generated.manifest.to_value()),
            "recipe": recipe(&generated.recipe),
        }),
        Item::Derived(derived) => json!({
            "derived": hash(&derived.manifest.to_value()),
            "keys": derived.keys,
            "copies": derived.copies.iter().map(copied).collect::<Vec<_>>(),
        }),
        Item::Row(row) => json!({"row": hash(&row.0)}),
        Item::TokenRow => json!("token_row"),
    }
}

fn copied((slug, copied): (&Slug, &Copied)) -> Value {
    let Copied { from, hash } = copied;
    json!({"slug": slug, "from": from, "hash": hash})
}

fn recipe(recipe: &Recipe) -> Value {
    match recipe {
        Recipe::Tokens => json!("tokens"),
        Recipe::Postgres { host, claim } => json!({"postgres": host, "claim": claim}),
    }
}

fn hash(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Sorts members itself: whether a JSON map keeps its order is a build feature that any dependency may turn on.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let mut open = '{';
            for (name, member) in members {
                out.push(std::mem::replace(&mut open, ','));
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push_str(if open == '{' { "{}" } else { "}" });
        }
        Value::Array(items) => {
            let mut open = '[';
            for item in items {
                out.push(std::mem::replace(&mut open, ','));
                write_canonical(item, out);
            }
            out.push_str(if open == '[' { "[]" } else { "]" });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        model::Kind,
        reconcile::{live::Remedy, plan::Guard, render::samples},
    };

    fn with(reasons: &[Remedy], version: &str) -> String {
        let mut plan = samples::empty();
        let before = (!reasons.is_empty()).then(|| Repair {
            reasons: reasons.iter().copied().collect::<BTreeSet<_>>(),
            operations: vec![json!({"op": "remove", "path": version})],
            version: version.to_owned(),
            standing: [0; 16],
        });
        let mut action = samples::update(samples::workload("ab", json!([])), Vec::new());
        if let Action::Update { before: slot, .. } = &mut action {
            *slot = before;
        }
        let key = samples::object(Kind::StatefulSet, "challenge-ab");
        plan.steps = vec![samples::step("ab", key, action)];
        plan_digest(&plan)
    }

    /// A plan that makes one object and holds `held`.
    fn plan(steps: &[&str], held: Vec<Held>) -> Plan {
        let made = |name: &&str| {
            let key = samples::object(Kind::StatefulSet, name);
            samples::step(
                "ab",
                key,
                Action::Create(samples::workload("ab", json!([]))),
            )
        };
        let mut plan = samples::empty();
        plan.steps = steps.iter().map(made).collect();
        plan.held = held;
        plan
    }

    fn waiting(why: &str) -> Held {
        Held::Waits {
            key: samples::object(Kind::StatefulSet, "challenge-ab"),
            slug: Some(samples::slug("ab")),
            on: samples::object(Kind::StatefulSet, "challenge-ab-postgres"),
            why: why.into(),
        }
    }

    #[test]
    fn plan_of_which_only_waits_have_ended_is_the_one_shown() {
        let shown = plan(&["other"], vec![waiting("0 of 1 pods are ready")]);
        assert!(is_as_shown(&shown, &shown));
        let further = plan(&["other"], vec![waiting("1 of 2 pods are ready")]);
        assert!(is_as_shown(&further, &shown));
        let done = plan(&["challenge-ab", "other"], Vec::new());
        assert!(is_as_shown(&done, &shown));
        assert!(is_as_shown(&plan(&["other"], Vec::new()), &shown));
    }

    #[test]
    fn plan_that_differs_by_more_than_ended_waits_is_another() {
        let shown = plan(&["other"], vec![waiting("0 of 1 pods are ready")]);
        let mut refused = plan(&["other"], Vec::new());
        refused.held.push(Held::Refused {
            key: samples::object(Kind::StatefulSet, "challenge-ab"),
            slug: None,
            why: "its claim has no Secret".into(),
        });
        let mut newer = shown.clone();
        newer.revision.digest = "sha256:another".to_owned();
        let mut guarded = shown.clone();
        guarded.guards.push(Guard::Deletes {
            deletes: 9,
            owned: 10,
            limit_percent: 50,
        });
        let others = [
            (
                "a step that was not shown",
                plan(&["other", "third"], vec![waiting("")]),
            ),
            ("a step that is gone", plan(&[], vec![waiting("")])),
            ("a wait that became a refusal", refused),
            ("another revision", newer),
            ("a guard", guarded),
        ];
        for (what, other) in others {
            assert!(!is_as_shown(&other, &shown), "{what}");
        }
        let unheld = plan(&["other"], Vec::new());
        assert!(!is_as_shown(&shown, &unheld), "a wait that was not shown");
    }

    #[test]
    fn what_is_put_right_first_is_part_of_a_plan_and_its_times_are_not() {
        let plain = with(&[], "1");
        let taken = with(&[Remedy::TakeOver], "1");
        assert_ne!(plain, taken);
        assert_eq!(taken, with(&[Remedy::TakeOver], "2"));
        assert_ne!(taken, with(&[Remedy::ReplaceItem], "1"));
    }
}

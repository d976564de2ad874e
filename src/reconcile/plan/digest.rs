//! The digest of a plan: what a saved plan, a review and an audit entry name it by. Pure.
//!
//! It covers what would be done and what stands in the way, and nothing that changes by itself: an object's
//! `resourceVersion` moves with its status, so only its uid takes part. The bytes hashed are JSON with sorted
//! members, so the digest is the same in every process and on every machine.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Action, Held, Plan, Step};
use crate::{
    model::{Copied, Item, Recipe, Slug},
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
        reconcile::{live::Remedy, render::samples},
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

    #[test]
    fn what_is_put_right_first_is_part_of_a_plan_and_its_times_are_not() {
        let plain = with(&[], "1");
        let taken = with(&[Remedy::TakeOver], "1");
        assert_ne!(plain, taken);
        assert_eq!(taken, with(&[Remedy::TakeOver], "2"));
        assert_ne!(taken, with(&[Remedy::ReplaceItem], "1"));
    }
}

//! What a step means for whoever runs the challenge: pods rolled, data kept, nothing restarted. Pure.

use serde_json::Value;

use super::value;
use crate::{
    model::{Item, Key, Kind, ObjectKey, Recipe, RowKey, Slug, names},
    reconcile::{
        live::Change,
        plan::{Action, Step},
    },
};

/// What an object is to its challenge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Workload,
    Postgres,
    Secret,
    Claim,
    Autoscaler,
    Network,
    Other,
}

/// Returns what a step means, in a few words each; `group` are all steps of the same challenge.
pub fn means(step: &Step, group: &[&Step]) -> Vec<String> {
    let mut words = of_step(step, group);
    if let Action::Update {
        before: Some(repair),
        ..
    } = &step.action
    {
        words.extend(repair.reasons.iter().map(ToString::to_string));
    }
    words
}

fn of_step(step: &Step, group: &[&Step]) -> Vec<String> {
    let Some(key) = step.key.object() else {
        return of_row(step, group);
    };
    let words: &[&str] = match (part(key, step.slug.as_ref()), &step.action) {
        (Part::Workload, action) => return of_workload(key, action, group),
        (Part::Postgres, Action::Create(_)) => &["starts the database"],
        (Part::Postgres, Action::Update { changes, .. }) => match restarts(changes) {
            true => &["restarts the database", "data stays"],
            false => &["no restart"],
        },
        (Part::Postgres, Action::Delete { .. }) => &["stops the database", "data stays"],
        (Part::Secret, Action::Create(Item::Generated(secret))) => match secret.recipe {
            Recipe::Tokens => &["makes new tokens"],
            Recipe::Postgres { .. } => &["makes a new database password"],
        },
        (Part::Claim, Action::Create(_)) => &["makes an empty volume"],
        (Part::Claim, Action::Update { .. }) => &["data stays"],
        (Part::Autoscaler, Action::Update { .. }) => &["may change the number of pods"],
        (Part::Network, Action::Create(_) | Action::Update { .. }) => {
            &["changes who may connect", "no restart"]
        }
        (Part::Network, Action::Delete { .. }) => &["no longer limits who may connect"],
        (Part::Secret | Part::Claim | Part::Autoscaler | Part::Other, _) => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn part(key: &ObjectKey, slug: Option<&Slug>) -> Part {
    match key.kind {
        Kind::StatefulSet | Kind::Deployment => match slug {
            Some(slug) if key.name == names::postgres(slug) => Part::Postgres,
            _ => Part::Workload,
        },
        Kind::Secret => Part::Secret,
        Kind::PersistentVolumeClaim => Part::Claim,
        Kind::HorizontalPodAutoscaler | Kind::ScaledObject => Part::Autoscaler,
        Kind::NetworkPolicy => Part::Network,
        Kind::Namespace | Kind::Service => Part::Other,
    }
}

/// A changed declaration alone restarts nothing; said only where nothing else of the challenge says otherwise.
fn of_row(step: &Step, group: &[&Step]) -> Vec<String> {
    let is_declaration = matches!(step.key, Key::Row(RowKey::Challenge(_)));
    let is_update = matches!(step.action, Action::Update { .. });
    if is_declaration && is_update && group.iter().all(|step| !touches_pods(step)) {
        return vec!["no restart".to_owned()];
    }
    Vec::new()
}

fn of_workload(key: &ObjectKey, action: &Action, group: &[&Step]) -> Vec<String> {
    let (doing, pods) = match action {
        Action::Create(new) => return vec![format!("starts {}", pods(new))],
        Action::Update { new, changes, .. } if restarts(changes) => {
            let is_order = changes
                .iter()
                .filter(|change| rolls(change))
                .all(value::is_reorder);
            let doing = if is_order {
                "order change, rolls"
            } else {
                "rolls"
            };
            (doing, pods(new))
        }
        Action::Update { changes, .. } => return vec![scaling(changes)],
        Action::Delete { .. } if key.kind == Kind::StatefulSet => ("stops", "1 pod".to_owned()),
        Action::Delete { .. } => ("stops", "its pods".to_owned()),
    };
    let mut words = vec![format!("{doing} {pods}"), "/data stays".to_owned()];
    if !group.iter().any(|step| is_postgres(step)) {
        words.push("database untouched".to_owned());
    }
    words
}

/// Returns how many pods an object wants; it does not say when an autoscaler decides.
fn pods(item: &Item) -> String {
    let manifest = item.manifest().unwrap_or_default();
    match manifest["spec"]["replicas"].as_u64() {
        Some(1) => "1 pod".to_owned(),
        Some(count) => format!("{count} pods"),
        None => "its pods".to_owned(),
    }
}

fn scaling(changes: &[Change]) -> String {
    let replicas = changes.iter().find(|change| change.path == "spec.replicas");
    let count = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
    match replicas.map(|change| (count(&change.old), count(&change.new))) {
        Some((Some(old), Some(new))) if old != new => format!("scales from {old} to {new} pods"),
        _ => "no restart".to_owned(),
    }
}

/// Tells whether changes replace the pods: any change of content in their template does.
fn restarts(changes: &[Change]) -> bool {
    changes.iter().any(rolls)
}

fn rolls(change: &Change) -> bool {
    let below = change.path.strip_prefix("spec.template");
    let is_content = change.old != change.new || change.new.is_none();
    is_content && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn touches_pods(step: &Step) -> bool {
    let kind = step.key.object().map(|key| key.kind);
    matches!(kind, Some(Kind::StatefulSet | Kind::Deployment))
}

fn is_postgres(step: &Step) -> bool {
    let key = step.key.object();
    key.is_some_and(|key| part(key, step.slug.as_ref()) == Part::Postgres)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{model::document::Document, reconcile::render::samples};

    fn of(kind: Kind, name: &str, path: &str) -> String {
        let new = samples::workload("ab", json!([]));
        let changes = vec![samples::change(path, json!(1), json!(2))];
        let step = samples::step(
            "ab",
            samples::object(kind, name),
            samples::update(new, changes),
        );
        means(&step, &[&step]).join(" · ")
    }

    #[test]
    fn only_a_changed_template_replaces_pods() {
        let rolled = "rolls 1 pod · /data stays · database untouched";
        let workload = |path| of(Kind::StatefulSet, "challenge-ab", path);
        assert_eq!(workload("spec.template.spec.nodeSelector"), rolled);
        assert_eq!(workload("spec.templates"), "no restart");
        assert_eq!(workload("metadata.labels[a]"), "no restart");
        assert_eq!(workload("spec.replicas"), "scales from 1 to 2 pods");
    }

    #[test]
    fn kinds_say_what_they_do() {
        let path = "spec.template.spec.x";
        for (kind, name, expected) in [
            (
                Kind::StatefulSet,
                "challenge-ab-postgres",
                "restarts the database · data stays",
            ),
            (Kind::Service, "challenge-ab", ""),
            (
                Kind::HorizontalPodAutoscaler,
                "challenge-ab",
                "may change the number of pods",
            ),
            (
                Kind::NetworkPolicy,
                "challenge-ab",
                "changes who may connect · no restart",
            ),
        ] {
            assert_eq!(of(kind, name, path), expected);
        }
    }

    #[test]
    fn a_value_that_stays_restarts_nothing() {
        let changes = vec![samples::change("spec.template.spec.x", json!(1), json!(1))];
        let key = samples::object(Kind::StatefulSet, "challenge-ab");
        let action = samples::update(samples::workload("ab", json!([])), changes);
        let step = samples::step("ab", key, action);
        assert_eq!(means(&step, &[&step]), ["no restart"]);
    }

    #[test]
    fn pods_of_an_autoscaled_workload_are_not_counted() {
        let mut new = samples::workload("ab", json!([]));
        if let Item::Object(object) = &mut new {
            object.manifest = Document::of(json!({"kind": "StatefulSet", "spec": {}}));
        }
        assert_eq!(pods(&new), "its pods");
    }
}

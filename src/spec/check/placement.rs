//! Where pods may run: selectors, tolerations, runtime class, pull secrets, and how they are merged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::base::check_gpu_resource;
use super::grammar::{check_name, is_dns_subdomain, is_label_key, is_label_value};
use super::notes::Notes;
use crate::spec::path::Path;
use crate::spec::platform::Placement;
use crate::spec::types::{
    Target, TargetDefaults, Toleration, TolerationEffect, TolerationOperator,
};

/// The most entries of a selector or a list of tolerations.
const MOST: usize = 64;

/// Checks the labels that a node must have.
pub(super) fn check_selector(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    selector: &BTreeMap<String, String>,
) {
    check_labels(notes, path, selector);
}

/// Checks labels: keys, values and how many.
pub(super) fn check_labels(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    labels: &BTreeMap<String, String>,
) {
    check_count(notes, path, labels.len());
    for (key, value) in labels.iter().take(MOST) {
        let below = path.key(key);
        if !is_label_key(key) {
            notes.error(
                &below,
                "is no key of a label",
                "`name` or `domain/name`, the name up to 63 letters, digits and inner `-_.`",
            );
        }
        if !is_label_value(value) {
            notes.error(
                &below,
                "is no value of a label",
                "up to 63 letters, digits and inner `-_.`",
            );
        }
    }
}

fn check_count(notes: &mut Notes<'_>, path: &Path<'_>, count: usize) {
    if count > MOST {
        notes.error(path, format!("has more than {MOST} entries"), "write fewer");
    }
}

/// Checks tolerations and returns them in the Kubernetes form.
pub(super) fn check_tolerations(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &[Toleration],
) -> Vec<Value> {
    check_count(notes, path, written.len());
    for (index, toleration) in written.iter().take(MOST).enumerate() {
        check_toleration(notes, &path.index(index), toleration);
    }
    let values = written
        .iter()
        .map(|t| serde_json::to_value(t).unwrap_or_default());
    values.collect()
}

fn check_toleration(notes: &mut Notes<'_>, path: &Path<'_>, toleration: &Toleration) {
    let exists = toleration.operator == Some(TolerationOperator::Exists);
    match &toleration.key {
        Some(key) if !is_label_key(key) => {
            notes.error(
                &path.key("key"),
                "is no key of a taint",
                "`name` or `domain/name`",
            );
        }
        None if !exists => {
            let remedy = "write the taint's key, or `operator: Exists`";
            notes.missing(&path.key("key"), "is missing", remedy);
        }
        _ => {}
    }
    if let Some(value) = &toleration.value {
        if exists {
            notes.error(&path.key("value"), "stands beside `Exists`", "leave it out");
        } else if !is_label_value(value) {
            let remedy = "up to 63 letters, digits and inner `-_.`";
            notes.error(&path.key("value"), "is no value of a taint", remedy);
        }
    }
    if toleration.toleration_seconds.is_some()
        && toleration.effect != Some(TolerationEffect::NoExecute)
    {
        notes.error(
            &path.key("tolerationSeconds"),
            "holds for the effect `NoExecute` only",
            "leave it out, or write that effect",
        );
    }
}

/// Checks the names of Secrets with registry credentials.
pub(super) fn check_pull_secrets(notes: &mut Notes<'_>, path: &Path<'_>, names: &[String]) {
    check_count(notes, path, names.len());
    for (index, name) in names.iter().take(MOST).enumerate() {
        let below = path.index(index);
        if !is_dns_subdomain(name) {
            let remedy = "lower-case letters, digits and inner hyphens";
            notes.error(&below, "is no name of a Secret", remedy);
        } else if names[..index].contains(name) {
            notes.error(&below, "stands twice in the list", "keep one");
        }
    }
}

/// Lays the defaults of targets over those of the platform: selectors are merged, of the others the
/// first that is not empty counts.
pub(super) fn over(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    under: &Placement,
    written: &TargetDefaults,
) -> Placement {
    check_selector(notes, &path.key("node_selector"), &written.node_selector);
    let secrets = path.key("image_pull_secrets");
    check_pull_secrets(notes, &secrets, &written.image_pull_secrets);
    if let Some(name) = &written.gpu_resource_name {
        check_gpu_resource(notes, &path.key("gpu_resource_name"), name);
    }
    let tolerations = path.key("tolerations");
    let class = path.key("runtime_class_name");
    Placement {
        node_selector: merged(&under.node_selector, &written.node_selector),
        tolerations: first(
            check_tolerations(notes, &tolerations, &written.tolerations),
            &under.tolerations,
        ),
        runtime_class_name: check_name(
            notes,
            &class,
            written.runtime_class_name.as_ref(),
            is_dns_subdomain,
        )
        .or_else(|| under.runtime_class_name.clone()),
        image_pull_secrets: first(
            written.image_pull_secrets.clone(),
            &under.image_pull_secrets,
        ),
        gpu_resource_name: written
            .gpu_resource_name
            .clone()
            .unwrap_or_else(|| under.gpu_resource_name.clone()),
    }
}

/// Lays what a target says over the defaults of targets.
pub(super) fn of_target(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    under: &Placement,
    written: &Target,
) -> Placement {
    let own = TargetDefaults {
        node_selector: written.node_selector.clone(),
        tolerations: written.tolerations.clone(),
        runtime_class_name: written.runtime_class_name.clone(),
        image_pull_secrets: Vec::new(),
        gpu_resource_name: None,
    };
    over(notes, path, under, &own)
}

fn merged(
    under: &BTreeMap<String, String>,
    over: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = under.clone();
    all.extend(over.clone());
    all
}

fn first<T: Clone>(own: Vec<T>, under: &[T]) -> Vec<T> {
    if own.is_empty() { under.to_vec() } else { own }
}

//! What all manifests share: labels, annotations, metadata, and the last step to JSON.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::resolved::Resolved;
use crate::model::{
    Component, DECLARED_DIGEST, FIELD_MANAGER, Generated, Item, Object, Ownership, Slug,
    document::Document, item::Recipe,
};
use crate::spec::platform::Drift;

/// The label that carries the challenge's slug.
pub(super) const SLUG: &str = "platform.challenge.slug";
/// The label that says which part of a challenge, or of the control plane, a pod is.
pub(super) const COMPONENT: &str = "platform.component";
/// The label with the program's or the control plane's name.
pub(super) const NAME: &str = "app.kubernetes.io/name";
/// The label that says who writes the object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation with the digest that the pods run.
pub(super) const IMAGE_DIGEST: &str = "platform.network/image-digest";

const INSTANCE: &str = "app.kubernetes.io/instance";
const VERSION: &str = "platform.challenge.version";
/// The version as declared, where its label had to be changed to be one.
const RAW_VERSION: &str = "platform.network/challenge-version";
const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");
/// The longest label value.
const LABEL_MAX: usize = 63;

/// Returns the labels of every object of a challenge. None of them changes with the version: they also
/// stand in claim templates, which cannot be changed.
pub(super) fn labels(slug: &Slug, component: Component) -> BTreeMap<String, String> {
    text_map([
        (NAME, FIELD_MANAGER),
        (MANAGED_BY, FIELD_MANAGER),
        (COMPONENT, component.as_str()),
        (SLUG, slug.as_str()),
    ])
}

/// Returns the labels of a workload and of its pods.
pub(super) fn workload_labels(
    slug: &Slug,
    component: Component,
    instance: &str,
) -> BTreeMap<String, String> {
    let mut labels = labels(slug, component);
    labels.insert(INSTANCE.to_owned(), instance.to_owned());
    labels
}

/// Returns the only labels by which Services, workloads and policies select pods: they never change.
pub(super) fn instance_labels(instance: &str) -> BTreeMap<String, String> {
    text_map([(INSTANCE, instance)])
}

/// Returns the selector of a workload's pods.
pub(super) fn instance_selector(instance: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(instance_labels(instance)),
        ..LabelSelector::default()
    }
}

/// Adds the version as a label and, where a label cannot hold it, as declared in an annotation.
pub(super) fn add_version(meta: &mut ObjectMeta, version: &str) {
    let safe = label_safe(version);
    if safe != version {
        annotate(meta, RAW_VERSION, version);
    }
    let labels = meta.labels.get_or_insert_default();
    labels.insert(VERSION.to_owned(), safe);
}

/// Adds an annotation.
pub(super) fn annotate(meta: &mut ObjectMeta, key: &str, value: &str) {
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

/// Marks an object that outlives its challenge.
pub(super) fn mark_kept(mut meta: ObjectMeta) -> ObjectMeta {
    annotate(&mut meta, KEEP.0, KEEP.1);
    meta
}

/// Returns the metadata of an object of a challenge.
pub(super) fn metadata(resolved: &Resolved<'_>, name: String, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(resolved.namespace.to_owned()),
        labels: Some(labels(resolved.slug(), component)),
        ..ObjectMeta::default()
    }
}

/// Returns an item that server-side apply keeps as it is.
pub(super) fn object(resolved: &Resolved<'_>, component: Component, of: impl Serialize) -> Item {
    let mut object = owned(resolved, component, of);
    if resolved.challenge.drift == Drift::Report {
        let mut manifest = object.manifest.to_value();
        let digest = hex::encode(Sha256::digest(manifest.to_string()));
        manifest["metadata"]["annotations"][DECLARED_DIGEST] = digest[..16].into();
        object.manifest = Document::from(&manifest);
    }
    Item::Object(object)
}

/// Returns an object with its owner.
pub(super) fn owned(resolved: &Resolved<'_>, component: Component, of: impl Serialize) -> Object {
    Object {
        ownership: Some(ownership(resolved, component)),
        manifest: Document::of(of),
    }
}

/// Returns a Secret whose values are made when it is created.
pub(super) fn generated(
    resolved: &Resolved<'_>,
    component: Component,
    of: impl Serialize,
    recipe: Recipe,
) -> Item {
    Item::Generated(Generated {
        ownership: ownership(resolved, component),
        manifest: Document::of(of),
        recipe,
    })
}

fn ownership(resolved: &Resolved<'_>, component: Component) -> Ownership {
    Ownership {
        slug: Some(resolved.slug().clone()),
        component,
    }
}

/// Returns a map of owned texts.
pub(super) fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Returns a text as a label value: other characters than letters, digits and `-_.` become `-`, the ends
/// are stripped, 63 characters are kept. Nothing stays nothing; nothing left becomes `x`.
fn label_safe(raw: &str) -> String {
    if raw.is_empty() {
        return String::new();
    }
    let keep = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: char| "-_.".contains(c);
    let text: String = raw.chars().map(|c| if keep(c) { c } else { '-' }).collect();
    let text = text.trim_matches(edge);
    let text = text[..text.len().min(LABEL_MAX)].trim_end_matches(edge);
    if text.is_empty() { "x" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_becomes_a_label_value() {
        for (raw, label) in [
            ("1.4.2", "1.4.2"),
            ("", ""),
            ("1.4.2+build.7", "1.4.2-build.7"),
            ("+++", "x"),
            ("-1_", "1"),
            ("é1", "1"),
            (&format!("{}+b", "a".repeat(62)), &"a".repeat(62)),
            (&"b".repeat(90), &"b".repeat(63)),
        ] {
            assert_eq!(label_safe(raw), label, "{raw}");
        }
    }
}

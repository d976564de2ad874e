//! Secrets never stand in a declaration. What looks like one is refused, and never shown.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar::{is_dns_subdomain, is_env_name, is_secret_key};
use super::notes::Notes;
use crate::model::public::has_password;
use crate::spec::parse::Written;
use crate::spec::path::Path;
use crate::spec::platform::SecretRef;
use crate::spec::types;

/// Names of the Secret that the platform makes itself.
const OWN: [&str; 2] = ["challenge_token", "docker_broker_token"];
/// The most secrets of a challenge.
const MOST: usize = 64;
/// How an author refers to a value instead of writing it.
pub(super) const REFERENCE: &str = "put the value into a Secret of the cluster and refer to it: \
    `secrets: {<name>: {secret: <Secret>, key: <key>}}`; the challenge reads it from \
    `/run/secrets/platform/<name>`";

/// Refuses URLs with a password wherever they stand.
pub(super) fn check_passwords(notes: &mut Notes<'_>, written: &Written) {
    for (place, path) in written.leaves(has_password) {
        notes.error_at(place, path, "holds a URL with a password", REFERENCE);
    }
}

/// Checks a reference to a Secret; what is missing in it was noted by the parser.
pub(super) fn check_ref(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &types::SecretRef,
) -> Option<SecretRef> {
    if written
        .secret
        .as_ref()
        .is_some_and(|s| !is_dns_subdomain(s))
    {
        notes.error(
            &path.key("secret"),
            "is no name of a Secret",
            "lower-case letters, digits and inner hyphens; this is a name, not the value",
        );
    }
    if written.key.as_ref().is_some_and(|k| !is_secret_key(k)) {
        notes.error(
            &path.key("key"),
            "is no key of a Secret",
            "letters, digits and `-._`; this is a name, not the value",
        );
    }
    Some(SecretRef {
        secret: written.secret.clone()?,
        key: written.key.clone()?,
    })
}

/// Checks a challenge's declared secrets.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &BTreeMap<String, types::SecretRef>,
) -> BTreeMap<String, SecretRef> {
    if written.len() > MOST {
        notes.error(path, format!("has more than {MOST} entries"), "write fewer");
        return BTreeMap::new();
    }
    let mut variables = BTreeSet::new();
    let mut checked = BTreeMap::new();
    for (name, reference) in written {
        let below = path.key(name);
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            let remedy = "choose another name: the platform makes this one";
            notes.error(&below, "is the platform's own secret", remedy);
        } else if !is_env_name(name) || name.len() > 63 {
            let remedy = "1 to 63 letters, digits and `_`, not starting with a digit";
            notes.error(&below, "is no name of a secret", remedy);
        }
        if !variables.insert(name.to_ascii_uppercase()) {
            notes.error(
                &below,
                "differs from another secret in upper and lower case only",
                "rename one: both would be announced in one variable",
            );
        }
        if let Some(reference) = check_ref(notes, &below, reference) {
            checked.insert(name.clone(), reference);
        }
    }
    checked
}

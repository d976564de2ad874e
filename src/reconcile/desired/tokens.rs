//! The Secret with the tokens of all challenges. Who asks challenges (the collector of scores, the proxy) may read
//! this one name; without it, it would need the right to read every Secret there is, passwords of databases too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::manifest::{COMPONENT, MANAGED_BY, NAME, text_map};
use crate::model::{
    ClusterName, Component, Copied, Derived, FIELD_MANAGER, Kind, ObjectKey, Ownership, Slug,
    document::Document, names,
};
use crate::spec::Platform;
use crate::spec::platform::Status;

/// Returns the Secret's key.
pub(super) fn key(platform: &Platform) -> ObjectKey {
    secret(platform, names::CHALLENGE_TOKENS.to_owned())
}

/// Returns the Secret, with a key for each challenge that is more than a draft. One that cannot be decided, or is
/// suspended, is asked all the same.
pub(super) fn tokens(platform: &Platform) -> Derived {
    let is_due = |status: Status| status != Status::Draft;
    let challenges = platform.challenges.iter();
    let due = challenges.filter(|(_, challenge)| is_due(challenge.status));
    let copied = |slug: &Slug| Copied {
        from: secret(platform, names::token_secret(slug)),
        hash: None,
    };
    let copies: BTreeMap<Slug, Copied> =
        due.map(|(slug, _)| (slug.clone(), copied(slug))).collect();
    Derived {
        ownership: Ownership {
            slug: None,
            component: Component::ChallengeTokens,
        },
        manifest: Document::of(Secret {
            metadata: metadata(platform),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        }),
        keys: copies.keys().cloned().collect(),
        copies,
    }
}

fn metadata(platform: &Platform) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::CHALLENGE_TOKENS.to_owned()),
        namespace: Some(platform.namespace.clone()),
        labels: Some(text_map([
            (NAME, FIELD_MANAGER),
            (MANAGED_BY, FIELD_MANAGER),
            (COMPONENT, Component::ChallengeTokens.as_str()),
        ])),
        ..ObjectMeta::default()
    }
}

fn secret(platform: &Platform, name: String) -> ObjectKey {
    ObjectKey {
        cluster: ClusterName::Local,
        kind: Kind::Secret,
        namespace: platform.namespace.clone(),
        name,
    }
}

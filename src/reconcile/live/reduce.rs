//! One listed object to what a pass keeps of it: identity, owner, readiness, and for a Secret which keys
//! it has. Values of Secrets end here. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Contents, Observed, Readiness, UNSEEN, Verdict};
use crate::model::document::Json;
use crate::model::{Component, FIELD_MANAGER, Kind, Ownership, Row, Slug, names, token};

/// Returns what is kept of an object; nothing is compared yet.
pub fn reduce<'a>(kind: Kind, object: impl Json<'a>) -> Observed {
    let owner = ownership(object);
    let is_tokens =
        |owner: &Ownership| kind == Kind::Secret && owner.component == Component::ChallengeTokens;
    let has_all_tokens = owner.as_ref().is_some_and(is_tokens);
    let metadata = object.member("metadata");
    let member = |name: &str| metadata.and_then(|metadata| metadata.member(name));
    let text = |name: &str| {
        let text = member(name).and_then(Json::text);
        text.unwrap_or_default().to_owned()
    };
    Observed {
        uid: text("uid"),
        version: text("resourceVersion"),
        standing: None,
        owner,
        readiness: readiness(kind, object),
        terminating: member("deletionTimestamp").is_some_and(|time| !time.is_null()),
        changes: Vec::new(),
        repair: None,
        verdict: Verdict::Same,
        foreign: Vec::new(),
        contents: (kind == Kind::Secret).then(|| contents(object, has_all_tokens)),
    }
}

/// Returns whose an object is by its labels, if it is one of ours.
pub fn ownership<'a>(object: impl Json<'a>) -> Option<Ownership> {
    let labels = object.at(&["metadata", "labels"])?;
    let label = |name: &str| labels.member(name).and_then(Json::text);
    if label("app.kubernetes.io/managed-by") != Some(FIELD_MANAGER) {
        return None;
    }
    let component = Component::from_label(label("platform.component")?)?;
    let slug = match component {
        Component::ChallengeTokens => None,
        _ => Some(Slug::parse(label("platform.challenge.slug")?).ok()?),
    };
    Some(Ownership { slug, component })
}

/// Tells whether a pass gives this name to an object of this owner. A copy that somebody made of one of our
/// objects carries our labels under another name, and is not ours to delete.
pub fn is_derived_name(kind: Kind, owner: &Ownership, name: &str) -> bool {
    let Some(slug) = &owner.slug else {
        return kind == Kind::Secret && name == names::CHALLENGE_TOKENS;
    };
    let expected = match (owner.component, kind) {
        (Component::ChallengeSecret, Kind::Secret) => names::token_secret(slug),
        (Component::ChallengePostgresSecret, Kind::Secret) => names::postgres_secret(slug),
        (Component::ChallengePostgres, Kind::Service | Kind::StatefulSet)
        | (Component::ChallengePostgresNetwork, Kind::NetworkPolicy) => names::postgres(slug),
        (Component::ChallengePostgresData, Kind::PersistentVolumeClaim) => {
            names::postgres_claim(slug)
        }
        (Component::ChallengeData, Kind::PersistentVolumeClaim) => names::data_claim(slug),
        (Component::Challenge, Kind::Service | Kind::StatefulSet | Kind::Deployment)
        | (Component::ChallengeHpa, Kind::HorizontalPodAutoscaler)
        | (Component::ChallengeScaledObject, Kind::ScaledObject)
        | (Component::ChallengeNetwork, Kind::NetworkPolicy) => names::workload(slug),
        // A part that has no object of this kind.
        _ => return false,
    };
    name == expected
}

/// Tells whether deleting this StatefulSet would delete its claims. A pass writes the opposite; but what is
/// to be deleted is not corrected first.
#[must_use]
pub fn takes_claims_along<'a>(kind: Kind, object: impl Json<'a>) -> bool {
    const WHEN_DELETED: [&str; 3] = [
        "spec",
        "persistentVolumeClaimRetentionPolicy",
        "whenDeleted",
    ];
    kind == Kind::StatefulSet && object.at(&WHEN_DELETED).and_then(Json::text) == Some("Delete")
}

fn readiness<'a>(kind: Kind, object: impl Json<'a>) -> Readiness {
    let number = |names: [&str; 2]| object.at(&names).and_then(Json::number);
    let wanted = number(["spec", "replicas"]).unwrap_or(1);
    let ready = number(["status", "readyReplicas"]).unwrap_or(0);
    let updated = number(["status", "updatedReplicas"]).unwrap_or(0);
    let observed = number(["status", "observedGeneration"]).unwrap_or(0);
    let generation = number(["metadata", "generation"]).unwrap_or(0);
    match kind {
        Kind::StatefulSet | Kind::Deployment => {
            if observed >= generation && ready >= wanted && updated >= wanted {
                Readiness::Ready
            } else if observed < generation {
                Readiness::NotReady(UNSEEN.to_owned())
            } else if ready >= wanted {
                Readiness::NotReady(format!("{updated}/{wanted} updated"))
            } else {
                Readiness::NotReady(format!("{ready}/{wanted} ready"))
            }
        }
        Kind::Namespace
        | Kind::Secret
        | Kind::PersistentVolumeClaim
        | Kind::NetworkPolicy
        | Kind::Service
        | Kind::HorizontalPodAutoscaler
        | Kind::ScaledObject => Readiness::Ready,
    }
}

fn contents<'a>(secret: impl Json<'a>, has_all_tokens: bool) -> Contents {
    let data = secret.member("data");
    let texts = data.into_iter().flat_map(Json::members);
    let texts = texts.filter_map(|(key, value)| Some((key, value.text()?)));
    let filled = texts.filter(|(_, value)| !value.is_empty());
    let keys: BTreeSet<String> = filled.map(|(key, _)| key.to_owned()).collect();
    let digest = |key: &str| token::digest(key, data?.member(key)?.text()?);
    let tokens = match (digest("challenge_token"), digest("docker_broker_token")) {
        (Some(challenge), Some(broker)) => Some(token_row(challenge, broker)),
        _ => None,
    };
    let hash = |key: &String| Some((key.clone(), digest(key)?.hash));
    let hashes: BTreeMap<String, String> = match has_all_tokens {
        true => keys.iter().filter_map(hash).collect(),
        false => BTreeMap::new(),
    };
    Contents {
        keys,
        tokens,
        hashes,
    }
}

/// Returns the registry row that belongs to a pair of tokens.
#[must_use]
pub fn token_row(challenge: token::Digested, broker: token::Digested) -> Row {
    Row(json!({
        "token_hash": challenge.hash,
        "token_hint": challenge.hint,
        "broker_token_hash": broker.hash,
        "broker_token_hint": broker.hint,
    }))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    fn labelled(slug: &str, component: &str) -> Value {
        json!({"metadata": {"labels": {
            "app.kubernetes.io/managed-by": "platform-network",
            "platform.challenge.slug": slug,
            "platform.component": component,
        }}})
    }

    #[test]
    fn only_complete_labels_of_a_pass_make_an_owner() {
        let owner = ownership(&labelled("demo", "challenge")).unwrap();
        assert_eq!(
            (owner.slug, owner.component),
            (Slug::parse("demo").ok(), Component::Challenge)
        );
        assert_eq!(ownership(&labelled("demo", "broker-job")), None);
        assert_eq!(ownership(&labelled("-bad", "challenge")), None);
        assert_eq!(ownership(&json!({})), None);
    }

    #[test]
    fn a_copy_under_another_name_is_not_ours() {
        let owner = ownership(&labelled("demo", "challenge")).unwrap();
        assert!(is_derived_name(Kind::Service, &owner, "challenge-demo"));
        assert!(!is_derived_name(
            Kind::Service,
            &owner,
            "challenge-demo-copy"
        ));
        assert!(!is_derived_name(Kind::Secret, &owner, "challenge-demo"));
    }

    #[test]
    fn a_secret_leaves_key_names_and_hashes_only() {
        let secret = json!({"data": {
            "challenge_token": STANDARD.encode("canary-challenge"),
            "docker_broker_token": STANDARD.encode("canary-broker"),
            "empty": "",
        }});
        let observed = reduce(Kind::Secret, &secret);
        let contents = observed.contents.as_ref().unwrap();
        assert_eq!(contents.keys.len(), 2);
        assert_eq!(
            contents.tokens.as_ref().unwrap().0["token_hash"],
            token::Digested::of("any", b"canary-challenge").hash
        );
        assert!(!format!("{observed:?}").contains("canary-"));
    }

    #[test]
    fn a_workload_is_ready_when_its_controller_has_seen_and_rolled_it() {
        let workload = |observed: i64, ready: i64, updated: i64| {
            let status = json!({"observedGeneration": observed, "readyReplicas": ready, "updatedReplicas": updated});
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status})
        };
        assert_eq!(
            readiness(Kind::StatefulSet, &workload(2, 1, 1)),
            Readiness::Ready
        );
        assert_ne!(
            readiness(Kind::StatefulSet, &workload(1, 1, 1)),
            Readiness::Ready
        );
        assert_eq!(
            readiness(Kind::StatefulSet, &workload(2, 0, 1)),
            Readiness::NotReady("0/1 ready".to_owned())
        );
        assert_eq!(
            readiness(Kind::StatefulSet, &workload(2, 1, 0)),
            Readiness::NotReady("0/1 updated".to_owned())
        );
    }
}

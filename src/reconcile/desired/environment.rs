//! What a challenge sees of its declaration: environment and files under `/run/secrets/platform`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ProjectedVolumeSource, SecretKeySelector, SecretProjection,
    Volume, VolumeMount, VolumeProjection,
};

use super::resolved::Resolved;
use crate::model::{item::Recipe, names};
use crate::spec::platform::{Challenge, Database, SecretRef};

const SECRETS_VOLUME: &str = "platform-secrets";
const SECRETS_PATH: &str = "/run/secrets/platform";
/// Read by owner and group, which is the pods' own through `fsGroup`.
const SECRETS_MODE: i32 = 0o440;
const DATABASE_URL: &str = "CHALLENGE_DATABASE_URL";
const SQLITE_URL: &str = "sqlite+aiosqlite:////data/challenge.sqlite3";
/// The capability that opens the broker to a challenge.
const DOCKER_EXECUTOR: &str = "docker_executor";

/// Returns the environment, sorted by name, each name once. Names of the platform win over the author's; only
/// the SQLite address gives way to an author's own.
pub(super) fn environment(resolved: &Resolved<'_>) -> Vec<EnvVar> {
    let challenge = resolved.challenge;
    let mut values = challenge.env.clone();
    if challenge.database == Database::Sqlite {
        let url = values.entry(DATABASE_URL.to_owned());
        url.or_insert_with(|| SQLITE_URL.to_owned());
    }
    values.insert(
        "PLATFORM_CHALLENGE_SLUG".to_owned(),
        challenge.slug.to_string(),
    );
    for name in file_names(challenge) {
        values.insert(
            format!("{}_FILE", name.to_uppercase()),
            format!("{SECRETS_PATH}/{name}"),
        );
    }
    values.insert(
        "CHALLENGE_SHARED_TOKEN_FILE".to_owned(),
        format!("{SECRETS_PATH}/challenge_token"),
    );
    if uses_broker(challenge) {
        values.extend(broker_values(resolved.broker_url));
    }
    let mut variables: BTreeMap<String, EnvVar> = values.into_iter().map(plain).collect();
    if let Some(reference) = database_reference(challenge) {
        variables.insert(
            DATABASE_URL.to_owned(),
            secret_env(DATABASE_URL, &reference),
        );
    }
    variables.into_values().collect()
}

/// Returns the volume with one file per token and per declared secret.
pub(super) fn secrets_volume(challenge: &Challenge) -> Volume {
    let tokens = VolumeProjection {
        secret: Some(SecretProjection {
            name: names::token_secret(&challenge.slug),
            items: Some(token_names().map(|key| file(key, key)).collect()),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let declared = declared_secrets(challenge).map(|(name, from)| VolumeProjection {
        secret: Some(SecretProjection {
            name: from.secret.clone(),
            items: Some(vec![file(&from.key, name)]),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    Volume {
        name: SECRETS_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(SECRETS_MODE),
            sources: Some(std::iter::once(tokens).chain(declared).collect()),
        }),
        ..Volume::default()
    }
}

/// Returns the mount of that volume.
pub(super) fn secrets_mount() -> VolumeMount {
    VolumeMount {
        mount_path: SECRETS_PATH.to_owned(),
        name: SECRETS_VOLUME.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// Returns a variable whose value is a key of a Secret.
pub(super) fn secret_env(name: &str, from: &SecretRef) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                key: from.key.clone(),
                name: from.secret.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// Returns a variable with a plain value.
pub(super) fn plain_env(name: &str, value: &str) -> EnvVar {
    plain((name.to_owned(), value.to_owned())).1
}

fn plain((name, value): (String, String)) -> (String, EnvVar) {
    let variable = EnvVar {
        name: name.clone(),
        value: Some(value),
        ..EnvVar::default()
    };
    (name, variable)
}

fn uses_broker(challenge: &Challenge) -> bool {
    let mut capabilities = challenge.required_capabilities.iter();
    capabilities.any(|capability| capability == DOCKER_EXECUTOR)
}

fn broker_values(url: &str) -> BTreeMap<String, String> {
    super::manifest::text_map([
        ("CHALLENGE_DOCKER_ENABLED", "true"),
        ("CHALLENGE_DOCKER_BACKEND", "broker"),
        ("CHALLENGE_DOCKER_BROKER_URL", url),
        (
            "CHALLENGE_DOCKER_BROKER_TOKEN_FILE",
            &format!("{SECRETS_PATH}/docker_broker_token"),
        ),
    ])
}

fn database_reference(challenge: &Challenge) -> Option<SecretRef> {
    match &challenge.database {
        Database::Managed(_) => Some(SecretRef {
            secret: names::postgres_secret(&challenge.slug),
            key: DATABASE_URL.to_owned(),
        }),
        Database::External(reference) => Some(reference.clone()),
        Database::Sqlite => None,
    }
}

fn token_names() -> impl Iterator<Item = &'static str> {
    Recipe::Tokens.keys().iter().copied()
}

/// Declared secrets but for those that would hide a token's file: two sources of one path are refused.
fn declared_secrets(challenge: &Challenge) -> impl Iterator<Item = (&String, &SecretRef)> {
    let own = |name: &str| token_names().any(|token| token == name);
    challenge.secrets.iter().filter(move |(name, _)| !own(name))
}

fn file_names<'a>(challenge: &'a Challenge) -> impl Iterator<Item = &'a str> {
    let declared = declared_secrets(challenge).map(|(name, _)| name.as_str());
    token_names()
        .map(|name| -> &'a str { name })
        .chain(declared)
}

fn file(key: &str, path: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        mode: None,
        path: path.to_owned(),
    }
}

//! Makes the values of a generated Secret. They go into one request and nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::model::{Generated, Recipe, Secret};

/// The system's random source failed.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandomness;

/// Returns the manifest with its values, base64 as the API wants it.
///
/// # Errors
/// The system's random source failed; nothing was made.
pub fn manifest(generated: &Generated) -> Result<Secret<Value>, NoRandomness> {
    let values = match &generated.recipe {
        Recipe::Tokens => vec![
            ("challenge_token", random_text()?),
            ("docker_broker_token", random_text()?),
        ],
        Recipe::Postgres { host, .. } => postgres(host, &random_text()?),
    };
    let data: serde_json::Map<String, Value> = values
        .into_iter()
        .map(|(key, value)| {
            (
                key.to_owned(),
                Value::String(STANDARD.encode(value.expose())),
            )
        })
        .collect();
    let mut manifest = generated.manifest.to_value();
    manifest["data"] = Value::Object(data);
    manifest["type"] = json!("Opaque");
    Ok(Secret::new(manifest))
}

/// The password is URL-safe text, so that it stands in the URL as it is.
fn postgres(host: &str, password: &Secret<String>) -> Vec<(&'static str, Secret<String>)> {
    let url = format!(
        "postgresql+asyncpg://challenge:{}@{host}:5432/challenge",
        password.expose()
    );
    vec![
        ("POSTGRES_DB", Secret::new("challenge".to_owned())),
        ("POSTGRES_USER", Secret::new("challenge".to_owned())),
        ("POSTGRES_PASSWORD", password.clone()),
        ("CHALLENGE_DATABASE_URL", Secret::new(url)),
    ]
}

/// 32 bytes of the system's random source as 43 URL-safe characters.
fn random_text() -> Result<Secret<String>, NoRandomness> {
    let mut bytes = [0u8; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Component, Ownership, Slug, document::Document};

    fn made(recipe: Recipe) -> Value {
        let ownership = Ownership {
            slug: Slug::parse("demo").ok(),
            component: Component::ChallengeSecret,
        };
        let manifest_without =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
        manifest(&Generated {
            ownership,
            manifest: Document::of(manifest_without),
            recipe,
        })
        .unwrap()
        .expose()
        .clone()
    }

    fn decoded(secret: &Value, key: &str) -> String {
        String::from_utf8(
            STANDARD
                .decode(secret["data"][key].as_str().unwrap())
                .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn tokens_are_two_different_43_character_texts() {
        let secret = made(Recipe::Tokens);
        let (challenge, broker) = (
            decoded(&secret, "challenge_token"),
            decoded(&secret, "docker_broker_token"),
        );
        assert_eq!((challenge.len(), broker.len()), (43, 43));
        assert_ne!(challenge, broker);
    }

    #[test]
    fn a_recipe_fills_exactly_its_keys() {
        let postgres = Recipe::Postgres {
            host: "challenge-demo-postgres".to_owned(),
            claim: "c".to_owned(),
        };
        for recipe in [Recipe::Tokens, postgres] {
            let secret = made(recipe.clone());
            let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
            assert_eq!(keys, recipe.keys());
        }
    }

    #[test]
    fn the_url_holds_the_password_and_the_service() {
        let secret = made(Recipe::Postgres {
            host: "pg".to_owned(),
            claim: "c".to_owned(),
        });
        let password = decoded(&secret, "POSTGRES_PASSWORD");
        assert_eq!(
            decoded(&secret, "CHALLENGE_DATABASE_URL"),
            format!("postgresql+asyncpg://challenge:{password}@pg:5432/challenge")
        );
    }
}

//! The registry document: which challenges there are, as everybody may know it. Validators run by it.
//!
//! Made of the registry's rows member by member, so that what is added to a row is not public before it is named
//! here. Tokens, their hashes and values of secrets are in no row that is read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::{Row, RowKey, Slug};

/// The version of the document's form.
const API_VERSION: &str = "1.0";

/// The metadata that is public.
const PUBLIC: [&str; 15] = [
    "tagline",
    "summary",
    "docs_url",
    "miner_docs_url",
    "validator_docs_url",
    "repository_url",
    "website_url",
    "banner_url",
    "icon_url",
    "category",
    "difficulty",
    "benchmark_label",
    "submission_format",
    "evaluation_timeout_seconds",
    "rate_limit_label",
];

/// The network as the document names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The master's own UID, informational.
    pub master_uid: u16,
}

/// Returns the document: every challenge that is no draft, in the order of slugs.
#[must_use]
pub fn document(network: &Network, rows: &BTreeMap<RowKey, Row>) -> Value {
    let challenges = rows.iter().filter_map(|(key, row)| match key {
        RowKey::Challenge(slug) => Some((slug, &row.0)),
        RowKey::Target(_) | RowKey::Tokens(_) | RowKey::Assignment(_) => None,
    });
    let public = challenges.filter(|(_, row)| row["status"] != "draft");
    let public: Vec<Value> = public.map(|(slug, row)| challenge(slug, row)).collect();
    json!({
        "network": network.name,
        "api_version": API_VERSION,
        "master_uid": network.master_uid,
        "challenges": public,
    })
}

fn challenge(slug: &Slug, row: &Value) -> Value {
    let spec = &row["spec"];
    json!({
        "slug": slug,
        "name": row["name"],
        "image": row["image"],
        "version": row["version"],
        "emission_percent": row["emission_percent"],
        "status": row["status"],
        "description": row["description"],
        "metadata": public_metadata(&spec["metadata"]),
        "internal_base_url": row["internal_base_url"],
        "public_proxy_base_path": format!("/challenges/{slug}"),
        "required_capabilities": spec["required_capabilities"],
        "resources": texts(&spec["resources"]),
        "volumes": texts(&spec["volumes"]),
        "env": texts(&spec["env"]),
        "secrets": names(&spec["secrets"]),
    })
}

/// Nested values may hold anything, so none of them is public.
fn public_metadata(metadata: &Value) -> Map<String, Value> {
    let is_public = |name: &str, value: &Value| {
        PUBLIC.contains(&name) && !value.is_object() && !value.is_array()
    };
    let members = metadata.as_object().into_iter().flatten();
    members
        .filter(|(name, value)| is_public(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Returns the members that are set, each as text.
fn texts(members: &Value) -> BTreeMap<&String, String> {
    let members = members.as_object().into_iter().flatten();
    members
        .filter_map(|(name, value)| match value {
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            Value::String(text) => Some((name, text.clone())),
            other => Some((name, other.to_string())),
        })
        .collect()
}

fn names(members: &Value) -> Vec<&String> {
    members
        .as_object()
        .map(|map| map.keys().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: &str) -> Row {
        Row(json!({
            "name": "Prism", "description": null, "status": status, "emission_percent": "30",
            "version": "1.4.2", "api_version": "1.0", "image": "ghcr.io/o/prism:1.4.2",
            "internal_base_url": "http://challenge-prism:8000",
            "spec": {
                "required_capabilities": ["get_weights", "proxy_routes"],
                "resources": {"cpu": "2", "gpu_count": 1, "target": null},
                "volumes": {"sqlite": "x"},
                "env": {"LOG_LEVEL": "info"},
                "secrets": {"openai_api_key": {"secret": "canary-secret", "key": "token"}},
                "metadata": {
                    "tagline": "Small models", "difficulty": 3, "docs_url": null,
                    "summary": {"nested": "canary-nested"}, "note": "canary-note",
                },
                "database": {"kind": "managed", "image": "canary-image"},
            },
        }))
    }

    fn rows(status: &str) -> BTreeMap<RowKey, Row> {
        let slug = |text| Slug::parse(text).unwrap();
        BTreeMap::from([
            (RowKey::Challenge(slug("prism")), row(status)),
            (RowKey::Challenge(slug("another")), row("disabled")),
            (
                RowKey::Tokens(slug("prism")),
                Row(json!({"token_hash": "canary-hash"})),
            ),
        ])
    }

    #[test]
    fn the_document_has_what_is_public_in_the_order_of_slugs() {
        let network = Network {
            name: "platform".to_owned(),
            master_uid: 7,
        };
        let document = document(&network, &rows("active"));
        assert!(!document.to_string().contains("canary"), "{document}");
        assert_eq!(
            (&document["network"], &document["master_uid"]),
            (&json!("platform"), &json!(7))
        );
        assert_eq!(document["challenges"][0]["slug"], "another");
        assert_eq!(
            document["challenges"][1],
            json!({
                "slug": "prism", "name": "Prism", "image": "ghcr.io/o/prism:1.4.2", "version": "1.4.2",
                "emission_percent": "30", "status": "active", "description": null,
                "metadata": {"tagline": "Small models", "difficulty": 3, "docs_url": null},
                "internal_base_url": "http://challenge-prism:8000",
                "public_proxy_base_path": "/challenges/prism",
                "required_capabilities": ["get_weights", "proxy_routes"],
                "resources": {"cpu": "2", "gpu_count": "1"}, "volumes": {"sqlite": "x"},
                "env": {"LOG_LEVEL": "info"}, "secrets": ["openai_api_key"],
            })
        );
    }

    #[test]
    fn drafts_are_not_public() {
        let document = document(&Network::default(), &rows("draft"));
        assert_eq!(document["challenges"].as_array().unwrap().len(), 1);
    }
}

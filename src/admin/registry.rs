//! The registry document: which challenges there are, as everybody may know it. Validators run by it.
//!
//! Made of the registry's rows member by member, so that what is added to a row is not public before it is named
//! here. Tokens and their hashes are in no row that is read. A declaration that holds the value of a secret is refused,
//! but a row may be older than a rule, or of another hand: every text here is a [`Public`] one, and variables with the
//! name of a secret are left out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::model::public::{Public, has_password, is_secret_name};
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

/// The challenges that everybody may know of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registry {
    /// The network's name.
    pub network: Public,
    /// The version of this form.
    pub api_version: Public,
    /// The master's own UID, informational.
    pub master_uid: u16,
    /// Every challenge that is no draft, in the order of slugs.
    pub challenges: Vec<Listed>,
}

/// A challenge as everybody may know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RegistryChallenge")]
pub struct Listed {
    /// Its name in addresses and among objects.
    #[schemars(with = "String", length(min = 2, max = 40))]
    pub slug: Slug,
    /// Its name for people.
    pub name: Public,
    /// Its image: registry, repository, tag and digest.
    pub image: Public,
    /// The version of the challenge.
    pub version: Public,
    /// Its relative share, a decimal; shares need not come to 100.
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub emission_percent: Public,
    /// Only what is `active` runs and is asked for scores.
    #[schemars(extend("enum" = ["active", "inactive", "disabled"]))]
    pub status: Public,
    /// What it is about.
    pub description: Option<Public>,
    /// What is public of its metadata; values are null, text, true or false, or numbers.
    pub metadata: BTreeMap<String, Plain>,
    /// Where the platform reaches it.
    pub internal_base_url: Public,
    /// The path that the public reaches it under.
    pub public_proxy_base_path: Public,
    /// What it must be able to do.
    pub required_capabilities: Vec<Public>,
    /// What it is given, by kind, in the units of the declaration: CPUs, bytes such as `4g`, counts.
    pub resources: BTreeMap<String, Public>,
    /// Named volumes.
    pub volumes: BTreeMap<String, Public>,
    /// Its environment; nothing secret.
    pub env: BTreeMap<String, Public>,
    /// The names of its secrets; their values are nowhere in this document.
    pub secrets: Vec<Public>,
}

/// A value without members of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Plain {
    /// Nothing.
    Nothing(()),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Public),
}

impl Plain {
    /// Nested values may hold anything, so none of them is public.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Nothing(())),
            Value::Bool(flag) => Some(Self::Flag(*flag)),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::String(text) => Some(Self::Text(Public::of(text))),
            Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// Returns the document of these rows.
#[must_use]
pub fn document(network: &Network, rows: &BTreeMap<RowKey, Row>) -> Registry {
    let challenges = rows.iter().filter_map(|(key, row)| match key {
        RowKey::Challenge(slug) => Some((slug, &row.0)),
        RowKey::Target(_) | RowKey::Tokens(_) | RowKey::Assignment(_) => None,
    });
    let public = challenges.filter(|(_, row)| row["status"] != "draft");
    Registry {
        network: Public::of(&network.name),
        api_version: Public::of(API_VERSION),
        master_uid: network.master_uid,
        challenges: public.map(|(slug, row)| Listed::of(slug, row)).collect(),
    }
}

impl Listed {
    fn of(slug: &Slug, row: &Value) -> Self {
        let spec = &row["spec"];
        let capabilities = spec["required_capabilities"].as_array();
        Self {
            slug: slug.clone(),
            name: text(&row["name"]),
            image: text(&row["image"]),
            version: text(&row["version"]),
            emission_percent: text(&row["emission_percent"]),
            status: text(&row["status"]),
            description: row["description"].as_str().map(Public::of),
            metadata: public_metadata(&spec["metadata"]),
            internal_base_url: text(&row["internal_base_url"]),
            public_proxy_base_path: Public::of(&format!("/challenges/{slug}")),
            required_capabilities: capabilities.into_iter().flatten().map(text).collect(),
            resources: texts(&spec["resources"]),
            volumes: texts(&spec["volumes"]),
            env: environment(&spec["env"]),
            secrets: names(&spec["secrets"]),
        }
    }
}

/// A row holds what a pass wrote, so a text is one.
fn text(value: &Value) -> Public {
    Public::of(value.as_str().unwrap_or_default())
}

fn public_metadata(metadata: &Value) -> BTreeMap<String, Plain> {
    let members = metadata.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| PUBLIC.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.clone(), Plain::of(value)?)))
        .collect()
}

/// Returns the members that are set, each as text, without those that hold a password: who runs a challenge by what is
/// left of one would run another.
fn texts(members: &Value) -> BTreeMap<String, Public> {
    let members = members.as_object().into_iter().flatten();
    let texts = members.filter_map(|(name, value)| match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::String(text) => Some((name, text.clone())),
        other => Some((name, other.to_string())),
    });
    let public = texts.filter(|(name, text)| !has_password(name) && !has_password(text));
    public
        .map(|(name, text)| (name.clone(), text.into()))
        .collect()
}

/// Returns the variables that everybody may know.
fn environment(variables: &Value) -> BTreeMap<String, Public> {
    let mut public = texts(variables);
    public.retain(|name, _| !is_secret_name(name));
    public
}

fn names(members: &Value) -> Vec<Public> {
    let members = members.as_object().into_iter().flatten();
    members.map(|(name, _)| Public::of(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let document = json!(document(&network, &rows("active")));
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
        assert_eq!(document.challenges.len(), 1);
    }

    #[test]
    fn what_a_declaration_must_not_hold_is_not_public_whatever_row_has_it() {
        const URL: &str = "postgres://user:canary-password@db/p";
        let mut all = row("active");
        for member in [
            "name",
            "description",
            "version",
            "image",
            "internal_base_url",
        ] {
            all.0[member] = json!(URL);
        }
        all.0["spec"] = json!({
            "required_capabilities": [URL, "get_weights"],
            "resources": {"cpu": "2", "memory": URL},
            "volumes": {"sqlite": URL, (URL): "x"},
            "env": {
                "LOG_LEVEL": "info", "API_TOKEN_FILE": "/run/secrets/platform/api_token",
                "TOKENIZER_URL": "canary-1", "CLIENT_SECRET": "canary-2", "db_password": "canary-3",
                "SSH_PRIVATE_KEY": "canary-4", "OPENAI_API_KEY": "canary-5", "GCP_CREDENTIALS": "canary-6",
                "CHALLENGE_DATABASE_URL": URL, "REDIS": "see redis://:canary-7@host", (URL): "x",
            },
            "secrets": {(URL): {"secret": "canary-secret", "key": "token"}, "openai": {}},
            "metadata": {"docs_url": URL, "tagline": format!("at {URL}")},
        });
        let rows = BTreeMap::from([(RowKey::Challenge(Slug::parse("prism").unwrap()), all)]);
        let network = Network {
            name: URL.to_owned(),
            master_uid: 0,
        };
        let document = json!(document(&network, &rows));
        assert!(!document.to_string().contains("canary"), "{document}");
        let listed = &document["challenges"][0];
        assert_eq!(
            listed["env"],
            json!({"LOG_LEVEL": "info", "API_TOKEN_FILE": "/run/secrets/platform/api_token"})
        );
        assert_eq!(listed["resources"], json!({"cpu": "2"}));
        assert_eq!(listed["secrets"], json!(["openai", "***"]));
        assert_eq!(listed["image"], "***");
    }
}

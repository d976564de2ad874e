//! The tokens that challenges know the platform by, from the one Secret that holds all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::edge::cluster::{ClusterError, ClusterRead};
use crate::model::{ClusterName, Kind, ObjectKey, Secret, Slug, names};

/// Tokens by challenge.
pub type ByChallenge = BTreeMap<Slug, Secret<String>>;

/// Reads the tokens, and keeps them for when they cannot be read.
pub struct Tokens {
    cluster: Arc<dyn ClusterRead>,
    known: Mutex<ByChallenge>,
}

impl Tokens {
    /// Reads from this cluster.
    #[must_use]
    pub fn new(cluster: Arc<dyn ClusterRead>) -> Self {
        Self {
            cluster,
            known: Mutex::default(),
        }
    }

    /// Returns the tokens as they are now. While the cluster is away the last known ones hold.
    pub async fn read(&self, namespace: &str) -> ByChallenge {
        let key = ObjectKey {
            cluster: ClusterName::Local,
            kind: Kind::Secret,
            namespace: namespace.to_owned(),
            name: names::CHALLENGE_TOKENS.to_owned(),
        };
        let read: Result<_, ClusterError> = self.cluster.get(&key).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(secret) => *known = secret.as_ref().map(parse).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the challenges' tokens could not be read; the last known ones are used");
            }
        }
        known.clone()
    }
}

/// Returns the tokens of a Secret; what is no token under no slug is left out.
fn parse(secret: &Value) -> ByChallenge {
    let token = |(key, value): (&String, &Value)| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?;
        let token = String::from_utf8(bytes).ok()?;
        Some((Slug::parse(key).ok()?, Secret::new(token)))
    };
    let data = secret["data"].as_object();
    data.into_iter().flatten().filter_map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_token_is_left_out() {
        let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
        let secret = json!({"data": {
            "demo": encoded(b"t0ken"),
            "No-Slug": encoded(b"x"),
            "binary": encoded(&[0xff]),
            "broken": "%",
            "number": 1,
        }});
        let tokens = parse(&secret);
        let slugs: Vec<&str> = tokens.keys().map(Slug::as_str).collect();
        assert_eq!(slugs, ["demo"]);
        assert_eq!(
            tokens.values().next().map(Secret::expose),
            Some(&"t0ken".to_owned())
        );
        assert!(parse(&json!({})).is_empty());
    }
}

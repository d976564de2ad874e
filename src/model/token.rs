//! What may be kept of a token: its hash, and a hint that lets people tell two apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The keys of a Secret that hold tokens.
const TOKENS: [&str; 2] = ["challenge_token", "docker_broker_token"];
/// What a sealed value begins with; no base64 does.
const SEALED: &str = "sha256:";

/// What may be kept of a secret value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digested {
    /// The lower-case hex SHA-256.
    pub hash: String,
    /// The hint; of tokens only.
    pub hint: String,
}

impl Digested {
    /// Returns what may be kept of the value of a key.
    #[must_use]
    pub fn of(key: &str, value: &[u8]) -> Self {
        let hint = match TOKENS.contains(&key) {
            true => hint(&String::from_utf8_lossy(value)),
            false => String::new(),
        };
        Self {
            hash: hex::encode(Sha256::digest(value)),
            hint,
        }
    }
}

/// Replaces each value of a Secret by what may be kept of it; one that is empty stays so.
pub fn seal(secret: &mut Value) {
    for field in ["data", "stringData"] {
        let values = secret.get_mut(field).and_then(Value::as_object_mut);
        for (key, value) in values.into_iter().flatten() {
            let digested = value.as_str().and_then(|text| digest(key, text));
            *value = digested
                .map_or_else(String::new, |kept| {
                    format!("{SEALED}{} {}", kept.hash, kept.hint)
                })
                .into();
        }
    }
    // An earlier tool may have left the values in its annotation.
    if let Some(annotations) = secret
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Returns what may be kept of a Secret's value, as stored (base64) or sealed; `None` of an empty one.
#[must_use]
pub fn digest(key: &str, value: &str) -> Option<Digested> {
    if let Some(sealed) = value.strip_prefix(SEALED) {
        let (hash, hint) = sealed.split_once(' ')?;
        return Some(Digested {
            hash: hash.to_owned(),
            hint: hint.to_owned(),
        });
    }
    let bytes = STANDARD
        .decode(value)
        .ok()
        .filter(|bytes| !bytes.is_empty())?;
    Some(Digested::of(key, &bytes))
}

/// Returns the first and last four characters around `…`, or `****` for a token of eight or fewer.
fn hint(token: &str) -> String {
    let characters: Vec<char> = token.chars().collect();
    match characters.as_slice() {
        [first @ .., _, _, _, _] if first.len() > 4 => {
            let head: String = characters[..4].iter().collect();
            let tail: String = characters[characters.len() - 4..].iter().collect();
            format!("{head}…{tail}")
        }
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_has_digests_where_its_values_were() {
        let secret = serde_json::json!({
            "data": {
                "challenge_token": STANDARD.encode("canary-challenge"),
                "password": STANDARD.encode("canary-password"),
                "binary": STANDARD.encode([0xff, 0xfe]),
                "empty": "",
            },
            "metadata": {"annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "canary-annotation",
                "other": "stays",
            }},
        });
        let mut sealed = secret.clone();
        seal(&mut sealed);
        assert!(!sealed.to_string().contains("canary"));
        assert!(
            !sealed
                .to_string()
                .contains(&STANDARD.encode("canary-password")[..8])
        );
        assert_eq!(sealed["metadata"]["annotations"]["other"], "stays");
        for key in ["challenge_token", "password", "binary", "empty"] {
            let (before, after) = (&secret["data"][key], &sealed["data"][key]);
            let digest = |value: &Value| digest(key, value.as_str().unwrap());
            assert_eq!(digest(before), digest(after), "{key}");
            assert_eq!(digest(after).is_some(), key != "empty", "{key}");
        }
    }

    #[test]
    fn hint_shows_the_ends_of_long_tokens_only() {
        assert_eq!(hint("abcdefghi"), "abcd…fghi");
        assert_eq!(hint("abcdefgh"), "****");
        assert_eq!(hint(""), "****");
        assert_eq!(
            Digested::of("any", b"abc").hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

//! What a registry wants before it answers: the `Bearer` challenge of a 401 (RFC 6750, grammar of RFC 9110). Pure.

use std::collections::BTreeMap;

use reqwest::Url;

use super::address;

/// The longest `WWW-Authenticate` value that is read; real ones have about 200 bytes.
const MAX_HEADER: usize = 4096;

/// What a 401 asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A token, given out at this address.
    Token(Box<Url>),
    /// A name and password, or a scheme that is not known here.
    Credentials,
    /// A token from an address that must not be asked.
    Refused,
}

impl Demand {
    /// Reads the `WWW-Authenticate` values of an answer from `from` about `repository`.
    ///
    /// The realm may be on another host. It must be `https`; `http` is accepted between addresses of
    /// this machine only, so that no registry elsewhere can send us to a port of ours.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>, from: &Url, repository: &str) -> Self {
        let Some(parameters) = values.filter_map(bearer_parameters).next() else {
            return Self::Credentials;
        };
        let Some(realm) = parameters
            .get("realm")
            .and_then(|text| Url::parse(text).ok())
        else {
            return Self::Refused;
        };
        let reaches_back = realm.scheme() == "http" && !address::is_loopback(from);
        if !address::is_allowed(&realm) || reaches_back {
            return Self::Refused;
        }
        let pull = format!("repository:{repository}:pull");
        let scope = parameters.get("scope").unwrap_or(&pull);
        Self::Token(Box::new(question(realm, parameters.get("service"), scope)))
    }
}

fn question(mut realm: Url, service: Option<&String>, scope: &str) -> Url {
    realm.set_fragment(None);
    let mut query = realm.query_pairs_mut();
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", scope);
    drop(query);
    realm
}

/// Returns the parameters of the first `Bearer` challenge in one header value, names in lower case.
///
/// A value may hold several challenges; a word that is followed by another word and not by `=`
/// begins the next one.
fn bearer_parameters(value: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = value.get(..MAX_HEADER.min(value.len()))?.trim_start();
    let mut found: Option<BTreeMap<String, String>> = None;
    while !rest.is_empty() {
        let (word, after) = take_word(rest)?;
        match (after.trim_start().strip_prefix('='), &mut found) {
            (Some(text), parameters) => {
                let (text, after) = take_value(text.trim_start())?;
                if let Some(parameters) = parameters {
                    parameters.entry(word.to_ascii_lowercase()).or_insert(text);
                }
                rest = after;
            }
            (None, Some(_)) => break,
            (None, None) => {
                found = word.eq_ignore_ascii_case("bearer").then(BTreeMap::new);
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found
}

fn take_word(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = take_word(text).unwrap_or(("", text));
        // A padded `token68` belongs to a scheme that is none of ours.
        return Some((word.to_owned(), rest.trim_start_matches('=')));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str], from: &str) -> Demand {
        Demand::read(values.iter().copied(), &Url::parse(from).unwrap(), "o/d")
    }

    fn token(values: &[&str]) -> String {
        match read(values, "https://r.example/v2/o/d/manifests/1") {
            Demand::Token(url) => url.to_string(),
            other => panic!("{values:?}: {other:?}"),
        }
    }

    #[test]
    fn the_forms_of_real_registries_are_read() {
        assert_eq!(
            token(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/postgres:pull""#
            ]),
            "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fpostgres%3Apull"
        );
        assert_eq!(
            token(&[r#"bearer  Realm = "https://a.example/t?x=1" , scope=aws"#]),
            "https://a.example/t?x=1&scope=aws"
        );
        assert_eq!(
            token(&[r#"Bearer realm="https://a.example/t",error="invalid_token""#]),
            "https://a.example/t?scope=repository%3Ao%2Fd%3Apull"
        );
    }

    #[test]
    fn a_bearer_challenge_is_found_among_others() {
        let realm = r#"Bearer realm="https://a.example/t",scope="s""#;
        for values in [
            vec![r#"Basic realm="x, Bearer y""#, realm],
            vec![r#"Basic realm="x", Bearer realm="https://a.example/t",scope="s""#],
            vec![
                r#"Bearer realm="https://a.example/t",scope="s", Basic realm="https://b.example""#,
            ],
        ] {
            assert_eq!(token(&values), "https://a.example/t?scope=s", "{values:?}");
        }
    }

    #[test]
    fn a_quoted_pair_is_unescaped() {
        assert_eq!(
            token(&[r#"Bearer realm="https://a.example/t",service="a\"b",scope="s""#]),
            "https://a.example/t?service=a%22b&scope=s"
        );
    }

    #[test]
    fn other_schemes_want_credentials() {
        for value in [
            "",
            "Basic realm=\"x\"",
            "Negotiate YWJj==",
            "\"\"",
            "Bea rer",
        ] {
            let demand = read(&[value], "https://r.example/");
            assert_eq!(demand, Demand::Credentials, "{value:?}");
        }
        assert_eq!(read(&[], "https://r.example/"), Demand::Credentials);
    }

    #[test]
    fn a_realm_that_must_not_be_asked_is_refused() {
        for realm in [
            "http://auth.example/t",
            "http://localhost:6443/t",
            "https://u:p@auth.example/t",
            "file:///etc/passwd",
            "/relative",
            "",
        ] {
            let value = format!("Bearer realm=\"{realm}\"");
            let demand = read(&[&value], "https://r.example/");
            assert_eq!(demand, Demand::Refused, "{realm}");
        }
        let demand = read(&["Bearer service=\"x\""], "https://r.example/");
        assert_eq!(demand, Demand::Refused);
    }

    #[test]
    fn a_registry_of_this_machine_may_name_a_plain_realm_of_this_machine() {
        let from = "http://127.0.0.1:5000/v2/";
        let near = read(&["Bearer realm=\"http://localhost:5001/t\""], from);
        assert!(matches!(near, Demand::Token(_)));
        let far = read(&["Bearer realm=\"http://auth.example/t\""], from);
        assert_eq!(far, Demand::Refused);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}") {
            bearer_parameters(&text);
            bearer_parameters(&format!("Bearer {text}"));
        }
    }
}

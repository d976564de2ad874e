//! What must not be shown, and what must not reach a terminal: secret values, passwords in addresses, escapes
//! in names that others chose. The rule for environment variables is the one by which a declaration is refused.

use serde_json::{Map, Value};

use crate::model::{Key, Kind};

/// What stands in the place of a secret value.
pub const HIDDEN: &str = "***";
/// The longest text shown of one value or reason, in characters.
pub const MAX_SHOWN: usize = 200;

/// Words that make the name of a variable or parameter secret.
const SECRET_WORDS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PRIVATE_KEY",
    "API_KEY",
    "APIKEY",
    "CREDENTIAL",
    "MNEMONIC",
];
/// Paths of a Secret that may be shown.
const SHOWN_OF_A_SECRET: [&str; 3] = ["metadata.labels", "type", "immutable"];
/// An annotation in which a client keeps a whole object, a Secret's values included.
const LAST_APPLIED: &str = "last-applied-configuration";

/// Returns a text that others chose as one line that is safe to print: passwords masked, control and direction
/// characters escaped, cut to [`MAX_SHOWN`].
#[must_use]
pub fn line(text: &str) -> String {
    printable(&shorten(&without_passwords(text)))
}

/// Returns a value at a path of a key as it may be shown.
#[must_use]
pub fn changed(key: &Key, path: &str, value: &Value) -> Value {
    let is_secret = key.object().is_some_and(|key| key.kind == Kind::Secret);
    let shown = SHOWN_OF_A_SECRET.iter().any(|shown| is_below(path, shown));
    if (is_secret && !shown) || path.contains(LAST_APPLIED) {
        return HIDDEN.into();
    }
    let is_text = value.is_string();
    if is_text && variable(path).is_some_and(is_secret_name) {
        return HIDDEN.into();
    }
    if path == "env" || path.ends_with(".env") {
        return variables(value);
    }
    masked(value)
}

/// Returns a whole object or row as it may be shown.
#[must_use]
pub fn whole(key: &Key, value: &Value) -> Value {
    let is_secret = key.object().is_some_and(|key| key.kind == Kind::Secret);
    let mut value = masked(value);
    if is_secret {
        for member in ["data", "stringData"] {
            hide_members(value.get_mut(member));
        }
        hide_members(value.pointer_mut("/metadata/annotations"));
    }
    value
}

/// Returns the text with control characters, and characters that reorder or hide text, written as escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_deceptive(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Tells whether a character acts on a terminal, or changes the order or presence of those around it.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts a text to [`MAX_SHOWN`] characters, saying how long it was.
#[must_use]
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// Returns the text with the user part of addresses and the values of secret parameters masked.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    if text.contains("PRIVATE KEY-----") {
        return HIDDEN.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive([' ', '\n', '\t', '\r', '"', '\'', '`']) {
        out.push_str(&parameters(&address(piece)));
    }
    out
}

/// Tells whether a whole value is one address, so that blanks and quotes in it are part of its password.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(inner))
}

/// Masks what stands between `://` and the last `@`, unless it is a bare user of `ssh` and the like.
///
/// A password may hold any character when somebody forgot to encode it, so the last `@` counts, and a `/` ends
/// nothing.
fn address(piece: &str) -> String {
    let Some((scheme, rest)) = piece.split_once("://") else {
        return piece.to_owned();
    };
    let Some((user, host)) = rest.rsplit_once('@') else {
        return piece.to_owned();
    };
    if user.contains(':') || scheme.ends_with("http") || scheme.ends_with("https") {
        return format!("{scheme}://{HIDDEN}@{host}");
    }
    piece.to_owned()
}

/// Masks the values of `name=value` parameters with a secret name.
fn parameters(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    for parameter in piece.split_inclusive(['&', '?', ';', ',']) {
        match parameter.split_once('=') {
            Some((name, value)) if is_secret_name(name) => {
                let end = value.len() - value.trim_end_matches(is_separator).len();
                out.push_str(&format!("{name}={HIDDEN}{}", &value[value.len() - end..]));
            }
            _ => out.push_str(parameter),
        }
    }
    out
}

fn is_separator(c: char) -> bool {
    matches!(c, '&' | '?' | ';' | ',' | '"' | '\'' | '`') || c.is_whitespace()
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    !name.ends_with("_FILE") && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Returns the name of the environment variable whose value stands at a path, if it is one.
fn variable(path: &str) -> Option<&str> {
    let rest = match path.rfind("env[") {
        Some(at) => &path[at + 4..],
        None => {
            return path
                .strip_prefix("env.")
                .or_else(|| Some(path.rsplit_once(".env.")?.1));
        }
    };
    let (name, below) = rest.split_once(']')?;
    matches!(below, "" | ".value").then_some(name)
}

fn is_below(path: &str, parent: &str) -> bool {
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) if is_address(text) => parameters(&address(text)).into(),
        Value::String(text) => without_passwords(text).into(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(map) => Value::Object(masked_members(map)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn masked_members(map: &Map<String, Value>) -> Map<String, Value> {
    let is_variable = map
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(is_secret_name);
    let mask_member = |(name, member): (&String, &Value)| {
        let member = match name.as_str() {
            "value" if is_variable && member.is_string() => HIDDEN.into(),
            "env" => variables(member),
            name if name.contains(LAST_APPLIED) => HIDDEN.into(),
            _ => masked(member),
        };
        (name.clone(), member)
    };
    map.iter().map(mask_member).collect()
}

/// Masks an environment: a list of variables, or a map from name to value.
fn variables(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return masked(value);
    };
    let mask_member = |(name, member): (&String, &Value)| {
        let hides = is_secret_name(name) && member.is_string();
        (
            name.clone(),
            if hides { HIDDEN.into() } else { masked(member) },
        )
    };
    Value::Object(map.iter().map(mask_member).collect())
}

fn hide_members(value: Option<&mut Value>) {
    if let Some(Value::Object(map)) = value {
        for (_, member) in map.iter_mut() {
            *member = HIDDEN.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::reconcile::render::samples;

    #[test]
    fn passwords_in_texts_are_masked_and_the_rest_stays() {
        for (text, shown) in [
            ("postgres://u:p@h/db", "postgres://***@h/db"),
            (
                "could not reach postgres://u:p/q@h:1 in 3 s",
                "could not reach postgres://***@h:1 in 3 s",
            ),
            ("https://ghp_x@github.com/o/r", "https://***@github.com/o/r"),
            ("ssh://git@github.com/o/r", "ssh://git@github.com/o/r"),
            ("http://h:8000/a", "http://h:8000/a"),
            ("h?sslmode=x&password=p&a=b", "h?sslmode=x&password=***&a=b"),
            ("--api-key=p --log=info", "--api-key=*** --log=info"),
            ("TOKEN_FILE=/run/x", "TOKEN_FILE=/run/x"),
            ("a@sha256:1", "a@sha256:1"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
        assert_eq!(
            without_passwords("-----BEGIN PRIVATE KEY-----\nabc"),
            HIDDEN
        );
    }

    #[test]
    fn references_to_secrets_are_shown() {
        let key = samples::object(Kind::StatefulSet, "challenge-ab");
        let path = "spec.template.spec.containers[c].env[API_TOKEN].valueFrom.secretKeyRef.name";
        assert_eq!(
            changed(&key, path, &json!("prism-openai")),
            json!("prism-openai")
        );
        let row = json!({"secrets": {"openai_api_key": {"secret": "a", "key": "token"}}});
        assert_eq!(whole(&key, &row), row);
        let volume = json!({"secret": {"secretName": "a"}, "automountServiceAccountToken": false});
        assert_eq!(whole(&key, &volume), volume);
    }

    #[test]
    fn a_secret_shows_its_labels_and_nothing_else() {
        let key = samples::object(Kind::Secret, "challenge-ab-secrets");
        for path in [
            "data.x",
            "data[x]",
            "data",
            "stringData.x",
            "metadata.annotations.x",
            "",
        ] {
            assert_eq!(changed(&key, path, &json!("v")), json!(HIDDEN), "{path}");
        }
        assert_eq!(changed(&key, "metadata.labels[a]", &json!("v")), json!("v"));
    }

    proptest! {
        #[test]
        fn no_password_of_an_address_is_shown(
            user in "[a-z]{0,4}", password in "[ -~]{3,30}", host in "[a-z]{1,8}",
        ) {
            let password = format!("canary{password}canary");
            let text = without_passwords(&format!("postgres://{user}:{password}@{host}/db"));
            let key = samples::object(Kind::StatefulSet, "a");
            let value = changed(&key, "a", &json!(format!("postgres://{user}:{password}@{host}/db")));
            prop_assert!(!value.to_string().contains("canary"), "{}", value);
            prop_assert!(password.contains([' ', '"', '\'', '`']) || !text.contains("canary"), "{}", text);
        }

        #[test]
        fn a_line_is_one_safe_bounded_line(text in any::<String>()) {
            let line = line(&text);
            prop_assert!(!line.chars().any(is_deceptive));
            prop_assert!(line.chars().count() < 10 * MAX_SHOWN + 30);
        }
    }
}

//! The form of each registry row: which members it has and what they may hold.
//!
//! Rows are compared as a whole, so a member too many, too few or written differently would show as a
//! change for ever. And no clear token can be mistaken for a hash: the form is checked before a write.

use serde_json::{Value, json};

use super::DatabaseError;
use crate::model::{Emission, Row, RowKey, Scope, Slug};

/// The largest row, as JSON: a challenge's specification is a few kilobytes.
const MAX_ROW: usize = 1 << 20;

/// The deepest row: what is read back is parsed with a limit of 128, and one row beyond it would hide all others.
const MAX_DEPTH: usize = 64;

enum Form {
    Text,
    OptionalText,
    Flag,
    Count,
    Status,
    Emission,
    Object,
    Sha256,
    Hint,
}

type Member = (&'static str, Form);

const CHALLENGE: &[Member] = &[
    ("name", Form::Text),
    ("description", Form::OptionalText),
    ("status", Form::Status),
    ("emission_percent", Form::Emission),
    ("version", Form::Text),
    ("api_version", Form::Text),
    ("image", Form::Text),
    ("internal_base_url", Form::Text),
    ("spec", Form::Object),
];

const TARGET: &[Member] = &[
    ("mode", Form::Text),
    ("enabled", Form::Flag),
    ("draining", Form::Flag),
    ("verify_tls", Form::Flag),
    ("gpu_count", Form::Count),
    ("spec", Form::Object),
];

const TOKENS: &[Member] = &[
    ("token_hash", Form::Sha256),
    ("token_hint", Form::Hint),
    ("broker_token_hash", Form::Sha256),
    ("broker_token_hint", Form::Hint),
];

const ASSIGNMENT: &[Member] = &[("target", Form::Text), ("gpu_count", Form::Count)];

/// Returns what a statement that reads takes as its scope: nothing for all, else a list of slugs.
pub(super) fn scoped(scope: &Scope) -> String {
    match scope {
        Scope::All => String::new(),
        Scope::Only(slugs) => {
            let slugs: Vec<&str> = slugs.iter().map(Slug::as_str).collect();
            json!(slugs).to_string()
        }
    }
}

/// Checks a row and returns it as the JSON text that a write statement takes.
///
/// # Errors
/// `Row`, with the member and what it must be; never with its value.
pub(super) fn check(key: &RowKey, row: &Row) -> Result<String, DatabaseError> {
    problem(key, &row.0).map_or_else(
        || Ok(row.0.to_string()),
        |why| {
            Err(DatabaseError::Row {
                key: key.clone(),
                why,
            })
        },
    )
}

fn problem(key: &RowKey, row: &Value) -> Option<String> {
    let members = members(key);
    let Some(object) = row.as_object() else {
        return Some("a row is a JSON object".to_owned());
    };
    for (name, form) in members {
        match object.get(*name) {
            None => return Some(format!("the member `{name}` is missing")),
            Some(value) if !form.holds(value) => {
                return Some(format!("`{name}` must be {}", form.words()));
            }
            Some(_) => {}
        }
    }
    if object.len() != members.len() {
        return Some("it has a member that its table has no column for".to_owned());
    }
    if let Some(why) = unkeepable(row, MAX_DEPTH) {
        return Some(why.to_owned());
    }
    (row.to_string().len() > MAX_ROW).then(|| format!("it is larger than {MAX_ROW} bytes"))
}

fn members(key: &RowKey) -> &'static [Member] {
    match key {
        RowKey::Challenge(_) => CHALLENGE,
        RowKey::Target(_) => TARGET,
        RowKey::Tokens(_) => TOKENS,
        RowKey::Assignment(_) => ASSIGNMENT,
    }
}

impl Form {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::OptionalText => value.is_null() || value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Count => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            Self::Object => value.is_object(),
            Self::Text | Self::Status | Self::Emission | Self::Sha256 | Self::Hint => {
                value.as_str().is_some_and(|text| self.holds_text(text))
            }
        }
    }

    fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Status => ["active", "inactive", "disabled", "draft"].contains(&text),
            Self::Emission => Emission::parse(text).is_ok_and(|e| e.to_string() == text),
            Self::Sha256 => {
                let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                text.len() == 64 && text.bytes().all(lower_hex)
            }
            Self::Hint => text.chars().count() == 9 && text.chars().nth(4) == Some('…'),
            Self::Text | Self::OptionalText | Self::Flag | Self::Count | Self::Object => true,
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::OptionalText => "a text or null",
            Self::Flag => "true or false",
            Self::Count => "a whole number of at most 32 bits",
            Self::Status => "active, inactive, disabled or draft",
            Self::Emission => "a decimal text in its shortest form, such as 12.5",
            Self::Object => "an object",
            Self::Sha256 => "a SHA-256 in lower-case hex",
            Self::Hint => "four characters, an ellipsis and four characters",
        }
    }
}

/// Returns why one of the databases could not keep a value as it is.
fn unkeepable(value: &Value, depth: usize) -> Option<&'static str> {
    const NUL: &str = "a text holds the character U+0000, which PostgreSQL does not keep";
    let Some(deeper) = depth.checked_sub(1) else {
        return Some("it is nested more than 64 levels deep");
    };
    let nul = |text: &str| text.contains('\0').then_some(NUL);
    match value {
        Value::String(text) => nul(text),
        Value::Array(items) => items.iter().find_map(|item| unkeepable(item, deeper)),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| nul(name).or_else(|| unkeepable(value, deeper))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

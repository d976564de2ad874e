//! What may stand where, taken from the JSON Schema, and the walk that compares a tree with it: every
//! unknown field and wrong type is noted, what is right becomes a JSON value for the written types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Number, Value};

use super::KEPT;
use super::tree::{At, Kind, Node};
use crate::spec::path::Path;
use crate::spec::schema::schema_value;

/// The shape of the whole declaration.
pub(super) static DECLARATION: LazyLock<Shape> = LazyLock::new(|| {
    let schema = schema_value();
    compile(&schema, &schema["$defs"])
});

/// What a value must look like.
#[derive(Debug, PartialEq)]
pub(super) enum Shape {
    Text,
    TextOrNumber,
    Truth,
    Whole { min: i128, max: i128 },
    Choice(Vec<String>),
    List(Box<Self>),
    Map(Box<Self>),
    Fields(BTreeMap<String, Field>),
    Free,
}

/// A field of a mapping with fixed fields.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    shape: Shape,
    is_required: bool,
}

/// Something that does not have the shape it should.
#[derive(Debug)]
pub(super) struct Misfit {
    pub at: At,
    pub path: String,
    pub message: String,
    pub remedy: String,
}

/// Fields that people know under another name or at another place.
const MOVED: [(&str, &str); 8] = [
    ("emission_percent", "emissions.<slug>"),
    ("emission", "emissions.<slug>"),
    ("gpu_server", "target"),
    ("docker_max_concurrent", "broker.max_concurrent"),
    ("docker_timeout_seconds", "broker.timeout_seconds"),
    ("worker_command", "worker.command"),
    ("kubernetes_targets", "targets"),
    ("broker_allowed_images", "broker.allowed_images"),
];

/// Translates the part of JSON Schema that the written types use. What it does not know becomes
/// [`Shape::Free`]; a test sees to it that only metadata is free.
fn compile(schema: &Value, defs: &Value) -> Shape {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return compile(&defs[name], defs);
    }
    if let Some(choices) = choices(schema) {
        return Shape::Choice(choices);
    }
    match schema["type"].as_str() {
        Some("string") => Shape::Text,
        Some("boolean") => Shape::Truth,
        Some("integer") => whole(schema),
        Some("array") => Shape::List(Box::new(compile(&schema["items"], defs))),
        Some("object") => object(schema, defs),
        _ if schema["type"].is_array() => Shape::TextOrNumber,
        _ => Shape::Free,
    }
}

fn choices(schema: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(list) = schema["enum"].as_array() {
        return list.iter().map(text).collect();
    }
    let list = schema["oneOf"].as_array()?;
    let nested = list.iter().map(|one| match text(&one["const"]) {
        Some(only) => Some(vec![only]),
        None => choices(one),
    });
    Some(nested.collect::<Option<Vec<_>>>()?.concat())
}

fn whole(schema: &Value) -> Shape {
    let bound = |key: &str| schema[key].as_i64().map(i128::from);
    let most = match schema["format"].as_str() {
        Some("uint16") => i128::from(u16::MAX),
        Some("uint32") => i128::from(u32::MAX),
        _ => i128::from(u64::MAX),
    };
    Shape::Whole {
        min: bound("minimum").unwrap_or(0),
        max: bound("maximum").unwrap_or(most),
    }
}

fn object(schema: &Value, defs: &Value) -> Shape {
    let Some(properties) = schema["properties"].as_object() else {
        return Shape::Map(Box::new(compile(&schema["additionalProperties"], defs)));
    };
    let required = |name: &str| {
        let list = schema["required"].as_array();
        list.is_some_and(|list| list.iter().any(|one| one == name))
    };
    let fields = properties.iter().map(|(name, schema)| {
        let field = Field {
            shape: compile(schema, defs),
            is_required: required(name),
        };
        (name.clone(), field)
    });
    Shape::Fields(fields.collect())
}

/// What a tree holds, by the declaration's shape.
pub(super) struct Fitted {
    /// What fits.
    pub value: Value,
    /// What does not.
    pub misfits: Vec<Misfit>,
    /// How many more do not.
    pub dropped: usize,
}

/// Compares a tree with the declaration's shape.
pub(super) fn fit(root: &Node) -> Fitted {
    let mut walk = Walk::default();
    let value = walk.value(&DECLARATION, root, &Path::ROOT);
    Fitted {
        value: value.unwrap_or_else(|| Value::Object(Map::new())),
        misfits: walk.misfits,
        dropped: walk.dropped,
    }
}

#[derive(Default)]
struct Walk {
    misfits: Vec<Misfit>,
    dropped: usize,
}

impl Walk {
    fn misfit(&mut self, at: At, path: &Path<'_>, message: String, remedy: impl Into<String>) {
        self.misfits.push(Misfit {
            at,
            path: path.to_string(),
            message,
            remedy: remedy.into(),
        });
    }

    /// Tells whether there is room for another problem, and counts it if not.
    fn is_full(&mut self) -> bool {
        let is_full = self.misfits.len() >= KEPT;
        self.dropped += usize::from(is_full);
        is_full
    }

    /// Recursion is bounded by the depth of the tree.
    fn value(&mut self, shape: &Shape, node: &Node, path: &Path<'_>) -> Option<Value> {
        match (shape, &node.kind) {
            (Shape::Free, _) => self.free(node, path),
            (Shape::List(item), Kind::List(nodes)) => {
                let items = nodes.iter().enumerate();
                let fitting = items.filter_map(|(i, n)| self.value(item, n, &path.index(i)));
                Some(Value::Array(fitting.collect()))
            }
            (Shape::Map(item), Kind::Map(entries)) => {
                let fitting = entries.iter().filter_map(|entry| {
                    let value = self.value(item, &entry.value, &path.key(&entry.key))?;
                    Some((entry.key.clone(), value))
                });
                Some(Value::Object(fitting.collect()))
            }
            (Shape::Fields(fields), Kind::Map(_)) => Some(self.fields(fields, node, path)),
            (_, Kind::Scalar { text, is_plain }) => self.scalar(shape, node, text, *is_plain, path),
            _ => {
                self.wrong_type(shape, node, path);
                None
            }
        }
    }

    fn fields(&mut self, fields: &BTreeMap<String, Field>, node: &Node, path: &Path<'_>) -> Value {
        let mut fitting = Map::new();
        let Kind::Map(entries) = &node.kind else {
            return Value::Object(fitting);
        };
        for entry in entries {
            let below = path.key(&entry.key);
            match fields.get(&entry.key) {
                None => self.unknown(fields, entry.at, &entry.key, &below),
                Some(field) => {
                    if let Some(value) = self.value(&field.shape, &entry.value, &below) {
                        fitting.insert(entry.key.clone(), value);
                    }
                }
            }
        }
        for (name, _) in fields.iter().filter(|(_, field)| field.is_required) {
            if !entries.iter().any(|entry| entry.key == *name) {
                self.missing(name, node, &path.key(name));
            }
        }
        Value::Object(fitting)
    }

    fn missing(&mut self, name: &str, node: &Node, path: &Path<'_>) {
        if self.is_full() {
            return;
        }
        let remedy = match name {
            "api_version" => "write `api_version: platform.network/v1`".to_owned(),
            "environment" => {
                "write `environment: development`, `staging` or `production`: there is no default"
                    .to_owned()
            }
            "challenges" => "to declare no challenges write `challenges: {}`".to_owned(),
            _ => format!("write `{name}`"),
        };
        self.misfit(node.at, path, "is missing".to_owned(), remedy);
    }

    fn unknown(&mut self, fields: &BTreeMap<String, Field>, at: At, key: &str, path: &Path<'_>) {
        if self.is_full() {
            return;
        }
        let moved = MOVED.iter().find(|(name, _)| *name == key);
        let remedy = match (moved, nearest(key, fields.keys().map(String::as_str))) {
            (Some((_, place)), _) => format!("its name here is `{place}`"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => {
                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                format!("known here: {}", known.join(", "))
            }
        };
        self.misfit(at, path, "is no known field".to_owned(), remedy);
    }

    fn scalar(
        &mut self,
        shape: &Shape,
        node: &Node,
        text: &str,
        is_plain: bool,
        path: &Path<'_>,
    ) -> Option<Value> {
        let plain = if is_plain { resolve(text) } else { Plain::Text };
        let fitting = match (shape, plain) {
            (Shape::Text, Plain::Text) | (Shape::TextOrNumber, Plain::Text | Plain::Number) => {
                Some(Value::from(text))
            }
            (Shape::Truth, Plain::Truth(truth)) => Some(Value::Bool(truth)),
            (Shape::Whole { min, max }, Plain::Number) => match text.parse::<i128>() {
                Ok(number) if (*min..=*max).contains(&number) => {
                    u64::try_from(number).ok().map(Value::from)
                }
                _ => None,
            },
            (Shape::Choice(choices), _) if choices.iter().any(|c| c == text) => {
                Some(Value::from(text))
            }
            _ => None,
        };
        if fitting.is_none() {
            match shape {
                Shape::Choice(choices) if plain == Plain::Text => {
                    self.wrong_choice(choices, node.at, text, path);
                }
                _ => self.wrong_type(shape, node, path),
            }
        }
        fitting
    }

    fn wrong_choice(&mut self, choices: &[String], at: At, text: &str, path: &Path<'_>) {
        if self.is_full() {
            return;
        }
        let all = choices.join("`, `");
        let remedy = match nearest(text, choices.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? It is one of `{all}`"),
            None => format!("write one of `{all}`"),
        };
        self.misfit(at, path, "is none of the known words".to_owned(), remedy);
    }

    fn wrong_type(&mut self, shape: &Shape, node: &Node, path: &Path<'_>) {
        if self.is_full() {
            return;
        }
        let wanted = match shape {
            Shape::Text => "a text".to_owned(),
            Shape::TextOrNumber => "a number or a text".to_owned(),
            Shape::Truth => "`true` or `false`".to_owned(),
            Shape::Whole { min, max } if *max >= i128::from(u32::MAX) => {
                format!("a whole number, {min} or more")
            }
            Shape::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Shape::Choice(choices) => format!("one of `{}`", choices.join("`, `")),
            Shape::List(_) => "a list".to_owned(),
            Shape::Map(_) | Shape::Fields(_) => "a mapping".to_owned(),
            Shape::Free => "a value".to_owned(),
        };
        let found = match &node.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar {
                is_plain: false, ..
            } => "a text",
            Kind::Scalar { text, .. } => match resolve(text) {
                Plain::Null => "nothing",
                Plain::Truth(_) => "a truth value",
                Plain::Number => "a number",
                Plain::Text => "a text",
            },
        };
        let remedy = match (shape, found) {
            (Shape::Fields(fields), _) if fields.contains_key("secret") => {
                "write a reference: `{secret: <Secret>, key: <key>}`".to_owned()
            }
            (Shape::Map(_) | Shape::Fields(_), "nothing") => {
                "write its fields below it, or `{}`".to_owned()
            }
            (Shape::Map(_) | Shape::Fields(_), _) => {
                "write `key: value` lines below it, or `{key: value}`".to_owned()
            }
            (Shape::List(_), "nothing") => "write its items below it, or `[]`".to_owned(),
            (Shape::List(_), _) => "write it as `[…]`, also when it has one item".to_owned(),
            (_, "nothing") => "write a value, or leave the field out".to_owned(),
            (Shape::Text, "a number" | "a truth value") => "put the value in quotes".to_owned(),
            (Shape::Whole { .. }, "a text") => format!("write {wanted}, without quotes"),
            _ => format!("write {wanted}"),
        };
        let message = match (shape, found) {
            (Shape::Whole { .. }, "a number") => format!("is not {wanted}"),
            _ => format!("wants {wanted} and has {found}"),
        };
        self.misfit(node.at, path, message, remedy);
    }

    fn free(&mut self, node: &Node, path: &Path<'_>) -> Option<Value> {
        match &node.kind {
            Kind::List(nodes) => {
                let items = nodes.iter().enumerate();
                let fitting = items.filter_map(|(i, n)| self.free(n, &path.index(i)));
                Some(Value::Array(fitting.collect()))
            }
            Kind::Map(entries) => {
                let fitting = entries.iter().filter_map(|entry| {
                    let value = self.free(&entry.value, &path.key(&entry.key))?;
                    Some((entry.key.clone(), value))
                });
                Some(Value::Object(fitting.collect()))
            }
            Kind::Scalar { text, is_plain } => {
                let value = free_scalar(text, *is_plain);
                if value.is_none() && !self.is_full() {
                    let message = "is a number that JSON cannot hold".to_owned();
                    self.misfit(node.at, path, message, "put the value in quotes");
                }
                value
            }
        }
    }
}

fn free_scalar(text: &str, is_plain: bool) -> Option<Value> {
    let plain = if is_plain { resolve(text) } else { Plain::Text };
    match plain {
        Plain::Null => Some(Value::Null),
        Plain::Truth(truth) => Some(Value::Bool(truth)),
        Plain::Text => Some(Value::from(text)),
        Plain::Number => {
            if let Ok(number) = text.parse::<i64>() {
                return Some(Value::from(number));
            }
            let float: f64 = text.parse().ok()?;
            Number::from_f64(float).map(Value::Number)
        }
    }
}

/// What a scalar without quotes is under the core schema of YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Null,
    Truth(bool),
    Number,
    Text,
}

fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Truth(true),
        "false" | "False" | "FALSE" => Plain::Truth(false),
        _ if is_number(text) => Plain::Number,
        _ => Plain::Text,
    }
}

fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(bare, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let based = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix)
            .is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(radix)))
    };
    if based("0x", 16) || based("0o", 8) {
        return true;
    }
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match bare.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (bare, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction) && exponent_fits
}

/// Returns the known word that is nearest to one, if any is near.
pub(in crate::spec) fn nearest<'k>(
    word: &str,
    known: impl Iterator<Item = &'k str>,
) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.trim().to_lowercase().replace('-', "_");
    let near = known.map(|known| {
        let distance = strsim::damerau_levenshtein(&word, &known.to_lowercase().replace('-', "_"));
        (distance, known)
    });
    let (distance, known) = near.min()?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free_places(shape: &Shape, path: &str, found: &mut Vec<String>) {
        match shape {
            Shape::Free => found.push(path.to_owned()),
            Shape::List(item) | Shape::Map(item) => free_places(item, &format!("{path}.*"), found),
            Shape::Fields(fields) => {
                for (name, field) in fields {
                    free_places(&field.shape, &format!("{path}.{name}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn only_metadata_is_free_in_form() {
        let mut found = Vec::new();
        free_places(&DECLARATION, "", &mut found);
        assert_eq!(found, [".challenges.*.metadata.*"]);
    }

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        for text in [
            "1", "-1.5", "+.5", "1e3", "0x1F", "0o17", ".inf", "-.INF", ".nan", "1.",
        ] {
            assert_eq!(resolve(text), Plain::Number, "{text}");
        }
        for text in [
            "yes",
            "no",
            "on",
            "1_000",
            "12:30",
            ".",
            "e3",
            "0x",
            "1e",
            "--1",
            "2026-12-24",
        ] {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
        assert_eq!(resolve("~"), Plain::Null);
        assert_eq!(resolve("True"), Plain::Truth(true));
    }

    #[test]
    fn nearest_is_near() {
        let known = ["image", "status", "storage_size"];
        assert_eq!(nearest("imgae", known.into_iter()), Some("image"));
        assert_eq!(
            nearest("storage-size", known.into_iter()),
            Some("storage_size")
        );
        assert_eq!(nearest("replicas", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(1000), known.into_iter()), None);
    }
}

//! The reference of `platform.yaml` as Markdown, made from its schema, so that it says what the parser does.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::schema::schema_value;

const INTRODUCTION: &str = "\
# platform.yaml

<!-- Made by `platform schema --markdown`; change the comments in src/spec/types instead. -->

Every field of the file, made from the types that read it. `examples/platform.yaml` shows each of them once in
its place, `schema/platform.schema.json` makes an editor complete and check them, and `platform check` says
everything that is wrong with a file at once, each problem with its place and what would be right.

- The source is a file, or a directory: `platform.yaml` and every other `*.yaml` below it, with the same
  top-level keys. Maps are joined; a key declared twice is an error that names both places.
- An unknown field, a key written twice, a wrong type and an explicit `null` are refused. So is a file that is
  missing, empty or cut off: none of them means \"delete everything\". To declare no challenge, write
  `challenges: {}`.
- Secret values never stand in the file. A name or a value that looks like one is refused; write a reference
  (`secrets`, `database_secret`, `kubeconfig`, `token`) to a Secret of the cluster.
- `environment: production` and `staging` turn the production policy on: images on ghcr.io with
  a version and a digest, declared CPU and memory, no SQLite, certificates checked, no broad image prefixes.
- Bounds: 4 MiB, 64 levels, aliases that do not multiply, no tags.
";

/// Returns the reference as the text of `docs/platform-yaml.md`.
#[must_use]
pub fn reference() -> String {
    let schema = schema_value();
    let mut text = INTRODUCTION.to_owned();
    push_table(&mut text, "The file", &schema);
    let mut told = BTreeSet::new();
    let mut waiting: VecDeque<String> = references(&schema).into();
    while let Some(name) = waiting.pop_front() {
        if !told.insert(name.clone()) {
            continue;
        }
        let definition = &schema["$defs"][&name];
        match definition.get("oneOf") {
            Some(Value::Array(choices)) => push_choices(&mut text, &name, definition, choices),
            _ => push_table(&mut text, &name, definition),
        }
        waiting.extend(references(definition));
    }
    text
}

fn push_table(text: &mut String, name: &str, definition: &Value) {
    push_heading(text, name, definition);
    text.push_str("| Field | Value | Meaning |\n| --- | --- | --- |\n");
    let required = definition["required"].as_array();
    for (field, value) in properties(definition) {
        let is_required =
            required.is_some_and(|names| names.iter().any(|name| name == field.as_str()));
        let must = if is_required { " **Required.**" } else { "" };
        let meaning = one_line(&value["description"]);
        let kind = kind(value);
        text.push_str(&format!("| `{field}` | {kind} | {meaning}{must} |\n"));
    }
}

fn push_choices(text: &mut String, name: &str, definition: &Value, choices: &[Value]) {
    push_heading(text, name, definition);
    for choice in choices {
        let word = choice["const"].as_str().unwrap_or_default();
        let meaning = one_line(&choice["description"]);
        text.push_str(&format!("- `{word}`: {meaning}\n"));
    }
}

fn push_heading(text: &mut String, name: &str, definition: &Value) {
    let meaning = one_line(&definition["description"]);
    text.push_str(&format!("\n## {name}\n\n{meaning}\n\n"));
}

/// Returns in words what may stand at a field.
fn kind(value: &Value) -> String {
    if let Some(name) = reference_of(value) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    match &value["type"] {
        Value::Array(types) => {
            let words: Vec<&str> = types.iter().filter_map(Value::as_str).map(word).collect();
            words.join(" or ")
        }
        Value::String(name) if name == "array" => format!("list of {}", kind(&value["items"])),
        Value::String(name) if name == "object" => match &value["additionalProperties"] {
            values @ Value::Object(_) => format!("map to {}", kind(values)),
            _ => "map".to_owned(),
        },
        Value::String(name) => format!("{}{}", word(name), bounds(value)),
        _ => "anything".to_owned(),
    }
}

fn word(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" | "number" => "number",
        "boolean" => "true or false",
        other => other,
    }
}

fn bounds(value: &Value) -> String {
    match (value["minimum"].as_u64(), value["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        _ => String::new(),
    }
}

/// Returns the definitions that the fields of this one lead to, in the order of the fields.
fn references(definition: &Value) -> Vec<String> {
    let leads = |(_, value): (&String, &Value)| {
        let inner = [value, &value["items"], &value["additionalProperties"]];
        inner.into_iter().find_map(reference_of)
    };
    properties(definition).filter_map(leads).collect()
}

fn properties(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = definition["properties"].as_object();
    fields.into_iter().flat_map(Map::iter)
}

fn reference_of(value: &Value) -> Option<String> {
    let name = value["$ref"].as_str()?.strip_prefix("#/$defs/")?;
    Some(name.to_owned())
}

fn one_line(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_in_the_documents_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/platform-yaml.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            stored == reference(),
            "the types have changed: platform schema --markdown > docs/platform-yaml.md"
        );
    }

    #[test]
    fn every_definition_of_the_schema_is_told_once() {
        let text = reference();
        for name in schema_value()["$defs"].as_object().unwrap().keys() {
            let heading = format!("\n## {name}\n");
            assert_eq!(text.matches(&heading).count(), 1, "{name}");
        }
    }
}

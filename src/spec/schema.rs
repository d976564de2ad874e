//! The JSON Schema of `platform.yaml`, made from [`super::types`]: for editors, and for the parser,
//! which knows from it what may stand where.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::types::File;

/// Returns the schema as the text of `schema/platform.schema.json`.
#[must_use]
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema_value()).unwrap_or_default();
    text.push('\n');
    text
}

/// Returns the schema.
pub(super) fn schema_value() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    RecursiveTransform(refuse_null).transform(&mut schema);
    schema.insert("title".to_owned(), "platform.yaml".into());
    schema.to_value()
}

/// A field is written or left out: an explicit null is refused, since a file cut off behind a colon
/// would hold one.
fn refuse_null(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("type") != Some(&Value::from("null")));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        object.extend(only);
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/platform.schema.json");

    #[test]
    fn schema_file_is_what_the_types_say() {
        let stored = std::fs::read_to_string(STORED).unwrap_or_default();
        assert!(
            stored == schema(),
            "the types have changed: platform schema > schema/platform.schema.json"
        );
    }

    #[test]
    fn no_field_takes_null() {
        assert!(!schema().contains("\"null\""));
    }
}

//! Where in an object something differs, as people write it: `spec.template.spec.containers[challenge].image`.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write as _},
};

use serde_json::Value;

/// The path of a field in an object. Ordered by its parts, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

/// One part of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member of an object, by name.
    Name(String),
    /// An item of a list, by the values of its key: `challenge`, or `80/TCP`.
    Item(String),
    /// An element of a set, by its value.
    Element(String),
}

impl FieldPath {
    /// Builds a path of its segments.
    pub fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// Builds a path of object members only.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| Segment::Name(name.to_owned()))
                .collect(),
        )
    }

    /// Returns the segments, outermost first; none for the whole object.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Tells whether the path is, or lies below, this chain of object members.
    pub fn starts_with(&self, names: &[&str]) -> bool {
        names.len() <= self.0.len()
            && names
                .iter()
                .zip(&self.0)
                .all(|(name, segment)| segment.is_name(name))
    }

    /// Tells whether the path is exactly this chain of object members.
    pub fn is(&self, names: &[&str]) -> bool {
        names.len() == self.0.len() && self.starts_with(names)
    }
}

impl Segment {
    /// Tells whether this is the object member of that name.
    pub fn is_name(&self, expected: &str) -> bool {
        matches!(self, Self::Name(name) if name == expected)
    }
}

impl Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Name(name) if is_plain(name) => {
                    let dot = if index == 0 { "" } else { "." };
                    write!(f, "{dot}{name}")?;
                }
                Segment::Name(text) | Segment::Item(text) | Segment::Element(text) => {
                    write_bracketed(f, text)?;
                }
            }
        }
        Ok(())
    }
}

/// Names that read well after a dot. All others (labels, file names) go in brackets.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Names come from a cluster that others write to: control characters must not reach a terminal.
fn write_bracketed(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('[')?;
    for c in text.chars() {
        if c.is_control() {
            write!(f, "{}", c.escape_unicode())?;
        } else {
            f.write_char(c)?;
        }
    }
    f.write_char(']')
}

/// One part of the path while walking: borrowed, so that nothing is copied unless something differs.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    Name(&'a str),
    /// The item's key as the ownership record spells it: `{"name":"challenge"}`.
    Item(Cow<'a, str>),
    /// The element as the ownership record spells it: `"a"`.
    Element(Cow<'a, str>),
}

impl Step<'_> {
    /// Returns this step's name in an ownership record.
    pub(super) fn record_name(&self) -> String {
        match self {
            Self::Name(name) => format!("f:{name}"),
            Self::Item(key) => format!("k:{key}"),
            Self::Element(value) => format!("v:{value}"),
        }
    }

    pub(super) fn to_segment(&self) -> Segment {
        match self {
            Self::Name(name) => Segment::Name((*name).to_owned()),
            Self::Item(key) => Segment::Item(label(key)),
            Self::Element(value) => Segment::Element(label(value)),
        }
    }
}

/// Returns a key or an element for people: the values of a key joined by `/`, a string without its quotes.
pub(super) fn label(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(Value::Object(key)) => key.values().map(plain).collect::<Vec<_>>().join("/"),
        Ok(value) => plain(&value),
        Err(_) => json.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(steps: &[Step<'_>]) -> String {
        FieldPath::new(steps.iter().map(|step| step.to_segment()).collect()).to_string()
    }

    #[test]
    fn items_are_named_by_their_key() {
        let container = [
            Step::Name("spec"),
            Step::Name("containers"),
            Step::Item(r#"{"name":"challenge"}"#.into()),
            Step::Name("image"),
        ];
        assert_eq!(rendered(&container), "spec.containers[challenge].image");
        let port = [
            Step::Name("spec"),
            Step::Name("ports"),
            Step::Item(r#"{"port":80,"protocol":"TCP"}"#.into()),
        ];
        assert_eq!(rendered(&port), "spec.ports[80/TCP]");
    }

    #[test]
    fn names_with_dots_go_in_brackets() {
        let label = [
            Step::Name("metadata"),
            Step::Name("labels"),
            Step::Name("app.kubernetes.io/name"),
        ];
        assert_eq!(rendered(&label), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(
            rendered(&[Step::Name("data"), Step::Name("tls.crt")]),
            "data[tls.crt]"
        );
        assert_eq!(rendered(&[Step::Name("data"), Step::Name("")]), "data[]");
    }

    #[test]
    fn elements_are_named_by_their_value() {
        let finalizer = [
            Step::Name("metadata"),
            Step::Name("finalizers"),
            Step::Element(r#""a.b/c""#.into()),
        ];
        assert_eq!(rendered(&finalizer), "metadata.finalizers[a.b/c]");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            rendered(&[Step::Name("a\u{1b}[31m\n")]),
            "[a\\u{1b}[31m\\u{a}]"
        );
    }

    #[test]
    fn prefixes_match_whole_names_only() {
        let path = FieldPath::of_names(["spec", "replicas"]);
        assert!(path.starts_with(&["spec"]) && path.is(&["spec", "replicas"]));
        assert!(
            !path.starts_with(&["sp"])
                && !path.is(&["spec"])
                && !path.starts_with(&["spec", "replicas", "x"])
        );
    }
}

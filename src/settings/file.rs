//! Settings written as YAML, flattened to paths with their places.

use std::fmt;
use std::path::PathBuf;

use super::{Environment, Origin, SettingsError};
use crate::spec::outline::{self, Node, Shape};

/// One value at a path, as written.
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) place: Place,
    value: Value,
}

/// What is written at a path.
enum Value {
    Text(String),
    /// `null` or nothing: as if the key were not there.
    Nothing,
    /// A list, which no setting is so far.
    List,
}

/// Where a value stands.
#[derive(Clone)]
pub(super) enum Place {
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl Place {
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::File { path, line } => Origin::File {
                path: path.clone(),
                line: *line,
            },
            Self::Variable(name) => Origin::Environment(name.clone()),
            Self::Flag(name) => Origin::Flag(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin().fmt(f)
    }
}

impl Leaf {
    pub(super) fn new(path: &str, text: &str, place: Place) -> Self {
        Self {
            path: path.to_owned(),
            place,
            value: Value::Text(text.to_owned()),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Nothing)
    }

    pub(super) fn text(&self) -> Result<&str, SettingsError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            Value::Nothing => Ok(""),
            Value::List => Err(SettingsError::Value {
                path: self.path.clone(),
                origin: self.place.to_string(),
                expected: "a single value",
            }),
        }
    }

    /// Puts variables in the place of each `${NAME}`; returns those that are not set, which become nothing.
    pub(super) fn expand(&mut self, environment: &Environment) -> Vec<(Place, String)> {
        let Value::Text(text) = &self.value else {
            return Vec::new();
        };
        let (expanded, unset) = expand(text, environment);
        self.value = Value::Text(expanded);
        let place = |name| (self.place.clone(), name);
        unset.into_iter().map(place).collect()
    }
}

fn expand(text: &str, environment: &Environment) -> (String, Vec<String>) {
    let (mut done, mut unset) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        done.push_str(before);
        match after.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, behind)) => {
                match environment.get(name) {
                    Some(value) => done.push_str(value),
                    None => unset.push(name.to_owned()),
                }
                rest = behind;
            }
            None => {
                done.push_str("${");
                rest = after;
            }
        }
    }
    done.push_str(rest);
    (done, unset)
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(inner)
}

/// Returns all values below `prefix` with their places.
///
/// # Errors
/// Not YAML, no mapping where one is due, or a key that stands twice.
pub(super) fn parse_leaves(
    bytes: &[u8],
    prefix: &str,
    place: &dyn Fn(usize) -> Place,
) -> Result<Vec<Leaf>, SettingsError> {
    let root = outline::parse_outline(bytes).map_err(|source| SettingsError::Yaml {
        origin: match place(1) {
            Place::File { path, .. } => path.display().to_string(),
            other => other.to_string(),
        },
        source,
    })?;
    let mut leaves = Vec::new();
    match &root {
        Some(root) if prefix.is_empty() && !matches!(root.shape, Shape::Map { .. }) => {
            return Err(SettingsError::NoMapping(place(root.line).to_string()));
        }
        Some(root) => flatten(root, prefix, place, &mut leaves)?,
        None => return Err(SettingsError::NoMapping(place(1).to_string())),
    }
    Ok(leaves)
}

/// Depth is bounded by the outline's.
fn flatten(
    node: &Node,
    path: &str,
    place: &dyn Fn(usize) -> Place,
    leaves: &mut Vec<Leaf>,
) -> Result<(), SettingsError> {
    let origin = || place(node.line).to_string();
    let leaf = |value| Leaf {
        path: path.to_owned(),
        place: place(node.line),
        value,
    };
    match &node.shape {
        Shape::Scalar { .. } if node.is_null() => leaves.push(leaf(Value::Nothing)),
        Shape::Scalar { text, .. } => leaves.push(leaf(Value::Text(text.clone()))),
        Shape::List { .. } => leaves.push(leaf(Value::List)),
        Shape::Alias => return Err(SettingsError::NoMapping(origin())),
        Shape::Map { entries, .. } => {
            for (at, (key, value)) in entries.iter().enumerate() {
                let name = key
                    .text()
                    .ok_or_else(|| SettingsError::NoMapping(origin()))?;
                let below = if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                };
                if entries[..at]
                    .iter()
                    .any(|(other, _)| other.text() == Some(name))
                {
                    return Err(SettingsError::Twice {
                        origin: place(key.line).to_string(),
                        path: below,
                    });
                }
                flatten(value, &below, place, leaves)?;
            }
        }
    }
    Ok(())
}

//! One value of a declaration changed in place: `(text, path, value)` to text. Comments, order and layout
//! stay; the result is read again, and anything but exactly that change is refused. Pure.

mod scalar;

use std::ops::Range;

use thiserror::Error;

use crate::spec::outline::{self, Node, OutlineError, Shape, Style};
use scalar::Context;
pub use scalar::Writing;

/// The most parts of a path.
const MAX_PARTS: usize = 64;

/// Where a value stands: `challenges.prism.status`, `safety.freeze.0.why`, `env."a.b"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePath(Vec<String>);

/// A text with one value changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// The line of the change, counted from 1.
    pub line: usize,
    /// What stood there as written; `None` when the key is new.
    pub before: Option<String>,
    /// What stands there now as written.
    pub after: String,
}

/// Why a value was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The path cannot be read.
    #[error(
        "`{0}` is no path; write names joined by dots, and quote a name that holds one: a.\"b.c\""
    )]
    Path(String),
    /// The text cannot be read.
    #[error(transparent)]
    Unreadable(OutlineError),
    /// A value in braces or brackets that is no YAML, or goes over several lines.
    #[error("the new value begins like a map or a list and is none that fits on one line")]
    Value,
    /// Something on the way is not there.
    #[error("there is no `{missing}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Missing {
        /// The path up to what is missing.
        missing: String,
        /// A neighbour of a similar name.
        nearest: Option<String>,
    },
    /// The value is written so that one change would mean several, or none that is certain.
    #[error("line {line}: `{path}` {why}; edit it by hand")]
    NotSimple {
        /// Where.
        line: usize,
        /// The value, or what it stands in.
        path: String,
        /// What is in the way.
        why: &'static str,
    },
    /// Reading the result again showed another change than the one asked for.
    #[error("line {line}: `{path}` cannot be changed without changing more; edit it by hand")]
    Unsure {
        /// Where.
        line: usize,
        /// The value.
        path: String,
    },
}

impl ValuePath {
    /// Parses names joined by dots; a name in single or double quotes may hold dots.
    ///
    /// # Errors
    /// An empty name, a quote that does not end, or more than 64 names.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let bad = || EditError::Path(text.chars().take(200).collect());
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let (part, behind) = match rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                Some(quote) => rest[1..].split_once(quote).ok_or_else(bad)?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            if part.is_empty() || parts.len() == MAX_PARTS {
                return Err(bad());
            }
            parts.push(part.to_owned());
            match behind.strip_prefix('.') {
                Some(next) => rest = next,
                None if behind.is_empty() => return Ok(Self(parts)),
                None => return Err(bad()),
            }
        }
    }

    fn shown(&self, parts: usize) -> String {
        let quoted = |part: &String| match part.contains('.') {
            true => format!("\"{part}\""),
            false => part.clone(),
        };
        let parts: Vec<_> = self.0.iter().take(parts).map(quoted).collect();
        parts.join(".")
    }

    fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl std::fmt::Display for ValuePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown(self.0.len()))
    }
}

/// How much of a path a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Not even the map that the value would stand in.
    Nothing,
    /// The map that the value would stand in.
    Parent,
    /// The value.
    Value,
}

/// Tells how much of a path a text holds, to choose among several files.
#[must_use]
pub fn holds(text: &str, path: &ValuePath) -> Holds {
    let Ok(Some(root)) = outline::parse_outline(text.as_bytes()) else {
        return Holds::Nothing;
    };
    match Found::find(&root, path) {
        Ok(Found::Value { .. }) => Holds::Value,
        Ok(Found::Parent(_)) => Holds::Parent,
        Err(_) => Holds::Nothing,
    }
}

/// Changes the value at `path`, or adds it to a map that is there. `value` is a single value, or a map
/// or list in braces or brackets on one line.
///
/// # Errors
/// The path leads nowhere, the value is written in a way that cannot be edited safely (anchors, aliases,
/// tags, whole blocks), or the result would differ in more than this value.
pub fn edit_value(
    text: &str,
    path: &ValuePath,
    value: &str,
    writing: Writing,
) -> Result<Edited, EditError> {
    let before = outline::parse_outline(text.as_bytes())
        .map_err(EditError::Unreadable)?
        .ok_or_else(|| missing(path, 1, &[]))?;
    let found = Found::find(&before, path)?;
    let change = match found {
        Found::Value {
            key,
            value: old,
            is_in_flow,
        } => {
            let context = Context {
                is_in_flow,
                was: Some(old),
            };
            let new = scalar::write(value, writing, &context).ok_or(EditError::Value)?;
            replace(text, path, key, old, new)?
        }
        Found::Parent(map) => {
            let (Shape::Map { is_flow, .. }, was) = (&map.shape, None) else {
                return Err(missing(path, path.0.len(), &[]));
            };
            let context = Context {
                is_in_flow: *is_flow,
                was,
            };
            let new = scalar::write(value, writing, &context).ok_or(EditError::Value)?;
            add(text, path, map, new)
        }
    };
    let after = change.splice(text);
    let line = 1 + text[..change.at.start].matches('\n').count() + change.lines_down;
    let same = |after: &Node| same_but(&before, after, &path.0, &change.meaning);
    let unsure = || EditError::Unsure {
        line,
        path: path.to_string(),
    };
    match outline::parse_outline(after.as_bytes()) {
        Ok(Some(tree)) if same(&tree) => Ok(Edited {
            text: after,
            line,
            before: change.before,
            after: change.written,
        }),
        _ => Err(unsure()),
    }
}

/// What a path leads to.
enum Found<'a> {
    Value {
        key: Option<&'a Node>,
        value: &'a Node,
        is_in_flow: bool,
    },
    /// All but the last name is there, and a map.
    Parent(&'a Node),
}

impl<'a> Found<'a> {
    fn find(root: &'a Node, path: &ValuePath) -> Result<Self, EditError> {
        let (mut here, mut key, mut is_in_flow) = (root, None, false);
        for (depth, part) in path.0.iter().enumerate() {
            let not_simple = |why| EditError::NotSimple {
                line: here.line,
                path: path.shown(depth.max(1)),
                why,
            };
            if here.is_marked {
                return Err(not_simple("has an anchor, an alias or a tag"));
            }
            match &here.shape {
                Shape::Map { entries, is_flow } => {
                    is_in_flow |= is_flow;
                    let mut same = entries.iter().filter(|(key, _)| key.text() == Some(part));
                    match (same.next(), same.next()) {
                        (Some((name, value)), None) => (here, key) = (value, Some(name)),
                        (Some(_), Some(_)) => return Err(not_simple("holds that key twice")),
                        (None, _) if depth + 1 == path.0.len() => return Ok(Self::Parent(here)),
                        (None, _) => return Err(missing(path, depth + 1, entries)),
                    }
                }
                Shape::List { items, is_flow } => {
                    is_in_flow |= is_flow;
                    let item = part.parse().ok().and_then(|at: usize| items.get(at));
                    (here, key) = (item.ok_or_else(|| missing(path, depth + 1, &[]))?, None);
                }
                _ => return Err(missing(path, depth + 1, &[])),
            }
        }
        if here.is_marked {
            return Err(EditError::NotSimple {
                line: here.line,
                path: path.to_string(),
                why: "has an anchor, an alias or a tag",
            });
        }
        Ok(Self::Value {
            key,
            value: here,
            is_in_flow,
        })
    }
}

fn missing(path: &ValuePath, parts: usize, entries: &[(Node, Node)]) -> EditError {
    let wanted = path
        .0
        .get(parts.saturating_sub(1))
        .map_or("", String::as_str);
    let nearest = entries
        .iter()
        .filter_map(|(key, _)| key.text())
        .map(|name| (strsim::damerau_levenshtein(name, wanted), name))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    EditError::Missing {
        missing: path.shown(parts),
        nearest: nearest.map(|(_, name)| name.to_owned()),
    }
}

/// Bytes to put in the place of others.
struct Change {
    at: Range<usize>,
    insert: String,
    /// How many lines below the first changed byte the value stands.
    lines_down: usize,
    before: Option<String>,
    written: String,
    /// The new value as an outline.
    meaning: Node,
}

impl Change {
    fn splice(&self, text: &str) -> String {
        let (before, after) = (&text[..self.at.start], &text[self.at.end..]);
        [before, &self.insert, after].concat()
    }
}

fn replace(
    text: &str,
    path: &ValuePath,
    key: Option<&Node>,
    old: &Node,
    new: scalar::Written,
) -> Result<Change, EditError> {
    let not_simple = |why| EditError::NotSimple {
        line: old.line,
        path: path.to_string(),
        why,
    };
    match &old.shape {
        Shape::Map { is_flow: false, .. } | Shape::List { is_flow: false, .. } => {
            return Err(not_simple("is a whole block of values"));
        }
        Shape::Scalar {
            style: Style::Block,
            ..
        } => return Err(not_simple("is a block of text")),
        _ => {}
    }
    let written = text.get(old.span.clone()).unwrap_or_default();
    if written.is_empty() {
        // Nothing stands behind the colon: put it right there, before any comment.
        let key = key.ok_or_else(|| not_simple("is an empty item"))?;
        let colon = text[key.span.end..]
            .find(':')
            .map(|at| key.span.end + at + 1);
        let at = colon.ok_or_else(|| not_simple("has no colon"))?;
        return Ok(Change {
            at: at..at,
            insert: format!(" {}", new.text),
            lines_down: 0,
            before: Some(String::new()),
            written: new.text,
            meaning: new.meaning,
        });
    }
    let kept = written.trim_end();
    Ok(Change {
        at: old.span.start..old.span.start + kept.len(),
        insert: new.text.clone(),
        lines_down: 0,
        before: Some(kept.to_owned()),
        written: new.text,
        meaning: new.meaning,
    })
}

/// Adds a key behind the last one of a map, on a line of its own or before the closing brace.
fn add(text: &str, path: &ValuePath, map: &Node, new: scalar::Written) -> Change {
    let key = scalar::write_key(path.last());
    let pair = format!("{key}: {}", new.text);
    let change = |at: usize, insert: String, lines_down| Change {
        at: at..at,
        insert,
        lines_down,
        before: None,
        written: new.text.clone(),
        meaning: new.meaning.clone(),
    };
    let Shape::Map { entries, is_flow } = &map.shape else {
        return change(text.len(), pair, 0);
    };
    let end = |(key, value): &(Node, Node)| value.span.end.max(key.span.end);
    match (entries.last(), entries.first()) {
        (Some(last), Some((first, _))) if !*is_flow => {
            let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let end = text[..end(last)].trim_end().len();
            let at = text[end..]
                .find(['\r', '\n'])
                .map_or(text.len(), |to| end + to);
            let indent = " ".repeat(first.column - 1);
            change(at, format!("{line_break}{indent}{pair}"), 1)
        }
        (Some(last), _) => change(end(last), format!(", {pair}"), 0),
        _ => change(map.span.start + 1, pair, 0),
    }
}

/// Tells whether two trees mean the same but for the value at `path`, which means `wanted` in the second.
fn same_but(before: &Node, after: &Node, path: &[String], wanted: &Node) -> bool {
    let Some((part, rest)) = path.split_first() else {
        return same(after, wanted);
    };
    match (&before.shape, &after.shape) {
        (Shape::Map { entries: old, .. }, Shape::Map { entries: new, .. }) => {
            let is_new = !old.iter().any(|(key, _)| key.text() == Some(part));
            let agree = |((old_key, old), (new_key, new)): (&(Node, Node), &(Node, Node))| {
                let below = match new_key.text() == Some(part) {
                    true => same_but(old, new, rest, wanted),
                    false => same(old, new),
                };
                same(old_key, new_key) && below
            };
            let added = new.get(old.len()).map(|(key, value)| {
                rest.is_empty() && key.text() == Some(part) && same(value, wanted)
            });
            new.len() == old.len() + usize::from(is_new)
                && added.unwrap_or(!is_new)
                && old.iter().zip(new).all(agree)
        }
        (Shape::List { items: old, .. }, Shape::List { items: new, .. }) => {
            let at = part.parse().ok();
            let agree = |(place, (old, new)): (usize, (&Node, &Node))| match Some(place) == at {
                true => same_but(old, new, rest, wanted),
                false => same(old, new),
            };
            old.len() == new.len() && old.iter().zip(new).enumerate().all(agree)
        }
        _ => false,
    }
}

/// Same meaning, wherever it stands and however it is laid out.
fn same(one: &Node, other: &Node) -> bool {
    one.is_marked == other.is_marked
        && match (&one.shape, &other.shape) {
            (Shape::Scalar { .. }, Shape::Scalar { .. }) => {
                one.text() == other.text() && scalar::kind(one) == scalar::kind(other)
            }
            (Shape::Map { entries: a, .. }, Shape::Map { entries: b, .. }) => {
                let pair =
                    |(a, b): (&(Node, Node), &(Node, Node))| same(&a.0, &b.0) && same(&a.1, &b.1);
                a.len() == b.len() && a.iter().zip(b).all(pair)
            }
            (Shape::List { items: a, .. }, Shape::List { items: b, .. }) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Shape::Alias, Shape::Alias) => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests;

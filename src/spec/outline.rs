//! The outline of a YAML text: which values it holds and where each one stands. Serves messages and
//! in-place edits; bounded in size, depth and number of values, and aliases are never expanded.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, options};
use thiserror::Error;

/// The largest text, in bytes; that of `platform.yaml`.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// The column where it begins, counted from 1, in characters.
    pub column: usize,
    /// Its bytes, for a block of text without its `|`; of a collection from its first to behind its last byte (of a block one: of its last value).
    pub span: Range<usize>,
    /// Whether it carries an anchor or a tag, so that it means more than its text says.
    pub is_marked: bool,
    /// What it is.
    pub shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A single value, with escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// Keys and values in the order of the text.
    Map {
        /// Keys and values; a key that is no scalar has the text of its place.
        entries: Vec<(Node, Node)>,
        /// Whether it is written in braces.
        is_flow: bool,
    },
    /// Values in the order of the text.
    List {
        /// The values.
        items: Vec<Node>,
        /// Whether it is written in brackets.
        is_flow: bool,
    },
    /// A reference to an anchored value.
    Alias,
}

/// How a single value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// As a block behind `|` or `>`.
    Block,
}

impl From<ScalarStyle> for Style {
    fn from(style: ScalarStyle) -> Self {
        match style {
            ScalarStyle::Plain => Self::Plain,
            ScalarStyle::SingleQuoted => Self::Single,
            ScalarStyle::DoubleQuoted => Self::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Self::Block,
        }
    }
}

/// Why a text has no outline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutlineError {
    /// The text is over [`MAX_BYTES`].
    #[error("the file is larger than 4 MiB")]
    TooLarge,
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    NotText,
    /// Nesting over [`MAX_DEPTH`].
    #[error("line {0}: nested deeper than 64 levels")]
    TooDeep(usize),
    /// Not YAML.
    #[error("line {line}, column {column}: not valid YAML: {what}")]
    Syntax {
        /// Where, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A second document.
    #[error("line {0}: a second YAML document; one file holds one")]
    SecondDocument(usize),
}

impl Node {
    /// Returns the text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Tells whether it is written as nothing, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.shape, Shape::Scalar { text, style: Style::Plain }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Returns the outline of a text; `None` when it holds no document.
///
/// # Errors
/// Too large, not UTF-8, not YAML, too deep, or more than one document.
pub fn parse_outline(bytes: &[u8]) -> Result<Option<Node>, OutlineError> {
    if bytes.len() > MAX_BYTES {
        return Err(OutlineError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| OutlineError::NotText)?;
    let limits = options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        emit_comments: false,
    };
    let mut building = Building::default();
    for next in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = next.map_err(|error| OutlineError::Syntax {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            what: error.info().to_owned(),
        })?;
        building.take(event, &span)?;
    }
    Ok(building.root)
}

/// Collections begun and not ended, innermost last; a stack instead of recursion.
#[derive(Default)]
struct Building {
    open: Vec<Open>,
    root: Option<Node>,
    has_document: bool,
}

struct Open {
    node: Node,
    key: Option<Node>,
}

impl Building {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), OutlineError> {
        match event {
            Event::DocumentStart(..) => {
                if self.has_document {
                    return Err(OutlineError::SecondDocument(span.start.line()));
                }
                self.has_document = true;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let shape = Shape::Scalar {
                    text: text.into_owned(),
                    style: style.into(),
                };
                self.add(node(span, anchor != 0 || tag.is_some(), shape));
            }
            Event::Alias(_) => self.add(node(span, true, Shape::Alias)),
            Event::SequenceStart(style, anchor, tag) => {
                let shape = Shape::List {
                    items: Vec::new(),
                    is_flow: style == StructureStyle::Flow,
                };
                self.begin(node(span, anchor != 0 || tag.is_some(), shape))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let shape = Shape::Map {
                    entries: Vec::new(),
                    is_flow: style == StructureStyle::Flow,
                };
                self.begin(node(span, anchor != 0 || tag.is_some(), shape))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node) -> Result<(), OutlineError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(OutlineError::TooDeep(node.line));
        }
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn end(&mut self, span: &Span) {
        if let Some(mut open) = self.open.pop() {
            open.node.span.end = end_of(&open.node, span);
            self.add(open.node);
        }
    }

    fn add(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.node.shape {
            Shape::List { items, .. } => items.push(node),
            Shape::Map { entries, .. } => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => open.key = Some(node),
            },
            Shape::Scalar { .. } | Shape::Alias => {}
        }
    }
}

fn node(span: &Span, is_marked: bool, shape: Shape) -> Node {
    Node {
        line: span.start.line(),
        column: span.start.col() + 1,
        span: span.byte_range().unwrap_or_default(),
        is_marked,
        shape,
    }
}

/// A flow collection ends at its bracket; a block one where its last value does.
fn end_of(node: &Node, span: &Span) -> usize {
    let bracket = span.byte_range().map_or(node.span.end, |range| range.end);
    let last = match &node.shape {
        Shape::Map {
            entries,
            is_flow: false,
        } => entries
            .last()
            .map(|(key, value)| value.span.end.max(key.span.end)),
        Shape::List {
            items,
            is_flow: false,
        } => items.last().map(|item| item.span.end),
        _ => None,
    };
    last.unwrap_or(bracket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_places_and_bytes() {
        let text = "a:\n  - é: [1, {b: 'x'}]\nlast: |\n  block\n";
        let root = parse_outline(text.as_bytes()).unwrap().unwrap();
        let Shape::Map { entries, .. } = &root.shape else {
            panic!("a map")
        };
        let Shape::List { items, .. } = &entries[0].1.shape else {
            panic!("a list")
        };
        let Shape::Map { entries: inner, .. } = &items[0].shape else {
            panic!("a map")
        };
        let (key, value) = &inner[0];
        assert_eq!((key.line, key.column, key.text()), (2, 5, Some("é")));
        assert_eq!(&text[value.span.clone()], "[1, {b: 'x'}]");
        assert_eq!(entries[1].1.text(), Some("block\n"));
    }

    #[test]
    fn what_is_too_deep_too_many_or_no_yaml_is_refused() {
        let deep = "[".repeat(100_000);
        assert!(parse_outline(deep.as_bytes()).is_err());
        let deep = (0..100).map(|n| " ".repeat(n) + "a:\n").collect::<String>();
        assert!(parse_outline(deep.as_bytes()).is_err());
        assert_eq!(
            parse_outline(b"a: 1\n---\nb: 2\n"),
            Err(OutlineError::SecondDocument(2))
        );
        assert_eq!(parse_outline(b"a: \xff"), Err(OutlineError::NotText));
        assert!(matches!(
            parse_outline(b"a: [1\nb: 2\n"),
            Err(OutlineError::Syntax { .. })
        ));
        assert_eq!(parse_outline(b"# nothing\n"), Ok(None));
    }
}

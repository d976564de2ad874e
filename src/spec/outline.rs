//! The outline of a YAML text: which values it holds and where each one stands. Serves the settings and in-place
//! edits; aliases are never followed.

use std::ops::Range;

use thiserror::Error;

use super::yaml::{MAX_BYTES, Piece, Pieces, Stop, What, Why};

pub use super::yaml::Style;

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

/// Why a text has no outline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutlineError {
    /// The text is over 4 MiB.
    #[error("the file is larger than 4 MiB")]
    TooLarge,
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    NotText,
    /// Nesting over 64 levels.
    #[error("line {0}: nested deeper than 64 levels")]
    TooDeep(usize),
    /// More values than any declaration holds.
    #[error("line {0}: the file holds too many values")]
    TooMany(usize),
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
    let mut pieces = Pieces::new(text);
    let mut building = Building::default();
    while let Some(piece) = pieces.next()? {
        building.take(piece);
    }
    Ok(building.root)
}

impl From<Stop> for OutlineError {
    fn from(Stop { mark, why }: Stop) -> Self {
        match why {
            Why::TooDeep => Self::TooDeep(mark.line),
            Why::TooMany => Self::TooMany(mark.line),
            Why::SecondDocument => Self::SecondDocument(mark.line),
            Why::Syntax(what) => Self::Syntax {
                line: mark.line,
                column: mark.column,
                what,
            },
        }
    }
}

/// Collections begun and not ended, innermost last; a stack instead of recursion.
#[derive(Default)]
struct Building {
    open: Vec<Open>,
    root: Option<Node>,
}

struct Open {
    node: Node,
    key: Option<Node>,
}

impl Building {
    fn take(&mut self, piece: Piece<'_>) {
        let mut node = Node {
            line: piece.mark.line,
            column: piece.mark.column,
            span: piece.span,
            is_marked: piece.anchor != 0 || piece.tag.is_some(),
            shape: Shape::Alias,
        };
        match piece.what {
            What::Scalar { text, style } => {
                let text = text.into_owned();
                node.shape = Shape::Scalar { text, style };
                self.add(node);
            }
            What::Alias(_) => {
                node.is_marked = true;
                self.add(node);
            }
            What::List { is_flow } => {
                let items = Vec::new();
                node.shape = Shape::List { items, is_flow };
                self.open.push(Open { node, key: None });
            }
            What::Map { is_flow } => {
                let entries = Vec::new();
                node.shape = Shape::Map { entries, is_flow };
                self.open.push(Open { node, key: None });
            }
            What::End => self.end(&node.span),
            What::TextEnd { .. } => {}
        }
    }

    fn end(&mut self, bracket: &Range<usize>) {
        if let Some(Open { mut node, .. }) = self.open.pop() {
            node.span.end = end_of(&node, bracket);
            self.add(node);
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

/// A flow collection ends at its bracket; a block one where its last value does.
fn end_of(node: &Node, bracket: &Range<usize>) -> usize {
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
    last.unwrap_or(bracket.end)
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
        let wide = format!("[{}]", "x,".repeat(1 << 20));
        let refused = parse_outline(wide.as_bytes());
        assert_eq!(refused, Err(OutlineError::TooMany(1)));
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

//! What a YAML text says, piece by piece. The only part that knows the YAML parser (`granit-parser`: no unsafe
//! code, no recursion): whatever reads these bytes, for its values or for an edit in place, gets the same pieces,
//! with the same places, under the same bounds.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, options,
};

/// The most bytes that are read: a declaration of 2 000 challenges stays below 2 MiB.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;
/// What all values of one text may weigh in bytes, those behind aliases counted each time where they are
/// followed: room for 2 000 challenges at the largest size that anyone writes, far from what hurts.
const MAX_WEIGHT: usize = 48 << 20;
/// What a value weighs beside its text.
pub(in crate::spec) const VALUE_WEIGHT: usize = 64;

/// A place, counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) struct Mark {
    pub line: usize,
    pub column: usize,
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

/// One piece of a text.
#[derive(Debug)]
pub(in crate::spec) struct Piece<'t> {
    /// Where it begins.
    pub mark: Mark,
    /// Its bytes; of a collection, those that begin it, and of an end those that end it.
    pub span: Range<usize>,
    /// The number of its anchor; 0 where it has none.
    pub anchor: usize,
    /// Where its tag stands, if it carries one.
    pub tag: Option<Mark>,
    pub what: What<'t>,
}

/// What a piece is.
#[derive(Debug)]
pub(in crate::spec) enum What<'t> {
    /// A single value, with escapes resolved.
    Scalar { text: Cow<'t, str>, style: Style },
    /// A list begins.
    List { is_flow: bool },
    /// A map begins; its keys and values follow in turns.
    Map { is_flow: bool },
    /// The innermost list or map ends.
    End,
    /// A reference to the value with this anchor.
    Alias(usize),
    /// The text ends; `is_closed` unless it was opened with `---` and is not closed with `...`.
    TextEnd { is_closed: bool },
}

/// Why a text is not read to its end.
#[derive(Debug)]
pub(in crate::spec) struct Stop {
    pub mark: Mark,
    pub why: Why,
}

/// What stands in the way.
#[derive(Debug)]
pub(in crate::spec) enum Why {
    /// It is not YAML, in the parser's words.
    Syntax(String),
    /// Nesting over [`MAX_DEPTH`].
    TooDeep,
    /// Values over [`MAX_WEIGHT`].
    TooMany,
    /// A second document.
    SecondDocument,
}

/// The pieces of one text.
pub(in crate::spec) struct Pieces<'t> {
    parser: Parser<'t, StrInput<'t>>,
    depth: usize,
    weight: usize,
    /// Whether the document was opened with `---`; none before it.
    document: Option<bool>,
    /// Where the document ended and whether it is closed, until it is known that no other one follows.
    end: Option<(Span, bool)>,
}

impl<'t> Pieces<'t> {
    pub(in crate::spec) fn new(text: &'t str) -> Self {
        // The parser looks ahead of the pieces it gives, into brackets above all, and has to stop by itself.
        let options = options! {
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
            emit_comments: false,
        };
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            depth: 0,
            weight: 0,
            document: None,
            end: None,
        }
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// Nothing behind this place can be read.
    pub(in crate::spec) fn next(&mut self) -> Result<Option<Piece<'t>>, Stop> {
        while let Some(next) = self.parser.next() {
            let (event, span) = next.map_err(|error| stop_of(&error))?;
            if let Some(piece) = self.take(event, &span)? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Counts what a value weighs, and tells whether there is room for it.
    pub(in crate::spec) fn spend(&mut self, weight: usize) -> bool {
        self.weight = self.weight.saturating_add(weight);
        self.weight <= MAX_WEIGHT
    }

    fn weigh(&mut self, weight: usize, mark: Mark) -> Result<(), Stop> {
        let why = Why::TooMany;
        self.spend(weight).then_some(()).ok_or(Stop { mark, why })
    }

    fn take(&mut self, event: Event<'t>, span: &Span) -> Result<Option<Piece<'t>>, Stop> {
        let mark = Mark::of(&span.start);
        let (what, anchor) = match event {
            Event::DocumentStart(is_explicit, _) => {
                self.start_document(is_explicit, mark)?;
                return Ok(None);
            }
            Event::DocumentEnd => {
                let is_closed = self.document == Some(false) || !span.is_empty();
                self.end = Some((*span, is_closed));
                return Ok(None);
            }
            Event::StreamEnd => {
                let end = self.end.take();
                return Ok(
                    end.map(|(span, is_closed)| piece(What::TextEnd { is_closed }, 0, &span))
                );
            }
            Event::Scalar(text, style, anchor, _) => {
                self.weigh(VALUE_WEIGHT + text.len(), mark)?;
                // The parser has a word for what is not there.
                let text = match style == ScalarStyle::Plain && span.is_empty() {
                    true => Cow::default(),
                    false => text,
                };
                let style = style.into();
                (What::Scalar { text, style }, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.begin(mark)?;
                let is_flow = style == StructureStyle::Flow;
                (What::List { is_flow }, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                self.begin(mark)?;
                let is_flow = style == StructureStyle::Flow;
                (What::Map { is_flow }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.depth = self.depth.saturating_sub(1);
                (What::End, 0)
            }
            Event::Alias(anchor) => {
                self.weigh(VALUE_WEIGHT, mark)?;
                (What::Alias(anchor), 0)
            }
            // Of the stream as a whole, or not asked for.
            _ => return Ok(None),
        };
        Ok(Some(piece(what, anchor, span)))
    }

    fn start_document(&mut self, is_explicit: bool, mark: Mark) -> Result<(), Stop> {
        let why = Why::SecondDocument;
        match self.document.replace(is_explicit) {
            None => Ok(()),
            Some(_) => Err(Stop { mark, why }),
        }
    }

    fn begin(&mut self, mark: Mark) -> Result<(), Stop> {
        if self.depth >= MAX_DEPTH {
            let why = Why::TooDeep;
            return Err(Stop { mark, why });
        }
        self.depth += 1;
        self.weigh(VALUE_WEIGHT, mark)
    }
}

fn piece<'t>(what: What<'t>, anchor: usize, span: &Span) -> Piece<'t> {
    Piece {
        mark: Mark::of(&span.start),
        span: span.byte_range().unwrap_or_default(),
        anchor,
        tag: span.tag_span().map(|tag| Mark::of(&tag.start)),
        what,
    }
}

impl Mark {
    fn of(marker: &granit_parser::Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col().saturating_add(1),
        }
    }
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

fn stop_of(error: &ScanError) -> Stop {
    let why = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Why::TooDeep,
        _ => Why::Syntax(error.info()),
    };
    let mark = Mark::of(error.marker());
    Stop { mark, why }
}

//! An object as it was sent, for those who only look: its texts in one string, its members in one vector.
//!
//! A list brings hundreds of objects of hundreds of members each, as many are wanted, and nearly all of them are
//! looked at once and dropped. As [`Value`] each member costs allocations to read and again to drop, which took more time
//! than all comparing. What is to be kept or changed becomes a [`Value`] by [`Document::to_value`].

mod read;
mod write;

use std::fmt;

use serde::de::Deserialize as _;
use serde_json::{Map, Number, Value};

/// A JSON value that is read and not changed.
#[derive(Clone)]
pub struct Document {
    text: String,
    entries: Vec<Entry>,
    root: Node,
}

/// So many members are looked through one by one.
const FEW: usize = 32;

/// A value within a [`Document`].
#[derive(Clone, Copy)]
pub struct View<'a> {
    document: &'a Document,
    node: Node,
}

/// What is read of a JSON value, a [`Document`]'s or a [`Value`].
pub trait Json<'a>: Copy {
    /// Returns the member of that name, of an object.
    fn member(self, name: &str) -> Option<Self>;
    /// Returns the text of a string.
    fn text(self) -> Option<&'a str>;
    /// Returns a whole number.
    fn number(self) -> Option<i64>;
    /// Tells whether the value is null.
    fn is_null(self) -> bool;
    /// Returns the members of an object; none of anything else.
    fn members(self) -> impl Iterator<Item = (&'a str, Self)>;

    /// Returns what lies below these names, one within the other.
    fn at(self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self, |json, name| json.member(name))
    }
}

#[derive(Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// A part of the text.
    Text(Span),
    /// Entries without names.
    List(Span),
    /// Entries sorted by name.
    Members(Span),
}

impl Node {
    /// Tells whether a member with this value is sent at all: null and `[]` are not.
    fn is_sent(self) -> bool {
        match self {
            Self::Null => false,
            Self::List(span) => span.len() > 0,
            _ => true,
        }
    }

    fn whole(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Signed(number), Self::Unsigned)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    name: Span,
    node: Node,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// Offsets end at 4 GiB, and so far no body goes.
struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document is smaller than 4 GiB")
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Result<Self, TooLarge> {
        let place = |offset| u32::try_from(offset).map_err(|_| TooLarge);
        let (start, end) = (place(start)?, place(end)?);
        Ok(Self { start, end })
    }

    fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    fn of<T>(self, whole: &[T]) -> &[T] {
        &whole[self.start as usize..self.end as usize]
    }
}

impl Document {
    /// Returns the whole value, to look at.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            document: self,
            node: self.root,
        }
    }

    /// Returns the whole value, to keep or to change.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.view().to_value()
    }

    fn text_at(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl PartialEq for View<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.items(), other.items()) {
            (Some(here), Some(there)) => return here.eq(there),
            (None, None) => {}
            _ => return false,
        }
        match (self.entries(), other.entries()) {
            (Some(here), Some(there)) => here.eq(there),
            (None, None) => self.is_same_scalar(*other),
            _ => false,
        }
    }
}

/// An object may be a Secret: what it holds is not shown.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} entries)", self.entries.len())
    }
}

impl From<&Value> for Document {
    fn from(value: &Value) -> Self {
        Self::deserialize(value).expect("a value in memory is far smaller than 4 GiB")
    }
}

impl<'a> View<'a> {
    /// Returns the items of a list, if it is one.
    #[must_use]
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Self> + Clone> {
        match self.node {
            Node::List(span) => Some(self.nodes(span).map(|(_, view)| view)),
            _ => None,
        }
    }

    /// Returns the members of an object in the order of their names, if it is one.
    #[must_use]
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (&'a str, Self)> + Clone> {
        match self.node {
            Node::Members(span) => Some(self.nodes(span)),
            _ => None,
        }
    }

    /// Tells whether this is the same null, boolean, number or string.
    #[must_use]
    pub fn is_same_scalar(self, other: View<'_>) -> bool {
        match (self.node, other.node) {
            (Node::Null, Node::Null) => true,
            (Node::Bool(here), Node::Bool(there)) => here == there,
            (Node::Unsigned(here), Node::Unsigned(there)) => here == there,
            (Node::Signed(here), Node::Signed(there)) => here == there,
            (Node::Float(here), Node::Float(there)) => here == there,
            (Node::Text(here), Node::Text(there)) => {
                self.document.text_at(here) == other.document.text_at(there)
            }
            _ => false,
        }
    }

    /// Tells whether a member with this value is sent at all: null and `[]` are not.
    #[must_use]
    pub fn is_sent(self) -> bool {
        self.node.is_sent()
    }

    /// Tells whether this is neither a list nor an object, nor null.
    #[must_use]
    pub fn is_scalar(self) -> bool {
        !matches!(self.node, Node::Null | Node::List(_) | Node::Members(_))
    }

    /// Tells whether a value may be written and yet be absent when read: the server drops it.
    #[must_use]
    pub fn is_blank(self) -> bool {
        match self.node {
            Node::Null | Node::Bool(false) | Node::Unsigned(0) => true,
            Node::Bool(true) | Node::Unsigned(_) | Node::Signed(_) => false,
            Node::Float(number) => number == 0.0,
            Node::Text(span) | Node::List(span) | Node::Members(span) => span.len() == 0,
        }
    }

    /// Returns the value, to keep or to change.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Unsigned(number) => Value::from(number),
            Node::Signed(number) => Value::from(number),
            Node::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Node::Text(span) => Value::from(self.document.text_at(span)),
            Node::List(span) => self.nodes(span).map(|(_, item)| item.to_value()).collect(),
            Node::Members(span) => {
                let members = self.nodes(span);
                let members = members.map(|(name, member)| (name.to_owned(), member.to_value()));
                Value::Object(members.collect::<Map<String, Value>>())
            }
        }
    }

    fn nodes(self, span: Span) -> impl ExactSizeIterator<Item = (&'a str, Self)> + Clone {
        let Self { document, .. } = self;
        let view = move |entry: &'a Entry| {
            let node = entry.node;
            (document.text_at(entry.name), Self { document, node })
        };
        span.of(&document.entries).iter().map(view)
    }
}

impl<'a> Json<'a> for View<'a> {
    fn member(self, name: &str) -> Option<Self> {
        let Node::Members(span) = self.node else {
            return None;
        };
        let entries = span.of(&self.document.entries);
        let text = |entry: &Entry| self.document.text_at(entry.name);
        let found = if entries.len() <= FEW {
            // Most names are of other lengths, and their texts are never looked at.
            let is_named = |entry: &&Entry| entry.name.len() == name.len() && text(entry) == name;
            entries.iter().find(is_named)?
        } else {
            let at = |entry: &Entry| text(entry).cmp(name);
            &entries[entries.binary_search_by(at).ok()?]
        };
        Some(Self {
            node: found.node,
            ..self
        })
    }

    fn text(self) -> Option<&'a str> {
        match self.node {
            Node::Text(span) => Some(self.document.text_at(span)),
            _ => None,
        }
    }

    fn number(self) -> Option<i64> {
        match self.node {
            Node::Unsigned(number) => i64::try_from(number).ok(),
            Node::Signed(number) => Some(number),
            _ => None,
        }
    }

    fn is_null(self) -> bool {
        matches!(self.node, Node::Null)
    }

    fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.entries().into_iter().flatten()
    }
}

impl<'a> Json<'a> for &'a Value {
    fn member(self, name: &str) -> Option<Self> {
        self.get(name)
    }

    fn text(self) -> Option<&'a str> {
        self.as_str()
    }

    fn number(self) -> Option<i64> {
        self.as_i64()
    }

    fn is_null(self) -> bool {
        self.is_null()
    }

    fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let members = self.as_object().into_iter().flatten();
        members.map(|(name, member)| (name.as_str(), member))
    }
}

/// Builds a document from front to back.
struct Builder {
    text: String,
    entries: Vec<Entry>,
    /// Entries of the lists and objects that are not at their end yet.
    open: Vec<Entry>,
}

impl Builder {
    /// Makes room for an object of the usual size, so that it need not grow.
    fn with_room() -> Self {
        Self {
            text: String::with_capacity(4096),
            entries: Vec::with_capacity(256),
            open: Vec::with_capacity(64),
        }
    }

    fn document(mut self, root: Node) -> Document {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        Document {
            text: self.text,
            entries: self.entries,
            root,
        }
    }

    fn add_text(&mut self, text: &str) -> Result<Span, TooLarge> {
        let start = self.text.len();
        self.text.push_str(text);
        Span::new(start, self.text.len())
    }

    /// Moves the open entries from `begin` on to their place.
    fn close(&mut self, begin: usize) -> Result<Span, TooLarge> {
        let start = self.entries.len();
        self.entries.extend(self.open.drain(begin..));
        Span::new(start, self.entries.len())
    }

    /// Sorts the open entries from `begin` on by name; of two with one name the later counts, as in a [`Value`].
    fn sort(&mut self, begin: usize) {
        let Self { text, open, .. } = self;
        let name = |entry: &Entry| &text[entry.name.start as usize..entry.name.end as usize];
        let is_sorted = open[begin..].is_sorted_by(|a, b| name(a) < name(b));
        if is_sorted {
            return;
        }
        open[begin..].reverse();
        open[begin..].sort_by(|a, b| name(a).cmp(name(b)));
        let mut kept = begin;
        for index in begin..open.len() {
            if kept == begin || name(&open[kept - 1]) != name(&open[index]) {
                open[kept] = open[index];
                kept += 1;
            }
        }
        open.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            "[a-z\"\\\\é\n]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-d\"é]{0,2}", inner, 0..5)
                    .prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_document_holds_what_was_sent(value in value()) {
            let text = value.to_string();
            // Read, for a float may lose its last digit on the way.
            let value: Value = serde_json::from_str(&text).unwrap();
            let document: Document = serde_json::from_str(&text).unwrap();
            for (name, member) in (&value).members() {
                prop_assert_eq!(document.view().member(name).unwrap().to_value(), member.clone());
            }
            prop_assert_eq!(document.to_value(), value.clone());
            prop_assert_eq!(Document::from(&value).to_value(), value);
        }
    }

    #[test]
    fn members_are_sorted_and_the_last_of_one_name_counts() {
        let text = r#"{"b":1,"a":{"d":1,"c":[]},"b":2}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        assert_eq!(document.to_value(), json!({"a": {"c": [], "d": 1}, "b": 2}));
        let names: Vec<_> = document.view().members().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_document_shows_nothing_of_what_it_holds() {
        let document = Document::from(&json!({"data": {"token": "canary"}}));
        assert!(!format!("{document:?}").contains("canary"));
    }
}

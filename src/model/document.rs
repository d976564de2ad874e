//! An object as a server sent it, for those who only look: its texts in one string, its members in one vector.
//!
//! A list brings hundreds of objects of hundreds of members each, and nearly all of them are looked at once
//! and dropped. As [`Value`] each member costs allocations to read and again to drop, which took more time
//! than all comparing. What is to be kept or changed becomes a [`Value`] by [`Document::to_value`].

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value that is read and not changed.
#[derive(Clone, PartialEq)]
pub struct Document {
    text: String,
    entries: Vec<Entry>,
    root: Node,
}

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

#[derive(Clone, Copy, PartialEq)]
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

#[derive(Clone, Copy, PartialEq)]
struct Entry {
    name: Span,
    node: Node,
}

#[derive(Clone, Copy, PartialEq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `None` beyond 4 GiB, which no body is.
    fn new(start: usize, end: usize) -> Option<Self> {
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        Some(Self { start, end })
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
    pub fn is_scalar(self, value: &Value) -> bool {
        match (self.node, value) {
            (Node::Null, Value::Null) => true,
            (Node::Bool(here), Value::Bool(there)) => here == *there,
            (Node::Unsigned(here), Value::Number(there)) => there.as_u64() == Some(here),
            (Node::Signed(here), Value::Number(there)) => there.as_i64() == Some(here),
            (Node::Float(here), Value::Number(there)) => {
                there.is_f64() && there.as_f64() == Some(here)
            }
            (Node::Text(span), Value::String(there)) => self.document.text_at(span) == there,
            _ => false,
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
        let at = |entry: &Entry| self.document.text_at(entry.name).cmp(name);
        let node = entries[entries.binary_search_by(at).ok()?].node;
        Some(Self { node, ..self })
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
        self.node == Node::Null
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

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reader = Reader::default();
        let root = Next(&mut reader).deserialize(deserializer)?;
        Ok(Self {
            text: reader.text,
            entries: reader.entries,
            root,
        })
    }
}

/// Reads a document from front to back. The parser bounds how deep values may nest.
#[derive(Default)]
struct Reader {
    text: String,
    entries: Vec<Entry>,
    /// Entries of the lists and objects that are not at their end yet.
    open: Vec<Entry>,
}

impl Reader {
    fn add_text<E: Error>(&mut self, text: &str) -> Result<Span, E> {
        let start = self.text.len();
        self.text.push_str(text);
        Span::new(start, self.text.len()).ok_or_else(too_large)
    }

    /// Moves the open entries from `begin` on to their place.
    fn close<E: Error>(&mut self, begin: usize) -> Result<Span, E> {
        let start = self.entries.len();
        self.entries.extend(self.open.drain(begin..));
        Span::new(start, self.entries.len()).ok_or_else(too_large)
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

fn too_large<E: Error>() -> E {
    E::custom("a document is smaller than 4 GiB")
}

/// Reads the next value.
struct Next<'r>(&'r mut Reader);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(u64::try_from(number).map_or(Node::Signed(number), Node::Unsigned))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.0.add_text(text).map(Node::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let begin = self.0.open.len();
        let name = Span { start: 0, end: 0 };
        while let Some(node) = items.next_element_seed(Next(self.0))? {
            self.0.open.push(Entry { name, node });
        }
        self.0.close(begin).map(Node::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let begin = self.0.open.len();
        while let Some(name) = members.next_key_seed(Name(self.0))? {
            let node = members.next_value_seed(Next(self.0))?;
            self.0.open.push(Entry { name, node });
        }
        self.0.sort(begin);
        self.0.close(begin).map(Node::Members)
    }
}

/// Reads a member's name.
struct Name<'r>(&'r mut Reader);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Span;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        self.0.add_text(text)
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

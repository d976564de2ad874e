//! JSON to documents. The parser bounds how deep values may nest.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Builder, Document, Entry, Node, Span};

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut builder = Builder::with_room();
        let root = Next(&mut builder).deserialize(deserializer)?;
        Ok(builder.document(root))
    }
}

/// Reads the next value.
struct Next<'b>(&'b mut Builder);

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
        Ok(Node::whole(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.0.add_text(text).map(Node::Text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let begin = self.0.open.len();
        let name = Span { start: 0, end: 0 };
        while let Some(node) = items.next_element_seed(Next(self.0))? {
            self.0.open.push(Entry { name, node });
        }
        self.0.close(begin).map(Node::List).map_err(Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let begin = self.0.open.len();
        while let Some(name) = members.next_key_seed(Name(self.0))? {
            let node = members.next_value_seed(Next(self.0))?;
            self.0.open.push(Entry { name, node });
        }
        self.0.sort(begin);
        self.0
            .close(begin)
            .map(Node::Members)
            .map_err(Error::custom)
    }
}

/// Reads a member's name.
struct Name<'b>(&'b mut Builder);

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
        self.0.add_text(text).map_err(E::custom)
    }
}

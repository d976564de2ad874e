//! Values of the program to documents: the typed objects of Kubernetes, as they are sent.

use serde::de::value::Error;
use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer,
};

use super::{Builder, Document, Entry, Node, Span};

impl Document {
    /// Returns a value as it is sent: without members that are null or `[]`, wherever they stand. `{}` stays,
    /// because it means something (`emptyDir: {}`, `podSelector: {}`).
    ///
    /// Both are hazards when sent: the server stores `data: {key: null}` of a Secret as `""` and then writes
    /// at every apply, and an empty atomic list raises `generation` at every apply. Elements of lists are
    /// kept as they are, since dropping one would move the others.
    ///
    /// # Panics
    /// Where a map has other keys than texts, an enum a variant with several members, or a list is a tuple: no
    /// type of Kubernetes has.
    #[must_use]
    pub fn of(value: impl Serialize) -> Self {
        let mut builder = Builder::with_room();
        let root = value.serialize(Put(&mut builder));
        let root = root.expect("types of Kubernetes have text keys only, so they are always JSON");
        builder.document(root)
    }
}

/// Writes the next value.
struct Put<'b>(&'b mut Builder);

/// Writes what stands in a list or an object, which began at `begin` of the open entries.
struct Within<'b> {
    builder: &'b mut Builder,
    begin: usize,
    /// The name of the member whose value comes next.
    name: Span,
}

impl<'b> Put<'b> {
    fn within(self) -> Within<'b> {
        Within {
            begin: self.0.open.len(),
            builder: self.0,
            name: Span { start: 0, end: 0 },
        }
    }
}

impl Within<'_> {
    fn add_item(&mut self, item: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let node = item.serialize(Put(self.builder))?;
        let name = self.name;
        self.builder.open.push(Entry { name, node });
        Ok(())
    }

    fn add_member(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let node = value.serialize(Put(self.builder))?;
        if node.is_sent() {
            let name = self.name;
            self.builder.open.push(Entry { name, node });
        }
        Ok(())
    }

    fn add_name(&mut self, name: &str) -> Result<(), Error> {
        self.name = self.builder.add_text(name).map_err(Error::custom)?;
        Ok(())
    }

    fn end_list(self) -> Result<Node, Error> {
        let list = self.builder.close(self.begin).map_err(Error::custom)?;
        Ok(Node::List(list))
    }

    fn end_object(self) -> Result<Node, Error> {
        self.builder.sort(self.begin);
        let members = self.builder.close(self.begin).map_err(Error::custom)?;
        Ok(Node::Members(members))
    }
}

impl<'b> Serializer for Put<'b> {
    type Ok = Node;
    type Error = Error;
    type SerializeSeq = Within<'b>;
    type SerializeTuple = Impossible<Node, Error>;
    type SerializeTupleStruct = Impossible<Node, Error>;
    type SerializeTupleVariant = Impossible<Node, Error>;
    type SerializeMap = Within<'b>;
    type SerializeStruct = Within<'b>;
    type SerializeStructVariant = Impossible<Node, Error>;

    fn serialize_bool(self, value: bool) -> Result<Node, Error> {
        Ok(Node::Bool(value))
    }

    fn serialize_i8(self, number: i8) -> Result<Node, Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<Node, Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<Node, Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i64(self, number: i64) -> Result<Node, Error> {
        Ok(Node::whole(number))
    }

    fn serialize_u8(self, number: u8) -> Result<Node, Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_u16(self, number: u16) -> Result<Node, Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_u32(self, number: u32) -> Result<Node, Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_u64(self, number: u64) -> Result<Node, Error> {
        Ok(Node::Unsigned(number))
    }

    fn serialize_f32(self, number: f32) -> Result<Node, Error> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Node, Error> {
        Ok(Node::Float(number))
    }

    fn serialize_char(self, letter: char) -> Result<Node, Error> {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<Node, Error> {
        let text = self.0.add_text(text).map_err(Error::custom)?;
        Ok(Node::Text(text))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Node, Error> {
        Err(Error::custom("bytes are no JSON"))
    }

    fn serialize_none(self) -> Result<Node, Error> {
        Ok(Node::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Node, Error> {
        Ok(Node::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Node, Error> {
        Ok(Node::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Node, Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        let mut object = self.within();
        object.add_name(variant)?;
        object.add_member(value)?;
        object.end_object()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Within<'b>, Error> {
        Ok(self.within())
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        Err(Error::custom("a tuple is in no type of Kubernetes"))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        Err(Error::custom(name))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error::custom(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Within<'b>, Error> {
        Ok(self.within())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Within<'b>, Error> {
        Ok(self.within())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(Error::custom(variant))
    }
}

impl SerializeSeq for Within<'_> {
    type Ok = Node;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
        self.add_item(item)
    }

    fn end(self) -> Result<Node, Error> {
        self.end_list()
    }
}

impl SerializeMap for Within<'_> {
    type Ok = Node;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        match key.serialize(Put(self.builder))? {
            Node::Text(name) => {
                self.name = name;
                Ok(())
            }
            _ => Err(Error::custom("a key is a text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add_member(value)
    }

    fn end(self) -> Result<Node, Error> {
        self.end_object()
    }
}

impl SerializeStruct for Within<'_> {
    type Ok = Node;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.add_name(name)?;
        self.add_member(value)
    }

    fn end(self) -> Result<Node, Error> {
        self.end_object()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
    use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, ServicePort};
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_is_written_as_it_is_sent() {
        let port = ServicePort {
            port: -1,
            target_port: Some(IntOrString::String("http".to_owned())),
            ..ServicePort::default()
        };
        let container = Container {
            name: "a\"b".to_owned(),
            args: Some(vec![String::new()]),
            env: Some(Vec::new()),
            ..Container::default()
        };
        let pod = PodSpec {
            containers: vec![container],
            node_selector: Some(std::collections::BTreeMap::new()),
            overhead: Some([("cpu".to_owned(), Quantity("1".to_owned()))].into()),
            ..PodSpec::default()
        };
        let set = StatefulSet {
            spec: Some(StatefulSetSpec {
                template: PodTemplateSpec {
                    spec: Some(pod),
                    ..PodTemplateSpec::default()
                },
                ..StatefulSetSpec::default()
            }),
            ..StatefulSet::default()
        };
        let sent = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {},
            "spec": {"selector": {}, "template": {"spec": {
                "containers": [{"args": [""], "name": "a\"b"}],
                "nodeSelector": {}, "overhead": {"cpu": "1"},
            }}},
        });
        assert_eq!(Document::of(&set).to_value(), sent);
        let sent = json!({"port": -1, "targetPort": "http"});
        assert_eq!(Document::of(&port).to_value(), sent);
        let typed: Value = Document::of(&set).to_value();
        assert_eq!(typed, Document::of(json!(set)).to_value());
        assert_eq!(Document::of(&port), Document::of(json!(port)));
    }

    #[test]
    fn null_and_empty_lists_go_and_empty_objects_stay() {
        let want = json!({
            "spec": { "ingress": [], "egress": [{ "to": [], "ports": null }], "podSelector": {}, "a": { "b": null } },
            "data": { "key": null, "empty": "" },
            "args": ["", null, 0],
            "b": {"a": null, "0": [[], null]},
        });
        let sent = json!({
            "spec": { "egress": [{}], "podSelector": {}, "a": {} },
            "data": { "empty": "" },
            "args": ["", null, 0],
            "b": {"0": [[], null]},
        });
        for value in [want, sent.clone()] {
            assert_eq!(Document::of(value).to_value(), sent);
        }
    }
}

//! The OpenAPI document of a listener, made from the table that its router is made from. Pure.
//!
//! A route is described where it is declared ([`Operation`]), bodies by the types that are served. So the document
//! names no route that is not there, and none is there that it does not name.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The version of OpenAPI that the document is written in. Its schemas are JSON Schema 2020-12.
const OPENAPI: &str = "3.1.0";

/// Makes the schema of a type; what the type refers to becomes a component of the document.
pub type Schemed = fn(&mut SchemaGenerator) -> Schema;

/// One route as it is described.
#[derive(Clone, Copy)]
pub struct Operation {
    /// How it is asked.
    pub method: Method,
    /// Where it is, with parameters in braces.
    pub path: &'static str,
    /// A name for programs.
    pub id: &'static str,
    /// What it gives, in a few words.
    pub summary: &'static str,
    /// What else is to be known of it.
    pub about: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// What it may answer.
    pub answers: &'static [Answer],
}

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// For what is there; HEAD is answered alike, without a body.
    Get,
}

/// Something that a request may carry.
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub about: &'static str,
    /// What it may be.
    pub schema: Schemed,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path, always.
    Path,
    /// Behind the question mark, or not.
    Query,
    /// Among the headers, or not.
    Header,
}

/// One answer.
#[derive(Clone, Copy)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When it comes.
    pub about: &'static str,
    /// The headers that tell something.
    pub headers: &'static [Header],
    /// Its JSON body, where it has one.
    pub body: Option<Schemed>,
}

/// A header of an answer.
#[derive(Clone, Copy)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    /// Whether it always comes.
    pub is_always: bool,
}

/// What the document says of itself.
#[derive(Clone, Copy)]
pub struct Title {
    /// What it describes.
    pub name: &'static str,
    /// What is common to all routes.
    pub about: &'static str,
}

/// Returns the document of these routes.
#[must_use]
pub fn document(title: Title, operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let described = describe(operation, &mut generator);
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| json!({}))
            .as_object_mut();
        if let Some(path) = path {
            path.insert(operation.method.as_str().to_owned(), described);
        }
    }
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": title.name,
            "description": title.about,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|parameter| parameter.describe(generator))
        .collect();
    let mut answers = Map::new();
    for answer in operation.answers {
        answers.insert(answer.status.to_string(), answer.describe(generator));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.about,
        "responses": answers,
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    described
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
        }
    }
}

impl Parameter {
    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        json!({
            "name": self.name,
            "in": place,
            "required": self.place == Place::Path,
            "description": self.about,
            "schema": (self.schema)(generator),
        })
    }
}

impl Answer {
    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let mut described = json!({"description": self.about});
        if let Some(body) = self.body {
            described["content"] = json!({"application/json": {"schema": body(generator)}});
        }
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), header.describe()))
            .collect();
        if !headers.is_empty() {
            described["headers"] = headers.into();
        }
        described
    }
}

impl Header {
    fn describe(&self) -> Value {
        json!({
            "description": self.about,
            "required": self.is_always,
            "schema": {"type": "string"},
        })
    }
}

//! One YAML file as a tree in which every value knows its place. Built from parser events without
//! recursion; bounded in depth and in weight, so that aliases cannot grow it.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use crate::spec::path::{Path, Step, shown};

/// How deep values nest.
const DEPTH: usize = 64;
/// What all values of one file may weigh in bytes, those behind aliases counted each time: room for
/// 2 000 challenges at the largest size that anyone writes, far from what hurts.
const WEIGHT: usize = 48 << 20;
/// How many faults of one file are told before reading stops.
const FAULTS: usize = 200;
/// What a value weighs beside its text.
const NODE_WEIGHT: usize = 64;

/// A place, with the file as its position in the list of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::spec) struct At {
    pub file: u16,
    pub line: u32,
    pub column: u32,
}

impl At {
    /// Returns the first place of a file.
    pub fn start(file: u16) -> Self {
        Self {
            file,
            line: 1,
            column: 1,
        }
    }

    fn of(file: u16, marker: &Marker) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file,
            line: count(marker.line()).max(1),
            column: count(marker.col()).saturating_add(1),
        }
    }
}

/// Why a file could not be read.
#[derive(Debug)]
pub(in crate::spec) struct Fault {
    pub at: At,
    pub message: String,
    pub remedy: String,
}

impl Fault {
    pub fn new(at: At, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::spec) struct Node {
    pub at: At,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::spec) enum Kind {
    /// A text; a plain one may be a number, a truth value or nothing.
    Scalar { text: String, is_plain: bool },
    /// Items in order.
    List(Vec<Node>),
    /// Entries in the order of the file, no key twice.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::spec) struct Entry {
    pub key: String,
    pub at: At,
    pub value: Node,
}

impl Node {
    /// Returns the place of what a path leads to and whether it is there; of the nearest thing above
    /// it otherwise. A mapping or list is found at its key, which is where its author looks.
    pub fn find(&self, steps: &[Step<'_>]) -> (At, bool) {
        let (mut node, mut at) = (self, self.at);
        for step in steps {
            let next = match (step, &node.kind) {
                (Step::Key(key), Kind::Map(entries)) => entries
                    .iter()
                    .find(|e| e.key == *key)
                    .map(|e| (&e.value, e.at)),
                (Step::Index(index), Kind::List(items)) => items.get(*index).map(|n| (n, n.at)),
                (Step::Root, _) => Some((node, at)),
                _ => None,
            };
            let Some((found, key)) = next else {
                return (at, false);
            };
            let is_scalar = matches!(found.kind, Kind::Scalar { .. });
            (node, at) = (found, if is_scalar { found.at } else { key });
        }
        (at, true)
    }

    /// Shows every scalar with its place and path. Recursion is bounded by [`DEPTH`].
    pub fn visit(&self, path: &Path<'_>, see: &mut dyn FnMut(&str, At, &Path<'_>)) {
        match &self.kind {
            Kind::Scalar { text, .. } => see(text, self.at, path),
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.visit(&path.index(index), see);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    entry.value.visit(&path.key(&entry.key), see);
                }
            }
        }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else {
            return None;
        };
        entries.iter().find(|e| e.key == key).map(|e| &e.value)
    }
}

/// Reads one file.
///
/// # Errors
/// What is no YAML, or YAML that a declaration does not use: several documents, tags, merge keys, keys
/// that are no text or stand twice, values nested or repeated without measure. Reading goes on behind
/// tags and keys that stand twice, so that all of these are told at once.
pub(super) fn read(text: &str, file: u16) -> Result<Node, Vec<Fault>> {
    let mut builder = Builder::new(file);
    if let Err(fault) = build(text, &mut builder) {
        builder.faults.push(fault);
    }
    if builder.faults.is_empty() {
        check_root(builder.root, file).map_err(|fault| vec![fault])
    } else {
        Err(builder.faults)
    }
}

fn build(text: &str, builder: &mut Builder) -> Result<(), Fault> {
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| {
            let at = At::of(builder.file, error.marker());
            if error.info().contains("recursion limit") {
                return too_deep(at);
            }
            let message = format!("this is no YAML: {}", error.info());
            Fault::new(at, message, "look at indentation, quotes and colons here")
        })?;
        builder.take(event, &span)?;
        if builder.faults.len() >= FAULTS {
            break;
        }
    }
    Ok(())
}

fn check_root(root: Option<Node>, file: u16) -> Result<Node, Fault> {
    let Some(root) = root else {
        return Err(empty(At::start(file)));
    };
    match &root.kind {
        Kind::Map(_) => Ok(root),
        Kind::Scalar { text, is_plain } if *is_plain && text.is_empty() => {
            Err(empty(At::start(file)))
        }
        _ => Err(Fault::new(
            root.at,
            "a declaration is a mapping of fields",
            "begin with `api_version: platform.network/v1`",
        )),
    }
}

fn empty(at: At) -> Fault {
    Fault::new(
        at,
        "the file declares nothing: an empty file never means \"delete everything\"",
        "to declare no challenges write `challenges: {}`",
    )
}

fn too_deep(at: At) -> Fault {
    Fault::new(
        at,
        format!("values are nested more than {DEPTH} deep"),
        "no field of a declaration goes that deep",
    )
}

/// A mapping or list whose end has not come yet.
struct Open {
    at: At,
    anchor: usize,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, At>,
        key: Option<(String, At)>,
    },
}

struct Builder {
    file: u16,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    weight: usize,
    opened_explicitly: bool,
    documents: usize,
    root: Option<Node>,
    faults: Vec<Fault>,
}

impl Builder {
    fn new(file: u16) -> Self {
        Self {
            file,
            open: Vec::new(),
            anchors: HashMap::new(),
            weight: 0,
            opened_explicitly: false,
            documents: 0,
            root: None,
            faults: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let at = At::of(self.file, &span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(is_explicit) => self.start_document(is_explicit, at),
            Event::DocumentEnd => self.end_document(span, at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    is_plain: style == ScalarStyle::Plain,
                };
                self.finish(Node { at, kind }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.start(at, anchor, Parts::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let parts = Parts::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.start(at, anchor, parts)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn refuse_tag(&mut self, is_tagged: bool, at: At) {
        if is_tagged {
            self.faults.push(Fault::new(
                at,
                "a tag (`!…`) stands here: a declaration uses none",
                "delete the tag; put a text that looks like a number in quotes",
            ));
        }
    }

    fn start_document(&mut self, is_explicit: bool, at: At) -> Result<(), Fault> {
        self.documents += 1;
        self.opened_explicitly = is_explicit;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Fault::new(
            at,
            "a second document begins here",
            "keep one document in a file; several files may stand in one directory",
        ))
    }

    /// A file that opens with `---` says that it will close with `...`: without it, a file cut off at
    /// the end of a line could not be told from a whole one.
    fn end_document(&self, span: &Span, at: At) -> Result<(), Fault> {
        if !self.opened_explicitly || !span.is_empty() && span.start.col() == 0 {
            return Ok(());
        }
        Err(Fault::new(
            at,
            "the file opens with `---` and is not closed with `...`: it may have been cut off",
            "compare its end with what was meant, then add a last line `...`",
        ))
    }

    fn start(&mut self, at: At, anchor: usize, parts: Parts) -> Result<(), Fault> {
        if self.open.len() >= DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, parts });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { at, anchor, parts }) = self.open.pop() else {
            return Ok(());
        };
        let kind = match parts {
            Parts::List(items) => Kind::List(items),
            Parts::Map { entries, .. } => Kind::Map(entries),
        };
        self.finish(Node { at, kind }, anchor)
    }

    fn alias(&mut self, anchor: usize, at: At) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Fault::new(
                at,
                "this alias stands inside its own anchor",
                "write the value out",
            ));
        };
        let weight = weight_of(node);
        let height = height_of(node);
        self.spend(weight, at)?;
        if self.open.len() + height > DEPTH {
            return Err(too_deep(at));
        }
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            return Ok(());
        };
        node.at = at;
        self.attach(node)
    }

    /// Takes in a value whose end has been seen.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        let own = match &node.kind {
            Kind::Scalar { text, .. } => text.len(),
            Kind::List(_) | Kind::Map(_) => 0,
        };
        self.spend(NODE_WEIGHT + own, node.at)?;
        if anchor > 0 {
            self.spend(weight_of(&node), node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn spend(&mut self, weight: usize, at: At) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight <= WEIGHT {
            return Ok(());
        }
        Err(Fault::new(
            at,
            "the file holds too many values, those behind aliases counted each time",
            "write fewer aliases, or split what is declared over several platforms",
        ))
    }

    fn attach(&mut self, node: Node) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.parts {
            Parts::List(items) => items.push(node),
            Parts::Map { entries, seen, key } => match key.take() {
                Some((key, at)) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                None => *key = Some(check_key(node, seen, &mut self.faults)?),
            },
        }
        Ok(())
    }
}

fn check_key(
    node: Node,
    seen: &mut HashMap<String, At>,
    faults: &mut Vec<Fault>,
) -> Result<(String, At), Fault> {
    let at = node.at;
    let Kind::Scalar { text, is_plain } = node.kind else {
        let message = "a key is a mapping or a list";
        return Err(Fault::new(at, message, "a key is a single text"));
    };
    if is_plain && text == "<<" {
        faults.push(Fault::new(
            at,
            "merge keys (`<<`) are not used",
            "write the fields out, or give shared values under `defaults`",
        ));
    } else if text.is_empty() {
        let message = "a key is empty";
        faults.push(Fault::new(at, message, "write a name before the colon"));
    } else if let Some(first) = seen.insert(text.clone(), at) {
        faults.push(Fault::new(
            at,
            format!("the key `{}` stands twice", shown(&text)),
            format!("the first one is in line {}: keep one", first.line),
        ));
    }
    Ok((text, at))
}

/// Returns what a value weighs. Recursion is bounded by [`DEPTH`].
fn weight_of(node: &Node) -> usize {
    let below: usize = match &node.kind {
        Kind::Scalar { text, .. } => text.len(),
        Kind::List(items) => items.iter().map(weight_of).sum(),
        Kind::Map(entries) => entries
            .iter()
            .map(|e| e.key.len() + NODE_WEIGHT + weight_of(&e.value))
            .sum(),
    };
    NODE_WEIGHT + below
}

/// Returns how many containers nest in a value. Recursion is bounded by [`DEPTH`].
fn height_of(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(items) => 1 + items.iter().map(height_of).max().unwrap_or(0),
        Kind::Map(entries) => {
            1 + entries
                .iter()
                .map(|e| height_of(&e.value))
                .max()
                .unwrap_or(0)
        }
    }
}

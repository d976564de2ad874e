//! One YAML file as a tree in which every value knows its place. Built from its pieces without recursion; values
//! behind aliases are repeated, under the same bounds of depth and weight, so that aliases cannot grow it.

use std::collections::HashMap;

use crate::spec::path::{Path, Step, shown};
use crate::spec::yaml::{MAX_DEPTH, Mark, Piece, Pieces, Stop, Style, VALUE_WEIGHT, What, Why};

/// How many faults of one file are told before reading stops.
const FAULTS: usize = 200;

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

    fn of(file: u16, mark: Mark) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file,
            line: count(mark.line),
            column: count(mark.column),
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

    /// Shows every scalar with its place and path. Recursion is bounded by [`MAX_DEPTH`].
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
    let mut pieces = Pieces::new(text);
    let file = builder.file;
    let stopped = |stop: Stop| fault_of(stop, file);
    while let Some(piece) = pieces.next().map_err(stopped)? {
        builder.take(piece, &mut pieces)?;
        if builder.faults.len() >= FAULTS {
            break;
        }
    }
    Ok(())
}

fn fault_of(Stop { mark, why }: Stop, file: u16) -> Fault {
    let at = At::of(file, mark);
    match why {
        Why::TooDeep => too_deep(at),
        Why::TooMany => too_many(at),
        Why::SecondDocument => Fault::new(
            at,
            "a second document begins here",
            "keep one document in a file; several files may stand in one directory",
        ),
        Why::Syntax(what) => Fault::new(
            at,
            format!("this is no YAML: {what}"),
            "look at indentation, quotes and colons here",
        ),
    }
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
        format!("values are nested more than {MAX_DEPTH} deep"),
        "no field of a declaration goes that deep",
    )
}

fn too_many(at: At) -> Fault {
    Fault::new(
        at,
        "the file holds too many values, those behind aliases counted each time",
        "write fewer aliases, or split what is declared over several platforms",
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
    root: Option<Node>,
    faults: Vec<Fault>,
}

impl Builder {
    fn new(file: u16) -> Self {
        Self {
            file,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            faults: Vec::new(),
        }
    }

    fn take<'t>(&mut self, piece: Piece<'t>, pieces: &mut Pieces<'t>) -> Result<(), Fault> {
        let at = At::of(self.file, piece.mark);
        let anchor = piece.anchor;
        self.refuse_tag(piece.tag);
        let parts = match piece.what {
            What::Scalar { text, style } => {
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    is_plain: style == Style::Plain,
                };
                return self.finish(Node { at, kind }, anchor, pieces);
            }
            What::Alias(anchor) => return self.alias(anchor, at, pieces),
            What::End => return self.end(pieces),
            What::TextEnd { is_closed } => return check_closed(is_closed, at),
            What::List { .. } => Parts::List(Vec::new()),
            What::Map { .. } => Parts::Map {
                entries: Vec::new(),
                seen: HashMap::new(),
                key: None,
            },
        };
        self.open.push(Open { at, anchor, parts });
        Ok(())
    }

    fn refuse_tag(&mut self, tag: Option<Mark>) {
        if let Some(mark) = tag {
            self.faults.push(Fault::new(
                At::of(self.file, mark),
                "a tag (`!…`) stands here: a declaration uses none",
                "delete the tag; put a text that looks like a number in quotes",
            ));
        }
    }

    fn end(&mut self, pieces: &mut Pieces<'_>) -> Result<(), Fault> {
        let Some(Open { at, anchor, parts }) = self.open.pop() else {
            return Ok(());
        };
        let kind = match parts {
            Parts::List(items) => Kind::List(items),
            Parts::Map { entries, .. } => Kind::Map(entries),
        };
        self.finish(Node { at, kind }, anchor, pieces)
    }

    fn alias(&mut self, anchor: usize, at: At, pieces: &mut Pieces<'_>) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Fault::new(
                at,
                "this alias stands inside its own anchor",
                "write the value out",
            ));
        };
        spend(weight_of(node), at, pieces)?;
        if self.open.len() + height_of(node) > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let kind = node.kind.clone();
        self.attach(Node { at, kind })
    }

    /// Takes in a value whose end has been seen.
    fn finish(&mut self, node: Node, anchor: usize, pieces: &mut Pieces<'_>) -> Result<(), Fault> {
        if anchor > 0 {
            let weight = weight_of(&node);
            spend(weight, node.at, pieces)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
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

fn spend(weight: usize, at: At, pieces: &mut Pieces<'_>) -> Result<(), Fault> {
    match pieces.spend(weight) {
        true => Ok(()),
        false => Err(too_many(at)),
    }
}

/// A file that opens with `---` says that it will close with `...`: without it, a file cut off at
/// the end of a line could not be told from a whole one.
fn check_closed(is_closed: bool, at: At) -> Result<(), Fault> {
    if is_closed {
        return Ok(());
    }
    Err(Fault::new(
        at,
        "the file opens with `---` and is not closed with `...`: it may have been cut off",
        "compare its end with what was meant, then add a last line `...`",
    ))
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

/// Returns what a value weighs. Recursion is bounded by [`MAX_DEPTH`].
fn weight_of(node: &Node) -> usize {
    let below: usize = match &node.kind {
        Kind::Scalar { text, .. } => text.len(),
        Kind::List(items) => items.iter().map(weight_of).sum(),
        Kind::Map(entries) => entries
            .iter()
            .map(|e| e.key.len() + VALUE_WEIGHT + weight_of(&e.value))
            .sum(),
    };
    VALUE_WEIGHT + below
}

/// Returns how many containers nest in a value. Recursion is bounded by [`MAX_DEPTH`].
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

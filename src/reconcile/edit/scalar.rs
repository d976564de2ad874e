//! How a single value is written: plain, quoted, or as it stands.

use crate::spec::outline::{self, Node, Shape, Style};

/// How a new value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As the value before it: text stays text; otherwise a number or a truth value is one.
    AsBefore,
    /// As text, whatever it looks like.
    Text,
}

/// What surrounds a new value.
pub(super) struct Context<'a> {
    pub(super) is_in_flow: bool,
    pub(super) was: Option<&'a Node>,
}

/// A value as written, and what it means.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) meaning: Node,
}

/// What a single value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A number, a truth value, or nothing.
    Typed,
}

/// Tells what a single value is read as.
pub(super) fn kind(node: &Node) -> Kind {
    match &node.shape {
        Shape::Scalar {
            text,
            style: Style::Plain,
        } if is_typed(text) => Kind::Typed,
        _ => Kind::Text,
    }
}

/// Writes a value; `None` when it begins like a map or a list and is none on one line.
pub(super) fn write(value: &str, writing: Writing, context: &Context<'_>) -> Option<Written> {
    let is_collection = value.starts_with(['{', '[']) && writing == Writing::AsBefore;
    let text = match value {
        _ if is_collection => one_line(value)?,
        // Quotes typed by hand say how the value is to be read.
        _ if is_quoted(value) => value.to_owned(),
        _ if wants_quotes(value, writing, context) => quote(value, context.was),
        _ => value.to_owned(),
    };
    let meaning = outline::parse_outline(text.as_bytes()).ok()??;
    Some(Written { text, meaning })
}

/// Writes a key.
pub(super) fn write_key(key: &str) -> String {
    let is_plain = key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    let starts_well = key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    match is_plain && starts_well && !is_typed(key) && !is_old_typed(key) {
        true => key.to_owned(),
        false => double_quoted(key),
    }
}

fn one_line(value: &str) -> Option<String> {
    let parsed = outline::parse_outline(value.as_bytes()).ok()??;
    let is_whole = matches!(
        parsed.shape,
        Shape::Map { is_flow: true, .. } | Shape::List { is_flow: true, .. }
    ) && value.trim_end().len() == parsed.span.end;
    (is_whole && !value.contains(['\n', '\r'])).then(|| value.trim_end().to_owned())
}

/// A value typed with its own quotes, complete and alone.
fn is_quoted(value: &str) -> bool {
    if !value.starts_with(['"', '\'']) || value.len() < 2 || value.contains(['\n', '\r']) {
        return false;
    }
    let parsed = outline::parse_outline(value.as_bytes());
    matches!(parsed, Ok(Some(Node { span, shape: Shape::Scalar { .. }, .. })) if span == (0..value.len()))
}

fn wants_quotes(value: &str, writing: Writing, context: &Context<'_>) -> bool {
    let was_text = match context.was {
        Some(was) => matches!(was.shape, Shape::Scalar { .. }) && kind(was) == Kind::Text,
        None => false,
    };
    let was_quoted = context.was.is_some_and(
        |was| matches!(&was.shape, Shape::Scalar { style, .. } if *style != Style::Plain),
    );
    let as_text = writing == Writing::Text || was_text;
    if is_typed(value) {
        return as_text;
    }
    was_quoted || is_old_typed(value) || !is_plain(value, context.is_in_flow)
}

/// Read as something other than text by the rules of YAML 1.2.
fn is_typed(text: &str) -> bool {
    let is_word = matches!(
        text,
        "" | "~"
            | "null"
            | "Null"
            | "NULL"
            | "true"
            | "True"
            | "TRUE"
            | "false"
            | "False"
            | "FALSE"
    );
    is_word || is_number(text)
}

fn is_number(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_special = matches!(body.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    let is_radix = ["0x", "0o", "0b"].iter().any(|radix| {
        let digits = body.strip_prefix(radix);
        digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    let has_digit = body.bytes().any(|b| b.is_ascii_digit());
    let starts_well = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    is_special || is_radix || (has_digit && starts_well && body.parse::<f64>().is_ok())
}

/// Read as something other than text by older readers of YAML.
fn is_old_typed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_word = matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    let numeric = |b: u8| b.is_ascii_digit() || b":_-.tz".contains(&b);
    let starts_numeric = text.starts_with(|c: char| c.is_ascii_digit());
    is_word || (starts_numeric && !is_number(text) && lower.bytes().all(numeric))
}

/// Can stand without quotes wherever a value can.
fn is_plain(text: &str, is_in_flow: bool) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_alphanumeric() || "_/.^~(+$".contains(c));
    let is_unsafe = |c: char| needs_escape(c) || (is_in_flow && ",[]{}:".contains(c));
    let ends_well = !text.ends_with(|c: char| c.is_whitespace() || c == ':');
    starts_well
        && ends_well
        && !text.contains(is_unsafe)
        && !text.contains(": ")
        && !text.contains(" #")
}

/// Single quotes where the value before had them and nothing needs an escape; double ones otherwise.
fn quote(value: &str, was: Option<&Node>) -> String {
    let was_single = was.is_some_and(|was| {
        matches!(
            was.shape,
            Shape::Scalar {
                style: Style::Single,
                ..
            }
        )
    });
    match was_single && !value.contains(|c: char| needs_escape(c) || c == '\'') {
        true => format!("'{value}'"),
        false => double_quoted(value),
    }
}

/// Control characters; separators of lines and paragraphs, which end a line for some readers; the
/// byte-order mark, which vanishes; and the two that are no characters.
fn needs_escape(c: char) -> bool {
    c.is_control() || "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".contains(c)
}

fn double_quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if needs_escape(c) => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

//! What the parser must hold: bounds, places, several files, and never a panic.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::spec::outline;

const HEAD: &str = "api_version: platform.network/v1\nenvironment: development\n";
const EXAMPLE: &str = include_str!("../../../examples/platform.yaml");

fn one(text: &str) -> Result<Written, Problems> {
    parse(&[SourceFile::new("platform.yaml", text)])
}

fn message(text: &str) -> String {
    one(text).map_or_else(|problems| problems.to_string(), |_| "accepted".to_owned())
}

/// Returns what the check says about a file that can be read.
fn check_text_of(text: &str) -> String {
    let checked = crate::spec::check(&one(text).unwrap());
    checked.map_or_else(|problems| problems.to_string(), |_| "accepted".to_owned())
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_read() {
    let text = format!("\u{feff}{HEAD}challenges: {{}}\n").replace('\n', "\r\n");
    let file = one(&text).unwrap().file;
    assert_eq!(file.environment.as_deref(), Some("development"));
}

#[test]
fn byte_order_mark_inside_a_file_is_refused_where_it_stands() {
    let told = message(&format!("{HEAD}challenges: {{}}\nname\u{feff}space: x\n"));
    assert!(
        told.starts_with("platform.yaml:4:5: error: a control character"),
        "{told}"
    );
}

#[test]
fn no_file_at_all_is_refused() {
    assert!(
        parse(&[])
            .unwrap_err()
            .to_string()
            .contains("no file to read")
    );
}

#[test]
fn size_is_bounded_over_all_files() {
    let half = format!("#{}\n", "x".repeat(MAX_BYTES / 2));
    let files = [
        SourceFile::new("platform.yaml", format!("{HEAD}challenges: {{}}\n{half}")),
        SourceFile::new("more.yaml", half),
    ];
    assert_eq!(
        parse(&files).unwrap_err().to_string(),
        "more.yaml:1:1: error: the declaration is larger than 4 MiB (split what is declared over \
         several platforms)"
    );
    let many = vec![SourceFile::new("a.yaml", "a: b\n"); MAX_FILES + 1];
    assert!(
        parse(&many)
            .unwrap_err()
            .to_string()
            .contains("more than 1000 files")
    );
}

#[test]
fn hostile_files_are_refused_without_much_work() {
    let deep = format!("{HEAD}challenges: {}\n", "[".repeat(1 << 20));
    assert!(message(&deep).contains("nested more than 64 deep"));
    let deep = format!("{HEAD}challenges: {}\n", "{a: ".repeat(1 << 18));
    assert!(message(&deep).contains("nested more than 64 deep"));
    let wide = format!("{HEAD}challenges: [{}]\n", "x,".repeat(1 << 20));
    assert!(message(&wide).contains("too many values"));
    let long = format!(
        "{HEAD}a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a,".repeat(1000)
    );
    assert!(message(&long).contains("too many values"));
    let mut unknown = format!("{HEAD}challenges: {{}}\nemissions:\n");
    for number in 0..100_000 {
        writeln!(unknown, " k{number}: 1").unwrap();
    }
    assert!(check_text_of(&unknown).contains("more than 2000 entries"));
    let marks = format!(
        "{HEAD}challenges: {{}}\nnamespace: \"{}\"\n",
        "://".repeat(1 << 17)
    );
    assert!(check_text_of(&marks).contains("no name of a namespace"));
    let mut chain = format!("{HEAD}a0: &a0 [x]\n");
    for level in 1..100 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(message(&chain).contains("nested more than 64 deep"));
}

#[test]
fn alias_repeats_what_its_anchor_names() {
    let text = format!("{HEAD}challenges:\n  one: &one {{image: \"a:1\"}}\n  two: *one\n");
    let challenges = one(&text).unwrap().file.challenges.unwrap();
    assert_eq!(challenges["one"], challenges["two"]);
}

#[test]
fn files_are_joined_at_their_top_level_keys() {
    let files = [
        SourceFile::new(
            "platform.yaml",
            format!("{HEAD}challenges: {{a1: {{image: \"a:1\"}}}}\n"),
        ),
        SourceFile::new(
            "b.yaml",
            "challenges: {b1: {image: \"b:1\"}}\nemissions: {b1: 1}\n",
        ),
        SourceFile::new(
            "c.yaml",
            "challenges: {c1: {image: \"c:1\"}}\nemissions: {c1: 2}\n",
        ),
    ];
    let written = parse(&files).unwrap();
    assert_eq!(written.file.challenges.as_ref().unwrap().len(), 3);
    assert_eq!(written.file.emissions.len(), 2);
    let root = Path::ROOT;
    let (challenges, emissions) = (root.key("challenges"), root.key("emissions"));
    let c1 = challenges.key("c1");
    assert_eq!(written.place(&c1.key("image")).to_string(), "c.yaml:1:26");
    assert_eq!(
        written.place(&emissions.key("b1")).to_string(),
        "b.yaml:2:17"
    );
    assert_eq!(written.place(&c1.key("missing")).to_string(), "c.yaml:1:14");
}

#[test]
fn same_key_in_two_files_names_both_places() {
    let files = [
        SourceFile::new("a.yaml", "defaults: {storage_size: 1Gi}\n"),
        SourceFile::new("b.yaml", "defaults: {storage_size: 2Gi}\nemissions: {}\n"),
        SourceFile::new("c.yaml", "emissions: []\n"),
    ];
    assert_eq!(
        parse(&files).unwrap_err().to_string(),
        "b.yaml:1:12: error: the key `storage_size` is declared twice (it also stands at \
         a.yaml:1:12: keep one)\nc.yaml:1:1: error: the key `emissions` is declared twice (it also \
         stands at b.yaml:2:1: keep one)"
    );
}

#[test]
fn numbers_keep_their_text_where_decimals_count() {
    let text =
        format!("{HEAD}emissions: {{a1: 30.1000, b1: \"15\", c1: 9999.9999}}\nchallenges: {{}}\n");
    let emissions = one(&text).unwrap().file.emissions;
    let texts: Vec<&str> = emissions.values().map(|text| text.0.as_str()).collect();
    assert_eq!(texts, ["30.1000", "15", "9999.9999"]);
}

#[test]
fn file_opened_with_a_marker_must_be_closed_with_one() {
    let body = format!("{HEAD}challenges: {{}}\n");
    for good in [
        body.clone(),
        format!("{body}...\n"),
        format!("---\n{body}...\n"),
        format!("# c\n---\n{body}... # end\n# c\n"),
        format!("--- # c\n{body}...\n\n"),
    ] {
        assert_eq!(message(&good), "accepted", "{good}");
    }
    for cut in [
        format!("---\n{body}"),
        format!("---\n{body}# ...\n"),
        format!("---\n{body}# a comment\n\n"),
        format!("---\n{body}  ...\n"),
    ] {
        assert_ne!(message(&cut), "accepted", "{cut}");
    }
    assert!(message(&format!("---\n{body}---\n{body}...\n")).contains("a second document"));
    assert!(message(&format!("---\n{body}...\n{body}")).contains("a second document"));
}

/// Returns a tree in the form that the second opinion has: keys, order and texts; of numbers and truth
/// values only that they are there.
fn outline(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar {
            text,
            is_plain: false,
        } => format!("{text:?}"),
        Kind::Scalar { .. } => "_".to_owned(),
        Kind::List(items) => format!(
            "[{}]",
            items.iter().map(outline).collect::<Vec<_>>().join(",")
        ),
        Kind::Map(entries) => {
            let pair = |e: &Entry| format!("{:?}:{}", e.key, outline(&e.value));
            format!(
                "{{{}}}",
                entries.iter().map(pair).collect::<Vec<_>>().join(",")
            )
        }
    }
}

fn outline_of(value: &serde_yaml::Value, node: &Node) -> String {
    use serde_yaml::Value;
    match (value, &node.kind) {
        (Value::Sequence(items), Kind::List(nodes)) if items.len() == nodes.len() => {
            let pairs = items.iter().zip(nodes).map(|(v, n)| outline_of(v, n));
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        }
        (Value::Mapping(map), Kind::Map(entries)) if map.len() == entries.len() => {
            let pairs = map.iter().zip(entries).map(|((k, v), e)| {
                let key = k.as_str().unwrap_or(&e.key);
                format!("{key:?}:{}", outline_of(v, &e.value))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        (
            Value::String(text),
            Kind::Scalar {
                is_plain: false, ..
            },
        ) => format!("{text:?}"),
        (Value::String(text), Kind::Scalar { text: own, .. }) if text == own => "_".to_owned(),
        (Value::Number(_) | Value::Bool(_) | Value::Null, Kind::Scalar { is_plain: true, .. }) => {
            "_".to_owned()
        }
        other => format!("differs: {other:?}"),
    }
}

#[test]
fn second_parser_reads_the_same_tree() {
    let tree = tree::read(EXAMPLE, 0).unwrap();
    let value: serde_yaml::Value = serde_yaml::from_str(EXAMPLE).unwrap();
    assert_eq!(outline(&tree), outline_of(&value, &tree));
}

/// Tells whether an edit in place sees what a declaration means: the same values at the same places.
fn agree(node: &Node, seen: &outline::Node) -> bool {
    use crate::spec::outline::{Shape, Style};
    let is_there = |at: At, seen: &outline::Node| {
        (at.line as usize, at.column as usize) == (seen.line, seen.column)
    };
    let values = match (&node.kind, &seen.shape) {
        (_, Shape::Alias) => true,
        (Kind::Scalar { text, is_plain }, Shape::Scalar { text: other, style }) => {
            text == other && *is_plain == (*style == Style::Plain)
        }
        (Kind::List(nodes), Shape::List { items, .. }) => {
            let agree = |(node, item): (&Node, _)| agree(node, item);
            nodes.len() == items.len() && nodes.iter().zip(items).all(agree)
        }
        (Kind::Map(own), Shape::Map { entries, .. }) => {
            let agree = |(entry, (key, value)): (&Entry, &(outline::Node, outline::Node))| {
                let is_key = matches!(key.shape, Shape::Alias) || key.text() == Some(&entry.key);
                is_key && is_there(entry.at, key) && agree(&entry.value, value)
            };
            own.len() == entries.len() && own.iter().zip(entries).all(agree)
        }
        _ => false,
    };
    values && is_there(node.at, seen)
}

/// Reads a text for its meaning and for an edit: what is accepted as the one is accepted as the other, and they agree.
fn check_agreement(text: &str) {
    let Ok(tree) = tree::read(text, 0) else {
        return;
    };
    let seen = outline::parse_outline(text.as_bytes());
    let seen = seen.expect("what has a meaning has an outline");
    let seen = seen.expect("there is something in it");
    assert!(agree(&tree, &seen), "{text:?}\n{tree:#?}\n{seen:#?}");
}

#[test]
fn an_edit_in_place_sees_the_same_values_at_the_same_places() {
    check_agreement(EXAMPLE);
    check_agreement("a: &a [1, \"x\\ny\", {é: 'z', b: }]\nb: *a\n? c\n: |\n  d\n  e\n*a : f\n");
}

fn refuses_or_reads(bytes: &[u8]) -> Option<usize> {
    let written = parse(&[SourceFile::new("platform.yaml", bytes)]).ok()?;
    let checked = crate::spec::check(&written).ok()?;
    Some(checked.platform.challenges.len())
}

/// Pieces that YAML gives a meaning to.
const PIECES: [&str; 40] = [
    "challenges:",
    "\n",
    "\n  ",
    "\n    ",
    "demo:",
    " image: a:1",
    "- ",
    "? ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!t ",
    "!!str ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "<<: *a",
    "\t",
    "~",
    "1e3",
    "0x1",
    "\u{85}",
    "\u{2028}",
    "\\",
    "@",
    "`",
    "é",
    "env:",
    "%TAG ! a\n",
    "\r",
];

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        refuses_or_reads(&bytes);
    }

    #[test]
    fn any_pieces_of_yaml_are_read_or_refused(
        picks in proptest::collection::vec(0..PIECES.len(), 0..60),
    ) {
        let text: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        refuses_or_reads(format!("{HEAD}{text}\n").as_bytes());
        check_agreement(&text);
        check_agreement(&format!("{HEAD}{text}\n"));
        if let (Ok(tree), Ok(value)) = (
            tree::read(&text, 0),
            serde_yaml::from_str::<serde_yaml::Value>(&text),
        ) {
            // Line breaks of other alphabets are not what the two are asked about.
            if text.is_ascii() {
                prop_assert_eq!(outline(&tree), outline_of(&value, &tree), "{}", text);
            }
        }
    }

    #[test]
    fn example_with_a_mistake_is_read_or_refused(
        at in 0..EXAMPLE.len(),
        remove in 0usize..40,
        insert in proptest::option::of(0..PIECES.len()),
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + remove).min(bytes.len());
        let piece = insert.map_or("", |pick| PIECES[pick]);
        bytes.splice(at..end, piece.bytes());
        refuses_or_reads(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            check_agreement(text);
        }
    }
}

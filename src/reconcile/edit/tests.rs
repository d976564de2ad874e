//! Examples of edits, and properties of all of them.

use proptest::prelude::*;

use super::*;

const SAMPLE: &str = r#"# head
api_version: platform.network/v1   # keep
emissions: {prism: 30, other: 1.5}
challenges:
  prism:          # the first
    image: 'a/b:1'
    status: active      # running
    resources: {cpu: "2", memory: 4Gi}
    env:
      LOG: info
      EMPTY:            # nothing yet
      "DOT.TED": x
    note: |
      two
      lines
    # behind

  other:
    status: draft
    storage: {}
safety:
  freeze:
    - {from: a, why: holidays}
shared: &shared {a: 1}
copy: *shared
"#;

fn edit(path: &str, value: &str) -> Result<Edited, EditError> {
    let path = ValuePath::parse(path).unwrap();
    edit_value(SAMPLE, &path, value, Writing::AsBefore)
}

/// The lines that differ, without and with the change.
fn difference(edited: &Edited) -> (Vec<&'static str>, Vec<String>) {
    let gone = SAMPLE
        .lines()
        .filter(|l| !edited.text.lines().any(|m| m == *l));
    let come = edited
        .text
        .lines()
        .filter(|l| !SAMPLE.lines().any(|m| m == *l));
    (gone.collect(), come.map(str::to_owned).collect())
}

#[test]
fn a_value_changes_and_its_comment_stays() {
    for (path, value, line, now) in [
        (
            "challenges.prism.status",
            "inactive",
            7,
            "    status: inactive      # running",
        ),
        ("challenges.prism.image", "a/b:2", 6, "    image: 'a/b:2'"),
        (
            "emissions.prism",
            "35",
            3,
            "emissions: {prism: 35, other: 1.5}",
        ),
        (
            "emissions.new-one",
            "0.5",
            3,
            "emissions: {prism: 30, other: 1.5, new-one: 0.5}",
        ),
        (
            "challenges.prism.resources.cpu",
            "4",
            8,
            "    resources: {cpu: \"4\", memory: 4Gi}",
        ),
        (
            "challenges.prism.resources.memory",
            "a, b",
            8,
            "    resources: {cpu: \"2\", memory: \"a, b\"}",
        ),
        (
            "challenges.prism.env.LOG",
            "true",
            10,
            "      LOG: \"true\"",
        ),
        (
            "challenges.prism.env.EMPTY",
            "yes",
            11,
            "      EMPTY: \"yes\"            # nothing yet",
        ),
        (
            "challenges.prism.env.\"DOT.TED\"",
            "a: b # c",
            12,
            "      \"DOT.TED\": \"a: b # c\"",
        ),
        ("challenges.prism.env.NEW", "'7'", 13, "      NEW: '7'"),
        (
            "challenges.other.storage.size",
            "1Gi",
            20,
            "    storage: {size: 1Gi}",
        ),
        (
            "challenges.other.name",
            "Other one",
            21,
            "    name: Other one",
        ),
        (
            "challenges.other.broker",
            "{max_concurrent: 4}",
            21,
            "    broker: {max_concurrent: 4}",
        ),
        (
            "safety.freeze.0.why",
            "rest",
            23,
            "    - {from: a, why: rest}",
        ),
        ("safety.\"max deleted\"", "5", 24, "  \"max deleted\": 5"),
        ("namespace", "p", 26, "namespace: p"),
    ] {
        let edited = edit(path, value).unwrap();
        let (gone, come) = difference(&edited);
        assert_eq!(come, [now], "{path}");
        assert_eq!(
            edited.text.lines().nth(edited.line - 1),
            Some(now),
            "{path}"
        );
        assert_eq!(edited.line, line, "{path}");
        assert_eq!(
            gone.len(),
            usize::from(
                edited.before.is_some() || edited.text.lines().count() == SAMPLE.lines().count()
            ),
            "{path}"
        );
    }
}

#[test]
fn what_cannot_be_changed_alone_is_refused() {
    for (path, why) in [
        ("challenges.prism", "block of values"),
        ("challenges.prism.note", "block of text"),
        ("challenges.prsm.status", "did you mean `prism`"),
        (
            "challenges.prism.updates.policy",
            "there is no `challenges.prism.updates`",
        ),
        ("shared.a", "anchor"),
        ("copy", "alias"),
        ("copy.a", "alias"),
        ("safety.freeze.1.why", "there is no `safety.freeze.1`"),
        ("namespace.a", "there is no `namespace`"),
    ] {
        let refused = edit(path, "x").unwrap_err().to_string();
        assert!(refused.contains(why), "{path}: {refused}");
    }
    assert_eq!(edit("namespace", "{a"), Err(EditError::Value));
    for path in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b"] {
        assert!(ValuePath::parse(path).is_err(), "{path}");
    }
}

/// The paths of all single values of a tree.
fn leaves(node: &Node, path: &str, found: &mut Vec<String>) {
    match &node.shape {
        Shape::Map { entries, .. } => {
            for (key, value) in entries {
                let key = key.text().unwrap();
                leaves(value, &format!("{path}.\"{key}\""), found);
            }
        }
        Shape::List { items, .. } => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}.{at}"), found);
            }
        }
        _ => found.push(path[1..].to_owned()),
    }
}

#[test]
fn every_value_of_the_example_can_be_changed_alone() {
    let example = include_str!("../../../examples/platform.yaml");
    let root = outline::parse_outline(example.as_bytes()).unwrap().unwrap();
    let mut paths = Vec::new();
    leaves(&root, "", &mut paths);
    assert!(paths.len() > 50);
    for path in paths {
        let parsed = ValuePath::parse(&path).unwrap();
        for (value, writing) in [("new: x", Writing::Text), ("7", Writing::AsBefore)] {
            let edited = edit_value(example, &parsed, value, writing).unwrap();
            let differs = |(a, b): &(&str, &str)| a != b;
            let lines = example.lines().zip(edited.text.lines());
            assert!(lines.filter(differs).count() <= 1, "{path}");
            assert_eq!(example.lines().count(), edited.text.lines().count());
        }
    }
}

#[test]
fn windows_line_breaks_and_a_missing_last_one_stay() {
    let path = ValuePath::parse("a.c").unwrap();
    let edited = edit_value("a:\r\n  b: 1", &path, "2", Writing::AsBefore).unwrap();
    assert_eq!(edited.text, "a:\r\n  b: 1\r\n  c: 2");
    let path = ValuePath::parse("a.b").unwrap();
    let edited = edit_value("a:\r\n  b: 1\r\n", &path, "2", Writing::AsBefore).unwrap();
    assert_eq!(edited.text, "a:\r\n  b: 2\r\n");
}

const PATHS: [&str; 11] = [
    "emissions.prism",
    "emissions.zz",
    "challenges.prism.image",
    "challenges.prism.status",
    "challenges.prism.resources.cpu",
    "challenges.prism.env.EMPTY",
    "challenges.prism.env.NEW",
    "challenges.other.storage.size",
    "challenges.other.new",
    "safety.freeze.0.why",
    "top",
];

fn at<'a>(tree: &'a serde_yaml::Value, path: &str) -> Option<&'a serde_yaml::Value> {
    path.split('.')
        .try_fold(tree, |here, part| match part.parse::<usize>() {
            Ok(index) => here.get(index),
            Err(_) => here.get(part),
        })
}

proptest! {
    #[test]
    fn any_text_set_is_the_text_read_by_another_reader(
        which in 0..PATHS.len(),
        value in prop_oneof![any::<String>(), "[ -~]{0,12}", "[0-9.eExX_:+-]{1,8}"],
    ) {
        let path = PATHS[which];
        let edited = edit_value(SAMPLE, &ValuePath::parse(path).unwrap(), &value, Writing::Text);
        let edited = edited.unwrap();
        let tree: serde_yaml::Value = serde_yaml::from_str(&edited.text).unwrap();
        let typed_by_hand = value.len() > 1 && value.starts_with(['"', '\'']);
        if !typed_by_hand {
            prop_assert_eq!(at(&tree, path).and_then(|v| v.as_str()), Some(value.as_str()));
        }
        // Everything outside the edited lines is byte for byte what it was.
        let prefix = SAMPLE.bytes().zip(edited.text.bytes()).take_while(|(a, b)| a == b).count();
        let suffix = SAMPLE.bytes().rev().zip(edited.text.bytes().rev()).take_while(|(a, b)| a == b).count();
        let touched = &SAMPLE.as_bytes()[prefix..SAMPLE.len().saturating_sub(suffix).max(prefix)];
        let lines = touched.iter().filter(|b| **b == b'\n').count();
        prop_assert_eq!(lines, 0);
    }

    #[test]
    fn no_text_path_or_value_panics(text in "[ a-c:{}\\[\\],&*#'\"|>\n-]{0,60}", path in "[a-c0.]{1,6}", value in "\\PC{0,8}") {
        if let Ok(path) = ValuePath::parse(&path) {
            let _refused_or_not = edit_value(&text, &path, &value, Writing::AsBefore).is_ok();
            let _held = holds(&text, &path);
        }
    }
}

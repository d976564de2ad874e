//! Objects captured from a Kubernetes 1.36 API server, each with what its dry run said an apply of the
//! want would do: `none`, `ownership` (only who owns what), `content`, or `refused`.
//!
//! One file a case in `tests/fixtures/owned`: `{apply, want, live}`. `expected.txt` beside them holds what
//! the comparison says of each.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    super::{Comparison, Differences, foreign_items, is_refused, owned_fingerprint},
    world::{US, compare},
};

struct Case {
    name: String,
    apply: String,
    want: Value,
    live: Value,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/owned"))
}

fn cases() -> Vec<Case> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    paths.into_iter().map(read_case).collect()
}

fn read_case(path: PathBuf) -> Case {
    let mut case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    Case {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        apply: case["apply"].as_str().unwrap().to_owned(),
        want: case["want"].take(),
        live: case["live"].take(),
    }
}

fn describe(case: &Case) -> String {
    let mut text = format!("{} ({})\n", case.name, case.apply);
    match compare(&case.want, &case.live, US) {
        Comparison::Different(all) => text += &describe_differences(case, &all),
        other => text += &format!("    {other:?}\n"),
    }
    for item in foreign_items(&case.want, &case.live, US) {
        let by = item.holder.map_or("?".to_owned(), |holder| holder.manager);
        text += &format!("    foreign {} by {by}\n", item.path);
    }
    text
}

fn describe_differences(case: &Case, all: &Differences) -> String {
    let kind = case.want["kind"].as_str().unwrap();
    let line = |difference: &super::super::Difference| {
        let by = difference.holder().map_or(String::new(), |holder| {
            format!(" by {} {}", holder.manager, holder.operation)
        });
        let refused = if is_refused(kind, difference, &case.live) {
            " refused"
        } else {
            ""
        };
        let (path, kind, effect) = (difference.path(), difference.kind(), difference.effect());
        format!("    {path} {kind:?} {effect:?}{by}{refused}\n")
    };
    all.listed().iter().map(line).collect()
}

#[test]
fn the_comparison_says_of_captured_objects_what_is_expected() {
    let text: String = cases().iter().map(describe).collect();
    let expected = fs::read_to_string(folder().join("expected.txt")).unwrap();
    assert_eq!(text, expected, "actual:\n{text}");
}

#[test]
fn the_comparison_never_disagrees_with_the_server_to_the_unsafe_side() {
    for case in cases() {
        let comparison = compare(&case.want, &case.live, US);
        match &comparison {
            Comparison::Equal => assert_eq!(case.apply, "none", "{}", case.name),
            Comparison::Different(all) => {
                assert_ne!(case.apply, "none", "{}", case.name);
                if all.is_ownership_only() {
                    assert_eq!(case.apply, "ownership", "{}", case.name);
                }
            }
            Comparison::NothingOwned | Comparison::OtherVersion(_) | Comparison::Terminating => {}
        }
    }
}

#[test]
fn no_captured_secret_is_shown() {
    for case in cases().iter().filter(|case| case.want["kind"] == "Secret") {
        let shown = format!("{:?}", compare(&case.want, &case.live, US));
        assert!(!shown.contains("Y2FuYXJ5"), "{}", case.name);
    }
}

#[test]
fn everything_owned_has_a_fingerprint() {
    for case in cases() {
        let is_owned = compare(&case.want, &case.live, US) != Comparison::NothingOwned;
        assert_eq!(
            owned_fingerprint(&case.live, US).is_some(),
            is_owned,
            "{}",
            case.name
        );
    }
}

//! The architecture as a test: which part may use which, and which crates.

mod scan;
mod table;

use std::collections::BTreeSet;

use scan::Source;
use table::{EVERYWHERE, OUTSIDE, PARTS, Part};

/// Returns the deepest part that a path lies in.
fn part_of(path: &[String]) -> Option<&'static Part> {
    let covers = |part: &&Part| {
        let names: Vec<&str> = part.module.split("::").collect();
        names.len() <= path.len() && names.iter().zip(path).all(|(name, step)| name == step)
    };
    PARTS
        .iter()
        .filter(covers)
        .max_by_key(|part| part.module.len())
}

/// Returns a path from the root of the crate; `None` when it leads into another crate.
fn resolve(source: &Source, path: &[String]) -> Option<Vec<String>> {
    let mut from = match path[0].as_str() {
        "crate" | "platform" => Vec::new(),
        "self" | "super" => source.module.clone(),
        _ => return None,
    };
    for step in path {
        match step.as_str() {
            "crate" | "platform" | "self" => {}
            "super" => drop(from.pop()),
            name => from.push(name.to_owned()),
        }
    }
    Some(from)
}

/// Tells whether a part is this one, or lies in its folder.
fn is_at_or_below(part: &Part, used: &str) -> bool {
    part.module == used || (used.contains("::") && part.module.starts_with(&format!("{used}::")))
}

/// Tells whether both lie in one folder below the first level, such as `reconcile/live/`.
fn is_one_folder(one: &Part, other: &Part) -> bool {
    let lies_in = |inner: &str, outer: &str| inner.starts_with(&format!("{outer}::"));
    let is_deep = |part: &Part| part.module.contains("::");
    (is_deep(one) && lies_in(other.module, one.module))
        || (is_deep(other) && lies_in(one.module, other.module))
}

fn sources() -> Vec<Source> {
    let sources = scan::scan(&crate::package("src"));
    assert!(sources.len() > 50, "the sources are not found");
    // The root and the folder `edge` only declare modules.
    let declares_only = |source: &Source| matches!(source.module.join("::").as_str(), "" | "edge");
    sources
        .into_iter()
        .filter(|source| !declares_only(source))
        .collect()
}

fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(crate::package("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let section = rest.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn each_part_uses_only_what_the_table_allows() {
    let mut faults = BTreeSet::new();
    for source in sources() {
        let shown = source.module.join("::");
        let Some(part) = part_of(&source.module) else {
            faults.insert(format!("{shown} is in no part of the table"));
            continue;
        };
        for path in &source.paths {
            let Some(target) = resolve(&source, path) else {
                continue;
            };
            let Some(other) = part_of(&target) else {
                continue;
            };
            let is_allowed = other.module == part.module
                || part.uses.iter().any(|used| is_at_or_below(other, used))
                || is_one_folder(part, other);
            if !is_allowed {
                faults.insert(format!("{shown} uses {}", target.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_part_uses_only_its_crates() {
    let dependencies = dependencies();
    let mut faults = BTreeSet::new();
    let mut used = BTreeSet::new();
    for source in sources() {
        let Some(part) = part_of(&source.module) else {
            continue;
        };
        let roots = source.paths.iter().map(|path| path[0].as_str());
        for name in roots.filter(|name| dependencies.contains(*name)) {
            used.insert(name.to_owned());
            if !EVERYWHERE.contains(&name) && !part.crates.contains(&name) {
                faults.insert(format!("{} uses crate {name}", source.module.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let idle: Vec<_> = dependencies.difference(&used).collect();
    assert!(idle.is_empty(), "dependencies that nothing uses: {idle:?}");
}

#[test]
fn whoever_listens_does_so_within_the_bounds_of_the_listener() {
    let serves = |path: &[String]| path.len() > 1 && path[..2] == ["axum", "serve"];
    let sources = sources();
    let faults: Vec<String> = sources
        .iter()
        .filter(|source| source.paths.iter().any(|path| serves(path)))
        .map(|source| source.module.join("::"))
        .collect();
    assert!(faults.is_empty(), "without bounds: {faults:?}");
}

#[test]
fn pure_parts_name_nothing_outside() {
    let mut faults = BTreeSet::new();
    for source in sources() {
        if part_of(&source.module).is_none_or(|part| !part.is_pure) {
            continue;
        }
        let outside = source
            .paths
            .iter()
            .map(|path| path.join("::"))
            .filter(|path| {
                let reaches = |name: &&str| path == *name || path.starts_with(&format!("{name}::"));
                OUTSIDE.iter().any(reaches)
            });
        faults.extend(outside.map(|path| format!("{} uses {path}", source.module.join("::"))));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn parts_use_only_what_stands_above_them() {
    for (index, part) in PARTS.iter().enumerate() {
        for used in part.uses {
            let is_above = PARTS[..index].iter().any(|above| above.module == *used);
            assert!(
                is_above,
                "{} may use {used}, which is not above it",
                part.module
            );
        }
    }
}

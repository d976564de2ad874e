//! All integration tests, in one program.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, its helpers too; they find the control plane by variables"
)]

mod acts;
mod bad_input;
mod chart;
mod cli;
mod commit;
mod controller;
mod database;
mod deadline;
mod example;
mod faults;
mod foreign;
mod git;
mod guards;
mod kills;
mod layering;
mod lease;
mod lifecycle;
mod on_postgres;
mod owned;
mod properties;
mod retention;
mod secrets;
mod status;
mod support;
mod tags;
mod weights;

use std::collections::BTreeSet;
use std::path::Path;

/// Returns a path inside the package.
fn package(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn no_test_file_is_forgotten() {
    let declared: BTreeSet<String> = include_str!("main.rs")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    let present: BTreeSet<String> = std::fs::read_dir(package("tests/it"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().unwrap() != "main")
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(declared, present);
    let beside: Vec<_> = std::fs::read_dir(package("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect();
    assert!(beside.is_empty(), "a second test program: {beside:?}");
}

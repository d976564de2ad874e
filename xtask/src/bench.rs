//! `cargo xtask bench`: the rows of `benches/rows`, optimised, on a real control plane.

use anyhow::{Context, Result};
use clap::Args;

use crate::{control_plane::Shape, interrupt::Interrupt, suite::Suite};

/// Measures what must be fast, and prints each figure beside its reference.
///
/// The report goes to target/bench/report.json. Rows find what tests find, and
/// in PLATFORM_TEST_AUDIT the audit log of the cluster, to count requests.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask bench 1 3")]
pub struct Arguments {
    /// Numbers of the rows to measure; all of them when none is given.
    rows: Vec<u8>,
}

/// Builds with optimisation, measures, and returns the exit code of the bench.
///
/// # Errors
///
/// Fails when something cannot be built or started.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    // Not in the scratch folder of the world, which is not there yet.
    let audit = tempfile::NamedTempFile::new().context("make a file for the audit log")?;
    let suite = Suite {
        name: "with optimisation",
        cargo: &["bench", "--bench", "rows"],
        arguments: arguments.rows.iter().map(u8::to_string).collect(),
        variables: vec![("PLATFORM_TEST_AUDIT", audit.path().into())],
        shape: Shape {
            clusters: 1,
            nodes: 10,
            audit: Some(audit.path().to_owned()),
        },
    };
    suite.run(interrupt)
}

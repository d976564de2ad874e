//! `cargo xtask bench`: the rows of `benches/rows`, optimised, on a real control plane.

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    assets::find_kustomize_controller, control_plane::Shape, interrupt::Interrupt, suite::Suite,
    terminal::progress,
};

/// The row that is measured beside Flux.
const BESIDE_FLUX: u8 = 8;

/// Measures what must be fast, and prints each figure beside its reference.
///
/// The report goes to target/bench/report.json. Rows find what tests find, and
/// in PLATFORM_TEST_AUDIT the audit log of the cluster, to count requests. Row 8
/// finds Flux's kustomize-controller in PLATFORM_TEST_FLUX; it is built with Go,
/// once, when that row is measured.
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
    let mut variables = vec![("PLATFORM_TEST_AUDIT", audit.path().into())];
    if arguments.rows.is_empty() || arguments.rows.contains(&BESIDE_FLUX) {
        match find_kustomize_controller(interrupt) {
            Ok(program) => variables.push(("PLATFORM_TEST_FLUX", program.into())),
            Err(error) => {
                interrupt.check()?;
                progress(format!(
                    "row {BESIDE_FLUX} is measured without Flux: {error:#}"
                ));
            }
        }
    }
    let suite = Suite {
        name: "with optimisation",
        cargo: &["bench", "--bench", "rows"],
        arguments: arguments.rows.iter().map(u8::to_string).collect(),
        variables,
        shape: Shape {
            clusters: 1,
            nodes: 10,
            audit: Some(audit.path().to_owned()),
        },
    };
    suite.run(interrupt)
}

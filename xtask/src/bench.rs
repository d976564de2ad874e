//! `cargo xtask bench`: the rows of `benches/rows`, optimised, on a real control plane.

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    command,
    control_plane::Shape,
    environment,
    interrupt::Interrupt,
    packages,
    terminal::progress,
    world::{Postgresql, World},
};

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
    packages::ensure_basics()?;
    progress("building with optimisation…");
    let mut build = environment::cargo();
    build.args(["bench", "--bench", "rows", "--no-run", "--quiet"]);
    let code = command::run(&mut build, interrupt)?;
    if code != 0 {
        return Ok(code);
    }
    // Not in the scratch folder of the world, which is not there yet.
    let audit = tempfile::NamedTempFile::new().context("make a file for the audit log")?;
    let shape = Shape {
        clusters: 1,
        nodes: 10,
        audit: Some(audit.path().to_owned()),
    };
    progress("starting the control plane and PostgreSQL…");
    let mut world = World::start(&shape, Postgresql::Wanted, interrupt)?;
    let mut bench = environment::cargo();
    bench.args(["bench", "--bench", "rows", "--"]);
    bench.args(arguments.rows.iter().map(u8::to_string));
    world.describe_to(&mut bench)?;
    bench.env("PLATFORM_TEST_AUDIT", audit.path());
    world.run(&mut bench, interrupt)
}

//! `cargo xtask test`: every test there is, on a real control plane and database.

use anyhow::Result;
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

/// Runs every test of the workspace on a real control plane and PostgreSQL.
///
/// Tests find PLATFORM_TEST_KUBECONFIG (an admin of the cluster),
/// PLATFORM_TEST_POSTGRES_URL (who may create databases) and PLATFORM_TEST_HELM
/// in their environment. What is missing on a Debian machine is installed where
/// we are root, and named otherwise.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask test apply_")]
pub struct Arguments {
    /// Runs only tests whose name contains one of these.
    filter: Vec<String>,
    /// Number of clusters.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    clusters: u8,
}

/// Builds and runs the tests and returns the exit code of their runner.
///
/// # Errors
///
/// Fails when something cannot be built or started.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    packages::ensure_basics()?;
    packages::ensure_for_tests()?;
    progress("building the tests…");
    // Before anything else is started: most failures are the compiler's.
    let mut build = environment::cargo();
    build.args(["test", "--workspace", "--no-run", "--quiet"]);
    let code = command::run(&mut build, interrupt)?;
    if code != 0 {
        return Ok(code);
    }
    let shape = Shape {
        clusters: arguments.clusters.into(),
        nodes: 2,
        audit: None,
    };
    progress("starting the control plane and PostgreSQL…");
    let mut world = World::start(&shape, Postgresql::Wanted, interrupt)?;
    let mut tests = environment::cargo();
    tests
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(["--", "--include-ignored"])
        .args(&arguments.filter);
    world.describe_to(&mut tests)?;
    world.run(&mut tests, interrupt)
}

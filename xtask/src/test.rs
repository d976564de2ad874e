//! `cargo xtask test`: every test there is, on a real control plane and database.

use anyhow::Result;
use clap::Args;

use crate::{
    control_plane::Shape, interrupt::Interrupt, schemathesis, suite::Suite, terminal::progress,
};

/// A test that asks the public routes what nobody thought of; its program is in no Debian package.
const SCHEMATHESIS: &str = "schemathesis_finds_nothing";

/// Runs every test of the workspace on a real control plane and PostgreSQL.
///
/// Tests find PLATFORM_TEST_KUBECONFIG (an admin of the cluster),
/// PLATFORM_TEST_APISERVER (the words that start one more API server of it, but
/// for its port), PLATFORM_TEST_POSTGRES_URL (who may create databases) and
/// PLATFORM_TEST_HELM in their environment. What is missing on a Debian machine is installed where
/// we are root, and named otherwise. Where schemathesis cannot be installed its
/// test is left out, and the last line says so.
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
    let schemathesis = schemathesis::find(interrupt);
    interrupt.check()?;
    let mut runner = vec!["--include-ignored".to_owned()];
    if schemathesis.is_err() {
        runner.extend(["--skip".to_owned(), SCHEMATHESIS.to_owned()]);
    }
    let suite = Suite {
        name: "the tests",
        cargo: &["test", "--workspace", "--no-fail-fast"],
        arguments: [runner, arguments.filter.clone()].concat(),
        variables: schemathesis
            .iter()
            .map(|program| ("PLATFORM_TEST_SCHEMATHESIS", program.into()))
            .collect(),
        shape: Shape {
            clusters: arguments.clusters.into(),
            nodes: 2,
            audit: None,
        },
    };
    let code = suite.run(interrupt)?;
    if let Err(error) = schemathesis {
        progress(format!("not run: {SCHEMATHESIS}: {error:#}"));
    }
    Ok(code)
}

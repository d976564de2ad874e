//! `cargo xtask soak`: the tests that have a long form, in that form.

use anyhow::Result;
use clap::Args;

use crate::{control_plane::Shape, interrupt::Interrupt, suite::Suite};

/// The tests that have a long form.
const LONG: [&str; 6] = [
    "controller::",
    "faults::",
    "kills::",
    "lease::",
    "owned::walk::",
    "properties::",
];

/// Runs the long form of tests: every fault and every kill instead of a sample, and longer random walks.
///
/// PLATFORM_WALK_SEED and PLATFORM_PAIR_SEED begin the random ones elsewhere;
/// what fails names the seed that repeats it. PLATFORM_ROUNDS is how often the
/// leader changes.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask soak faults kills")]
pub struct Arguments {
    /// Runs only tests whose name contains one of these.
    filter: Vec<String>,
}

/// Builds and runs them and returns the exit code of their runner.
///
/// # Errors
///
/// Fails when something cannot be built or started.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    let filter = match arguments.filter.as_slice() {
        [] => LONG.map(str::to_owned).to_vec(),
        filter => filter.to_vec(),
    };
    // One after the other: some compare times, in which whatever runs beside them would show.
    let options = ["--include-ignored", "--nocapture", "--test-threads=1"].map(str::to_owned);
    let suite = Suite {
        name: "the tests",
        cargo: &["test", "--workspace", "--test", "it"],
        arguments: [options.to_vec(), filter].concat(),
        variables: vec![("PLATFORM_SOAK", "1".into())],
        shape: Shape {
            clusters: 1,
            nodes: 2,
            audit: None,
        },
    };
    suite.run(interrupt)
}

//! Development commands: `cargo xtask VERB`, for people and for CI alike.
//!
//! One file per verb; the rest is what verbs are made of, from the programs of a
//! control plane (`assets`) to running clusters (`control_plane`).

mod api;
mod assets;
mod bench;
mod binary;
mod check;
mod cluster;
mod command;
mod control_plane;
mod daemon;
mod environment;
mod interrupt;
mod keys;
mod kubeconfig;
mod packages;
mod ports;
mod postgres;
mod schemathesis;
mod scratch;
mod soak;
mod suite;
mod terminal;
mod test;
mod up;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    interrupt::{Interrupt, Interrupted},
    terminal::progress,
};

/// Development commands of platform.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Up(up::Arguments),
    Test(test::Arguments),
    Soak(soak::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
    Cluster(cluster::Arguments),
}

fn main() -> ExitCode {
    let verb = Xtask::parse().verb;
    match run(&verb) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            progress(format!("error: {error:#}"));
            let interrupted = error.downcast_ref::<Interrupted>();
            ExitCode::from(interrupted.map_or(1, Interrupted::exit_code))
        }
    }
}

fn run(verb: &Verb) -> Result<u8> {
    let interrupt = Interrupt::listen()?;
    // Fails only where a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match verb {
        Verb::Up(arguments) => up::run(arguments, &interrupt),
        Verb::Test(arguments) => test::run(arguments, &interrupt),
        Verb::Soak(arguments) => soak::run(arguments, &interrupt),
        Verb::Check(arguments) => check::run(arguments, &interrupt),
        Verb::Bench(arguments) => bench::run(arguments, &interrupt),
        Verb::Cluster(arguments) => cluster::run(arguments, &interrupt),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Xtask::command().debug_assert();
    }
}

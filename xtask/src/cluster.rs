//! `cargo xtask cluster`: a command with real clusters, and a database, beside it.

use std::{ffi::OsString, path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    binary,
    control_plane::Shape,
    daemon::bound_to_us,
    interrupt::Interrupt,
    packages,
    postgres::Postgres,
    world::{Postgresql, World},
};

/// More of them only make each slower.
const MOST_CLUSTERS: usize = 16;

/// More are made by whoever measures the scheduler.
const MOST_NODES: usize = 1000;

/// Runs a command with a cluster beside it, and ends the cluster with it.
///
/// The command finds KUBECONFIG (contexts c1, c2, …), PLATFORM_BIN, HELM and,
/// with --postgres, PLATFORM_DATABASE_URL in its environment.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask cluster --clusters 2 --postgres -- bash")]
pub struct Arguments {
    /// Number of clusters.
    #[arg(long, default_value_t = 1)]
    clusters: usize,
    /// Nodes in each cluster.
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// Makes an empty PostgreSQL database too.
    #[arg(long)]
    postgres: bool,
    /// Writes an audit log: one line of JSON for each request to the first cluster.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Starts what is asked for, runs the command and returns its exit code.
///
/// # Errors
///
/// Fails when something cannot be built or started.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    ensure!(
        (1..=MOST_CLUSTERS).contains(&arguments.clusters),
        "--clusters must be between 1 and {MOST_CLUSTERS}"
    );
    ensure!(
        arguments.nodes <= MOST_NODES,
        "--nodes must be at most {MOST_NODES}"
    );
    packages::ensure_basics()?;
    let platform = binary::build(interrupt)?;
    let postgresql = if arguments.postgres {
        Postgresql::Wanted
    } else {
        Postgresql::Unwanted
    };
    let mut world = World::start(&shape(arguments)?, postgresql, interrupt)?;
    let database = world
        .postgres
        .as_ref()
        .map(Postgres::create_database)
        .transpose()?;

    let (program, rest) = arguments
        .command
        .split_first()
        .context("find the command")?;
    let mut command = bound_to_us(program, "KILL", &[]);
    command
        .args(rest)
        .stdin(Stdio::inherit())
        .env("KUBECONFIG", world.control_plane.kubeconfig())
        .env("PLATFORM_BIN", &platform)
        .env("HELM", &world.assets.helm);
    if let Some(database) = &database {
        command.env("PLATFORM_DATABASE_URL", &database.url);
    }
    world.run(&mut command, interrupt)
}

fn shape(arguments: &Arguments) -> Result<Shape> {
    // The API server must not take a relative path for one in its own folder.
    let audit = arguments
        .audit
        .as_deref()
        .map(std::path::absolute)
        .transpose()
        .context("find the folder of the audit log")?;
    Ok(Shape {
        clusters: arguments.clusters,
        nodes: arguments.nodes,
        audit,
    })
}

//! What must be fast, each figure beside a reference measured in the same run: `cargo xtask bench [ROW…]`.
//!
//! Machines differ and are shared, so a figure is a ratio of two measurements, a count, or an exponent of
//! growth. The table goes to standard output and `target/bench/report.json`; a goal that is missed is said
//! so in both and fails nothing, for one run on a busy machine proves little.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench speaks to whoever runs it"
)]

#[path = "rows/aggregate.rs"]
mod aggregate;
#[path = "rows/audit.rs"]
mod audit;
#[path = "rows/change.rs"]
mod change;
#[path = "rows/collect.rs"]
mod collect;
#[path = "rows/diff.rs"]
mod diff;
#[path = "rows/drift.rs"]
mod drift;
#[path = "rows/first_apply.rs"]
mod first_apply;
#[path = "rows/flux.rs"]
mod flux;
#[path = "rows/keeping.rs"]
mod keeping;
#[path = "rows/planning.rs"]
mod planning;
#[path = "rows/pushed.rs"]
mod pushed;
#[path = "rows/raw.rs"]
mod raw;
#[path = "rows/report.rs"]
mod report;
#[path = "rows/running.rs"]
mod running;
#[path = "rows/serve.rs"]
mod serve;
#[path = "rows/watched.rs"]
mod watched;
#[path = "rows/world.rs"]
mod world;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use report::Report;
use world::World;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Numbers of challenges at which growth is measured.
const SIZES: [usize; 3] = [10, 100, 1000];
/// The rows that this program measures. Numbers are stable, so those of rows that need what is not built
/// yet are left out.
const ROWS: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15];

fn main() -> Result<()> {
    let rows = rows_asked_for()?;
    // Fails only when a provider is installed already, which then serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let mut report = Report::default();
    let failed = runtime.block_on(measure(&rows, &mut report))?;
    println!("{report}");
    let path = report.write()?;
    eprintln!("written to {}", path.display());
    ensure!(failed.is_empty(), "rows that did not end: {failed:?}");
    Ok(())
}

/// Reads the rows from the arguments; cargo adds `--bench`.
fn rows_asked_for() -> Result<BTreeSet<u8>> {
    let numbers = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let rows = numbers
        .map(|arg| arg.parse().with_context(|| format!("{arg} is no row")))
        .collect::<Result<BTreeSet<u8>>>()?;
    if rows.is_empty() {
        return Ok(ROWS.into());
    }
    for row in &rows {
        ensure!(ROWS.contains(row), "there is no row {row}; rows: {ROWS:?}");
    }
    Ok(rows)
}

/// Returns the rows that did not end. What they measured until then stands in the report, as all else does.
async fn measure(rows: &BTreeSet<u8>, report: &mut Report) -> Result<Vec<u8>> {
    let mut world = World::connect().await?;
    let failed = measure_in(&mut world, rows, report).await;
    world.clean_up().await;
    Ok(failed)
}

async fn measure_in(world: &mut World, rows: &BTreeSet<u8>, report: &mut Report) -> Vec<u8> {
    let mut failed = Vec::new();
    // In this order: the first leaves the platforms behind that the others look at.
    for row in rows {
        eprintln!("row {row}…");
        let measured = match row {
            1 => first_apply::measure(world, report).await,
            3 => diff::measure(world, report).await,
            2 => keeping::rest(world, report).await,
            4 => change::measure(world, report).await,
            5 => drift::measure(world, report).await,
            6 => match keeping::change(world, report).await {
                Ok(()) => pushed::measure(world, report).await,
                failed => failed,
            },
            8 => keeping::memory(world, report).await,
            15 => keeping::start(world, report).await,
            7 => planning::measure(world, report).await,
            9 => serve::measure(report).await,
            10 => aggregate::measure(report),
            _ => collect::measure(report).await,
        };
        if let Err(error) = measured {
            eprintln!("row {row}: {error:#}");
            failed.push(*row);
        }
    }
    failed
}

/// Returns where a program is, if it is installed.
fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = world::variable("PATH")?;
    let mut folders = std::env::split_paths(&path).map(|folder| folder.join(program));
    folders.find(|file| file.is_file())
}

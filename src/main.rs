//! The binary: installs the TLS provider, runs the command line, and turns its end into an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use platform::cli::{self, Exit};
use platform::settings::Environment;

/// Gives back what a survey needed; `.cargo/config.toml` says how soon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::report_panics();
    // Fails only when a provider is installed already, which then serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let environment = Environment::of_process();
    let run = || cli::run(std::env::args_os(), &environment);
    // The hook has reported the panic by then.
    let exit = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Bug);
    exit.into()
}

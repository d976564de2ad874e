//! Building the `platform` program.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};

use crate::{
    command,
    environment::{self, variable},
    interrupt::Interrupt,
};

/// Takes `platform` from `PLATFORM_BIN`, or builds it, and returns where it is.
///
/// # Errors
///
/// Fails when cargo does; it has said why.
pub fn build(interrupt: &Interrupt) -> Result<PathBuf> {
    if let Some(given) = variable("PLATFORM_BIN") {
        return Ok(given.into());
    }
    // `--workspace` and an example choose the features, so that tests and clippy share what is built.
    let mut cargo = environment::cargo();
    cargo
        .args(["build", "--quiet", "--workspace", "--bin", "platform"])
        .args(["--example", "challenge"])
        .stdin(Stdio::null());
    let code = command::run(&mut cargo, interrupt)?;
    ensure!(code == 0, "cargo could not build platform");
    let folder = environment::target_folder().context("find platform")?;
    Ok(folder.join("debug/platform"))
}

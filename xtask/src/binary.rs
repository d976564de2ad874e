//! Building the `platform` program.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};

use crate::{command, environment, interrupt::Interrupt};

/// Builds `platform` and returns where it is.
///
/// # Errors
///
/// Fails when cargo does; it has said why.
pub fn build(interrupt: &Interrupt) -> Result<PathBuf> {
    // `--workspace` chooses the features, so that tests and clippy share what is built.
    let mut cargo = environment::cargo();
    cargo
        .args(["build", "--quiet", "--workspace", "--bin", "platform"])
        .stdin(Stdio::null());
    let code = command::run(&mut cargo, interrupt)?;
    ensure!(code == 0, "cargo could not build platform");
    path()
}

/// Returns where cargo puts `platform`.
///
/// # Errors
///
/// Fails when the target folder is not known.
pub fn path() -> Result<PathBuf> {
    let folder = environment::target_folder().context("find platform")?;
    Ok(folder.join("debug/platform"))
}

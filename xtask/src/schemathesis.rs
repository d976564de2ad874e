//! Schemathesis, which asks the public routes what nobody thought of: the one on `PATH`, else one of our own in the
//! cache, put there with Python where it can be.

use std::{fs, path::Path, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    command,
    environment::{cache_folder, find_program, is_executable},
    interrupt::Interrupt,
    terminal::progress,
};

/// What is installed. Another version may know other checks.
const VERSION: &str = "4.32.5";

/// Returns where it is, installing it first if need be.
///
/// # Errors
///
/// Fails when it cannot be installed here; what needs it cannot be run then.
pub fn find(interrupt: &Interrupt) -> Result<PathBuf> {
    if let Some(program) = find_program("schemathesis") {
        return Ok(program);
    }
    let folder = cache_folder()?.join(format!("schemathesis-{VERSION}"));
    let program = folder.join("bin/schemathesis");
    if !is_executable(&program) {
        progress(format!("installing schemathesis {VERSION} (once)…"));
        install(&folder, interrupt).inspect_err(|_| {
            // What is there in part would be taken for the whole.
            fs::remove_dir_all(&folder).ok();
        })?;
    }
    Ok(program)
}

fn install(folder: &Path, interrupt: &Interrupt) -> Result<()> {
    let python = find_program("python3").context("python3 is not installed")?;
    let mut venv = Command::new(python);
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    let code = command::run(&mut venv, interrupt)?;
    ensure!(code == 0, "`python3 -m venv` failed; install python3-venv");
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--timeout=20", "--retries=1"])
        .arg(format!("schemathesis=={VERSION}"));
    let code = command::run(&mut pip, interrupt)?;
    ensure!(code == 0, "`pip install` failed");
    Ok(())
}

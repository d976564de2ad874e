//! What these commands read from the environment: variables, programs, places.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Returns a variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the environment of these commands"
)]
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the first executable file of this name on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Returns whether this is a file that may be executed.
pub fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Returns whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the folder of the repository these commands were built from.
pub fn repository() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Returns a command that runs cargo in the repository.
pub fn cargo() -> Command {
    let mut command = outside_cargo(variable("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository());
    command
}

/// Returns a command without the variables that `cargo run` gave this program.
///
/// Build scripts of dependencies look at them (that of ring does), so that a
/// cargo started from here would build anew what a cargo at the shell has built,
/// and the other way round.
#[expect(clippy::disallowed_methods, reason = "names only, to take them out")]
pub fn outside_cargo(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_cargo_run) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_cargo_run(name: &str) -> bool {
    name == "CARGO"
        || name == "CARGO_BIN_NAME"
        || name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
}

/// Returns cargo's target folder.
///
/// # Errors
///
/// Fails when the path of this program is not known.
pub fn target_folder() -> Result<PathBuf> {
    let own = env::current_exe().context("find the path of this program")?;
    // target/debug/xtask
    own.ancestors()
        .nth(2)
        .map(Path::to_owned)
        .with_context(|| format!("find the target folder above {}", own.display()))
}

/// Returns the per-user cache folder, `XDG_CACHE_HOME` or `~/.cache`.
///
/// # Errors
///
/// Fails when neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache_folder() -> Result<PathBuf> {
    let base = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("find a cache folder: set HOME or XDG_CACHE_HOME")?;
    Ok(base.join("platform-cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_cargo_stay_and_those_of_this_package_go() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO"] {
            assert!(is_of_cargo_run(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CI"] {
            assert!(!is_of_cargo_run(name), "{name}");
        }
    }
}

//! `cargo xtask check`: what a change must pass besides its tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    assets, binary, command,
    environment::{self, find_program, is_executable, repository, variable},
    interrupt::Interrupt,
    packages,
    terminal::{print, progress},
};

/// The last version that was tried here; its successors may refuse `deny.toml`.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Checks format, lints, dependencies, generated files, example and chart.
///
/// Every check runs, whatever the others say; a table at the end names each.
#[derive(Args)]
pub struct Arguments {}

/// How a check ended, when nothing was wrong.
enum Outcome {
    Passed,
    /// It could not run here, and why.
    Skipped(String),
}

struct Check {
    name: &'static str,
    run: fn(&Interrupt) -> Result<Outcome>,
}

const CHECKS: [Check; 6] = [
    Check {
        name: "format",
        run: check_format,
    },
    Check {
        name: "lints",
        run: check_lints,
    },
    Check {
        name: "dependencies",
        run: check_dependencies,
    },
    Check {
        name: "generated files",
        run: check_generated,
    },
    Check {
        name: "example",
        run: check_example,
    },
    Check {
        name: "chart",
        run: check_chart,
    },
];

/// Runs every check and returns 1 when one of them failed.
///
/// # Errors
///
/// Fails when interrupted, and when a needed package is missing.
pub fn run(_: &Arguments, interrupt: &Interrupt) -> Result<u8> {
    packages::ensure_basics()?;
    let mut lines = Vec::new();
    let mut code = 0;
    for check in &CHECKS {
        progress(format!("checking {}…", check.name));
        let outcome = (check.run)(interrupt);
        interrupt.check()?;
        if outcome.is_err() {
            code = 1;
        }
        lines.push(render_line(check.name, &outcome));
    }
    lines.iter().for_each(print);
    Ok(code)
}

fn render_line(name: &str, outcome: &Result<Outcome>) -> String {
    match outcome {
        Ok(Outcome::Passed) => format!("check {name} ... ok"),
        Ok(Outcome::Skipped(why)) => format!("check {name} ... skipped: {why}"),
        Err(error) => format!("check {name} ... FAILED: {error:#}"),
    }
}

fn check_format(interrupt: &Interrupt) -> Result<Outcome> {
    let mut cargo = environment::cargo();
    cargo.args(["fmt", "--all", "--check", "--", "-l"]);
    run_to_success(
        &mut cargo,
        "the files above, and cargo fmt --all",
        interrupt,
    )
}

fn check_lints(interrupt: &Interrupt) -> Result<Outcome> {
    let mut cargo = environment::cargo();
    cargo
        .args(["clippy", "--quiet", "--workspace", "--all-targets"])
        .args(["--", "-D", "warnings"]);
    run_to_success(&mut cargo, "the lints above", interrupt)
}

/// Advisories are left out: they need a database from the network, and change
/// under a commit that does not.
fn check_dependencies(interrupt: &Interrupt) -> Result<Outcome> {
    let Some(program) = find_or_install_cargo_deny(interrupt)? else {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed: cargo install --locked cargo-deny".into(),
        ));
    };
    let mut deny = environment::outside_cargo(program);
    deny.args(["--workspace", "check", "licenses", "bans", "sources"])
        .current_dir(repository());
    run_to_success(&mut deny, "deny.toml", interrupt)
}

/// Installs it on a continuous integration machine only: it takes some minutes,
/// which a person may prefer to spend otherwise.
fn find_or_install_cargo_deny(interrupt: &Interrupt) -> Result<Option<PathBuf>> {
    let folder = environment::cache_folder()?.join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
    let ours = folder.join("bin/cargo-deny");
    if is_executable(&ours) {
        return Ok(Some(ours));
    }
    if let Some(program) = find_program("cargo-deny") {
        return Ok(Some(program));
    }
    if variable("CI").is_none() {
        return Ok(None);
    }
    progress("installing cargo-deny (once, some minutes)…");
    let mut cargo = environment::cargo();
    cargo
        .args(["install", "--quiet", "--locked", "cargo-deny"])
        .args(["--version", CARGO_DENY_VERSION, "--root"])
        .arg(&folder);
    let code = command::run(&mut cargo, interrupt)?;
    ensure!(code == 0, "cargo could not install cargo-deny");
    Ok(Some(ours))
}

/// What `platform schema` prints, each with its committed copy.
const GENERATED: [(&[&str], &str); 7] = [
    (&["schema"], "schema/platform.schema.json"),
    (&["schema", "--plan"], "schema/plan.schema.json"),
    (&["schema", "--status"], "schema/status.schema.json"),
    (
        &["schema", "--notification"],
        "schema/notification.schema.json",
    ),
    (&["schema", "--history"], "schema/history.schema.json"),
    (&["schema", "--openapi"], "schema/openapi.json"),
    (&["schema", "--markdown"], "docs/platform-yaml.md"),
];

fn check_generated(interrupt: &Interrupt) -> Result<Outcome> {
    let platform = binary::build(interrupt)?;
    for (arguments, file) in GENERATED {
        let line = format!("platform {}", arguments.join(" "));
        let path = repository().join(file);
        let committed =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let output = Command::new(&platform)
            .args(arguments)
            .output()
            .with_context(|| format!("start {line}"))?;
        ensure!(output.status.success(), "{line} failed");
        ensure!(
            output.stdout == committed.as_bytes(),
            "the types have changed: {line} > {file}"
        );
    }
    Ok(Outcome::Passed)
}

fn check_example(interrupt: &Interrupt) -> Result<Outcome> {
    let mut platform = Command::new(binary::build(interrupt)?);
    platform
        .args(["check", "examples/platform.yaml"])
        .current_dir(repository());
    run_to_success(&mut platform, "examples/platform.yaml", interrupt)
}

/// Values that the chart is rendered with; the tests apply what comes out.
const RENDERED: [&[&str]; 3] = [
    &[],
    &[
        "controller.deployment.enabled=true",
        "controller.deployment.source=https://git.example/subnet.git",
    ],
    &[
        "admin.deployment.enabled=true",
        "weights.deployment.enabled=true",
        "controller.deployment.source=https://git.example/subnet.git",
    ],
];

fn check_chart(interrupt: &Interrupt) -> Result<Outcome> {
    let chart = Path::new("charts/platform");
    if !repository().join(chart).exists() {
        return Ok(Outcome::Skipped(format!("there is no {}", chart.display())));
    }
    let helm = assets::find_helm(interrupt)?;
    let mut lint = Command::new(&helm);
    lint.args(["lint", "--quiet", "--strict"])
        .arg(chart)
        .current_dir(repository());
    run_to_success(&mut lint, "helm lint", interrupt)?;
    for values in RENDERED {
        let mut template = Command::new(&helm);
        template.args(["template", "platform"]).arg(chart);
        for value in values {
            template.args(["--set", value]);
        }
        let output = template
            .current_dir(repository())
            .output()
            .context("start helm")?;
        ensure!(
            output.status.success(),
            "helm template with {values:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(Outcome::Passed)
}

fn run_to_success(command: &mut Command, what: &str, interrupt: &Interrupt) -> Result<Outcome> {
    let code = command::run(command, interrupt)?;
    ensure!(code == 0, "see {what} (exit code {code})");
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn line_says_what_came_out_and_why() {
        assert_eq!(render_line("a", &Ok(Outcome::Passed)), "check a ... ok");
        assert_eq!(
            render_line("b", &Ok(Outcome::Skipped("no c".into()))),
            "check b ... skipped: no c"
        );
        assert_eq!(
            render_line("d", &Err(anyhow!("inner").context("outer"))),
            "check d ... FAILED: outer: inner"
        );
    }
}

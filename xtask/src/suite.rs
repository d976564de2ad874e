//! What `test`, `soak` and `bench` have in common: built first, then run beside a control plane and a database.

use std::{ffi::OsString, process::Command};

use anyhow::Result;

use crate::{
    command,
    control_plane::Shape,
    environment,
    interrupt::Interrupt,
    packages,
    terminal::progress,
    world::{Postgresql, World},
};

/// Something that cargo builds and runs.
pub struct Suite<'a> {
    /// What is being built, for people.
    pub name: &'a str,
    /// The words after `cargo` that name it.
    pub cargo: &'a [&'a str],
    /// What it is given.
    pub arguments: Vec<String>,
    /// What it finds in its environment, beside where the world is.
    pub variables: Vec<(&'a str, OsString)>,
    /// The clusters it runs on.
    pub shape: Shape,
}

impl Suite<'_> {
    /// Builds and runs it, and returns the exit code of the build where that failed, else of the run.
    ///
    /// # Errors
    ///
    /// Fails when something cannot be built or started.
    pub fn run(self, interrupt: &Interrupt) -> Result<u8> {
        packages::ensure_basics()?;
        packages::ensure_for_tests()?;
        progress(format!("building {}…", self.name));
        // Before anything else is started: most failures are the compiler's.
        let code = command::run(self.cargo().args(["--no-run", "--quiet"]), interrupt)?;
        if code != 0 {
            return Ok(code);
        }
        progress("starting the control plane and PostgreSQL…");
        let mut world = World::start(&self.shape, Postgresql::Wanted, interrupt)?;
        let mut run = self.cargo();
        run.arg("--").args(&self.arguments);
        world.describe_to(&mut run)?;
        run.envs(self.variables);
        world.run(&mut run, interrupt)
    }

    fn cargo(&self) -> Command {
        let mut cargo = environment::cargo();
        cargo.args(self.cargo);
        cargo
    }
}

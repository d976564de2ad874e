//! What several verbs start before their own work: clusters and a database server.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    assets::Assets,
    command,
    control_plane::{ControlPlane, Shape},
    interrupt::Interrupt,
    packages,
    postgres::Postgres,
    scratch::Scratch,
    terminal::progress,
};

/// Running clusters, perhaps a database server, and where their files are.
///
/// The order of the fields is the order in which they end.
pub struct World {
    /// The clusters.
    pub control_plane: ControlPlane,
    /// The database server, where one was asked for.
    pub postgres: Option<Postgres>,
    /// The programs all this was started from.
    pub assets: Assets,
    /// Folder for whatever goes with the rest.
    pub scratch: Scratch,
}

/// Whether a database server is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Postgresql {
    /// Started or taken from `TEST_POSTGRES_URL`.
    Wanted,
    /// Not needed.
    Unwanted,
}

impl World {
    /// Installs, builds and starts what is missing, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails with what could not be installed, built or started, and the end of
    /// the log that says why.
    pub fn start(shape: &Shape, postgresql: Postgresql, interrupt: &Interrupt) -> Result<Self> {
        if postgresql == Postgresql::Wanted {
            packages::ensure_postgres()?;
        }
        let assets = Assets::find(interrupt)?;
        let scratch = Scratch::new()?;
        let control_plane = ControlPlane::start(&assets, shape, &scratch, interrupt)?;
        let postgres = match postgresql {
            Postgresql::Wanted => Some(Postgres::start(&scratch, interrupt)?),
            Postgresql::Unwanted => None,
        };
        Ok(Self {
            control_plane,
            postgres,
            assets,
            scratch,
        })
    }

    /// Runs a command in this world and returns its exit code.
    ///
    /// Says so if a program of the world has ended by itself meanwhile, which may
    /// be why the command failed.
    ///
    /// # Errors
    ///
    /// Fails when the command cannot be started.
    pub fn run(&mut self, command: &mut Command, interrupt: &Interrupt) -> Result<u8> {
        let code = command::run(command, interrupt)?;
        self.control_plane
            .find_endings()
            .into_iter()
            .chain(self.postgres.as_mut().and_then(Postgres::find_ending))
            .for_each(progress);
        Ok(code)
    }

    /// Puts what tests and benches need into the environment of a command, and
    /// takes out what could lead them to somebody's real cluster or database.
    ///
    /// # Errors
    ///
    /// Fails when there is no database server.
    pub fn describe_to(&self, command: &mut Command) -> Result<()> {
        let postgres = self
            .postgres
            .as_ref()
            .context("tests need a database server")?;
        let apiserver = self.control_plane.another_apiserver(&self.assets)?;
        command
            .env("PLATFORM_TEST_APISERVER", apiserver)
            .env("PLATFORM_TEST_KUBECONFIG", self.control_plane.kubeconfig())
            .env("PLATFORM_TEST_POSTGRES_URL", postgres.url())
            .env("PLATFORM_TEST_HELM", &self.assets.helm)
            .env("KUBECONFIG", "/dev/null")
            .env_remove("PLATFORM_DATABASE_URL")
            .env_remove("PLATFORM_SOURCE");
        Ok(())
    }
}

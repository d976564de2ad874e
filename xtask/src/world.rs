//! What several verbs start before their own work: clusters and a database server.

use anyhow::Result;

use crate::{
    assets::Assets,
    control_plane::{ControlPlane, Shape},
    interrupt::Interrupt,
    packages,
    postgres::Postgres,
    scratch::Scratch,
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
}

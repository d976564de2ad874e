//! Keeps the shelf as the database has it: each process that serves looks every few seconds for what another has
//! made.
//!
//! Which subnet is served, and under which name, is the declaration's to say. A process that has not read one yet goes
//! by what the last that did has kept, so that it serves the last good vector and the registry after a restart while
//! the source is away. It makes no vector by that: who takes part, and by which rules, it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::registered::Origin;
use super::shelf::{Copies, Declared, Served, Shelf};
use super::signature::SigningKey;
use super::{Rules, Subnet};
use crate::admin::registry::{self, Network};
use crate::edge::database::{Database, DatabaseError};
use crate::model::clock::{Clock, Moment};
use crate::model::network::KnownNetwork;
use crate::model::snapshot::{Snapshot, latest_believed};
use crate::model::{Emission, Row, RowKey, Scope, Slug, Told};

/// How often a process looks for what another has made.
const LOOK: Duration = Duration::from_secs(5);

/// The longest that rows are taken for unchanged because no pass was recorded.
const ROWS_FOR: Duration = Duration::from_secs(60);

/// How many vectors the history lists: somewhat more than three days of them.
const HISTORY: u32 = 800;

/// What the declaration says about weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The subnet.
    pub subnet: Subnet,
    /// The file that stands for the chain, where one does.
    pub metagraph_file: Option<PathBuf>,
    /// What applies to every challenge alike.
    pub rules: Rules,
    /// How the registry document names the network.
    pub network: Network,
    /// The challenges that are declared active, each with its relative share.
    pub active: BTreeMap<Slug, Emission>,
    /// The declaration: a commit, or the digest of the content.
    pub revision: String,
}

/// What serving works with.
#[derive(Clone)]
pub struct Serving {
    /// Where vectors are kept and challenges are registered.
    pub database: Arc<dyn Database>,
    /// Where vectors are served from.
    pub shelf: Arc<Shelf>,
    /// What they are signed with.
    pub key: Option<SigningKey>,
    /// What the declaration says; none before one was read.
    pub terms: watch::Receiver<Option<Terms>>,
    /// The clock.
    pub clock: Clock,
}

/// Why the shelf stays as it is.
#[derive(Debug, Error)]
pub enum ServingError {
    /// The database could not be read.
    #[error("the database failed")]
    Database(#[source] DatabaseError),
    /// What is kept is no vector.
    #[error("a vector that is kept cannot be read")]
    Vector(#[source] serde_json::Error),
    /// What makes its forms ended by itself.
    #[error("what makes a vector ready to be sent was ended")]
    Ended,
}

impl ServingError {
    /// Tells whether the database is away, so that another question would be in vain.
    fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => !matches!(error, DatabaseError::Unreadable { .. }),
            Self::Vector(_) | Self::Ended => false,
        }
    }
}

impl Terms {
    /// Returns what everything that is known of who is registered hangs on.
    #[must_use]
    pub fn origin(&self) -> Origin<'_> {
        (&self.subnet, self.metagraph_file.as_deref())
    }

    /// Returns what serving takes of it.
    fn network(&self) -> KnownNetwork {
        KnownNetwork {
            netuid: self.subnet.netuid,
            chain_endpoint: self.subnet.chain_endpoint.clone(),
            name: self.network.name.clone(),
            master_uid: self.network.master_uid,
        }
    }
}

impl Serving {
    /// Keeps the shelf as the database has it until told to stop.
    pub async fn serve(mut self, stop: CancellationToken) {
        let (mut seen, mut told) = (Seen::default(), Told::default());
        loop {
            let terms = self.terms.borrow_and_update().clone();
            let looked = self.look(terms.as_ref(), &mut seen).await;
            let now = self.clock.now().wall;
            self.shelf.change(|stock| {
                stock.is_database_away = looked.is_err();
                stock.is_signed = self.key.is_some();
                if matches!(looked, Ok(true)) {
                    stock.database_read_at = Some(now);
                }
            });
            if let (Ok(_), Some(terms)) = (&looked, &terms) {
                self.keep(terms.network(), &mut seen).await;
            }
            tell(looked.map(|_| ()), &mut told);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
                changed = self.terms.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Looks for what is new in the database; tells whether it is known of which subnet. A vector that cannot be read
    /// keeps nobody from the registry.
    async fn look(&self, terms: Option<&Terms>, seen: &mut Seen) -> Result<bool, ServingError> {
        let network = match terms {
            Some(terms) => Some(terms.network()),
            None => {
                let known = self.database.known_network().await;
                known.map_err(ServingError::Database)?
            }
        };
        let Some(network) = network else {
            return Ok(false);
        };
        let subnet = Subnet {
            netuid: network.netuid,
            chain_endpoint: network.chain_endpoint.clone(),
        };
        if self.shelf.turn_to(&subnet) {
            *seen = Seen::default();
        }
        let declared = match terms {
            Some(_) => Declared::Read,
            None => Declared::Known,
        };
        self.shelf.change(|stock| stock.declared = declared);
        let weights = self.look_at_weights(subnet.netuid, seen).await;
        if weights.as_ref().is_err_and(ServingError::is_away) {
            return weights.map(|()| true);
        }
        let named = Network {
            name: network.name,
            master_uid: network.master_uid,
        };
        let rows = self.look_at_rows(&named, terms, seen).await;
        weights.and(rows.map_err(ServingError::Database))?;
        Ok(true)
    }

    /// Keeps the network for those who start while the source is away. A database that takes nothing is no reason to
    /// serve nothing, so that is only told, and tried again.
    async fn keep(&self, network: KnownNetwork, seen: &mut Seen) {
        if seen.kept.as_ref() == Some(&network) {
            return;
        }
        let kept = self.database.keep_network(&network, self.clock.now().wall);
        match kept.await {
            Ok(()) => seen.kept = Some(network),
            Err(error) => tracing::debug!(%error, "which network it is could not be kept"),
        }
    }

    async fn look_at_weights(&self, netuid: u16, seen: &mut Seen) -> Result<(), ServingError> {
        let now = self.clock.now().wall;
        let taken = seen.taken.filter(|taken| *taken <= latest_believed(now));
        let after = self.shelf.stock().made_at(now).max(taken);
        let newest = self.database.newest_weights(netuid, after, now).await;
        if let Some(snapshot) = newest.map_err(ServingError::Database)? {
            // One that is of no use is not read again and again.
            seen.taken = Some(snapshot.summary.computed_at);
            self.put(&snapshot).await?;
        }
        let made_at = self.shelf.stock().made_at(now);
        if seen.history_of != Some(made_at) {
            let history = self.database.weights_history(netuid, HISTORY).await;
            let history = Arc::new(history.map_err(ServingError::Database)?);
            self.shelf.change(|stock| stock.history = history);
            seen.history_of = Some(made_at);
        }
        let outage = self.database.outage(netuid).await;
        let outage = outage.map_err(ServingError::Database)?;
        self.shelf
            .change(|stock| stock.take_outage(outage, made_at, now));
        Ok(())
    }

    /// Makes the registry document anew where a pass was recorded since, for only passes change rows.
    async fn look_at_rows(
        &self,
        network: &Network,
        terms: Option<&Terms>,
        seen: &mut Seen,
    ) -> Result<(), DatabaseError> {
        let now = self.clock.now();
        let newest = self.last_pass().await?;
        let is_recent = seen
            .rows_at
            .is_some_and(|read_at| now.since(read_at) < ROWS_FOR);
        if is_recent && seen.pass == newest && seen.network == *network {
            return Ok(());
        }
        let rows = self.database.rows(&Scope::All).await?;
        let is_first = self.shelf.stock().registry.is_none();
        if are_to_come(&rows, newest, terms, is_first) {
            return Ok(());
        }
        let document = registry::document(network, &rows);
        let document = serde_json::to_string(&document).expect("its keys are texts");
        let is_same = |served: &Arc<Served>| served.body == document.as_bytes();
        if !self.shelf.stock().registry.as_ref().is_some_and(is_same) {
            let served = Arc::new(Served::of(document, None));
            self.shelf.change(|stock| stock.registry = Some(served));
        }
        *seen = Seen {
            rows_at: Some(now),
            pass: newest,
            network: network.clone(),
            ..seen.clone()
        };
        Ok(())
    }

    /// Returns the number of the newest pass.
    ///
    /// # Errors
    /// The database did.
    pub async fn last_pass(&self) -> Result<Option<i64>, DatabaseError> {
        let passes = self.database.passes(1, None).await?;
        Ok(passes.first().map(|pass| pass.id))
    }

    /// Puts a vector on the shelf.
    ///
    /// # Errors
    /// It is none, or making its forms was ended.
    pub async fn put(&self, snapshot: &Snapshot) -> Result<(), ServingError> {
        let (snapshot, key) = (snapshot.clone(), self.key.clone());
        let copies = tokio::task::spawn_blocking(move || Copies::of(&snapshot, key.as_ref()));
        let copies = copies.await.map_err(|_| ServingError::Ended)?;
        let copies = copies.map_err(ServingError::Vector)?;
        self.shelf.put(copies, self.clock.now());
        Ok(())
    }
}

/// What was last seen in the database.
#[derive(Clone, Debug, Default)]
struct Seen {
    rows_at: Option<Moment>,
    pass: Option<i64>,
    network: Network,
    /// Which vector was taken from the database last.
    taken: Option<Timestamp>,
    /// Beside which vector of the shelf, if any, the history was read.
    history_of: Option<Option<Timestamp>>,
    /// The network as this process has kept it.
    kept: Option<KnownNetwork>,
}

/// Tells whether what is declared is still to be applied for the first time. Validators stop what the registry does not
/// list, so one that is not written yet is worse than none. Once a pass was recorded it is served though some challenge
/// has no row: that one may never get any, and is to hold up no other.
fn are_to_come(
    rows: &BTreeMap<RowKey, Row>,
    newest: Option<i64>,
    terms: Option<&Terms>,
    is_first: bool,
) -> bool {
    let is_empty = !rows.keys().any(|key| matches!(key, RowKey::Challenge(_)));
    let lacks = |slug: &Slug| !rows.contains_key(&RowKey::Challenge(slug.clone()));
    let mut active = terms.into_iter().flat_map(|terms| terms.active.keys());
    match newest {
        None => is_empty || active.any(lacks),
        Some(_) => is_first && is_empty && active.next().is_some(),
    }
}

fn tell(looked: Result<(), ServingError>, told: &mut Told) {
    match looked {
        Ok(()) => {
            if told.ends() {
                tracing::info!("weights and registry are read again");
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            if told.is_news(cause.as_deref().unwrap_or_default()) {
                tracing::warn!(%error, cause, "weights and registry are served as last read until they can be read again");
            }
        }
    }
}

//! What the verbs that plan have in common: the declaration, the connections, and a header that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::declaration::{self, Declaration};
use super::since::{Conditions, waits};
use super::{CliError, Context, Kind, nearest};
use crate::edge::cluster::ClusterWrite;
use crate::edge::cluster::client::{ConnectError, Credentials, KubeCluster};
use crate::edge::cluster::leases::Leases;
use crate::edge::database::{self, Database, Opened};
use crate::edge::git::is_address;
use crate::edge::images::HttpRegistry;
use crate::model::{ClusterName, CommitId, FenceToken, Scope, Slug};
use crate::reconcile::live::Why;
use crate::reconcile::live::watched::{Watchable, Watched};
use crate::reconcile::plan::Request;
use crate::reconcile::render::Header;
use crate::reconcile::{Edges, Planned, Registry, plan_source, source, status};

/// A declaration with the world it is about.
pub struct Session {
    /// What is declared.
    pub declaration: Declaration,
    /// The connections.
    pub edges: Edges,
    /// Source, cluster and database as shown above a plan.
    pub header: Header,
    /// The Leases of the local cluster.
    pub leases: Arc<dyn Leases>,
    /// Where the declaration is, as it was named.
    pub source: String,
    cluster: Arc<dyn Watchable>,
    only: BTreeSet<Slug>,
}

impl Session {
    /// Reads the declaration that the settings name and connects. Changes nothing.
    ///
    /// # Errors
    /// The declaration is refused, or a setting or the kubeconfig cannot be used. A database or cluster
    /// that does not answer is no error here: what depends on it is unknown in the plan.
    pub async fn open(context: &Context, only: &[Slug]) -> Result<Self, CliError> {
        Self::open_source(context, &context.settings.source, only).await
    }

    /// As [`Self::open`], with the declaration from `source`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_source(
        context: &Context,
        source: &str,
        only: &[Slug],
    ) -> Result<Self, CliError> {
        let last = last_applied(context, source).await?;
        let declaration = declaration::read_from(source, &context.settings, last.as_ref()).await?;
        for warning in &declaration.warnings {
            context.terminal.note(&warning.to_string());
        }
        let platform = &declaration.platform;
        let cluster = connect(context).await?;
        let registry = open_registry(context, platform.environment.enforces_policy()).await?;
        let header = Header {
            source: declaration.snapshot.origin.clone(),
            cluster: format!("{}/{}", cluster.name(), platform.namespace),
            database: context.settings.database_shown(),
            held_for: BTreeMap::new(),
        };
        let cluster = Arc::new(cluster);
        let leases: Arc<dyn Leases> = cluster.clone();
        let local: Arc<dyn ClusterWrite> = cluster.clone();
        let edges = Edges {
            clusters: BTreeMap::from([(ClusterName::Local, Ok(local))]),
            registry,
            images: Arc::new(HttpRegistry::new()),
            fence: None,
        };
        let only = only.iter().cloned().collect();
        Ok(Self {
            declaration,
            edges,
            header,
            leases,
            source: source.to_owned(),
            cluster,
            only,
        })
    }

    /// Plans one pass.
    ///
    /// # Errors
    /// A challenge that was asked for is neither declared nor there.
    pub async fn plan(&self) -> Result<Planned, CliError> {
        let planned = plan_source(&self.declaration.platform, &self.request(), &self.edges).await;
        for slug in &self.only {
            let is_live = || {
                planned.live.seen.keys().any(|key| match key {
                    crate::model::Key::Row(row) => row.slug() == Some(slug),
                    crate::model::Key::Object(_) => false,
                })
            };
            if !planned.desired.declared.contains(slug) && !is_live() {
                return Err(self.unknown(slug, &planned));
            }
        }
        Ok(planned)
    }

    /// Returns the error of a verb that was given a challenge of which nothing is known.
    #[must_use]
    pub fn unknown(&self, slug: &Slug, planned: &Planned) -> CliError {
        let known = status::challenges(&self.declaration.platform, planned, &Scope::All);
        nearest::unknown(slug, &known.keys().map(Slug::as_str).collect())
    }

    /// Notes in the header since when challenges are held, where a controller kept that.
    pub async fn note_held(&mut self, context: &Context, planned: &Planned) {
        let Registry::Ready(database) = &self.edges.registry else {
            return;
        };
        let challenges = status::challenges(&self.declaration.platform, planned, &Scope::All);
        if !challenges.values().any(|status| waits(status.condition)) {
            return;
        }
        let kept = database.conditions().await.unwrap_or_default();
        let deadline = context.settings.controller.rollout_deadline;
        let conditions = Conditions::find(&challenges, kept, planned, deadline, now());
        self.header.held_for = conditions.held_for(&challenges);
    }

    /// Returns what a plan of this session is asked for.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            revision: self.declaration.snapshot.revision.clone(),
            only: self.only.clone(),
            scope: Scope::All,
            now: now(),
        }
    }

    /// Returns whose turn to write was the newest, as far as the database can be read. Asked before a plan is
    /// made, it tells afterwards whether somebody wrote since.
    pub async fn newest_turn(&self) -> Option<FenceToken> {
        match &self.edges.registry {
            Registry::Ready(database) => database.fence().await.ok(),
            Registry::Absent | Registry::Unknown(_) => None,
        }
    }

    /// Makes the database ready for writing: a missing file is made, pending migrations are applied.
    ///
    /// # Errors
    /// It cannot be opened or migrated.
    pub async fn open_for_writing(&mut self, context: &Context) -> Result<(), CliError> {
        let production = self.declaration.platform.environment.enforces_policy();
        let url = context.settings.database_url(production)?;
        self.edges.registry = Registry::Ready(database::open_and_migrate(url).await?);
        Ok(())
    }

    /// Watches the local cluster from the next look on, so that looks after it send no lists.
    pub fn watch(&mut self) {
        let watched: Arc<dyn ClusterWrite> = Arc::new(Watched::new(self.cluster.clone()));
        self.edges.clusters.insert(ClusterName::Local, Ok(watched));
    }

    /// Closes the database, so that a file is left in order.
    pub async fn close(&self) {
        if let Registry::Ready(database) = &self.edges.registry {
            database.close().await;
        }
    }
}

/// The time. The library is given it as an argument.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Connects to the local cluster that the settings name; sends nothing yet.
///
/// # Errors
/// There is none, or its kubeconfig cannot be used.
pub async fn connect(context: &Context) -> Result<KubeCluster, CliError> {
    let credentials = match &context.settings.kubeconfig {
        Some(paths) => Credentials::Files(paths.clone()),
        None => Credentials::UsualPlaces {
            in_cluster: context.settings.in_cluster,
        },
    };
    KubeCluster::connect(&credentials, context.settings.call_limit)
        .await
        .map_err(|error| match error {
            ConnectError::Kubeconfig { .. } => CliError::of(Kind::Input, error)
                .hint("name a kubeconfig with KUBECONFIG or `kubernetes.kubeconfig`"),
            ConnectError::NoCluster => CliError::of(Kind::Dependency, error)
                .hint("set KUBECONFIG; `platform settings` shows what is in effect"),
            ConnectError::Client(_) => CliError::of(Kind::Dependency, error)
                .hint("check the certificates and the server's address in the kubeconfig"),
        })
}

/// Returns the commit applied last, where commits have to be signed from there on. Not knowing it is an error:
/// taking it for none would let unsigned commits pass.
async fn last_applied(context: &Context, source: &str) -> Result<Option<CommitId>, CliError> {
    if !context.settings.git.verifies || !is_address(source) {
        return Ok(None);
    }
    match open_registry(context, false).await? {
        Registry::Ready(database) => {
            let last = last_applied_in(database.as_ref()).await;
            database.close().await;
            last
        }
        Registry::Absent => Ok(None),
        Registry::Unknown(why) => Err(unknown_commit(&why.to_string())),
    }
}

/// Returns the commit that a registry says was applied last.
///
/// # Errors
/// It does not say.
pub async fn last_applied_in(database: &dyn Database) -> Result<Option<CommitId>, CliError> {
    let last = source::last_applied(database).await;
    last.map_err(|error| unknown_commit(&error.to_string()))
}

fn unknown_commit(why: &str) -> CliError {
    CliError::dependency(format!("the commit applied last is not known: {why}"))
        .hint("signatures are checked from there on, so nothing is read without it")
}

/// Opens the registry for reading: present, absent, or unknown.
async fn open_registry(context: &Context, production: bool) -> Result<Registry, CliError> {
    let url = context.settings.database_url(production)?;
    Ok(match database::open(url).await {
        Ok(Opened::Ready(database)) => Registry::Ready(database),
        Ok(Opened::Absent(_)) => Registry::Absent,
        Ok(Opened::NotMigrated(status)) if status.applied.is_empty() => Registry::Absent,
        Ok(Opened::NotMigrated(status)) => Registry::Unknown(Why(format!(
            "{} lacks migrations of this program; run `platform database migrate`",
            status.place
        ))),
        Err(error @ database::DatabaseError::Url { .. }) => return Err(error.into()),
        Err(error) => Registry::Unknown(Why(error.to_string())),
    })
}

/// Reads a small file that this program wrote.
///
/// # Errors
/// It is not there, too large, or no regular file.
pub fn read_saved(path: &Path) -> Result<Vec<u8>, CliError> {
    crate::edge::files::read_regular(path, 1 << 20, crate::edge::files::Links::Follow).map_err(
        |error| {
            CliError::input(format!("cannot read {}", path.display()))
                .because(error)
                .hint("name a file that `platform diff --save FILE` wrote")
        },
    )
}

/// Returns the directory-independent form of a source, so that a saved plan can be applied from elsewhere.
#[must_use]
pub fn absolute(source: &str) -> String {
    if is_address(source) {
        return source.to_owned();
    }
    std::path::absolute(source)
        .map_or_else(|_| source.to_owned(), |path| path.display().to_string())
}

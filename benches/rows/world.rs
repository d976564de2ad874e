//! The cluster that benches run on, and platforms of many challenges on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use platform::edge::cluster::ClusterWrite;
use platform::edge::cluster::client::{Credentials, KubeCluster};
use platform::edge::cluster::leases::Leases;
use platform::edge::database;
use platform::edge::images::HttpRegistry;
use platform::model::document::Document;
use platform::model::{ClusterName, Kind, ObjectKey, Scope, Secret};
use platform::reconcile::converge::{Converged, Patience, State, Told, converge};
use platform::reconcile::lease::turn::Turn;
use platform::reconcile::lease::{Clock, Lease, PASS};
use platform::reconcile::live::Readiness;
use platform::reconcile::live::reduce::reduce;
use platform::reconcile::live::watched::{Watchable, Watched as Remembering};
use platform::reconcile::plan::Request;
use platform::reconcile::{Cause, Edges, Planned, Registry, plan_source, source};
use platform::spec::{self, Platform};
use serde_json::json;

use super::watched::Watched;

/// The longest anything here may take: on two busy cores 2 000 StatefulSets take half an hour to become ready.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The longest call: a page of 500 objects from a busy server takes about a second.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// A cluster whose namespaces we may make and delete.
pub struct World {
    /// Its kubeconfig.
    pub kubeconfig: String,
    /// A connection as its admin.
    pub cluster: Arc<dyn Watchable>,
    leases: Arc<dyn Leases>,
    folder: tempfile::TempDir,
    namespaces: Vec<String>,
    built: BTreeMap<usize, Installation>,
}

/// A declaration with the database of what became of it.
#[derive(Clone)]
pub struct Installation {
    /// Its namespace.
    pub namespace: String,
    /// The file.
    pub declared: PathBuf,
    /// The database's URL.
    pub database: String,
    leases: Arc<dyn Leases>,
}

impl Installation {
    /// Reads and checks the declaration.
    pub fn platform(&self) -> Result<Platform> {
        check(&source::read_source(&self.declared.display().to_string())?.files)
    }
}

impl World {
    /// Connects to the cluster that `cargo xtask bench` starts.
    pub async fn connect() -> Result<Self> {
        let kubeconfig = variable("PLATFORM_TEST_KUBECONFIG")
            .context("PLATFORM_TEST_KUBECONFIG is not set: run `cargo xtask bench`")?;
        let credentials = Credentials::Files(kubeconfig.clone());
        let cluster = Arc::new(KubeCluster::connect(&credentials, CALL_LIMIT).await?);
        Ok(Self {
            kubeconfig,
            leases: cluster.clone(),
            cluster,
            folder: tempfile::tempdir().context("make a folder")?,
            namespaces: Vec::new(),
            built: BTreeMap::new(),
        })
    }

    /// Makes an empty namespace with a declaration of `n` challenges for it.
    pub async fn install(&mut self, n: usize) -> Result<Installation> {
        let number = self.namespaces.len();
        let namespace = format!("bench-{}-{number}", std::process::id());
        self.namespaces.push(namespace.clone());
        let manifest =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.cluster
            .create(&namespace_key(&namespace), &manifest)
            .await?;
        let path = |end: &str| self.folder.path().join(format!("{namespace}.{end}"));
        let installation = Installation {
            declared: path("yaml"),
            database: format!("sqlite:{}", path("db").display()),
            namespace,
            leases: self.leases.clone(),
        };
        std::fs::write(
            &installation.declared,
            declaration(&installation.namespace, n),
        )?;
        Ok(installation)
    }

    /// Returns an installation of `n` challenges to which nothing is left to do.
    pub async fn built(&mut self, n: usize) -> Result<Installation> {
        if let Some(installation) = self.built.get(&n) {
            return Ok(installation.clone());
        }
        eprintln!("  building {n} challenges…");
        let installation = self.install(n).await?;
        let cluster = Arc::new(Watched::new(self.cluster.clone()));
        let mut session = Session::open(&installation, cluster).await?;
        let planned = session.plan().await;
        session.carry_out(planned).await?;
        self.keep(n, installation.clone());
        Ok(installation)
    }

    /// Keeps an installation for the rows that look at one.
    pub fn keep(&mut self, n: usize, installation: Installation) {
        self.built.insert(n, installation);
    }

    /// Waits until every StatefulSet of a namespace is ready, so that their controllers no longer take
    /// part in the next measurement.
    pub async fn settle(&self, namespace: &str) -> Result<()> {
        let began = Instant::now();
        while self.count_unready(namespace).await? > 0 {
            if began.elapsed() > PATIENCE {
                bail!("{namespace} does not become ready");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    async fn count_unready(&self, namespace: &str) -> Result<usize> {
        let (mut unready, mut token) = (0, None::<String>);
        loop {
            let page = self
                .cluster
                .list(Kind::StatefulSet, namespace, &Scope::All, token.as_deref())
                .await?;
            let is_ready = |object: &Document| {
                reduce(Kind::StatefulSet, object.view()).readiness == Readiness::Ready
            };
            unready += page.items.iter().filter(|object| !is_ready(object)).count();
            token = page.next;
            if token.is_none() {
                return Ok(unready);
            }
        }
    }

    /// Deletes the namespaces that were made, as far as that is possible.
    pub async fn clean_up(&self) {
        for namespace in &self.namespaces {
            if let Err(error) = self.delete(namespace).await {
                eprintln!("namespace {namespace} is left behind: {error:#}");
            }
        }
    }

    async fn delete(&self, namespace: &str) -> Result<()> {
        let key = namespace_key(namespace);
        let object = self.cluster.get(&key).await?;
        let observed = reduce(Kind::Namespace, &object.context("it is not there")?);
        self.cluster
            .delete(&key, &observed.uid, &observed.version)
            .await?;
        Ok(())
    }
}

/// A declaration and the world it is about, as the command line opens them.
pub struct Session {
    /// What is declared.
    pub platform: Platform,
    /// What a plan is asked for.
    pub request: Request,
    /// The connection, watched.
    pub cluster: Arc<Watched>,
    edges: Edges,
    lease: Lease,
}

impl Session {
    /// Reads the declaration and opens the database.
    pub async fn open(installation: &Installation, cluster: Arc<Watched>) -> Result<Self> {
        let declared = installation.declared.display().to_string();
        let snapshot = source::read_source(&declared)?;
        let platform = check(&snapshot.files)?;
        let url = Secret::new(installation.database.clone());
        let local: Arc<dyn ClusterWrite> = cluster.clone();
        Ok(Self {
            platform,
            request: Request {
                revision: snapshot.revision,
                only: BTreeSet::new(),
                scope: Scope::All,
                now: jiff::Timestamp::now(),
            },
            cluster,
            edges: Edges {
                clusters: BTreeMap::from([(ClusterName::Local, Ok(local))]),
                registry: Registry::Ready(database::open_and_migrate(&url).await?),
                images: Arc::new(HttpRegistry::new()),
                fence: None,
            },
            lease: Lease::new(
                installation.leases.clone(),
                &installation.namespace,
                PASS,
                "bench",
                Clock::of_machine(jiff::Timestamp::now),
            ),
        })
    }

    /// Plans one pass.
    pub async fn plan(&self) -> Planned {
        plan_source(&self.platform, &self.request, &self.edges).await
    }

    /// Carries a plan out and goes on until everything is ready.
    pub async fn carry_out(&mut self, planned: Planned) -> Result<Converged> {
        let Registry::Ready(database) = &self.edges.registry else {
            bail!("the database is not open");
        };
        let turn = Turn::take(&self.lease, database, PATIENCE, &|_| {}).await?;
        self.edges.fence = Some(turn.fence());
        // As `platform apply` does.
        let remembering: Arc<dyn ClusterWrite> = Arc::new(Remembering::new(self.cluster.clone()));
        let local = ClusterName::Local;
        self.edges.clusters.insert(local, Ok(remembering));
        let cause = Cause {
            source: "bench",
            actor: "bench",
        };
        let patience = Patience {
            waits: true,
            deadline: tokio::time::Instant::now() + PATIENCE,
        };
        let told = Told {
            step: &|_, _| {},
            look: &|_| self.cluster.end_pass(),
            clock: &jiff::Timestamp::now,
        };
        let converged = converge(
            &self.platform,
            &self.request,
            &self.edges,
            planned,
            &cause,
            &patience,
            &told,
        )
        .await
        .map_err(|why| anyhow!("{why}"));
        turn.end().await;
        let converged = converged?;
        if converged.state != State::Converged {
            bail!("it ended {:?}", converged.state);
        }
        Ok(converged)
    }
}

/// Parses and checks files.
pub fn check(files: &[spec::SourceFile]) -> Result<Platform> {
    let refused = |problems: spec::Problems| anyhow!("{problems}");
    let written = spec::parse(files).map_err(refused)?;
    Ok(spec::check(&written).map_err(refused)?.platform)
}

/// Returns the slug of a challenge; all are of one length.
pub fn slug(number: usize) -> String {
    format!("bench-{number:05}")
}

/// Returns a declaration of challenges that each have a managed Postgres: eight objects.
pub fn declaration(namespace: &str, n: usize) -> String {
    let digest = "a".repeat(64);
    let mut text = format!(
        "api_version: platform.network/v1\nenvironment: development\nnamespace: {namespace}\n\
         safety: {{max_deleted_percent: 100, max_emission_change_points: 100}}\n\
         defaults: {{postgres: {{image: \"postgres:16-alpine@sha256:{digest}\"}}}}\nemissions:\n"
    );
    for slug in (0..n).map(slug) {
        text += &format!("  {slug}: 10\n");
    }
    text += "challenges:\n";
    for slug in (0..n).map(slug) {
        text += &format!(
            "  {slug}:\n    image: ghcr.io/platformnetwork/{slug}:1.0.0@sha256:{digest}\n    \
             status: active\n    resources: {{cpu: \"2\", memory: 4Gi}}\n    \
             env: {{LOG_LEVEL: info}}\n    metadata: {{tagline: One of many}}\n"
        );
    }
    text
}

/// Returns a variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench has no settings but what its starter hands on"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn namespace_key(name: &str) -> ObjectKey {
    ObjectKey {
        cluster: ClusterName::Local,
        kind: Kind::Namespace,
        namespace: String::new(),
        name: name.to_owned(),
    }
}

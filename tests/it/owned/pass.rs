//! Passes over one namespace, and edits by others in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use platform::edge::cluster::ClusterWrite;
use platform::edge::cluster::client::{Credentials, KubeCluster};
use platform::edge::cluster::leases::Leases;
use platform::edge::database;
use platform::edge::images::HttpRegistry;
use platform::model::{ClusterName, Key, Kind, Revision, Scope, Secret};
use platform::reconcile::apply::Outcome;
use platform::reconcile::lease::turn::Turn;
use platform::reconcile::lease::{Clock, Lease, PASS};
use platform::reconcile::live::Change;
use platform::reconcile::plan::{Action, Held, Plan, Request, Step};
use platform::reconcile::{Cause, Edges, Planned, Registry, Run, plan_source, run_plan};
use platform::spec::{Platform, SourceFile, check, parse};
use serde_json::{Value, json};

use crate::support::cluster::install_tls;
use crate::support::world::World;

/// Our field manager.
pub const US: &str = "platform-network";
/// A challenge with objects of every kind but Postgres' and an autoscaler.
pub const SMALL: &str = "database: sqlite";

/// What a call to a server on this machine may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A namespace, and passes over it.
pub struct Passes {
    pub world: World,
    pub edges: Edges,
    leases: Arc<dyn Leases>,
}

impl Passes {
    pub async fn new() -> Self {
        install_tls();
        let world = World::new().await;
        let file = world.path("kubeconfig").display().to_string();
        let credentials = Credentials::Files(file);
        let cluster = KubeCluster::connect(&credentials, CALL_LIMIT).await;
        let cluster = Arc::new(cluster.unwrap());
        let leases: Arc<dyn Leases> = cluster.clone();
        let cluster: Arc<dyn ClusterWrite> = cluster;
        let url = format!("sqlite:{}", world.path("registry.db").display());
        let database = database::open_and_migrate(&Secret::new(url)).await.unwrap();
        let edges = Edges {
            clusters: BTreeMap::from([(ClusterName::Local, Ok(cluster))]),
            registry: Registry::Ready(database),
            images: Arc::new(HttpRegistry::new()),
            fence: None,
        };
        Self {
            world,
            edges,
            leases,
        }
    }

    /// Takes the turn to write.
    pub async fn take_turn(&self) -> Turn {
        let Registry::Ready(database) = &self.edges.registry else {
            panic!("the registry is open");
        };
        let clock = Clock::of_machine(jiff::Timestamp::now);
        let namespace = &self.world.namespace;
        let lease = Lease::new(self.leases.clone(), namespace, PASS, "test", clock);
        let turn = Turn::take(&lease, database, CALL_LIMIT, &|_| {}).await;
        turn.unwrap()
    }

    /// Returns passes over a world where this one challenge is applied and settled.
    pub async fn settled(extra: &str) -> (Self, Platform) {
        let passes = Self::new().await;
        let platform = passes.declare(extra);
        passes.settle(&platform).await;
        (passes, platform)
    }

    /// Returns the declaration of the challenge `demo` with these lines.
    pub fn declare(&self, extra: &str) -> Platform {
        read(&self.world.yaml(&[("demo", extra)]))
    }

    pub async fn plan(&self, platform: &Platform) -> Planned {
        let request = Request {
            revision: Revision {
                digest: format!("sha256:{}", "0".repeat(64)),
                commit: None,
            },
            only: BTreeSet::new(),
            scope: Scope::All,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        plan_source(platform, &request, &self.edges).await
    }

    /// Carries out a plan; every step has to succeed.
    #[track_caller]
    pub fn run(&self, planned: Planned) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for outcome in self.try_run(&planned).await {
                if let Outcome::Failed(key, error) = outcome {
                    panic!("{caller}: {key}: {}", error.told());
                }
            }
        }
    }

    pub async fn try_run(&self, planned: &Planned) -> Vec<Outcome> {
        let cause = Cause {
            source: "test",
            actor: "test",
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let run = Run {
            cause: &cause,
            clock: &|| now,
            deadline: None,
            progress: &|_, _| {},
            permits: Arc::default(),
        };
        let turn = self.take_turn().await;
        let edges = Edges {
            fence: Some(turn.fence()),
            ..self.edges.clone()
        };
        let outcomes = run_plan(planned, &edges, &run).await;
        turn.end().await;
        outcomes.unwrap()
    }

    /// Repeats passes until nothing is to be done and nothing waits, and returns the last.
    pub async fn settle(&self, platform: &Platform) -> Planned {
        for _ in 0..200 {
            let planned = self.plan(platform).await;
            let waits = planned
                .plan
                .held
                .iter()
                .any(|held| matches!(held, Held::Waits { .. }));
            if planned.plan.steps.is_empty() {
                if !waits {
                    return planned;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            self.run(planned).await;
        }
        panic!("it does not settle: {:#?}", self.plan(platform).await.plan);
    }

    /// Returns the one step for an object of this kind; there must be no other step.
    pub async fn only_step(&self, platform: &Platform, kind: Kind) -> (Planned, Step) {
        let planned = self.plan(platform).await;
        assert_eq!(
            planned.plan.steps.len(),
            1,
            "{:#?}",
            (&planned.plan.steps, &planned.plan.held)
        );
        let step = planned.plan.steps[0].clone();
        assert_eq!(step.key.object().map(|key| key.kind), Some(kind));
        (planned, step)
    }

    /// Checks that a pass finds nothing to do, by lists alone.
    #[track_caller]
    pub fn expect_quiet(&self, platform: &Platform) -> impl Future<Output = Planned> {
        let caller = std::panic::Location::caller();
        async move {
            self.world.proxy.take_seen();
            let planned = self.plan(platform).await;
            assert!(
                planned.plan.is_empty(),
                "{caller}: {:#?}",
                (&planned.plan.steps, &planned.plan.held)
            );
            let seen = self.world.proxy.take_seen();
            assert!(
                seen.iter().all(|request| request.verb == "list"),
                "{caller}: {seen:?}"
            );
            planned
        }
    }

    pub async fn get(&self, resource: &str, name: &str) -> Value {
        self.world.get(resource, name).await.unwrap()
    }

    /// Changes an object as somebody who is not the pass: a merge patch under a manager's name.
    pub async fn edit(&self, resource: &str, name: &str, manager: &str, patch: Value) -> Value {
        self.send(resource, name, manager, "merge-patch+json", patch)
            .await
    }

    /// Changes an object by a JSON patch.
    pub async fn edit_json(
        &self,
        resource: &str,
        name: &str,
        manager: &str,
        patch: Value,
    ) -> Value {
        self.send(resource, name, manager, "json-patch+json", patch)
            .await
    }

    /// Applies a part of an object under a manager's name, forced.
    pub async fn apply(&self, resource: &str, name: &str, manager: &str, part: Value) -> Value {
        let whole = self.get(resource, name).await;
        let mut manifest = json!({"apiVersion": whole["apiVersion"], "kind": whole["kind"], "metadata": {"name": name}});
        merge(&mut manifest, part);
        let path = format!(
            "{}?fieldManager={manager}&force=true",
            self.world.api(resource, name)
        );
        let content = "application/apply-patch+yaml";
        let admin = &self.world.admin;
        admin
            .send_as("PATCH", &path, content, Some(manifest))
            .await
            .unwrap()
    }

    async fn send(
        &self,
        resource: &str,
        name: &str,
        by: &str,
        content: &str,
        body: Value,
    ) -> Value {
        let path = format!("{}?fieldManager={by}", self.world.api(resource, name));
        let content = format!("application/{content}");
        let admin = &self.world.admin;
        admin
            .send_as("PATCH", &path, &content, Some(body))
            .await
            .unwrap()
    }
}

/// Reads a declaration that has no problem.
pub fn read(yaml: &str) -> Platform {
    let files = [SourceFile::new("platform.yaml", yaml)];
    let parsed = parse(&files).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
    let checked = check(&parsed).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
    checked.platform
}

/// Merges JSON as a merge patch does.
pub fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (name, value) in part {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part,
    }
}

/// The changes of an update.
pub fn changes(step: &Step) -> &[Change] {
    match &step.action {
        Action::Update { changes, .. } => changes,
        other => panic!("no update: {other:?}"),
    }
}

/// The changed paths of an update.
pub fn paths(step: &Step) -> Vec<&str> {
    changes(step)
        .iter()
        .map(|change| change.path.as_str())
        .collect()
}

/// What is held of this kind.
pub fn held(plan: &Plan, kind: Kind) -> Vec<&Held> {
    let is_it = |held: &&Held| matches!(held.key(), Some(Key::Object(key)) if key.kind == kind);
    plan.held.iter().filter(is_it).collect()
}

/// An object without what the server keeps about it.
pub fn content(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for name in ["managedFields", "resourceVersion", "generation"] {
        metadata.remove(name);
    }
    object
}

/// The fields that a manager owns by this operation.
pub fn owned_by(object: &Value, manager: &str, operation: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let entry = entries.into_iter().flatten().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == operation
            && entry["subresource"].is_null()
    });
    entry.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

//! Looking at a cluster that is a list of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::observe::{observe, places};
use super::{Live, Why};
use crate::edge::cluster::{ClusterError, ClusterRead, Page};
use crate::model::{ClusterName, Component, Key, Kind, ObjectKey, Revision};
use crate::reconcile::desired::fixture::{challenge, platform};
use crate::reconcile::desired::{Desired, build_desired};
use crate::reconcile::plan::{Action, Held, Plan, Request, plan_pass};
use crate::reconcile::resolve::Facts;
use crate::spec::platform::{Challenge, Status};

/// A cluster in memory. Lists show what carries our labels.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<(Kind, String), Value>,
    dry_run_answer: Option<Value>,
    hangs: bool,
    asked: Mutex<Vec<String>>,
}

impl Cluster {
    fn with(mut self, kind: Kind, name: &str, mut object: Value) -> Self {
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(format!("uid-{name}"));
        object["metadata"]["resourceVersion"] = json!("1");
        self.objects.insert((kind, name.to_owned()), object);
        self
    }

    fn note(&self, verb: &str, kind: Kind, name: &str) {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{verb} {kind} {name}"));
    }

    fn asked(&self, verb: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let of_verb = asked.iter().filter(|line| line.starts_with(verb));
        of_verb.cloned().collect()
    }
}

#[async_trait]
impl ClusterRead for Cluster {
    async fn list(
        &self,
        kind: Kind,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let is_listed = |((of, _), object): &(&(Kind, String), &Value)| {
            *of == kind && !object["metadata"]["labels"].is_null()
        };
        let items = self.objects.iter().filter(is_listed);
        Ok(Page {
            items: items.map(|(_, object)| object.clone()).collect(),
            next: None,
        })
    }

    async fn list_pods(&self, _: &str, _: &str) -> Result<Vec<Value>, ClusterError> {
        Ok(Vec::new())
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        self.note("get", key.kind, &key.name);
        if key.kind == Kind::Namespace {
            return Ok(Some(json!({})));
        }
        Ok(self.objects.get(&(key.kind, key.name.clone())).cloned())
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.note("dry-run", key.kind, &key.name);
        if self.hangs {
            return Err(ClusterError::Timeout(20));
        }
        Ok(self
            .dry_run_answer
            .clone()
            .unwrap_or_else(|| manifest.clone()))
    }
}

fn labels(slug: &str, component: Component) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "platform-network",
        "platform.challenge.slug": slug,
        "platform.component": component.as_str(),
    })
}

fn key(kind: Kind, name: &str) -> Key {
    Key::Object(ObjectKey {
        cluster: ClusterName::Local,
        kind,
        namespace: "platform".to_owned(),
        name: name.to_owned(),
    })
}

fn desired(challenges: impl IntoIterator<Item = Challenge>) -> Desired {
    build_desired(&platform(challenges), &Facts::default())
}

async fn look(cluster: Cluster, desired: &Desired) -> (Live, Arc<Cluster>) {
    let cluster = Arc::new(cluster);
    let mut live = Live::default();
    let reader = |_: &ClusterName| -> Result<Arc<dyn ClusterRead>, Why> { Ok(cluster.clone()) };
    for place in places(desired, (&ClusterName::Local, "platform"), false, reader) {
        observe(&place, desired, &mut live).await;
    }
    (live, cluster)
}

#[tokio::test]
async fn answers_of_any_form_are_survived() {
    for answer in [json!([]), json!("x"), json!(null), json!({"metadata": 1})] {
        let labels = labels("demo", Component::Challenge);
        let cluster = Cluster {
            dry_run_answer: Some(answer),
            ..Cluster::default()
        };
        let cluster = cluster.with(
            Kind::Service,
            "challenge-demo",
            json!({"metadata": {"labels": labels}}),
        );
        let (live, _) = look(cluster, &desired([challenge("demo")])).await;
        assert!(live.partial.is_empty());
    }
}

fn plan(desired: &Desired, live: &Live) -> Plan {
    let request = Request {
        revision: Revision {
            digest: "sha256:0".to_owned(),
            commit: None,
        },
        only: BTreeSet::new(),
        now: Timestamp::UNIX_EPOCH,
    };
    plan_pass(&request, desired, live, &platform([]).safety)
}

const POSTGRES_SECRET: &str = "challenge-demo-postgres-secret";
const POSTGRES_CLAIM: &str = "challenge-demo-postgres-data-challenge-demo-postgres-0";

#[tokio::test]
async fn no_password_is_made_for_a_claim_that_lost_its_labels() {
    let desired = desired([challenge("demo")]);
    let cluster = Cluster::default().with(Kind::PersistentVolumeClaim, POSTGRES_CLAIM, json!({}));
    let (live, _) = look(cluster, &desired).await;
    let plan = plan(&desired, &live);
    let secret = key(Kind::Secret, POSTGRES_SECRET);
    assert!(plan.steps.iter().all(|step| step.key != secret));
    let held = plan.held.iter().find(|held| held.key() == Some(&secret));
    assert!(matches!(held, Some(Held::Refused { .. })), "{held:?}");
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
}

#[tokio::test]
async fn claims_are_looked_up_by_name_only_before_a_password_is_made() {
    let desired = desired([challenge("demo")]);
    let (live, cluster) = look(Cluster::default(), &desired).await;
    let claim = format!("get PersistentVolumeClaim {POSTGRES_CLAIM}");
    assert!(cluster.asked("get").contains(&claim));
    let secret = key(Kind::Secret, POSTGRES_SECRET);
    let plan = plan(&desired, &live);
    let step = plan.steps.iter().find(|step| step.key == secret).unwrap();
    assert!(matches!(step.action, Action::Create(_)));
}

#[tokio::test]
async fn stateful_set_that_would_take_its_claims_along_is_not_deleted() {
    let set = |policy: &str| {
        json!({
            "metadata": {"labels": labels("gone", Component::Challenge)},
            "spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy}},
        })
    };
    let name = "challenge-gone";
    for (policy, is_deleted) in [("Retain", true), ("Delete", false)] {
        let cluster = Cluster::default().with(Kind::StatefulSet, name, set(policy));
        let desired = desired([]);
        let (live, _) = look(cluster, &desired).await;
        let plan = plan(&desired, &live);
        let set = key(Kind::StatefulSet, name);
        assert_eq!(plan.steps.iter().any(|step| step.key == set), is_deleted);
        let is_told = |held: &Held| matches!(held, Held::Refused { key, .. } if *key == set);
        assert_eq!(plan.held.iter().any(is_told), !is_deleted);
    }
}

#[tokio::test]
async fn nothing_is_asked_about_what_a_draft_does_not_have() {
    let mut draft = challenge("demo");
    draft.status = Status::Draft;
    let desired = desired([draft]);
    let (live, cluster) = look(Cluster::default(), &desired).await;
    assert!(cluster.asked("dry-run").is_empty());
    assert_eq!(cluster.asked("get"), ["get Namespace platform"]);
    let plan = plan(&desired, &live);
    assert!(plan.steps.iter().all(|step| step.key.object().is_none()));
}

#[tokio::test]
async fn cluster_that_answers_no_dry_run_is_not_asked_for_each() {
    let names: Vec<String> = (0..30).map(|number| format!("demo-{number}")).collect();
    let desired = desired(names.iter().map(|name| challenge(name)));
    let cluster = Cluster {
        hangs: true,
        ..Cluster::default()
    };
    let (live, cluster) = look(cluster, &desired).await;
    assert!(cluster.asked("dry-run").len() < 3 * 16);
    let plan = plan(&desired, &live);
    assert!(plan.has_unknown());
    let made = plan.steps.iter().filter_map(|step| step.key.object());
    assert!(made.into_iter().all(|key| key.kind == Kind::Secret));
}

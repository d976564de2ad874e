//! Looking at a cluster that is a list of objects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::observe::{observe, places};
use super::{Depth, Live, Look, Seen, Why};
use crate::edge::cluster::{ClusterError, ClusterRead, Page};
use crate::model::{ClusterName, Component, Key, Kind, ObjectKey, Revision, Scope};
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
    /// What lists of Services answer, one after the other; as they are when there is nothing left.
    pages: Mutex<VecDeque<Result<Page, ClusterError>>>,
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
        _: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError> {
        if kind == Kind::Service
            && let Some(page) = self.pages.lock().unwrap().pop_front()
        {
            self.note("list", kind, from.unwrap_or("the start"));
            return page;
        }
        let is_listed = |((of, _), object): &(&(Kind, String), &Value)| {
            *of == kind && !object["metadata"]["labels"].is_null()
        };
        let items = self.objects.iter().filter(is_listed);
        Ok(Page {
            items: items.map(|(_, object)| object.into()).collect(),
            next: None,
        })
    }

    async fn list_pods(&self, _: &str, _: &Scope) -> Result<Vec<Value>, ClusterError> {
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
    let look = Look {
        namespace: "platform",
        scope: &Scope::All,
        depth: Depth::Full,
    };
    for place in places(desired, &ClusterName::Local, &look, false, reader) {
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
        scope: Scope::All,
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
async fn what_differs_is_asked_about_once_and_not_taken_for_missing() {
    let labels = labels("demo", Component::Challenge);
    let object = json!({"metadata": {"labels": labels}});
    let cluster = Cluster::default().with(Kind::Service, "challenge-demo", object);
    let (live, cluster) = look(cluster, &desired([challenge("demo")])).await;
    assert!(matches!(
        live.seen[&key(Kind::Service, "challenge-demo")],
        Seen::Object(_)
    ));
    let asked = cluster.asked("dry-run Service challenge-demo");
    let asked: Vec<_> = asked
        .iter()
        .filter(|line| line.ends_with("challenge-demo"))
        .collect();
    assert_eq!(asked.len(), 1);
    assert!(cluster.asked("get Service").is_empty());
}

/// A page with one Service of a challenge that is no longer declared.
fn page(slug: &str, next: Option<&str>) -> Result<Page, ClusterError> {
    let object = json!({"metadata": {
        "name": format!("challenge-{slug}"),
        "labels": labels(slug, Component::Challenge),
    }});
    Ok(Page {
        items: vec![(&object).into()],
        next: next.map(str::to_owned),
    })
}

async fn look_at_pages(
    pages: impl IntoIterator<Item = Result<Page, ClusterError>>,
) -> (Live, Vec<String>) {
    let cluster = Cluster {
        pages: Mutex::new(pages.into_iter().collect()),
        ..Cluster::default()
    };
    let (live, cluster) = look(cluster, &Desired::default()).await;
    (live, cluster.asked("list"))
}

fn services(live: &Live) -> Vec<String> {
    live.seen.keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let pages = [
        page("a", Some("t1")),
        page("b", Some("t2")),
        page("c", None),
    ];
    let (live, asked) = look_at_pages(pages).await;
    assert!(live.partial.is_empty());
    assert_eq!(
        asked,
        [
            "list Service the start",
            "list Service t1",
            "list Service t2"
        ]
    );
    assert_eq!(
        services(&live),
        [
            "Service challenge-a",
            "Service challenge-b",
            "Service challenge-c"
        ]
    );
}

#[tokio::test]
async fn a_list_that_expired_is_begun_anew_without_what_it_showed() {
    let pages = [
        page("gone", Some("t1")),
        Err(ClusterError::Gone),
        page("a", None),
    ];
    let (live, asked) = look_at_pages(pages).await;
    assert!(live.partial.is_empty());
    assert_eq!(asked[2], "list Service the start");
    assert_eq!(services(&live), ["Service challenge-a"]);
}

#[tokio::test]
async fn a_list_that_expires_again_and_again_is_partial() {
    let pages = (0..3).flat_map(|_| [page("a", Some("t1")), Err(ClusterError::Gone)]);
    let (live, asked) = look_at_pages(pages).await;
    assert_eq!(asked.len(), 6);
    let why = &live.partial[&(ClusterName::Local, Kind::Service)];
    assert_eq!(why.0, "Service list: the list has expired");
}

#[tokio::test]
async fn a_list_that_breaks_off_is_partial_and_keeps_what_it_showed() {
    let broken = Err(ClusterError::Unreachable("cut".to_owned()));
    let (live, _) = look_at_pages([page("a", Some("t1")), broken]).await;
    assert_eq!(services(&live), ["Service challenge-a"]);
    assert_eq!(live.partial.len(), 1);
}

#[tokio::test]
async fn a_list_without_an_end_is_partial() {
    let pages = (0..1000).map(|_| page("a", Some("t")));
    let (live, asked) = look_at_pages(pages).await;
    assert_eq!(asked.len(), 1000);
    assert_eq!(live.partial.len(), 1);
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

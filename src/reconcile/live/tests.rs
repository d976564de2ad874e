//! Looking at a cluster that is a list of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::observe::{observe, places};
use super::{Live, Seen, Verdict, Why};
use crate::edge::cluster::{ClusterError, ClusterRead, Page};
use crate::model::{ClusterName, Component, Key, Kind, ObjectKey};
use crate::reconcile::desired::fixture::{challenge, platform};
use crate::reconcile::desired::{Desired, build_desired};
use crate::reconcile::resolve::Facts;
use crate::spec::platform::{Challenge, Status};

/// A cluster in memory. Lists show what carries our labels.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<(Kind, String), Value>,
    dry_run_answer: Option<Value>,
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

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        self.note("get", key.kind, &key.name);
        if key.kind == Kind::Namespace {
            return Ok(Some(json!({})));
        }
        Ok(self.objects.get(&(key.kind, key.name.clone())).cloned())
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.note("dry-run", key.kind, &key.name);
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

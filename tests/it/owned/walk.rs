//! A random walk: wants that change, and others who edit every kind of object we write.
//!
//! Two things hold at every step. Where the comparison says "equal", an apply would change no content; and
//! after our passes everything is equal. A failure prints the seed that repeats it.

mod edits;
mod wants;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use platform::edge::cluster::ClusterWrite;
use platform::model::document::Document;
use platform::model::{ClusterName, Item, Key, Kind, ObjectKey, Scope};
use platform::reconcile::Planned;
use platform::reconcile::apply::Outcome;
use platform::reconcile::live::owned::{Comparison, compare};
use platform::reconcile::plan::{Action, Held, Step};
use platform::spec::Platform;
use serde_json::Value;

use self::edits::Editor;
use self::wants::Wants;
use super::pass::{Passes, US, content, read};
use crate::support::dice::{Dice, number};
use crate::support::world::is_soak;

/// Comparisons in the short form, and in the long one.
const COMPARISONS: [usize; 2] = [300, 10_000];
/// The kinds that a pass keeps as they are wanted.
const KINDS: [Kind; 5] = [
    Kind::Service,
    Kind::NetworkPolicy,
    Kind::StatefulSet,
    Kind::Deployment,
    Kind::HorizontalPodAutoscaler,
];
/// Writing passes after which a world without edits has to be settled.
const MOST_PASSES: usize = 8;
/// How long pods may take to be ready meanwhile.
const LONGEST: Duration = Duration::from_secs(120);

/// How often each answer came.
#[derive(Debug, Default)]
struct Seen {
    equal: usize,
    different: usize,
    other: usize,
}

/// A walk and the diary of its edits.
struct Walk {
    passes: Passes,
    cluster: Arc<dyn ClusterWrite>,
    seed: usize,
    diary: Vec<String>,
    seen: Seen,
}

impl Walk {
    fn fail(&self, why: &str) -> ! {
        let last = self.diary.len().saturating_sub(40);
        panic!(
            "{why}\nPLATFORM_WALK_SEED={} repeats it; the last edits:\n{}",
            self.seed,
            self.diary[last..].join("\n")
        );
    }

    /// Returns the objects that a pass wants, each with its want, as they are now; none for those not there.
    async fn objects(&self, planned: &Planned) -> Vec<(ObjectKey, Value, Value)> {
        let namespace = &self.passes.world.namespace;
        let mut live = BTreeMap::new();
        for kind in KINDS {
            let page = self
                .cluster
                .list(kind, namespace, &Scope::All, None)
                .await
                .unwrap();
            for object in page.items.iter().map(Document::to_value) {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                live.insert((kind, name), object);
            }
        }
        let wanted = planned.desired.items.iter();
        wanted
            .filter_map(|(key, wanted)| match (key, &wanted.item) {
                (Key::Object(key), Item::Object(object)) => {
                    let live = live.remove(&(key.kind, key.name.clone()))?;
                    Some((key.clone(), object.manifest.to_value(), live))
                }
                _ => None,
            })
            .collect()
    }

    /// Checks that "equal" is true of every object, after edits.
    async fn check_equal_is_true(&mut self, planned: &Planned) {
        for (key, want, live) in self.objects(planned).await {
            match compare(&want, &live, US) {
                Comparison::Equal => self.seen.equal += 1,
                Comparison::Different(_) => {
                    self.seen.different += 1;
                    continue;
                }
                _ => {
                    self.seen.other += 1;
                    continue;
                }
            }
            let stored = match self.cluster.dry_run(&key, &want).await {
                Ok(stored) => stored,
                Err(error) => self.fail(&format!("{key} is equal and its dry run says: {error}")),
            };
            let (before, after) = (tidy(&live), tidy(&stored));
            if before == after {
                continue;
            }
            // A controller may have changed it in between, as an autoscaler changes replicas.
            let now = self.cluster.get(&key).await.unwrap();
            if now.is_some_and(|now| tidy(&now) == before) {
                self.fail(&format!(
                    "{key} is equal and an apply changes it\nbefore {before}\nafter  {after}"
                ));
            }
        }
    }

    /// Runs passes until nothing is left, checks that everything is equal then, and returns the objects.
    async fn settle(&mut self, platform: &Platform) -> Vec<(ObjectKey, Value, Value)> {
        let mut told = Vec::new();
        let mut passes = 0;
        let began = std::time::Instant::now();
        while passes < MOST_PASSES && began.elapsed() < LONGEST {
            let planned = self.passes.plan(platform).await;
            let waits = |held: &Held| matches!(held, Held::Waits { .. });
            let is_waiting = planned.plan.held.iter().any(waits);
            if planned.plan.steps.is_empty() && !is_waiting {
                if !planned.plan.is_empty() {
                    self.fail(&format!("it is stuck: {:#?}", planned.plan.held));
                }
                return self.check_all_equal(&planned).await;
            }
            if planned.plan.steps.is_empty() {
                told.push(format!("{:?}", planned.plan.held));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            passes += 1;
            told.extend(planned.plan.steps.iter().map(shown));
            for outcome in self.passes.try_run(&planned).await {
                if let Outcome::Failed(key, error) = outcome {
                    told.push(format!("{key}: {}", error.told()));
                }
            }
        }
        told.dedup();
        self.fail(&format!("it does not settle:\n{}", told.join("\n")));
    }

    async fn check_all_equal(&self, planned: &Planned) -> Vec<(ObjectKey, Value, Value)> {
        let objects = self.objects(planned).await;
        for (key, want, live) in &objects {
            let comparison = compare(want, live, US);
            if comparison != Comparison::Equal {
                self.fail(&format!("{key} after our passes: {comparison:#?}"));
            }
        }
        objects
    }
}

fn shown(step: &Step) -> String {
    match &step.action {
        Action::Update {
            before, changes, ..
        } => {
            let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
            let reasons = before.as_ref().map(|repair| &repair.reasons);
            format!("update {} {paths:?} {reasons:?}", step.key)
        }
        Action::Create(_) => format!("create {}", step.key),
        Action::Delete { .. } => format!("delete {}", step.key),
    }
}

/// Content without what controllers write beside it.
fn tidy(object: &Value) -> Value {
    let mut object = content(object);
    // Items of a list have neither.
    object
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name != "kind" && name != "apiVersion");
    let annotations = object.pointer_mut("/metadata/annotations");
    if let Some(Value::Object(annotations)) = annotations {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    object
}

#[tokio::test]
#[ignore = "needs a cluster"]
#[expect(
    clippy::print_stderr,
    reason = "how far it walked, for who runs a long one"
)]
async fn equal_is_never_wrong_and_passes_settle_whatever_others_do() {
    let seed = number("PLATFORM_WALK_SEED", 1);
    let comparisons = number(
        "PLATFORM_WALK_COMPARISONS",
        COMPARISONS[usize::from(is_soak())],
    );
    let mut dice = Dice::new(seed);
    let passes = Passes::new().await;
    let cluster = passes.edges.clusters[&ClusterName::Local].clone().unwrap();
    let mut walk = Walk {
        passes,
        cluster,
        seed,
        diary: Vec::new(),
        seen: Seen::default(),
    };
    let mut wants = Wants::new();
    let mut objects = walk.settle(&read(&wants.yaml(&walk.passes.world))).await;
    let mut round = 0;
    while walk.seen.equal + walk.seen.different + walk.seen.other < comparisons {
        round += 1;
        walk.diary.push(format!("round {round}"));
        if dice.chance(60) {
            let told = wants.change(&mut dice);
            walk.diary.push(told);
        }
        for _ in 0..1 + dice.below(4) {
            let (key, want, _) = dice.pick(&objects);
            let editor = Editor::new(&walk.passes, key, want);
            let told = editor.edit(&mut dice).await;
            walk.diary.push(format!("{key}: {told}"));
        }
        let platform = read(&wants.yaml(&walk.passes.world));
        let planned = walk.passes.plan(&platform).await;
        walk.check_equal_is_true(&planned).await;
        objects = walk.settle(&platform).await;
    }
    eprintln!("{round} rounds, {:?}", walk.seen);
}

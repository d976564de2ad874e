//! Row 7: what planning costs beside the answers it waits for: parse, check, build, compare, decide.
//!
//! The objects are those of a real API server, as it lists them: one challenge's, repeated under other names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use platform::edge::cluster::{ClusterError, ClusterRead, ClusterWrite, Page};
use platform::model::document::{Document, Json};
use platform::model::{
    ClusterName, FIELD_MANAGER, Item, Key, Kind, ObjectKey, Row, RowKey, Scope, names,
};
use platform::reconcile::desired::{Desired, build_desired};
use platform::reconcile::live::{Depth, Live, Look, Seen, see_live};
use platform::reconcile::plan::{Plan, Request, plan_pass};
use platform::reconcile::resolve::Facts;
use platform::spec::{self, Problems, SourceFile};
use serde_json::{Value, json};

use super::SIZES;
use super::report::{Goal, Reading, Report, median, millis};
use super::world::{World, declaration, slug};

/// Rounds of which the middle one counts.
const ROUNDS: usize = 7;
/// What planning of the largest size may take.
const MOST: f64 = 100.0;
/// What is linear within what one run can tell.
const LINEAR: f64 = 1.1;
/// The steps in their order.
const STEPS: [&str; 5] = ["parse", "check", "desired", "compare", "plan"];

type Rows = BTreeMap<RowKey, Row>;

/// Measures the row.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    let sample = Sample::take(world).await?;
    let mut costs = Vec::new();
    for n in SIZES {
        let file = SourceFile::new("platform.yaml", declaration(&sample.namespace, n));
        let objects = sample.repeat(n)?;
        let rows = rows_of(&file, &objects).await?;
        let mut rounds: Vec<[Duration; 5]> = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(plan_once(&file, objects.clone(), rows.clone()).await?);
        }
        let total = median(
            rounds
                .iter()
                .map(|steps| millis(steps.iter().sum()))
                .collect(),
        );
        costs.push((n, total));
        let reading = Reading::new(7, "planning", n, (total, "ms"));
        report.add(match SIZES.last() {
            Some(&last) if last == n => reading.goal(Goal::AtMost(MOST)),
            _ => reading,
        });
        for (index, step) in STEPS.into_iter().enumerate() {
            let took = median(rounds.iter().map(|steps| millis(steps[index])).collect());
            report.add(Reading::new(
                7,
                format!("planning, {step}"),
                n,
                (took, "ms"),
            ));
        }
    }
    report.add_growth(7, "planning", &costs, Some(Goal::AtMost(LINEAR)));
    Ok(())
}

/// One challenge's objects as the server lists them.
struct Sample {
    namespace: String,
    text: BTreeMap<Kind, Vec<String>>,
}

impl Sample {
    async fn take(world: &mut World) -> Result<Self> {
        let installation = world.built(SIZES[0]).await?;
        let mut text = BTreeMap::new();
        for kind in Kind::ALL.into_iter().filter(|kind| is_listed(*kind)) {
            let page = world
                .cluster
                .list(kind, &installation.namespace, &Scope::All, None);
            let is_sample = |item: &&Document| {
                let label = ["metadata", "labels", "platform.challenge.slug"];
                let label = item.view().at(&label).and_then(Json::text);
                label == Some(slug(0).as_str())
            };
            let page = page.await?;
            let items = page.items.iter().filter(is_sample);
            text.insert(
                kind,
                items.map(|item| item.to_value().to_string()).collect(),
            );
        }
        Ok(Self {
            namespace: installation.namespace,
            text,
        })
    }

    fn repeat(&self, n: usize) -> Result<BTreeMap<Kind, Vec<Document>>> {
        let mut objects: BTreeMap<Kind, Vec<Document>> = BTreeMap::new();
        for (kind, texts) in &self.text {
            for (number, text) in (0..n).flat_map(|number| texts.iter().map(move |t| (number, t))) {
                let object = serde_json::from_str(&text.replace(&slug(0), &slug(number)))?;
                objects.entry(*kind).or_default().push(object);
            }
        }
        let all = serde_json::from_str(&self.all_tokens(n)?.to_string())?;
        objects.entry(Kind::Secret).or_default().push(all);
        Ok(objects)
    }

    /// Returns the Secret with the tokens of all challenges; here they all have the same.
    fn all_tokens(&self, n: usize) -> Result<Value> {
        let secrets = self.text.get(&Kind::Secret).into_iter().flatten();
        let mut tokens = secrets.filter_map(|text| {
            let secret: Value = serde_json::from_str(text).ok()?;
            Some(secret["data"]["challenge_token"].as_str()?.to_owned())
        });
        let token = tokens.next_back().context("the sample has no token")?;
        let data: BTreeMap<String, &str> = (0..n)
            .map(|number| (slug(number), token.as_str()))
            .collect();
        Ok(json!({
            "metadata": {
                "name": names::CHALLENGE_TOKENS, "uid": "all", "resourceVersion": "1",
                "labels": {
                    "app.kubernetes.io/managed-by": FIELD_MANAGER,
                    "platform.component": "challenge-tokens",
                },
            },
            "data": data,
        }))
    }
}

fn is_listed(kind: Kind) -> bool {
    !matches!(kind, Kind::Namespace | Kind::ScaledObject)
}

/// Returns the registry as it is when nothing is left to do.
async fn rows_of(file: &SourceFile, objects: &BTreeMap<Kind, Vec<Document>>) -> Result<Rows> {
    let platform = super::world::check(std::slice::from_ref(file))?;
    let desired = build_desired(&platform, &Facts::default());
    let live = look(&desired, &platform.namespace, objects.clone(), Rows::new()).await;
    let mut rows = Rows::new();
    for (key, wanted) in &desired.items {
        let Key::Row(key) = key else { continue };
        if let Item::Row(row) = &wanted.item {
            rows.insert(key.clone(), row.clone());
        }
    }
    for seen in live.seen.into_values() {
        let Seen::Object(observed) = seen else {
            continue;
        };
        let tokens = observed.contents.and_then(|contents| contents.tokens);
        let slug = observed.owner.and_then(|owner| owner.slug);
        if let (Some(slug), Some(row)) = (slug, tokens) {
            rows.insert(RowKey::Tokens(slug), row);
        }
    }
    Ok(rows)
}

/// Plans once and returns what each step took.
async fn plan_once(
    file: &SourceFile,
    objects: BTreeMap<Kind, Vec<Document>>,
    rows: Rows,
) -> Result<[Duration; 5]> {
    let refused = |problems: Problems| anyhow::anyhow!("{problems}");
    let mut clock = Clock::start()?;
    let written = spec::parse(std::slice::from_ref(file)).map_err(refused)?;
    clock.lap()?;
    let checked = spec::check(&written).map_err(refused)?;
    clock.lap()?;
    let platform = checked.platform;
    let desired = build_desired(&platform, &Facts::default());
    clock.lap()?;
    let live = look(&desired, &platform.namespace, objects, rows).await;
    clock.lap()?;
    let request = Request {
        revision: platform::model::Revision {
            digest: String::new(),
            commit: None,
        },
        only: std::collections::BTreeSet::new(),
        scope: Scope::All,
        now: jiff::Timestamp::now(),
    };
    let plan = plan_pass(&request, &desired, &live, &platform.safety);
    clock.lap()?;
    check_empty(&plan)?;
    clock.laps.try_into().ok().context("five steps were timed")
}

fn check_empty(plan: &Plan) -> Result<()> {
    let first = plan.steps.first().map(|step| step.key.to_string());
    ensure!(
        plan.is_empty(),
        "{} steps, {} held: {first:?}",
        plan.steps.len(),
        plan.held.len()
    );
    ensure!(plan.unchanged > 0, "nothing was compared");
    Ok(())
}

async fn look(
    desired: &Desired,
    namespace: &str,
    objects: BTreeMap<Kind, Vec<Document>>,
    rows: Rows,
) -> Live {
    let memory: Arc<dyn ClusterWrite> = Arc::new(Memory(Mutex::new(objects)));
    let clusters = BTreeMap::from([(ClusterName::Local, Ok(memory))]);
    see_live(
        desired,
        &Look {
            namespace,
            scope: &Scope::All,
            depth: Depth::Full,
        },
        &clusters,
        Ok(rows),
    )
    .await
}

/// Time that this thread had a processor: planning waits for nothing, and what else runs on the machine
/// takes no part.
struct Clock {
    last: Duration,
    laps: Vec<Duration>,
}

impl Clock {
    fn start() -> Result<Self> {
        Ok(Self {
            last: processor_time()?,
            laps: Vec::new(),
        })
    }

    fn lap(&mut self) -> Result<()> {
        let now = processor_time()?;
        self.laps.push(now.saturating_sub(self.last));
        self.last = now;
        Ok(())
    }
}

fn processor_time() -> Result<Duration> {
    // The scheduler counts a thread's time when it takes the processor away, and else at its ticks.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().context("it is empty")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// A cluster in memory that gives its objects away: a list costs nothing.
struct Memory(Mutex<BTreeMap<Kind, Vec<Document>>>);

#[async_trait]
impl ClusterRead for Memory {
    async fn list(
        &self,
        kind: Kind,
        _: &str,
        _: &Scope,
        _: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Page {
            items: objects.remove(&kind).unwrap_or_default(),
            next: None,
        })
    }

    async fn list_pods(&self, _: &str, _: &Scope) -> Result<Vec<Value>, ClusterError> {
        Err(unexpected())
    }

    async fn get(&self, _: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        Err(unexpected())
    }

    async fn dry_run(&self, _: &ObjectKey, _: &Value) -> Result<Value, ClusterError> {
        Err(unexpected())
    }
}

#[async_trait]
impl ClusterWrite for Memory {
    async fn apply(&self, _: &ObjectKey, _: &Value, _: bool) -> Result<Value, ClusterError> {
        Err(unexpected())
    }

    async fn patch_json(&self, _: &ObjectKey, _: &[Value], _: &str) -> Result<Value, ClusterError> {
        Err(unexpected())
    }

    async fn create(&self, _: &ObjectKey, _: &Value) -> Result<Value, ClusterError> {
        Err(unexpected())
    }

    async fn delete(&self, _: &ObjectKey, _: &str, _: &str) -> Result<(), ClusterError> {
        Err(unexpected())
    }
}

fn unexpected() -> ClusterError {
    ClusterError::Unreachable("this cluster only lists".to_owned())
}

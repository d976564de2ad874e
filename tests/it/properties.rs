//! What holds for any two declarations: what a plan shows is what an apply writes, and nothing else.

mod declared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use platform::model::{Item, Key, ObjectKey, Row, RowKey, Scope};
use platform::reconcile::apply::Outcome;
use platform::reconcile::plan::{Action, Held, Step};
use platform::reconcile::{Planned, Registry};
use platform::spec::Platform;

use self::declared::Declared;
use crate::owned::pass::{Passes, read};
use crate::support::dice::{Dice, number};
use crate::support::proxy::Seen;
use crate::support::world::is_soak;

/// Pairs in the short form, and in the long one.
const PAIRS: [usize; 2] = [24, 1000];
/// Pairs under way at once.
const SIDE_BY_SIDE: usize = 4;
/// How long pods may take to be ready.
const LONGEST: Duration = Duration::from_secs(120);
/// What says whose turn it is to write; no part of a plan.
const TURN: &str = "leases";
/// Verbs that write nothing.
const READS: [&str; 4] = ["list", "watch", "get", "dry-run"];

/// One pair of declarations in a world of its own.
struct Pair {
    passes: Passes,
    seed: usize,
    told: Vec<String>,
}

impl Pair {
    fn fail(&self, why: &str) -> ! {
        let told = self.told.join("\n");
        panic!(
            "{why}\nPLATFORM_PAIR_SEED={} PLATFORM_PAIRS=1 repeats it; what was done:\n{told}",
            self.seed
        );
    }

    fn assert(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(&why());
        }
    }

    async fn rows(&self) -> BTreeMap<RowKey, Row> {
        let Registry::Ready(database) = &self.passes.edges.registry else {
            self.fail("there is no registry");
        };
        database.rows(&Scope::All).await.unwrap()
    }

    /// Plans, which writes nothing.
    async fn plan(&mut self, platform: &Platform) -> (Planned, Vec<Seen>) {
        self.passes.world.proxy.take_seen();
        let before = self.rows().await;
        let planned = self.passes.plan(platform).await;
        let seen = self.passes.world.proxy.take_seen();
        let writes: Vec<&Seen> = seen.iter().filter(|seen| is_write(seen)).collect();
        self.assert(writes.is_empty(), || format!("a plan wrote {writes:?}"));
        self.assert(before == self.rows().await, || {
            "a plan wrote rows".to_owned()
        });
        (planned, seen)
    }

    /// Carries out a plan, which writes what it shows and nothing else.
    async fn run(&mut self, planned: &Planned) {
        let before = self.rows().await;
        let outcomes = self.passes.try_run(planned).await;
        let seen = self.passes.world.proxy.take_seen();
        let mut expected = BTreeSet::new();
        let mut rows = BTreeSet::new();
        self.assert(outcomes.len() == planned.plan.steps.len(), || {
            "a step has no outcome".to_owned()
        });
        for (step, outcome) in planned.plan.steps.iter().zip(&outcomes) {
            self.told.push(told(step, outcome));
            match (outcome, &step.key) {
                (Outcome::Done(key), _) if *key != step.key => {
                    self.fail("outcomes are out of order")
                }
                (Outcome::Done(_), Key::Object(key)) => expected.extend(writes(step, key)),
                (Outcome::Done(_), Key::Row(row)) => drop(rows.insert(row.clone())),
                (Outcome::OutOfTime(key), _) => self.fail(&format!("{key}: no time was set")),
                (Outcome::Failed(key, error), _) => self.fail(&format!("{key}: {}", error.told())),
                // A workload of which the database was made just now.
                (Outcome::NotReached { behind, .. }, _) => {
                    let is_made = planned.plan.steps.iter().any(|step| step.key == *behind);
                    self.assert(is_made, || {
                        format!("{} waits for {behind}, which is no step", step.key)
                    });
                }
            }
        }
        let sent: BTreeSet<Seen> = seen.into_iter().filter(is_write).collect();
        self.assert(sent == expected, || {
            let extra: Vec<&Seen> = sent.difference(&expected).collect();
            let lacking: Vec<&Seen> = expected.difference(&sent).collect();
            format!("an apply sent {extra:?} beside its plan and did not send {lacking:?}")
        });
        let after = self.rows().await;
        let keys: BTreeSet<&RowKey> = before.keys().chain(after.keys()).collect();
        let moved = keys
            .into_iter()
            .filter(|key| before.get(key) != after.get(key));
        let moved: BTreeSet<RowKey> = moved.cloned().collect();
        self.assert(moved == rows, || {
            format!("rows {moved:?} moved, the plan shows {rows:?}")
        });
    }

    /// Goes from what is there to a declaration, pass by pass, and checks each of them and where it ends.
    async fn go_to(&mut self, declared: &Declared, is_resized: bool) {
        let yaml = declared.yaml(&self.passes.world);
        let platform = read(&yaml);
        self.passes.world.declare(&yaml);
        let began = std::time::Instant::now();
        self.check_program(&platform).await;
        loop {
            let (planned, seen) = self.plan(&platform).await;
            if !planned.plan.steps.is_empty() {
                self.assert(began.elapsed() < LONGEST, || {
                    "it does not settle".to_owned()
                });
                self.run(&planned).await;
                continue;
            }
            if !is_pending(&planned) {
                return self.check_end(&planned, &seen, is_resized).await;
            }
            self.assert(began.elapsed() < LONGEST, || {
                format!("it waits: {:#?}", planned.plan.held)
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `diff` says whether there is something to do, as the plan does.
    async fn check_program(&mut self, platform: &Platform) {
        let (planned, _) = self.plan(platform).await;
        let diff = self.passes.world.run(&["diff"]).await;
        let expected = i32::from(!planned.plan.is_empty());
        self.assert(diff.code == expected, || format!("{diff}"));
    }

    /// Nothing is left to do, lists tell that, and an apply writes nothing.
    async fn check_end(&mut self, planned: &Planned, seen: &[Seen], is_resized: bool) {
        let left: Vec<&Held> = planned
            .plan
            .held
            .iter()
            .filter(|held| !matches!(held, Held::Retained { .. }))
            .collect();
        if !left.is_empty() {
            let is_refused =
                |held: &&Held| matches!(held, Held::Refused { .. } | Held::Waits { .. });
            self.assert(is_resized && left.iter().all(is_refused), || {
                format!("it is stuck: {left:#?}")
            });
            return;
        }
        // Where nothing of ours is, the namespace may be missing.
        let is_list = |seen: &Seen| {
            seen.verb == "list" || (seen.verb == "get" && seen.resource == "namespaces")
        };
        self.assert(seen.iter().all(is_list), || {
            format!("a quiet pass sent {seen:?}")
        });
        let before = self.rows().await;
        let applied = self
            .passes
            .world
            .run(&["apply", "--yes", "--timeout", "60s"])
            .await;
        self.assert(applied.code == 0, || format!("{applied}"));
        let seen = self.passes.world.proxy.take_seen();
        // It watches where something is not ready yet.
        let is_look = |seen: &Seen| is_list(seen) || seen.verb == "watch";
        self.assert(seen.iter().all(is_look), || {
            format!("an apply of nothing sent {seen:?}")
        });
        self.assert(before == self.rows().await, || {
            "an apply of nothing wrote rows".to_owned()
        });
    }
}

fn is_write(seen: &Seen) -> bool {
    !READS.contains(&seen.verb.as_str()) && seen.resource != TURN
}

/// Tells whether something waits for what can still happen, and not for what is held itself.
fn is_pending(planned: &Planned) -> bool {
    let held: BTreeSet<&Key> = planned.plan.held.iter().filter_map(Held::key).collect();
    planned.plan.held.iter().any(|entry| match entry {
        Held::Waits { key, on, .. } => key == on || !held.contains(on),
        _ => false,
    })
}

fn told(step: &Step, outcome: &Outcome) -> String {
    let verb = match &step.action {
        Action::Create(_) => "create",
        Action::Update { .. } => "update",
        Action::Delete { .. } => "delete",
    };
    let end = match outcome {
        Outcome::Done(_) => "done",
        Outcome::Failed(..) => "failed",
        Outcome::NotReached { .. } | Outcome::OutOfTime(_) => "not reached",
    };
    format!("  {verb} {}: {end}", step.key)
}

/// Returns the writes that carry out a step: what is generated, or made once, is posted, what is derived replaced as
/// a whole, the rest applied, after its repair where it needs one.
fn writes(step: &Step, key: &ObjectKey) -> Vec<Seen> {
    let verbs = match &step.action {
        Action::Create(Item::Object(_)) => vec!["patch"],
        Action::Create(_) => vec!["post"],
        Action::Update {
            new: Item::Derived(_),
            ..
        } => vec!["json-patch"],
        Action::Update {
            before: Some(_), ..
        } => vec!["json-patch", "patch"],
        Action::Update { before: None, .. } => vec!["patch"],
        Action::Delete { .. } => vec!["delete"],
    };
    let seen = |verb: &str| Seen {
        verb: verb.to_owned(),
        resource: key.kind.plural().to_owned(),
        name: key.name.clone(),
    };
    verbs.into_iter().map(seen).collect()
}

/// From nothing to A, from A to B, and back to A.
async fn try_pair(seed: usize) {
    let mut dice = Dice::new(seed);
    let a = Declared::new(&mut dice);
    let (b, changes) = a.changed(&mut dice);
    let mut passes = Passes::new().await;
    let registry = format!("sqlite:{}", passes.world.path("registry.db").display());
    passes.world.set("PLATFORM_DATABASE_URL", &registry);
    let mut pair = Pair {
        passes,
        seed,
        told: Vec::new(),
    };
    let is_resized = a.resizes(&b);
    pair.told.push("to A".to_owned());
    pair.go_to(&a, false).await;
    pair.told.push(format!("to B: {changes:?}"));
    pair.go_to(&b, is_resized).await;
    pair.told.push("back to A".to_owned());
    pair.go_to(&a, is_resized).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn apply_writes_what_diff_shows_and_nothing_else() {
    let first = number("PLATFORM_PAIR_SEED", 1);
    let pairs = number("PLATFORM_PAIRS", PAIRS[usize::from(is_soak())]);
    let mut seeds = first..first + pairs;
    let mut failed = 0;
    let run = async {
        let mut running = tokio::task::JoinSet::new();
        for seed in seeds.by_ref().take(SIDE_BY_SIDE) {
            running.spawn_local(try_pair(seed));
        }
        while let Some(ended) = running.join_next().await {
            failed += usize::from(ended.is_err());
            if let Some(seed) = seeds.next() {
                running.spawn_local(try_pair(seed));
            }
        }
    };
    tokio::task::LocalSet::new().run_until(run).await;
    assert_eq!(failed, 0, "pairs failed, see above");
}

//! Three replicas on PostgreSQL, whose leader is stopped or killed again and again, in the middle of a write or at
//! rest: the next one goes on within seconds, and nothing of the one before comes after it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use platform::reconcile::lease::LEADER;
use serde_json::Value;

use crate::support::dice::{Dice, number};
use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{World, is_soak};

const NAMES: [&str; 3] = ["ada", "bob", "eve"];
/// Within which another leads.
const FAIL_OVER: Duration = Duration::from_secs(5);

/// What becomes of a leader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Killed,
    Stopped,
}

/// The replicas, and what was seen of them.
struct Replicas {
    world: World,
    keepers: Vec<Option<Keeper>>,
    fail_overs: Vec<Duration>,
    /// Until the next one wrote.
    writes: Vec<Duration>,
}

fn declare(world: &World, version: usize) {
    let extra = format!("database: sqlite\nenv: {{VERSION: \"{version}\"}}");
    world.declare(&world.yaml(&[("demo", &extra), ("other", "database: sqlite")]));
}

/// Returns everything of this world that a replica could change, with its version.
async fn versions(world: &World) -> BTreeSet<String> {
    let mut versions = BTreeSet::new();
    for resource in ["secrets", "services", "statefulsets", "networkpolicies"] {
        for object in world.admin.items(&world.api(resource, "")).await {
            let metadata = &object["metadata"];
            versions.insert(format!(
                "{resource}/{} {} {}",
                metadata["name"], metadata["generation"], metadata["labels"]
            ));
        }
    }
    versions
}

impl Replicas {
    async fn start() -> Self {
        let mut world = World::new().await;
        let url = create_database(&world.namespace).await;
        world.set("PLATFORM_DATABASE_URL", &url);
        declare(&world, 0);
        let keepers = NAMES.map(|name| Some(Keeper::start_as(&world, &[], name)));
        let mut replicas = Self {
            world,
            keepers: keepers.into(),
            fail_overs: Vec::new(),
            writes: Vec::new(),
        };
        replicas.until_version(0).await;
        let leader = replicas.leader().await.expect("somebody leads");
        replicas.until_rest(leader).await;
        replicas
    }

    /// Returns who leads, as the cluster says.
    async fn leader(&self) -> Option<usize> {
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEADER}",
            self.world.namespace
        );
        let lease = self.world.admin.get(&path).await?;
        let holder = lease["spec"]["holderIdentity"].as_str()?.to_owned();
        NAMES.iter().position(|name| holder.starts_with(name))
    }

    async fn until_leader_is_not(&self, old: usize) -> usize {
        for _ in 0..1500 {
            if let Some(leader) = self.leader().await.filter(|leader| *leader != old) {
                return leader;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody leads after {}\n{}", NAMES[old], self.logs());
    }

    async fn until_version(&self, version: usize) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let set = self.world.get("statefulsets", "challenge-demo").await;
            let env = set.map(|set| {
                let env = set["spec"]["template"]["spec"]["containers"][0]["env"].clone();
                let env = env.as_array().unwrap().clone();
                let entry = env.into_iter().find(|entry| entry["name"] == "VERSION");
                entry.unwrap()["value"].clone()
            });
            if env == Some(Value::from(version.to_string())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("version {version} does not come about\n{}", self.logs());
    }

    fn logs(&self) -> String {
        let keepers = self.keepers.iter().flatten();
        let log = |keeper: &Keeper| {
            let log = keeper.log();
            let lines: Vec<&str> = log.lines().rev().take(40).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        keepers.map(log).collect::<Vec<_>>().join("\n\n")
    }

    async fn passes(&self) -> Vec<Value> {
        let args = ["history", "-o", "json", "--limit", "1000"];
        let history = self.world.run(&args).await.expect(0).json();
        history["passes"].as_array().unwrap().clone()
    }

    /// Ends the leader's turn by force while it brings a version about, and checks what comes after.
    async fn round(&mut self, version: usize, end: End, is_in_write: bool, told: &str) {
        let old = self.leader().await.expect("somebody leads");
        if is_in_write {
            let patch = Match {
                verb: "patch".to_owned(),
                resource: "statefulsets".to_owned(),
                times: 1,
                ..Match::default()
            };
            self.world.proxy.fail(patch, Fault::Late);
        }
        declare(&self.world, version);
        if is_in_write {
            self.world.proxy.until_hit().await;
        }
        let keeper = self.keepers[old].as_ref().unwrap();
        keeper.signal(if end == End::Killed { "-KILL" } else { "-STOP" });
        let began = Instant::now();
        let new = self.until_leader_is_not(old).await;
        self.fail_overs.push(began.elapsed());
        self.until_version(version).await;
        self.writes.push(began.elapsed());
        self.until_rest(new).await;
        let before = (versions(&self.world).await, self.passes().await);
        if is_in_write {
            assert_eq!(self.world.proxy.release().await, [409], "{told}");
        }
        match end {
            End::Killed => {
                let keeper = Keeper::start_as(&self.world, &[], NAMES[old]);
                self.keepers[old] = Some(keeper);
            }
            End::Stopped => self.keepers[old].as_ref().unwrap().signal("-CONT"),
        }
        self.until_stands_by(old).await;
        let after = (versions(&self.world).await, self.passes().await);
        let changed: Vec<&String> = before.0.symmetric_difference(&after.0).collect();
        assert!(
            changed.is_empty(),
            "{told}: the one before wrote: {changed:#?}\n{}\n{:#}",
            self.logs(),
            self.world
                .get("statefulsets", "challenge-demo")
                .await
                .unwrap()
        );
        assert_eq!(before.1, after.1, "{told}: the one before recorded");
        self.world.proxy.heal();
    }

    /// Checks that of each version there is a pass that wrote it, or that was interrupted while it did.
    async fn check_history(&self, rounds: usize, in_writes: usize) {
        let passes = self.passes().await;
        let has_written = |pass: &&Value| {
            let counts =
                ["created", "updated", "unknown"].map(|name| pass["counts"][name].as_u64());
            counts.into_iter().flatten().any(|count| count > 0)
        };
        let recorded: BTreeSet<String> = passes
            .iter()
            .filter(has_written)
            .map(|pass| pass["revision"]["digest"].to_string())
            .collect();
        let shown = |pass: &Value| {
            let told = ["id", "started_at", "actor", "outcome", "counts"].map(|name| &pass[name]);
            format!("{told:?} {}", pass["revision"]["digest"])
        };
        let all: Vec<String> = passes.iter().map(shown).collect();
        let told = format!("{all:#?}\n{}", self.logs());
        assert!(
            recorded.len() > rounds.min(900),
            "{}: {told}",
            recorded.len()
        );
        let interrupted = passes
            .iter()
            .filter(|pass| pass["outcome"] == "interrupted");
        assert!(
            interrupted.count() >= in_writes.min(400),
            "{in_writes} in the middle of a write: {told}"
        );
    }

    /// Waits until the leader has nothing left to do.
    async fn until_rest(&mut self, leader: usize) {
        self.keepers[leader].as_mut().unwrap().until_ready(2).await;
        let mut count = self.passes().await.len();
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.passes().await.len();
            if now == count {
                return;
            }
            count = now;
        }
    }

    async fn until_stands_by(&mut self, replica: usize) {
        let keeper = self.keepers[replica].as_mut().unwrap();
        keeper
            .until("it to stand by", async |keeper| {
                let (_, ready) = keeper.ready().await;
                ready["checks"]["leader"]["is_other"] == true
            })
            .await;
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() - 1) * percent / 100]
}

fn tell(lead: &[Duration], writes: &[Duration]) {
    println!(
        "{} rounds: another leads after p50 {:.1?}, p99 {:.1?}, longest {:.1?}; has written after p50 {:.1?}, p99 {:.1?}",
        lead.len(),
        percentile(lead, 50),
        percentile(lead, 99),
        percentile(lead, 100),
        percentile(writes, 50),
        percentile(writes, 99),
    );
}

/// Ends leaders for so many rounds in a world of their own, and returns how long it took until another led, and wrote.
async fn end_leaders(rounds: usize, seed: usize) -> (Vec<Duration>, Vec<Duration>) {
    let mut dice = Dice::new(seed);
    let mut replicas = Replicas::start().await;
    let mut in_writes = 0;
    for round in 1..=rounds {
        let end = *dice.pick(&[End::Killed, End::Stopped]);
        let is_in_write = dice.chance(50);
        in_writes += usize::from(is_in_write);
        let told = format!("seed {seed}, round {round}, {end:?}, in a write: {is_in_write}");
        replicas.round(round, end, is_in_write, &told).await;
    }
    tell(&replicas.fail_overs, &replicas.writes);
    replicas.check_history(rounds, in_writes).await;
    replicas.world.run(&["history", "verify"]).await.expect(0);
    replicas.world.run(&["diff"]).await.expect(0);
    for keeper in replicas.keepers.into_iter().flatten() {
        assert_eq!(keeper.terminate().await.0, Some(0));
    }
    (replicas.fail_overs, replicas.writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn the_next_leader_goes_on_and_nothing_of_the_one_before_comes_after_it() {
    let rounds = number("PLATFORM_ROUNDS", if is_soak() { 1000 } else { 20 });
    let seed = number("PLATFORM_WALK_SEED", 1);
    // A round is mostly waiting, so several worlds have theirs side by side where no other tests run.
    let worlds = if is_soak() { 4 } else { 1 };
    let each = rounds.div_ceil(worlds);
    let ended = join_all((0..worlds).map(|world| end_leaders(each, seed + world))).await;
    let (lead, writes): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    let (lead, writes) = (lead.concat(), writes.concat());
    tell(&lead, &writes);
    assert!(percentile(&lead, 99) <= FAIL_OVER, "{lead:?}");
}

//! Everything goes wrong at random, for a minute or for half an hour: the API server, the database, the git server,
//! the process itself, what others edit and what is declared. It ends as declared, by itself, with nothing lost.

use std::net::ToSocketAddrs as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use serde_json::json;
use url::Url;

use crate::database::relay::{Manner, Relay};
use crate::on_postgres::everything;
use crate::support::chain::Possessions;
use crate::support::dice::{Dice, number};
use crate::support::git::{Conduct, Repo, Server};
use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{CANARY, World, is_soak};

const SLUGS: [&str; 4] = ["calm", "gust", "hail", "rain"];
const VERBS: [&str; 9] = [
    "list", "watch", "get", "dry-run", "patch", "post", "update", "delete", "",
];
const CODES: [u16; 8] = [403, 404, 409, 410, 422, 429, 500, 503];
/// More memory than at the start that may be in use at the end, in KiB.
const GROWTH: u64 = 32 * 1024;

/// A world with everything that can go wrong between the program and the rest.
struct Storm {
    world: World,
    repo: Repo,
    database: Relay,
    git: Relay,
    url: String,
    keeper: Keeper,
    dice: Dice,
    version: usize,
    kills: usize,
}

async fn relay_to(address: &str) -> Relay {
    Relay::start(address.to_socket_addrs().unwrap().next().unwrap()).await
}

/// One challenge keeps a database and has a declared secret; what it is does not change, only what it is told.
fn extra(slug: &str, version: usize) -> String {
    let kind = match slug {
        "calm" => "secrets: {key: {secret: storm-secret, key: token}}",
        "gust" => "database: sqlite\nchallenge_mode: deployment\nstorage_access: ReadWriteMany",
        "hail" => "database: sqlite\nrollout: {on_failure: rollback, timeout_seconds: 5}",
        _ => "database: sqlite",
    };
    format!("{kind}\nenv: {{VERSION: \"{version}\"}}")
}

impl Storm {
    async fn new(seed: usize) -> Self {
        let mut world = World::new().await;
        world.put_secret("storm-secret", "token").await;
        let url = create_database(&world.namespace).await;
        let mut relayed = Url::parse(&url).unwrap();
        let host = format!(
            "{}:{}",
            relayed.host_str().unwrap(),
            relayed.port().unwrap_or(5432)
        );
        let database = relay_to(&host).await;
        relayed.set_host(Some("127.0.0.1")).unwrap();
        relayed.set_port(Some(database.port)).unwrap();
        world.set("PLATFORM_DATABASE_URL", relayed.as_str());
        world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
        world.set("PLATFORM_GIT__TIMEOUT_SECONDS", "3");
        let repo = Repo::new();
        repo.write("platform.yaml", &declared(&world, &SLUGS, 0));
        repo.commit("version 0");
        let server = Server::start(Conduct::Serve(repo.path().parent().unwrap().to_owned()));
        let git = relay_to(&format!("127.0.0.1:{}", server.port)).await;
        let name = repo.path().file_name().unwrap().to_owned();
        let source = format!("http://127.0.0.1:{}/{}#main", git.port, name.display());
        world.set("PLATFORM_SOURCE", &source);
        let mut keeper = Keeper::start(&world, &[]);
        keeper.until_ready(SLUGS.len()).await;
        Self {
            world,
            repo,
            database,
            git,
            url,
            keeper,
            dice: Dice::new(seed),
            version: 0,
            kills: 0,
        }
    }

    fn some_time(&mut self, most: usize) -> Duration {
        Duration::from_millis(200 + self.dice.below(most) as u64)
    }

    fn commit(&mut self, slugs: &[&str]) {
        self.version += 1;
        let yaml = declared(&self.world, slugs, self.version);
        self.repo.write("platform.yaml", &yaml);
        self.repo.commit(&format!("version {}", self.version));
    }

    /// One thing goes wrong, or is done; returns what.
    async fn blow(&mut self) -> String {
        match self.dice.below(100) {
            0..30 => self.fail_some(),
            30..40 => {
                self.world.proxy.cut_watches();
                "watches cut".to_owned()
            }
            40..46 => self.without_server().await,
            46..52 => self.without_database().await,
            52..57 => self.without_git().await,
            57..61 => self.kill(),
            61..78 => self.edit().await,
            78..90 => self.declare(),
            _ => {
                self.world.proxy.heal();
                "healed".to_owned()
            }
        }
    }

    /// Has a few requests of some sort go wrong.
    fn fail_some(&mut self) -> String {
        let code = *self.dice.pick(&CODES);
        let slow = 50 + self.dice.below(3000) as u64;
        let faults = [
            Fault::Answer(code),
            Fault::Answer(code),
            Fault::Slow(slow),
            Fault::Cut,
            Fault::CutAfter,
            Fault::Truncate,
            Fault::Hang,
            Fault::HangAfter,
        ];
        let fault = *self.dice.pick(&faults);
        let matching = Match {
            verb: (*self.dice.pick(&VERBS)).to_owned(),
            times: 1 + self.dice.below(4),
            ..Match::default()
        };
        let told = format!("{fault:?} to {matching:?}");
        self.world.proxy.fail(matching, fault);
        told
    }

    async fn without_server(&mut self) -> String {
        let time = self.some_time(4000);
        self.world.proxy.fail(Match::default(), Fault::Cut);
        self.world.proxy.cut_watches();
        tokio::time::sleep(time).await;
        self.world.proxy.heal();
        format!("no server for {time:.1?}")
    }

    async fn without_database(&mut self) -> String {
        let time = self.some_time(4000);
        if self.dice.chance(50) {
            self.database.set(Manner::Silent);
            tokio::time::sleep(time).await;
            // What fell silent stays so; new connections pass.
            self.database.stop();
            self.database.start_again().await;
            return format!("a silent database for {time:.1?}");
        }
        self.database.stop();
        tokio::time::sleep(time).await;
        self.database.start_again().await;
        format!("no database for {time:.1?}")
    }

    async fn without_git(&mut self) -> String {
        let time = self.some_time(4000);
        self.git.set(Manner::Silent);
        tokio::time::sleep(time).await;
        self.git.stop();
        self.git.start_again().await;
        format!("a silent git server for {time:.1?}")
    }

    fn kill(&mut self) -> String {
        self.kills += 1;
        let name = format!("keeper-{}", self.kills);
        let next = Keeper::start_as(&self.world, &[], &name);
        std::mem::replace(&mut self.keeper, next).kill();
        "killed".to_owned()
    }

    /// Somebody else changes or deletes an object.
    async fn edit(&mut self) -> String {
        let slug = *self.dice.pick(&SLUGS);
        let (resource, name, patch) = match self.dice.below(4) {
            0 => (
                "services",
                String::new(),
                Some(json!({"spec": {"type": "NodePort"}})),
            ),
            1 => ("services", String::new(), None),
            2 => ("secrets", "-secrets".to_owned(), None),
            _ => {
                let label = json!({"metadata": {"labels": {"app.kubernetes.io/name": "theirs"}}});
                ("networkpolicies", String::new(), Some(label))
            }
        };
        let path = self.world.api(resource, &format!("challenge-{slug}{name}"));
        let sent = match patch {
            Some(patch) => {
                let path = format!("{path}?fieldManager=kubectl-edit");
                self.world.admin.send("PATCH", &path, Some(patch)).await
            }
            None => self.world.admin.send("DELETE", &path, None).await,
        };
        // It may not be declared just now.
        format!("{resource} of {slug} edited: {}", sent.is_ok())
    }

    fn declare(&mut self) -> String {
        let kept: Vec<&str> = SLUGS.into_iter().filter(|_| self.dice.chance(85)).collect();
        if self.dice.chance(15) {
            self.repo.write("platform.yaml", "challenges: [");
            self.repo.commit("broken");
            return "a broken revision".to_owned();
        }
        self.commit(&kept);
        format!("version {} of {kept:?}", self.version)
    }

    /// Lets everything be, declares all challenges once more, and waits.
    async fn calm_down(&mut self) -> Duration {
        self.world.proxy.heal();
        self.commit(&SLUGS);
        let began = Instant::now();
        let version = format!("\"version {}\"", self.version);
        self.keeper
            .until("the last revision", async |keeper| {
                let (_, ready) = keeper.ready().await;
                let revision = ready["checks"]["source"]["revision"].as_str();
                revision.is_some_and(|revision| revision.contains(&version))
            })
            .await;
        let ready = AssertUnwindSafe(self.keeper.until_ready(SLUGS.len()));
        if let Err(panic) = ready.catch_unwind().await {
            self.tell_workloads().await;
            resume_unwind(panic);
        }
        began.elapsed()
    }

    /// Prints what the cluster makes of the challenges: who is late may be the nodes.
    async fn tell_workloads(&self) {
        for kind in ["statefulsets", "deployments", "pods"] {
            for object in self.world.admin.items(&self.world.api(kind, "")).await {
                let (metadata, status) = (&object["metadata"], &object["status"]);
                println!("{kind} {metadata:#} {status:#}");
            }
        }
        let status = self.world.run(&["status", "-o", "json"]).await;
        println!("{status}");
    }
}

fn declared(world: &World, slugs: &[&str], version: usize) -> String {
    let extras: Vec<String> = slugs.iter().map(|slug| extra(slug, version)).collect();
    let challenges = slugs.iter().copied();
    let challenges: Vec<(&str, &str)> = challenges.zip(extras.iter().map(String::as_str)).collect();
    world.yaml(&challenges)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn whatever_goes_wrong_it_ends_as_declared_with_nothing_lost() {
    let seed = number("PLATFORM_WALK_SEED", 1);
    let minutes = if is_soak() { 30 } else { 1 };
    let time = Duration::from_secs(60 * minutes);
    let mut storm = Storm::new(seed).await;
    let (memory, before) = (storm.keeper.memory(), Possessions::of(&storm.world).await);
    let began = Instant::now();
    let mut done = Vec::new();
    while began.elapsed() < time {
        let told = storm.blow().await;
        done.push(format!("{:.1?} {told}", began.elapsed()));
        let pause = storm.some_time(1500);
        tokio::time::sleep(pause).await;
    }
    std::fs::write(storm.world.path("storm.log"), done.join("\n")).unwrap();
    println!("seed {seed}: {}", done.join("\n"));
    let took = storm.calm_down().await;
    println!(
        "seed {seed}: {} blows, {} kills, calm after {took:.1?}, {} KiB after {memory} KiB",
        done.len(),
        storm.kills,
        storm.keeper.memory(),
    );
    let world = &storm.world;
    world.run(&["diff"]).await.expect(0);
    assert!(storm.keeper.memory() < memory + GROWTH);
    before.check_kept(&Possessions::of(world).await, "none", &seed);
    world.run(&["history", "verify"]).await.expect(0);
    let history = world
        .run(&["history", "-o", "json", "--limit", "1000"])
        .await;
    let history = history.expect(0).json();
    for pass in history["passes"].as_array().unwrap().iter().take(50) {
        let shown = world
            .run(&["history", "show", &pass["id"].to_string()])
            .await;
        assert!(!shown.expect(0).stdout.is_empty());
    }
    let stored = everything(&storm.url).await;
    assert!(stored.contains("challenge-calm") && !stored.contains(CANARY));
    for name in world.names("secrets").await {
        for (key, value) in world.secret(&name).await {
            let is_public = matches!(key.as_str(), "POSTGRES_DB" | "POSTGRES_USER");
            assert!(is_public || !stored.contains(&value), "{key} of {name}");
        }
    }
    for number in 0..storm.kills {
        let name = if number == 0 {
            "keeper.log".to_owned()
        } else {
            format!("keeper-{number}.log")
        };
        let log = std::fs::read_to_string(world.path(&name)).unwrap();
        assert!(
            !log.contains(CANARY) && !log.contains("panicked"),
            "{name}: {log}"
        );
    }
    let (code, _, log) = storm.keeper.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

//! What a long-running process lives through: watches that end, an API server or a database that is away.

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection as _;
use url::Url;

use crate::database::relay::{Manner, Relay};
use crate::support::chain::Possessions;
use crate::support::git::{Conduct, Repo, Server};
use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{World, is_soak};

const CHALLENGES: [(&str, &str); 2] = [("keep-one", ""), ("keep-two", "database: sqlite")];

/// For how long a watch may be silent.
const SILENCE: Duration = Duration::from_secs(90);

fn away() -> Duration {
    Duration::from_secs(if is_soak() { 20 } else { 6 })
}

/// Changes one object, and the registry's part by way of a Secret that has to be made anew.
async fn disturb(world: &World) {
    let to = json!({"spec": {"type": "NodePort"}});
    world.edit("services", "challenge-keep-one", to).await;
    world.delete("secrets", "challenge-keep-two-secrets").await;
}

/// Waits until what was disturbed is as it should be.
async fn until_undone(world: &World, keeper: &mut Keeper, told: &str) {
    let took = keeper
        .until(told, async |_| {
            let service = world.get("services", "challenge-keep-one").await.unwrap();
            let secret = world.get("secrets", "challenge-keep-two-secrets").await;
            service["spec"]["type"] == "ClusterIP" && secret.is_some()
        })
        .await;
    keeper.until_ready(CHALLENGES.len()).await;
    println!("{told}: undone after {took:.1?}, {} KiB", keeper.memory());
}

/// Returns what must outlive every fault: all but the Secret that is made anew.
async fn password(world: &World) -> Value {
    let secret = world
        .get("secrets", "challenge-keep-one-postgres-secret")
        .await;
    secret.unwrap()["data"].clone()
}

fn on(verb: &str, resource: &str) -> Match {
    Match {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        ..Match::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_server_that_fails_is_outlived() {
    let world = World::new().await;
    world.declare(&world.yaml(&CHALLENGES));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(CHALLENGES.len()).await;
    let (before, memory) = (password(&world).await, keeper.memory());
    let claims = world.names("persistentvolumeclaims").await;
    for fault in [None, Some(410), Some(500), Some(403), Some(429)] {
        if let Some(code) = fault {
            world.proxy.fail(on("watch", ""), Fault::Answer(code));
        }
        world.proxy.cut_watches();
        disturb(&world).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.proxy.heal();
        until_undone(&world, &mut keeper, &format!("watches answered {fault:?}")).await;
    }
    let forgotten = Match {
        goes_on: true,
        ..on("watch", "")
    };
    world.proxy.fail(forgotten, Fault::Answer(410));
    world.proxy.cut_watches();
    disturb(&world).await;
    until_undone(&world, &mut keeper, "no watch goes on").await;
    world.proxy.heal();
    world
        .proxy
        .fail(on("watch", "services"), Fault::Answer(403));
    world.proxy.cut_watches();
    keeper
        .until("Services that are not watched", async |keeper| {
            let (code, ready) = keeper.ready().await;
            let failing = ready["checks"]["watches"]["failing"].to_string();
            code == 503 && failing.contains("\"Service\"")
        })
        .await;
    world.proxy.heal();
    disturb(&world).await;
    until_undone(&world, &mut keeper, "Services not watched").await;
    world.proxy.fail(Match::default(), Fault::Cut);
    world.proxy.cut_watches();
    disturb(&world).await;
    tokio::time::sleep(away()).await;
    world.proxy.heal();
    until_undone(&world, &mut keeper, "the server away").await;
    assert_eq!(password(&world).await, before);
    assert_eq!(world.names("persistentvolumeclaims").await, claims);
    assert!(
        keeper.memory() < memory + 32 * 1024,
        "{memory} to {} KiB",
        keeper.memory()
    );
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_locked_database_file_is_outlived() {
    let world = World::new().await;
    world.declare(&world.yaml(&CHALLENGES));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(CHALLENGES.len()).await;
    let before = password(&world).await;
    let url = format!("sqlite:{}", world.path("platform.db").display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    disturb(&world).await;
    tokio::time::sleep(away()).await;
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    until_undone(&world, &mut keeper, "the file locked").await;
    assert_eq!(password(&world).await, before);
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

/// A disk of its own in a directory, taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(directory: PathBuf) -> Self {
        std::fs::create_dir(&directory).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]);
        let mounted = mount.arg(&directory).status().unwrap();
        assert!(mounted.success(), "this test mounts a small disk");
        Self(directory)
    }

    /// Fills it until the system says that there is no more room.
    fn fill(&self) {
        let is_full =
            |at: &usize| std::fs::write(self.0.join(format!("filler-{at}")), [0; 4096]).is_err();
        (0..1024).find(is_full).expect("the disk is small");
    }

    fn empty(&self) {
        for file in std::fs::read_dir(&self.0).unwrap() {
            let path = file.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("filler")
            {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still has a file open there keeps it until it ends.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster, and root for a small disk"]
async fn a_full_disk_under_the_database_is_outlived() {
    let mut world = World::new().await;
    let disk = SmallDisk::mount(world.path("disk"));
    let url = format!("sqlite:{}", world.path("disk/platform.db").display());
    world.set("PLATFORM_DATABASE_URL", &url);
    world.declare(&world.yaml(&CHALLENGES));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(CHALLENGES.len()).await;
    let before = password(&world).await;
    disk.fill();
    disturb(&world).await;
    tokio::time::sleep(away()).await;
    assert_eq!(keeper.get("/health").await.0, 200);
    disk.empty();
    until_undone(&world, &mut keeper, "the disk full").await;
    assert_eq!(password(&world).await, before);
    world.run(&["history", "verify"]).await.expect(0);
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

/// A connection that neither ends nor says anything, as behind a firewall that forgot it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn watches_that_fall_silent_are_begun_anew() {
    let world = World::new().await;
    world.declare(&world.yaml(&CHALLENGES));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(CHALLENGES.len()).await;
    world.proxy.freeze_watches();
    disturb(&world).await;
    let began = Instant::now();
    while world.get("services", "challenge-keep-one").await.unwrap()["spec"]["type"] != "ClusterIP"
    {
        assert!(
            began.elapsed() < SILENCE + Duration::from_secs(20),
            "nobody noticed"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("noticed after {:.0?}", began.elapsed());
    until_undone(&world, &mut keeper, "silent watches").await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_database_server_that_is_away_is_outlived() {
    let mut world = World::new().await;
    let mut url = Url::parse(&create_database(&world.namespace).await).unwrap();
    let host = (url.host_str().unwrap(), url.port().unwrap_or(5432));
    let relay = Relay::start(host.to_socket_addrs().unwrap().next().unwrap()).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(relay.port)).unwrap();
    world.set("PLATFORM_DATABASE_URL", url.as_str());
    world.declare(&world.yaml(&CHALLENGES));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(CHALLENGES.len()).await;
    let before = Possessions::of(&world).await;
    relay.stop();
    let to = json!({"spec": {"type": "NodePort"}});
    world.edit("services", "challenge-keep-one", to).await;
    tokio::time::sleep(away()).await;
    relay.start_again().await;
    until_undone(&world, &mut keeper, "the database away").await;
    before.check_kept(&Possessions::of(&world).await, "none", &"the database away");
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

/// A server that takes longer for a first list than is waited for is asked for pages meanwhile, which are slow too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn lists_that_are_slow_are_waited_for() {
    let world = World::new().await;
    world.converge(&CHALLENGES).await;
    let before = password(&world).await;
    world.proxy.fail(on("watch", ""), Fault::Slow(11_000));
    world.proxy.fail(on("list", ""), Fault::Slow(2_000));
    disturb(&world).await;
    world.proxy.take_seen();
    let mut keeper = Keeper::start(&world, &[]);
    until_undone(&world, &mut keeper, "slow lists").await;
    let mut seen = world.proxy.take_seen();
    assert!(seen.iter().any(|seen| seen.verb == "list"), "{seen:?}");
    seen.retain(|seen| seen.verb.starts_with("delete"));
    assert_eq!(seen, []);
    assert_eq!(password(&world).await, before);
    world.proxy.heal();
    keeper.until_settled(&world).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

/// Returns how many processes a controller has begun.
fn children(keeper: &Keeper) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", keeper.id())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        children.unwrap_or_default().split_whitespace().count()
    };
    tasks.map(of_task).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_git_server_that_hangs_is_outlived() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
    world.set("PLATFORM_GIT__TIMEOUT_SECONDS", "2");
    let repo = Repo::new();
    repo.write("platform.yaml", &world.yaml(&CHALLENGES));
    repo.commit("one");
    let server = Server::start(Conduct::Serve(repo.path().parent().unwrap().to_owned()));
    let relay = Relay::start(([127, 0, 0, 1], server.port).into()).await;
    let name = repo.path().file_name().unwrap().to_owned();
    let source = format!("http://127.0.0.1:{}/{}#main", relay.port, name.display());
    let mut keeper = Keeper::start(&world, &[&source]);
    keeper.until_ready(CHALLENGES.len()).await;
    relay.set(Manner::Silent);
    let newer = [CHALLENGES[0], CHALLENGES[1], ("newer", "database: sqlite")];
    repo.write("platform.yaml", &world.yaml(&newer));
    repo.commit("two");
    keeper
        .until("a source that does not answer", async |keeper| {
            keeper.ready().await.1["checks"]["source"]["refused"] == true
        })
        .await;
    disturb(&world).await;
    until_undone(&world, &mut keeper, "the git server silent").await;
    tokio::time::sleep(away()).await;
    assert!(children(&keeper) < 2, "questions pile up");
    let (code, ready) = keeper.ready().await;
    let age = ready["checks"]["source"]["age_seconds"].as_u64().unwrap();
    assert!(code == 200 && age >= away().as_secs(), "{ready}");
    let log = keeper.log();
    let told = log.matches("the source cannot be used").count();
    assert!((1..=2).contains(&told), "{log}");
    // What fell silent stays so; new connections pass.
    relay.stop();
    relay.start_again().await;
    keeper
        .until("the newer revision", async |_| {
            world.get("statefulsets", "challenge-newer").await.is_some()
        })
        .await;
    keeper.until_ready(newer.len()).await;
    world.run(&["diff", &source]).await.expect(0);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

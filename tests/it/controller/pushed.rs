//! A git host tells the operator's listener of a push, and the controller, which is another process, acts at once.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::postgres::create_database;
use crate::support::world::{CANARY, World};

const TAKEN: &str = "platform_pushes_total{outcome=\"taken\"}";
const REPEATED: &str = "platform_pushes_total{outcome=\"repeated\"}";

/// A world whose source is a repository, which nobody reads again and again.
struct Pushed {
    world: World,
    repo: Repo,
    source: String,
}

impl Pushed {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "300");
        world.set("PLATFORM_MASTER__WEBHOOK_SECRET", CANARY);
        let repo = Repo::new();
        let source = format!("{}#main:deploy", repo.address());
        let pushed = Self {
            world,
            repo,
            source,
        };
        pushed.commit(0);
        pushed
    }

    fn commit(&self, version: usize) {
        let extra = format!("database: sqlite\nenv: {{VERSION: \"{version}\"}}");
        let yaml = self.world.yaml(&[("demo", &extra)]);
        self.repo.write("deploy/platform.yaml", &yaml);
        self.repo.commit(&format!("version {version}"));
    }

    fn controller(&self) -> Keeper {
        let verb = ["serve", "controller", &self.source];
        Keeper::start_role(&self.world, &verb, "controller", &[])
    }

    /// Starts an operator's listener, which has no business in the cluster, and waits until it hears.
    async fn admin(&self, name: &str) -> Keeper {
        let verb = ["serve", "admin", "--no-weights", &self.source];
        let nowhere = [("KUBECONFIG", "")];
        let mut admin = Keeper::start_role(&self.world, &verb, name, &nowhere);
        admin
            .until("a listener", async |admin| admin.door().is_some())
            .await;
        // Before it knows its database it keeps nothing, and says so.
        let first = json!({"hook": name}).to_string();
        admin
            .until("a push that is taken", async |admin| {
                announce(admin, &first, CANARY).await == 202
            })
            .await;
        admin
    }

    /// Waits until this version is what runs.
    async fn until_version(&self, keeper: &mut Keeper, version: usize) {
        let version = version.to_string();
        keeper
            .until("the pushed version", async |_| {
                let set = self.world.get("statefulsets", "challenge-demo").await;
                set.is_some_and(|set| {
                    let env = &set["spec"]["template"]["spec"]["containers"][0]["env"];
                    let mut env = env.as_array().into_iter().flatten();
                    env.any(|entry| entry["name"] == "VERSION" && entry["value"] == *version)
                })
            })
            .await;
    }
}

/// Tells of a push as GitHub does, and returns the status of the answer.
async fn announce(admin: &Keeper, body: &str, secret: &str) -> u16 {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let door = admin.door().unwrap();
    let sent = reqwest::Client::new()
        .post(format!("{door}/v1/webhooks/git"))
        .header("x-hub-signature-256", signature)
        .header("x-github-delivery", "an id that anybody can make up")
        .body(body.to_owned())
        .send();
    let answer = sent.await.unwrap();
    let code = answer.status().as_u16();
    assert!(!answer.text().await.unwrap().contains(CANARY));
    code
}

/// A push is acted on by the controller, whichever replica is told; one that is told again, to whomever, is not.
async fn is_acted_on_once(pushed: &Pushed) {
    let mut controller = pushed.controller();
    controller.until_ready(1).await;
    let (ada, bob) = (pushed.admin("ada").await, pushed.admin("bob").await);
    pushed.commit(1);
    assert_eq!(announce(&ada, "{\"after\": 1}", "another").await, 401);
    assert_eq!(announce(&ada, "{\"after\": 1}", CANARY).await, 202);
    pushed.until_version(&mut controller, 1).await;
    pushed.commit(2);
    assert_eq!(announce(&bob, "{\"after\": 2}", CANARY).await, 202);
    pushed.until_version(&mut controller, 2).await;
    assert_eq!(announce(&bob, "{\"after\": 1}", CANARY).await, 202);
    assert_eq!(announce(&ada, "{\"after\": 1}", CANARY).await, 202);
    for keeper in [&ada, &bob] {
        assert_eq!(keeper.metric(REPEATED).await, Some(1.0));
        assert_eq!(keeper.metric(TAKEN).await, Some(2.0));
    }

    // What is announced while no controller runs is there for the next one.
    assert_eq!(controller.terminate().await.0, Some(0));
    pushed.commit(3);
    assert_eq!(announce(&ada, "{\"after\": 3}", CANARY).await, 202);
    let mut controller = pushed.controller();
    pushed.until_version(&mut controller, 3).await;
    // Each log is searched for the secret when it is read.
    for keeper in [ada, bob, controller] {
        let (code, _, log) = keeper.terminate().await;
        assert_eq!(code, Some(0), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn a_push_is_acted_on_once_by_another_process_through_postgres() {
    let mut pushed = Pushed::new().await;
    let url = create_database(&pushed.world.namespace).await;
    pushed.world.set("PLATFORM_DATABASE_URL", &url);
    is_acted_on_once(&pushed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_push_is_acted_on_once_by_another_process_through_sqlite() {
    is_acted_on_once(&Pushed::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_push_is_heard_by_one_process_that_is_everything_and_by_no_role_but_the_operators() {
    let pushed = Pushed::new().await;
    let mut keeper = Keeper::start(&pushed.world, &[&pushed.source]);
    keeper.until_ready(1).await;
    pushed.commit(1);
    assert_eq!(announce(&keeper, "{}", CANARY).await, 202);
    pushed.until_version(&mut keeper, 1).await;
    let elsewhere = keeper.get("/v1/webhooks/git").await.0;
    assert_eq!(elsewhere, 404, "the listener of health hears nothing");
    let verb = ["serve", "weights", &pushed.source];
    let mut weights = Keeper::start_role(&pushed.world, &verb, "weights", &[]);
    weights
        .until("a listener", async |weights| weights.door().is_some())
        .await;
    assert_eq!(announce(&weights, "{}", CANARY).await, 404);
    // Who asks half a question holds up no end.
    let door = keeper.door().unwrap();
    let mut half = TcpStream::connect(door.strip_prefix("http://").unwrap()).unwrap();
    half.write_all(b"GET /v1/registry HTTP/1.1\r\nx-half:")
        .unwrap();
    for keeper in [keeper, weights] {
        let (code, took, log) = keeper.terminate().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
}

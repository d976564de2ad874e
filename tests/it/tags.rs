//! Mutable tags in development: given their digest once per revision by the registry, never followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::support::world::World;

/// An image registry that knows every tag by one digest, until it is told to be away.
#[derive(Clone, Default)]
struct Registry {
    asked: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
    moved: Arc<AtomicBool>,
}

impl Registry {
    /// Starts it and returns its host and port.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        host
    }
}

async fn answer(State(registry): State<Registry>, uri: Uri) -> Response {
    registry.asked.fetch_add(1, Ordering::Relaxed);
    if registry.is_away.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    assert!(uri.path().ends_with("/manifests/latest"), "{uri}");
    let digit = if registry.moved.load(Ordering::Relaxed) {
        "2"
    } else {
        "1"
    };
    let digest = format!("sha256:{}", digit.repeat(64));
    [("docker-content-digest", digest)].into_response()
}

fn tagged(world: &World, host: &str, extra: &str) -> String {
    let pinned = format!(
        "ghcr.io/platformnetwork/demo:1.0.0@sha256:{}",
        "a".repeat(64)
    );
    let yaml = world.yaml(&[
        ("demo", &format!("database: sqlite\n{extra}")),
        ("fine", "database: sqlite"),
    ]);
    yaml.replace(&pinned, &format!("{host}/demo:latest"))
}

async fn image(world: &World) -> String {
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    set["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_tag_becomes_a_digest_once_for_each_revision() {
    let (world, registry) = (World::new().await, Registry::default());
    let host = registry.start().await;
    world.declare(&tagged(&world, &host, ""));
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let first = image(&world).await;
    assert!(
        first.starts_with(&host) && first.ends_with(&format!("@sha256:{}", "1".repeat(64))),
        "{first}"
    );
    // The tag moves, the registry goes: a revision keeps its digest.
    registry.moved.store(true, Ordering::Relaxed);
    world.run(&["diff"]).await.expect(0);
    registry.is_away.store(true, Ordering::Relaxed);
    let asked = registry.asked.load(Ordering::Relaxed);
    world.run(&["diff"]).await.expect(0);
    world.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(
        registry.asked.load(Ordering::Relaxed),
        asked,
        "nobody is asked again"
    );
    // A new revision needs the registry; while that is away the challenge is withheld whole.
    world.declare(&tagged(&world, &host, "env: {A: b}"));
    let before = world.snapshot().await;
    let withheld = world
        .run(&["apply", "--yes", "--timeout", "20s"])
        .await
        .expect(5);
    assert!(withheld.stderr.contains("pin the digest"), "{withheld}");
    assert_eq!(world.snapshot().await, before);
    registry.is_away.store(false, Ordering::Relaxed);
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    assert!(image(&world).await.ends_with(&"2".repeat(64)));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_challenge_can_be_stopped_while_the_registry_of_its_database_is_away() {
    let (world, registry) = (World::new().await, Registry::default());
    let host = registry.start().await;
    let postgres = format!("postgres: {{image: \"{host}/postgres:latest\"}}");
    world.converge(&[("demo", &postgres)]).await;
    registry.is_away.store(true, Ordering::Relaxed);
    world
        .converge(&[("demo", &format!("{postgres}\nstatus: disabled"))])
        .await;
    let set = world.get("statefulsets", "challenge-demo").await;
    assert!(set.is_none(), "it is stopped");
    world
        .get("statefulsets", "challenge-demo-postgres")
        .await
        .expect("its database goes on");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_registry_that_is_away_withholds_its_challenge_and_no_other() {
    let world = World::new().await;
    // A port that nobody listens on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    drop(listener);
    world.declare(&tagged(&world, &host, ""));
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("pin the digest"),
        "the remedy: {shown}"
    );
    let ran = world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(5);
    assert!(ran.stderr.contains("could not be reached"), "{ran}");
    assert!(world.get("pods", "challenge-fine-0").await.is_some());
    let touched: Vec<String> = world
        .snapshot()
        .await
        .into_keys()
        .filter(|key| key.contains("demo"))
        .collect();
    assert!(touched.is_empty(), "{touched:?}");
}

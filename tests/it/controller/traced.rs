//! What a collector of traces is sent: how the parts of a pass belong together, nothing secret, and no harm done when
//! it does not take them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::support::keeper::Keeper;
use crate::support::listener::Listener;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{CANARY, World};

const FILE: &str = "database: sqlite";

/// One span as it was sent.
struct Span {
    parent: String,
    name: String,
    attributes: BTreeMap<String, String>,
    /// 2 is a failure.
    status: u64,
}

/// Returns everything that came so far, by id.
fn spans(listener: &Listener) -> BTreeMap<String, Span> {
    let mut spans = BTreeMap::new();
    for posted in listener.posted() {
        assert_eq!(posted.path, "/v1/traces");
        assert!(!String::from_utf8_lossy(&posted.body).contains(CANARY));
        for resource in posted.json()["resourceSpans"].as_array().unwrap() {
            let service = attributes(&resource["resource"]);
            assert_eq!(service["service.name"], "subnet-7");
            for scope in resource["scopeSpans"].as_array().unwrap() {
                for span in scope["spans"].as_array().unwrap() {
                    let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
                    let known = Span {
                        parent: text("parentSpanId"),
                        name: text("name"),
                        attributes: attributes(span),
                        status: span["status"]["code"].as_u64().unwrap_or_default(),
                    };
                    spans.insert(text("spanId"), known);
                }
            }
        }
    }
    spans
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().into_iter().flatten();
    let pair = |pair: &Value| {
        let value = &pair["value"];
        let text = value["stringValue"].as_str().map(str::to_owned);
        let text = text.unwrap_or_else(|| value.to_string());
        (pair["key"].as_str().unwrap().to_owned(), text)
    };
    pairs.map(pair).collect()
}

/// Returns the names from a span up to the one that nothing is above.
fn line(spans: &BTreeMap<String, Span>, id: &str) -> Vec<String> {
    let up = std::iter::successors(spans.get(id), |span| spans.get(&span.parent));
    up.map(|span| span.name.clone()).collect()
}

async fn traced(endpoint: &str) -> World {
    let mut world = World::new().await;
    world.set("PLATFORM_OBSERVABILITY__OTEL_ENDPOINT", endpoint);
    world.set("PLATFORM_OBSERVABILITY__OTEL_SERVICE_NAME", "subnet-7");
    world.declare(&world.yaml(&[("demo", FILE)]));
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_collector_is_sent_what_an_apply_writes_and_what_failed() {
    let listener = Listener::start().await;
    let world = traced(&listener.address).await;
    let services = Match {
        verb: "patch".to_owned(),
        resource: "services".to_owned(),
        ..Match::default()
    };
    world.proxy.fail(services, Fault::Answer(403));
    let apply = ["apply", "--yes", "--timeout", "60s"];
    world.run(&apply).await.expect(5);
    let spans = spans(&listener);
    let writes = spans.iter().filter(|(_, span)| span.name == "write");
    let writes: Vec<_> = writes.collect();
    assert!(writes.len() >= 4, "{} writes", writes.len());
    for (id, span) in writes {
        let told = (&span.status, &span.attributes);
        assert_eq!(line(&spans, id), ["write", "apply"], "{told:?}");
        assert_eq!(span.attributes["action"], "Create", "{told:?}");
        let is_refused = span.attributes["key"].starts_with("Service ");
        assert_eq!(span.status, if is_refused { 2 } else { 0 }, "{told:?}");
    }
    assert!(spans.values().any(|span| span.name == "observe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_collector_is_sent_passes_and_epochs_of_a_controller() {
    let listener = Listener::start().await;
    let mut world = traced(&listener.address).await;
    world.set("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "5");
    std::fs::write(
        world.path("metagraph.json"),
        r#"{"hotkeys": ["owner"], "block": 7}"#,
    )
    .unwrap();
    let network = "network: {netuid: 42, metagraph_file: metagraph.json}\n";
    world.declare(&(network.to_owned() + &world.yaml(&[("demo", FILE)])));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let wanted = [
        "write < apply < look < pass",
        "survey",
        "get_weights < epoch",
    ];
    keeper
        .until("spans of passes and epochs", async |_| {
            let spans = spans(&listener);
            let lines: Vec<_> = spans.keys().map(|id| line(&spans, id)).collect();
            let has = |wanted: &&str| lines.iter().any(|line| line.join(" < ") == *wanted);
            wanted.iter().all(has)
        })
        .await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_collector_that_is_away_or_refuses_holds_up_nothing() {
    let listener = Listener::start().await;
    for _ in 0..50 {
        listener.answer(503, None);
    }
    for endpoint in [&listener.address, "http://127.0.0.1:9"] {
        let world = traced(endpoint).await;
        let began = Instant::now();
        let ran = world.run(&["apply", "--yes", "--timeout", "60s"]).await;
        let ran = ran.expect(0);
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
        let told = ran.stderr.matches("traces are not taken").count();
        assert_eq!(told, 1, "{ran}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_collector_that_cannot_be_is_refused() {
    for endpoint in [
        "localhost",
        "ftp://localhost",
        &format!("http://u:{CANARY}@h"),
    ] {
        let world = traced(endpoint).await;
        let ran = world.run(&["apply", "--yes"]).await.expect(2);
        let named = "observability.otel_endpoint cannot be used: an address";
        assert!(ran.stderr.contains(named), "{ran}");
    }
}

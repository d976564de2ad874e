//! How challenges are, over real HTTP: what is fit, and what each refusal is told as.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use jiff::Timestamp;
use platform::edge::challenge::{HttpChallenges, Limits};
use platform::model::health::Fitness;
use platform::weights::health::{Expected, Found, ask};

use super::collect::{Servers, cut, drip, packed, status};
use crate::support::cluster::install_tls;
use crate::support::world::CANARY;

/// Time enough for whoever answers at once, on a machine that has much else to do.
const LIMITS: Limits = Limits {
    attempt: Duration::from_secs(5),
    body: 16 << 20,
    room: 48 << 20,
};

pub(super) const VERSION: &str = r#"{"api_version": "1.0", "challenge_version": "1.0.0",
    "capabilities": ["get_weights", "proxy_routes"]}"#;

/// Returns routes that answer like this; `None` is 404.
fn routes(health: Option<&str>, version: Option<&str>) -> Router {
    let mut router = Router::new();
    for (path, text) in [("/health", health), ("/version", version)] {
        if let Some(text) = text.map(str::to_owned) {
            router = router.route(path, get(async move || text.clone()));
        }
    }
    router
}

async fn ask_all(servers: &Servers) -> BTreeMap<String, Found> {
    install_tls();
    let expected = servers.subjects.iter().map(|subject| Expected {
        place: subject.place.clone(),
        api_version: "1.0".to_owned(),
        version: "1.0.0".to_owned(),
        capabilities: ["get_weights", "proxy_routes"].map(str::to_owned).to_vec(),
    });
    let expected: Vec<Expected> = expected.collect();
    let expected: Vec<&Expected> = expected.iter().collect();
    let found = ask(&HttpChallenges::new(LIMITS), &expected, Timestamp::now).await;
    let by_slug = |found: Found| (found.slug.to_string(), found);
    found.into_iter().map(by_slug).collect()
}

fn told(found: &BTreeMap<String, Found>, slug: &str) -> (Fitness, String) {
    match &found[slug].fitness {
        Ok(()) => (Fitness::Fit, String::new()),
        Err(unfit) => (unfit.fitness(), unfit.to_string()),
    }
}

/// A slug, what it answers to `/health` and to `/version`, and what it is told to be.
type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a str);

/// Checks that each of them is found so, and that nothing it said is repeated.
async fn check(fitness: Fitness, cases: &[Case<'_>]) {
    let mut servers = Servers::default();
    for (slug, health, version, _) in cases {
        servers.serves(slug, routes(*health, *version)).await;
    }
    let found = ask_all(&servers).await;
    for (slug, _, _, why) in cases {
        assert_eq!(told(&found, slug), (fitness, (*why).to_owned()), "{slug}");
    }
    assert!(!format!("{found:?}").contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_well_and_what_is_declared_is_fit() {
    let ok = format!(r#"{{"status": "ok", "more": "{CANARY}"}}"#);
    let healthy = r#"{"status": "healthy", "slug": "healthy"}"#;
    let cases = [
        ("well", Some(ok.as_str()), Some(VERSION), ""),
        ("healthy", Some(healthy), Some(VERSION), ""),
        ("terse", Some("{}"), Some("{}"), ""),
    ];
    check(Fitness::Fit, &cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_a_health_has_its_reason_and_quotes_nothing() {
    let status = format!(r#"{{"status": "{CANARY}"}}"#);
    let stranger = format!(r#"{{"slug": "{CANARY}"}}"#);
    let deep = "[".repeat(60_000);
    let (version, form) = (Some(VERSION), "its health is no JSON object");
    let other = "its health has a `status` other than `ok` and `healthy`";
    let slug = "its health has the `slug` of another challenge";
    let cases = [
        ("unwell", Some(status.as_str()), version, other),
        ("stranger", Some(stranger.as_str()), version, slug),
        ("text", Some(CANARY), version, form),
        ("list", Some("[]"), version, form),
        ("deep", Some(deep.as_str()), version, form),
    ];
    check(Fitness::Unwell, &cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_a_version_has_its_reason_and_quotes_nothing() {
    let lacks = format!(r#"{{"capabilities": ["get_weights", "{CANARY}"]}}"#);
    let api = format!(r#"{{"apiVersion": "{CANARY}"}}"#);
    let newer = format!(r#"{{"challenge_version": "{CANARY}"}}"#);
    let text = format!(r#"{{"capabilities": "{CANARY}"}}"#);
    let ok = Some("{}");
    let case = |slug, version, why| (slug, ok, Some(version), why);
    let cases = [
        case("form", CANARY, "its version is no JSON object"),
        case("api", &api, "its `api_version` is not the declared 1.0"),
        case("lacks", &lacks, "its `capabilities` lack proxy_routes"),
        case("text", &text, "its `capabilities` are no list"),
        case(
            "newer",
            &newer,
            "its `challenge_version` is not the declared 1.0.0",
        ),
    ];
    check(Fitness::Mismatched, &cases).await;
    let neither = [
        (
            "no-health",
            None,
            Some(VERSION),
            "its health could not be asked: http 404",
        ),
        (
            "no-version",
            ok,
            None,
            "its version could not be asked: http 404",
        ),
    ];
    check(Fitness::NoAnswer, &neither).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_floods_or_talks_nonsense_is_cut_off_and_nobody_else() {
    let mut servers = Servers::default();
    for number in 0..40 {
        let slug = format!("silent-{number}");
        servers
            .does(&slug, |stream| async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(stream);
            })
            .await;
    }
    servers.does("drips", drip).await;
    servers.does("cut", cut).await;
    servers
        .answers("endless", || {
            let chunk = || Ok::<_, std::io::Error>(CANARY.repeat(1 << 10).into_bytes());
            Response::new(Body::from_stream(futures::stream::repeat_with(chunk)))
        })
        .await;
    servers
        .answers("large", || {
            Response::new(format!("{{{}}}", " ".repeat(64 << 10)).into())
        })
        .await;
    let (parts, bomb) = packed(&vec![b' '; 8 << 20]).into_parts();
    let bomb = axum::body::to_bytes(bomb, usize::MAX).await.unwrap();
    servers
        .answers("bomb", move || {
            Response::from_parts(parts.clone(), bomb.clone().into())
        })
        .await;
    servers
        .answers("garbage", || {
            let answer = Response::builder().header("content-encoding", "gzip");
            answer.body(Body::from(CANARY)).unwrap()
        })
        .await;
    servers
        .answers("brotli", || {
            let answer = Response::builder().header("content-encoding", "br");
            answer.body(Body::from("{}")).unwrap()
        })
        .await;
    servers
        .does("no-http", |mut stream| async move {
            let text = format!("220 {CANARY} ESMTP\r\n");
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await);
        })
        .await;
    servers.add("dead", "http://127.0.0.1:1".to_owned());
    servers.add("nowhere", "http://nowhere.invalid".to_owned());
    servers.add("no-address", "gopher://127.0.0.1".to_owned());
    servers
        .serves("well", routes(Some("{}"), Some(VERSION)))
        .await;
    servers.answers("packed", || packed(b"{}")).await;
    let began = Instant::now();
    let found = ask_all(&servers).await;
    // Two questions side by side, 32 challenges side by side.
    let took = began.elapsed();
    assert!(
        took < LIMITS.attempt * 3 + Duration::from_secs(1),
        "{took:?}"
    );
    for (slug, why) in [
        ("silent-0", "timeout"),
        ("silent-39", "timeout"),
        ("drips", "timeout"),
        ("cut", "connection failed"),
        ("endless", "response too large"),
        ("large", "response too large"),
        ("bomb", "response too large"),
        ("garbage", "invalid payload"),
        ("brotli", "invalid payload"),
        ("no-http", "connection failed"),
        ("dead", "connection failed"),
        ("nowhere", "connection failed"),
        ("no-address", "unreachable"),
    ] {
        let why = format!("its health could not be asked: {why}");
        assert_eq!(told(&found, slug), (Fitness::NoAnswer, why), "{slug}");
    }
    for slug in ["well", "packed"] {
        assert_eq!(told(&found, slug).0, Fitness::Fit, "{slug}");
    }
    assert!(!format!("{found:?}").contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_followed_elsewhere() {
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let visited = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::SeqCst);
        "{}"
    });
    let mut elsewhere = Servers::default();
    elsewhere.serves("elsewhere", visited).await;
    let to = format!("{}/health", elsewhere.subjects[0].place.base);
    let mut servers = Servers::default();
    let codes = [301, 302, 303, 307, 308];
    for code in codes {
        let (slug, to) = (format!("leads-{code}"), to.clone());
        servers.answers(&slug, move || status(code, &to)).await;
    }
    let found = ask_all(&servers).await;
    for code in codes {
        let why = format!("its health could not be asked: http {code}");
        let told = told(&found, &format!("leads-{code}"));
        assert_eq!(told, (Fitness::NoAnswer, why));
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "a redirect was followed");
}

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

const LIMITS: Limits = Limits {
    attempt: Duration::from_millis(1500),
    body: 16 << 20,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_reason_and_quotes_nothing() {
    let mut servers = Servers::default();
    let health = |status: &str| format!(r#"{{"status": "{status}", "more": "{CANARY}"}}"#);
    let (ok, unwell) = (health("ok"), health(CANARY));
    let stranger = format!(r#"{{"slug": "{CANARY}"}}"#);
    let deep = "[".repeat(60_000);
    let lacks = format!(r#"{{"capabilities": ["get_weights", "{CANARY}"]}}"#);
    let other_api = format!(r#"{{"apiVersion": "{CANARY}"}}"#);
    let other_version = format!(r#"{{"challenge_version": "{CANARY}"}}"#);
    let no_list = format!(r#"{{"capabilities": "{CANARY}"}}"#);
    let (ok, version) = (Some(ok.as_str()), Some(VERSION));
    let (fit, unwell_word, other) = (Fitness::Fit, Fitness::Unwell, Fitness::Mismatched);
    let cases: [(&str, Option<&str>, Option<&str>, Fitness, &str); 15] = [
        ("well", ok, version, fit, ""),
        (
            "healthy",
            Some(r#"{"status": "healthy"}"#),
            version,
            fit,
            "",
        ),
        ("terse", Some("{}"), Some("{}"), fit, ""),
        (
            "unwell",
            Some(&unwell),
            version,
            unwell_word,
            "other than `ok` and `healthy`",
        ),
        (
            "stranger",
            Some(&stranger),
            version,
            unwell_word,
            "the `slug` of another challenge",
        ),
        (
            "text",
            Some(CANARY),
            version,
            unwell_word,
            "its health is no JSON object",
        ),
        (
            "list",
            Some("[]"),
            version,
            unwell_word,
            "its health is no JSON object",
        ),
        (
            "deep",
            Some(&deep),
            version,
            unwell_word,
            "its health is no JSON object",
        ),
        (
            "no-health",
            None,
            version,
            Fitness::NoAnswer,
            "its health could not be asked: http 404",
        ),
        (
            "no-version",
            ok,
            None,
            Fitness::NoAnswer,
            "its version could not be asked: http 404",
        ),
        (
            "other-text",
            ok,
            Some(CANARY),
            other,
            "its version is no JSON object",
        ),
        (
            "other-api",
            ok,
            Some(&other_api),
            other,
            "`api_version` is not the declared 1.0",
        ),
        (
            "lacks",
            ok,
            Some(&lacks),
            other,
            "`capabilities` lack proxy_routes",
        ),
        (
            "no-list",
            ok,
            Some(&no_list),
            other,
            "`capabilities` are no list",
        ),
        (
            "newer",
            ok,
            Some(&other_version),
            other,
            "`challenge_version` is not the declared 1.0.0",
        ),
    ];
    for (slug, health, version, ..) in &cases {
        servers.serves(slug, routes(*health, *version)).await;
    }
    let found = ask_all(&servers).await;
    for (slug, _, _, fitness, why) in cases {
        let told = told(&found, slug);
        assert_eq!(told.0, fitness, "{slug}: {}", told.1);
        assert!(told.1.contains(why), "{slug}: {}", told.1);
    }
    assert!(!format!("{found:?}").contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_floods_or_leads_away_is_cut_off_and_nobody_else() {
    let mut servers = Servers::default();
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let visited = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::SeqCst);
        "{}"
    });
    let mut elsewhere = Servers::default();
    elsewhere.serves("elsewhere", visited).await;
    let to = format!("{}/health", elsewhere.subjects[0].place.base);
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
    for code in [301, 302, 307, 308] {
        let to = to.clone();
        let slug = format!("leads-{code}");
        servers.answers(&slug, move || status(code, &to)).await;
    }
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
        ("leads-301", "http 301"),
        ("leads-302", "http 302"),
        ("leads-307", "http 307"),
        ("leads-308", "http 308"),
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
    assert_eq!(visits.load(Ordering::SeqCst), 0, "a redirect was followed");
    assert!(!format!("{found:?}").contains(CANARY));
}

//! How challenges are, over real HTTP: what is fit, what each refusal is told as, and what `status` says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use jiff::Timestamp;
use platform::edge::challenge::{HttpChallenges, Limits};
use platform::edge::database::open_and_migrate;
use platform::model::health::{AllHealth, Fitness, Health};
use platform::model::{Secret, Slug};
use platform::weights::health::{Expected, Found, ask};
use serde_json::Value;

use super::collect::{Servers, cut, drip, packed, status};
use crate::support::cluster::install_tls;
use crate::support::keeper::Keeper;
use crate::support::world::{CANARY, World};

const LIMITS: Limits = Limits {
    attempt: Duration::from_millis(1500),
    body: 16 << 20,
};

const VERSION: &str = r#"{"api_version": "1.0", "challenge_version": "1.0.0",
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

/// A challenge that says what it is told to.
struct Obedient {
    says: Arc<Mutex<(u16, String)>>,
    servers: Servers,
}

impl Obedient {
    async fn start(version: &str) -> Self {
        let says = Arc::new(Mutex::new((200, r#"{"status": "ok"}"#.to_owned())));
        let said = says.clone();
        let version = version.to_owned();
        let health = async move || {
            let (code, text) = said.lock().unwrap().clone();
            let answer = Response::builder().status(code);
            answer.body(Body::from(text)).unwrap()
        };
        let router = Router::new()
            .route("/health", get(health))
            .route("/version", get(async move || version.clone()));
        let mut servers = Servers::default();
        servers.serves("any", router).await;
        Self { says, servers }
    }

    fn say(&self, code: u16, text: &str) {
        *self.says.lock().unwrap() = (code, text.to_owned());
    }

    fn declared(&self) -> String {
        declared(&self.servers.subjects[0].place.base)
    }
}

fn declared(base: &str) -> String {
    format!("database: sqlite\ninternal_base_url: {base}")
}

/// Serves a challenge over TLS, with a certificate of an authority that is made for it; both end up in the folder.
fn serve_tls(folder: &Path) -> String {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    install_tls();
    let path = |name: &str| folder.join(name).display().to_string();
    let made = |arguments: &[&str], name: &str| {
        let (out, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        let mut openssl = Command::new("openssl");
        openssl.args(common.split(' ')).args(arguments);
        let made = openssl.args(["-out", &out, "-keyout", &key]).output();
        let made = made.unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    };
    made(&["-subj", "/CN=authority"], "authority");
    let (authority, key) = (path("authority.pem"), path("authority.key"));
    let signed = ["-CA", &authority, "-CAkey", &key, "-subj", "/CN=challenge"];
    let name = "subjectAltName=IP:127.0.0.1";
    let extensions = [
        "-addext",
        name,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    made(&[signed.as_slice(), &extensions].concat(), "challenge");
    let certificate = CertificateDer::from_pem_file(path("challenge.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("challenge.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut question = [0; 4096];
            // Whoever does not trust the authority hangs up.
            if stream.read(&mut question).is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                drop(stream.write_all(answer));
            }
        }
    });
    format!("https://{address}")
}

/// Returns what `status` tells machines of a challenge.
async fn shown(world: &World, slug: &str) -> Value {
    let status = world.run(&["status", "-o", "json"]).await.expect(0);
    status.json()["challenges"][slug].clone()
}

fn ready_condition(shown: &Value) -> (String, String) {
    let conditions = shown["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|of| of["type"] == "Ready").unwrap();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn fit(slug: &str) -> String {
    format!("platform_challenge_fit{{slug=\"{slug}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_challenge_that_is_not_fit_is_not_ready_and_is_again_once_it_healed() {
    let mut world = World::new().await;
    world.set("PLATFORM_MASTER__HEALTH_INTERVAL_SECONDS", "5");
    let authority = world.path("authority.pem");
    world.set("SSL_CERT_FILE", authority.to_str().unwrap());
    let one = Obedient::start(VERSION).await;
    let other = format!(r#"{{"challenge_version": "{CANARY}"}}"#);
    let two = Obedient::start(&other).await;
    let secure = declared(&serve_tls(&world.path("")));
    let (away, off) = (
        declared("http://127.0.0.1:9"),
        declared("http://127.0.0.1:9"),
    );
    let off = off + "\nstatus: inactive";
    world.declare(&world.yaml(&[
        ("one", &one.declared()),
        ("two", &two.declared()),
        ("secure", &secure),
        ("away", &away),
        ("off", &off),
    ]));
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("everybody was asked", async |keeper| {
            let fitness = async |slug| keeper.metric(&fit(slug)).await;
            fitness("one").await == Some(1.0)
                && fitness("secure").await == Some(1.0)
                && fitness("two").await == Some(0.0)
                && fitness("away").await == Some(0.0)
                && keeper
                    .metric("platform_challenges{condition=\"ready\"}")
                    .await
                    == Some(2.0)
        })
        .await;
    assert_eq!(keeper.metric(&fit("off")).await, None);
    let ready = shown(&world, "one").await;
    assert_eq!(
        (&ready["condition"], &ready["health"]["fitness"]),
        (&"ready".into(), &"fit".into())
    );
    let mismatched = shown(&world, "two").await;
    assert_eq!(
        ready_condition(&mismatched),
        ("False".to_owned(), "Mismatched".to_owned())
    );
    let away = shown(&world, "away").await;
    assert_eq!(
        ready_condition(&away),
        ("False".to_owned(), "NoAnswer".to_owned())
    );
    assert_eq!(shown(&world, "off").await["health"], Value::Null);

    one.say(200, &format!(r#"{{"status": "{CANARY}"}}"#));
    keeper
        .until("it is told that one is unwell", async |_| {
            let shown = shown(&world, "one").await;
            let health = &shown["health"];
            ready_condition(&shown).1 == "Unwell"
                && health["fitness"] == "unwell"
                && health["since"].is_string()
                && health["remedy"] == Fitness::Unwell.remedy()
                && shown["condition"] == "progressing"
        })
        .await;
    let status = world.run(&["status"]).await.expect(0);
    let text = &status.stdout;
    assert!(
        text.contains("other than `ok` and `healthy`; its own log says why"),
        "{text}"
    );
    assert!(
        text.contains("unwell since ") && text.contains("mismatched since "),
        "{text}"
    );
    assert!(
        text.contains("no answer since ") && text.contains(" asked "),
        "{text}"
    );
    assert!(text.contains("Not converged"), "{text}");

    one.say(500, CANARY);
    keeper
        .until("it is told that one gives no answer", async |_| {
            ready_condition(&shown(&world, "one").await).1 == "NoAnswer"
        })
        .await;
    one.say(200, "{}");
    keeper
        .until("it is told that one has healed", async |keeper| {
            let shown = shown(&world, "one").await;
            ready_condition(&shown) == ("True".to_owned(), "AsDeclared".to_owned())
                && keeper.metric(&fit("one")).await == Some(1.0)
                && keeper
                    .metric("platform_challenges{condition=\"ready\"}")
                    .await
                    == Some(2.0)
        })
        .await;
    assert!(
        keeper.log().contains("a challenge is not fit"),
        "{}",
        keeper.log()
    );
    let (ended, _, _) = keeper.terminate().await;
    assert_eq!(ended, Some(0));
    for name in ["platform.db", "platform.db-wal"] {
        let bytes = std::fs::read(world.path(name)).unwrap_or_default();
        let is_canary = |part: &[u8]| part == CANARY.as_bytes();
        assert!(
            !bytes.windows(CANARY.len()).any(is_canary),
            "a quotation is in {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn what_is_not_known_of_a_challenge_is_told_and_keeps_nothing_from_being_ready() {
    let world = World::new().await;
    world
        .converge(&[("one", "database: sqlite"), ("two", "database: sqlite")])
        .await;
    let status = async || {
        let text = world.run(&["status"]).await.expect(0).stdout;
        (text.contains("\nConverged"), text)
    };
    let (is_converged, text) = status().await;
    assert!(is_converged, "{text}");
    assert!(
        text.contains("health of 2 challenges unknown: not asked yet"),
        "{text}"
    );
    let never = shown(&world, "one").await;
    assert_eq!(never["health"]["fitness"], "unknown");
    assert_eq!(ready_condition(&never).0, "True");

    let url = format!("sqlite:{}", world.path("platform.db").display());
    let database = open_and_migrate(&Secret::new(url)).await.unwrap();
    let now = Timestamp::now();
    let after = |seconds: i64| now + jiff::SignedDuration::from_secs(seconds);
    let unwell = |asked: i64, holds: i64, version: &str| Health {
        fitness: Fitness::Unwell,
        why: "its health is no JSON object".to_owned(),
        since: after(-600),
        asked_at: after(asked),
        holds_until: after(holds),
        version: version.to_owned(),
    };
    for (asked, holds, version, told, converges) in [
        (-30, 600, "1.0.0", "unwell since 10 min, asked 3", false),
        (
            -300,
            -120,
            "1.0.0",
            "health of one unknown: not asked of late",
            true,
        ),
        (
            -30,
            600,
            "0.9.0",
            "health of 2 challenges unknown: not asked yet",
            true,
        ),
    ] {
        let slug = Slug::parse("one").unwrap();
        let found = AllHealth::from([(slug, unwell(asked, holds, version))]);
        database
            .write_health(&found, &BTreeSet::new())
            .await
            .unwrap();
        let (is_converged, text) = status().await;
        assert_eq!(is_converged, converges, "{text}");
        assert!(text.contains(told), "{told}: {text}");
    }
    database.close().await;
}

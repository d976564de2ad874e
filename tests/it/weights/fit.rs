//! What `status`, conditions and metrics say of challenges that are fit, that are not, and of which that is not known.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use jiff::Timestamp;
use platform::edge::database::open_and_migrate;
use platform::model::health::{AllHealth, Fitness, Health};
use platform::model::{Secret, Slug};
use serde_json::Value;

use super::collect::Servers;
use super::health::VERSION;
use crate::support::cluster::install_tls;
use crate::support::keeper::Keeper;
use crate::support::world::{CANARY, World};

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

/// Makes a certificate and its key in a folder.
fn make_certificate(folder: &Path, name: &str, arguments: &[&str]) {
    let path = |end: &str| folder.join(format!("{name}.{end}"));
    let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    let mut openssl = Command::new("openssl");
    openssl.args(common.split(' ')).args(arguments);
    openssl.arg("-out").arg(path("pem"));
    let made = openssl.arg("-keyout").arg(path("key")).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}

/// Serves a challenge over TLS, with a certificate that this authority signed; all are in the folder.
fn serve_tls(folder: &Path, authority: &str) -> String {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    install_tls();
    let path = |file: &str| folder.join(file).display().to_string();
    make_certificate(folder, authority, &["-subj", "/CN=authority"]);
    let name = format!("of-{authority}");
    let signed = [
        ["-subj", "/CN=challenge"],
        ["-CA", &path(&format!("{authority}.pem"))],
        ["-CAkey", &path(&format!("{authority}.key"))],
        ["-addext", "subjectAltName=IP:127.0.0.1"],
        ["-addext", "basicConstraints=critical,CA:FALSE"],
    ];
    make_certificate(folder, &name, signed.as_flattened());
    let certificate = CertificateDer::from_pem_file(path(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
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

async fn asking_world() -> World {
    let mut world = World::new().await;
    world.set("PLATFORM_MASTER__HEALTH_INTERVAL_SECONDS", "5");
    world
}

/// Waits until these challenges have been found fit, or not, and so many are ready.
async fn until_found(keeper: &mut Keeper, found: &[(&str, f64)], ready: f64) {
    let wanted = found.iter().map(|(slug, is_fit)| (fit(slug), *is_fit));
    let count = "platform_challenges{condition=\"ready\"}".to_owned();
    let wanted: Vec<_> = wanted.chain([(count, ready)]).collect();
    keeper
        .until(&format!("{wanted:?}"), async |keeper| {
            for (name, value) in &wanted {
                if keeper.metric(name).await != Some(*value) {
                    return false;
                }
            }
            true
        })
        .await;
}

/// Checks that no file of the database has the canary.
fn check_database(world: &World) {
    for name in ["platform.db", "platform.db-wal"] {
        let bytes = std::fs::read(world.path(name)).unwrap_or_default();
        let mut parts = bytes.windows(CANARY.len());
        let is_quoted = parts.any(|part| part == CANARY.as_bytes());
        assert!(!is_quoted, "a quotation is in {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_challenge_that_is_not_fit_is_not_ready_and_is_again_once_it_healed() {
    let world = asking_world().await;
    let one = Obedient::start(VERSION).await;
    world.declare(&world.yaml(&[("one", &one.declared())]));
    let mut keeper = Keeper::start(&world, &[]);
    until_found(&mut keeper, &[("one", 1.0)], 1.0).await;
    let first = shown(&world, "one").await;
    assert_eq!(first["condition"], "ready");
    assert_eq!(first["health"]["fitness"], "fit");

    one.say(200, &format!(r#"{{"status": "{CANARY}"}}"#));
    until_found(&mut keeper, &[("one", 0.0)], 0.0).await;
    let unwell = shown(&world, "one").await;
    assert_eq!(unwell["condition"], "progressing");
    assert_eq!(ready_condition(&unwell), ("False".into(), "Unwell".into()));
    let health = &unwell["health"];
    assert_eq!(health["fitness"], "unwell");
    assert_eq!(health["remedy"], Fitness::Unwell.remedy());
    assert!(health["since"].is_string() && health["asked_at"].is_string());
    let text = world.run(&["status"]).await.expect(0).stdout;
    for told in [
        "other than `ok` and `healthy`; its own log says why",
        "unwell since ",
        ", asked ",
        "Not converged: everything is applied",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }

    one.say(500, CANARY);
    keeper
        .until("it is told that it gives no answer", async |_| {
            ready_condition(&shown(&world, "one").await).1 == "NoAnswer"
        })
        .await;
    one.say(200, "{}");
    until_found(&mut keeper, &[("one", 1.0)], 1.0).await;
    let healed = shown(&world, "one").await;
    let ready = ("True".to_owned(), "AsDeclared".to_owned());
    assert_eq!(ready_condition(&healed), ready);
    let log = keeper.log();
    assert!(log.contains("a challenge is not fit"), "{log}");
    let (ended, _, _) = keeper.terminate().await;
    assert_eq!(ended, Some(0));
    check_database(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn each_challenge_is_asked_for_itself_and_over_tls_with_an_authority_that_is_trusted() {
    let mut world = asking_world().await;
    let trusted = world.path("trusted.pem");
    world.set("SSL_CERT_FILE", trusted.to_str().unwrap());
    let other = format!(r#"{{"challenge_version": "{CANARY}"}}"#);
    let other = Obedient::start(&other).await;
    let secure = declared(&serve_tls(&world.path(""), "trusted"));
    let forged = declared(&serve_tls(&world.path(""), "unknown"));
    let away = declared("http://127.0.0.1:9");
    let off = format!("{away}\nstatus: inactive");
    world.declare(&world.yaml(&[
        ("other", &other.declared()),
        ("secure", &secure),
        ("forged", &forged),
        ("away", &away),
        ("off", &off),
    ]));
    let mut keeper = Keeper::start(&world, &[]);
    let found = [
        ("secure", 1.0),
        ("other", 0.0),
        ("forged", 0.0),
        ("away", 0.0),
    ];
    until_found(&mut keeper, &found, 1.0).await;
    assert_eq!(keeper.metric(&fit("off")).await, None);
    for (slug, reason) in [
        ("secure", "AsDeclared"),
        ("other", "Mismatched"),
        ("forged", "NoAnswer"),
        ("away", "NoAnswer"),
        ("off", "Stopped"),
    ] {
        let shown = shown(&world, slug).await;
        assert_eq!(ready_condition(&shown).1, reason, "{slug}");
        assert_eq!(shown["health"].is_null(), slug == "off");
    }
    drop(keeper.log());
    drop(keeper.terminate().await);
    check_database(&world);
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

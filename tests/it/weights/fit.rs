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

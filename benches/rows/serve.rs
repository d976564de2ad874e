//! Row 9: the newest weights over HTTP, against nginx with the same bytes as a file, one worker, asked the same way.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use jiff::Timestamp;
use platform::admin::registry::Network;
use platform::edge::chain::{Chain, FileChain};
use platform::edge::database::open_and_migrate;
use platform::edge::listener::{Limits, serve};
use platform::model::clock::Clock;
use platform::model::{Emission, FenceToken, Revision, Row, RowKey, Secret, Slug};
use platform::weights::epoch::{Collector, Parts};
use platform::weights::registered::{self, Registered};
use platform::weights::roster::Asked;
use platform::weights::routes::{Views, routes};
use platform::weights::serving::{Serving, Terms};
use platform::weights::shelf::Shelf;
use platform::weights::signature::SigningKey;
use platform::weights::{Answer, Rules, Subnet};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::report::{Goal, Reading, Report};
use super::{find_program, world::slug};

/// Neurons, each with a weight.
const UIDS: usize = 256;
const CHALLENGES: usize = 4;
/// Rounds of which the middle one counts.
const ROUNDS: usize = 3;
/// How long one measurement takes, and how many connections ask.
const ASKING: [&str; 3] = ["-t1", "-c32", "-d4s"];
/// How often a vector is made while that is measured; an installation makes one in six minutes.
const EPOCH: Duration = Duration::from_secs(1);
/// Where it is served.
const PATH: &str = "/v1/weights/latest";

/// Measures the row.
pub async fn measure(report: &mut Report) -> Result<()> {
    let (wrk, nginx) = (program("wrk")?, program("nginx")?);
    let scratch = tempfile::tempdir()?;
    let parts = parts(scratch.path()).await?;
    let mut registered = Registered::new(HOLDS);
    let terms = terms(scratch.path());
    let made = parts.epoch(&terms, &mut registered).await?;
    let views = Views::new(parts.serving.shelf.clone(), CLOCK);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = format!("http://{}{PATH}", listener.local_addr()?);
    let mut server = JoinSet::new();
    let stop = CancellationToken::new();
    server.spawn(serve(listener, routes(views), Limits::default(), stop));
    let nginx = Nginx::start(&nginx, scratch.path(), made.document.as_bytes())?;
    let theirs = nginx.url();
    until_same(&ours, &theirs).await?;

    let (mut quiet, mut busy, mut reference) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        reference.push(ask(&wrk, &theirs).await?);
        quiet.push(ask(&wrk, &ours).await?);
        let epochs = async {
            loop {
                tokio::time::sleep(EPOCH).await;
                parts.epoch(&terms, &mut registered).await?;
            }
        };
        busy.push(tokio::select! {
            asked = ask(&wrk, &ours) => asked?,
            ended = epochs => return ended,
        });
    }
    let middle = super::report::median;
    let (quiet, busy, reference) = (middle(quiet), middle(busy), middle(reference));
    let reading = |name: &str, rate| Reading::new(9, name, UIDS, (rate, "requests/s"));
    report.add(
        reading("newest weights", quiet)
            .against("nginx", reference)
            .goal(Goal::RatioAtLeast(0.7)),
    );
    report.add(
        reading("newest weights, while vectors are made", busy)
            .against("without", quiet)
            .goal(Goal::RatioAtLeast(0.9)),
    );
    Ok(())
}

const CLOCK: Clock = Clock {
    wall: Timestamp::now,
    steady,
};

fn steady() -> Duration {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed()
}

const HOLDS: registered::Limits = registered::Limits {
    life: Duration::from_secs(300),
    stale: Duration::from_secs(3600),
};

fn hotkey(number: usize) -> String {
    format!("5{number:047}")
}

/// Challenges that score everybody.
struct Everybody;

#[async_trait]
impl Collector for Everybody {
    async fn collect(&self, asked: Vec<Asked>) -> Vec<Answer> {
        let answer = |asked: Asked| Answer {
            slug: asked.slug,
            emission: asked.emission,
            outcome: Ok((0..UIDS)
                .map(|n| (hotkey(n), 1.0 / (n + 1) as f64))
                .collect()),
        };
        asked.into_iter().map(answer).collect()
    }
}

fn terms(folder: &Path) -> Terms {
    Terms {
        subnet: Subnet {
            netuid: 42,
            chain_endpoint: "wss://chain.example:9944".to_owned(),
        },
        metagraph_file: Some(folder.join("metagraph.json")),
        rules: Rules::default(),
        network: Network {
            name: "platform".to_owned(),
            master_uid: 0,
        },
        active: std::collections::BTreeMap::new(),
        revision: "bench".to_owned(),
    }
}

fn file_of(terms: &Terms) -> Arc<dyn Chain> {
    let file = terms.metagraph_file.clone().unwrap_or_default();
    Arc::new(FileChain::new(file))
}

/// Returns what makes vectors, with challenges registered in a database of its own.
async fn parts(folder: &Path) -> Result<Parts> {
    let url = format!("sqlite:{}", folder.join("platform.db").display());
    let database = open_and_migrate(&Secret::new(url)).await?;
    let revision = Revision {
        digest: "bench".to_owned(),
        commit: None,
    };
    for slug in (0..CHALLENGES).map(slug) {
        let row = Row(json!({
            "name": slug, "description": null, "status": "active",
            "emission_percent": Emission::parse("10")?.to_string(),
            "version": "1.0.0", "api_version": "1.0", "image": format!("ghcr.io/o/{slug}:1.0.0"),
            "internal_base_url": format!("http://challenge-{slug}:8000"), "spec": {},
        }));
        let key = RowKey::Challenge(Slug::parse(&slug)?);
        let now = Timestamp::now();
        database
            .write_row(FenceToken::new(0), &key, &row, &revision, now)
            .await?;
    }
    let hotkeys: Vec<String> = (0..UIDS).map(hotkey).collect();
    let metagraph = folder.join("metagraph.json");
    std::fs::write(
        &metagraph,
        json!({"hotkeys": hotkeys, "block": 7}).to_string(),
    )?;
    let (_, told) = watch::channel(None);
    let serving = Serving {
        database,
        shelf: Arc::new(Shelf::default()),
        key: Some(SigningKey::parse(&Secret::new("7".repeat(64)))?),
        terms: told,
        clock: CLOCK,
    };
    Ok(Parts {
        serving,
        chain: file_of,
        collector: Arc::new(Everybody),
        interval: EPOCH,
        tally: Arc::default(),
    })
}

/// nginx with one worker; killed when dropped.
struct Nginx {
    child: Child,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The worker ends with its master only when that is asked to end.
        let mut kill = Command::new("kill");
        drop(kill.arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

impl Nginx {
    fn start(program: &Path, folder: &Path, body: &[u8]) -> Result<Self> {
        let file = folder.join("www").join(PATH.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().context("it has a folder")?)?;
        std::fs::write(&file, body)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let at = folder.display();
        let config = format!(
            "daemon off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
             open_file_cache max=8; default_type application/json;\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {at}/www; }} }}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config)?;
        // Its worker is another user where it is started by root.
        let mut open = Command::new("chmod");
        drop(open.args(["-R", "a+rX"]).arg(folder).status());
        let child = Command::new(program)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start nginx")?;
        Ok(Self { child, port })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }
}

/// Returns where a program is; Debian keeps servers where only root's shell looks.
fn program(name: &str) -> Result<PathBuf> {
    let servers = Path::new("/usr/sbin").join(name);
    let found = find_program(name).or_else(|| servers.is_file().then_some(servers));
    found.with_context(|| format!("{name} is missing; install Debian's package {name}"))
}

/// Waits until both serve the same bytes.
async fn until_same(ours: &str, theirs: &str) -> Result<()> {
    let client = reqwest::Client::new();
    let get = async |url: &str| {
        anyhow::Ok(
            client
                .get(url)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await?,
        )
    };
    let body = get(ours).await?;
    for _ in 0..100 {
        if get(theirs).await.is_ok_and(|theirs| theirs == body) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nginx does not serve the same bytes")
}

/// Asks for a while, and returns the requests answered per second.
async fn ask(wrk: &Path, url: &str) -> Result<f64> {
    let mut command = tokio::process::Command::new(wrk);
    let ended = command
        .args(ASKING)
        .arg(url)
        .output()
        .await
        .context("run wrk")?;
    let text = String::from_utf8(ended.stdout)?;
    ensure!(
        !text.contains("Non-2xx"),
        "not everything was answered: {text}"
    );
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    line.with_context(|| format!("wrk wrote {text:?}"))?
        .trim()
        .parse()
        .context("a rate")
}

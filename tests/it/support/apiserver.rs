//! One more API server of the test cluster, on the same etcd: one that a test may kill and start again while everybody
//! else works with the first. It writes down what the controller of one namespace asks it.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster;
use super::proxy::Seen;

/// Seen: 5 s with two processors for itself.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// An API server of its own; killed when dropped.
pub struct ApiServer {
    words: Vec<String>,
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl ApiServer {
    /// Starts one for a namespace, with more flags, and waits until it is ready.
    ///
    /// Called by the thread that the test runs on: the kernel ends it with that thread, however that ends.
    pub async fn start(namespace: &str, flags: &[&str]) -> Self {
        let words = std::env::var("PLATFORM_TEST_APISERVER").expect(
            "PLATFORM_TEST_APISERVER is not set: run `cargo xtask test`, which starts a control plane",
        );
        let words = words.lines().chain(flags.iter().copied());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), policy(namespace)).unwrap();
        let mut server = Self {
            words: words.map(str::to_owned).collect(),
            port: free_port(),
            folder,
            child: None,
        };
        server.start_again();
        server.until_ready().await;
        server
    }

    /// Ends it by SIGKILL, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Starts it at the same port, and does not wait.
    pub fn start_again(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("log"));
        let log = log.unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.words)
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--audit-log-path={}", self.file("audit").display()))
            .arg(format!(
                "--audit-policy-file={}",
                self.file("policy.yaml").display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it says of itself that it is ready.
    pub async fn until_ready(&mut self) {
        let client = cluster::http_client().await;
        let began = Instant::now();
        let address = format!("{}/readyz", self.address());
        while began.elapsed() < READY_LIMIT {
            let asked = client.get(&address).bearer_auth(cluster::token());
            if asked.send().await.is_ok_and(|it| it.status().is_success()) {
                return;
            }
            let ended = self.child.as_mut().map(|child| child.try_wait().unwrap());
            assert_eq!(ended, Some(None), "it ended: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not become ready: {}", self.log());
    }

    /// Returns how a kubeconfig names it. It shares its certificate with the first.
    pub fn cluster(&self) -> Value {
        let mut cluster = cluster::of_kubeconfig();
        cluster["server"] = json!(self.address());
        cluster
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.file("audit")).unwrap_or_default()
    }

    fn etcd(&self) -> String {
        let etcd = self
            .words
            .iter()
            .find_map(|word| word.strip_prefix("--etcd-servers="));
        etcd.unwrap().to_owned()
    }

    /// Returns how much it has written down, for [`Self::asked_since`].
    pub fn mark(&self) -> usize {
        self.audit().len()
    }

    /// Returns what the controller has asked it since then and was answered. A watch is there when it begins, too.
    pub fn asked_since(&self, mark: usize) -> Vec<Seen> {
        let audit = self.audit();
        // What was being written when it was killed is no line.
        let lines = audit[mark..]
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.map(|line: Value| read(&line)).collect()
    }

    /// Asks it as the administrator, and returns what it answers, whatever that is.
    pub async fn ask(&self, path: &str) -> String {
        let client = cluster::http_client().await;
        let asked = client.get(format!("{}{path}", self.address()));
        let answer = asked.bearer_auth(cluster::token()).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Has etcd forget what was before a version.
    pub async fn compact(&self, version: u64) {
        let address = format!("{}/v3/kv/compaction", self.etcd());
        let body = json!({"revision": version.to_string()}).to_string();
        let answer = reqwest::Client::new().post(address).body(body).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.file("log")).unwrap_or_default();
        let from = log.lines().count().saturating_sub(15);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }
}

fn read(line: &Value) -> Seen {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &line["objectRef"];
    let is_dry = word(&line["requestURI"]).contains("dryRun=");
    Seen {
        verb: if is_dry {
            "dry-run".to_owned()
        } else {
            word(&line["verb"])
        },
        resource: word(&object["resource"]),
        name: word(&object["name"]),
    }
}

/// Every request of one namespace's controller, one line each.
fn policy(namespace: &str) -> String {
    let account = format!("system:serviceaccount:{namespace}:platform-controller");
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [account]}, {"level": "None"}],
    })
    .to_string()
}

/// Below the range from which Linux takes ports for outgoing connections, so that nobody takes it while the server is
/// away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = u16::try_from(std::process::id() % 10_000).unwrap();
    let first = 20_000 + of_process + NEXT.fetch_add(50, Ordering::Relaxed);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).unwrap()
}

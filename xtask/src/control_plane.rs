//! One or more Kubernetes control planes on loopback, each a set of child processes.
//!
//! All clusters go through the same steps side by side: etcd, API server, then
//! the rest. A cluster is ready when its nodes take pods and the default service
//! account is there, so that the first pod anyone makes runs at once.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    api::Api,
    assets::Assets,
    daemon::{Daemon, Ending, bound_to_us},
    environment,
    interrupt::Interrupt,
    keys::{SigningKey, random_token, render_token_line},
    kubeconfig::{self, Access},
    ports,
    scratch::Scratch,
};

/// Seen: under 1 s, 5 s and 3 s on two idle cores. A machine that compiles at
/// the same time may take many times as long.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Where the host-path provisioner of Kubernetes puts its volumes; it is fixed there.
const HOST_PATHS: &str = "/tmp/hostpath_pv";

/// What to start.
#[derive(Clone)]
pub struct Shape {
    /// Number of clusters, named `c1`, `c2` and so on.
    pub clusters: usize,
    /// Nodes in each.
    pub nodes: usize,
    /// File for the audit log of `c1`; others add their name.
    pub audit: Option<PathBuf>,
}

/// Running clusters; ended when dropped.
pub struct ControlPlane {
    clusters: Vec<Cluster>,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails with the last lines of the log of the program that failed.
    pub fn start(
        assets: &Assets,
        shape: &Shape,
        scratch: &Scratch,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut clusters = Vec::new();
        for number in 1..=shape.clusters {
            clusters.push(Cluster::prepare(number, shape, scratch)?);
        }
        for cluster in &mut clusters {
            cluster.start_etcd(assets)?;
        }
        for cluster in &mut clusters {
            cluster.wait_for_etcd(interrupt)?;
            cluster.start_apiserver(assets)?;
        }
        for cluster in &mut clusters {
            cluster.wait_for_apiserver(interrupt)?;
            cluster.start_others(assets)?;
            cluster.create_first_objects(shape.nodes)?;
        }
        for cluster in &mut clusters {
            cluster.wait_for_nodes(shape.nodes, interrupt)?;
        }
        let access: Vec<Access> = clusters
            .iter()
            .map(Cluster::access)
            .collect::<Result<_>>()?;
        let kubeconfig = scratch.path().join("kubeconfig");
        write_private(&kubeconfig, &kubeconfig::render(&access))?;
        Ok(Self {
            clusters,
            kubeconfig,
        })
    }

    /// Returns the file with one context per cluster.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns what happened to programs that have ended by themselves.
    pub fn find_endings(&mut self) -> Vec<String> {
        let daemons = self.clusters.iter_mut().flat_map(|c| &mut c.daemons);
        daemons.filter_map(Daemon::find_ending).collect()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let paths: Vec<PathBuf> = self
            .clusters
            .iter()
            .flat_map(Cluster::list_host_paths)
            .collect();
        self.clusters.clear();
        remove_host_paths(&paths);
    }
}

struct Cluster {
    name: String,
    folder: PathBuf,
    token: String,
    etcd_port: u16,
    etcd_peer_port: u16,
    port: u16,
    audit: Option<PathBuf>,
    api: Option<Api>,
    /// In the order of their start.
    daemons: Vec<Daemon>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The latest goes first: nobody then logs that its server is gone.
        while self.daemons.pop().is_some() {}
    }
}

impl Cluster {
    fn prepare(number: usize, shape: &Shape, scratch: &Scratch) -> Result<Self> {
        let name = format!("c{number}");
        let folder = scratch.folder(&name)?;
        let [etcd_port, etcd_peer_port, port] = ports::find_free()?;
        let token = random_token()?;
        write_private(
            &folder.join("tokens"),
            &render_token_line(&token, "admin", "system:masters"),
        )?;
        let key = SigningKey::generate()?;
        write_private(&folder.join("service-accounts.key"), &key.private)?;
        write_private(&folder.join("service-accounts.pub"), &key.public)?;
        let audit = shape.audit.as_deref().map(|file| audit_file(file, number));
        write_private(&folder.join("audit-policy.yaml"), AUDIT_POLICY)?;
        Ok(Self {
            name,
            folder,
            token,
            etcd_port,
            etcd_peer_port,
            port,
            audit,
            api: None,
            daemons: Vec::new(),
        })
    }

    fn start_etcd(&mut self, assets: &Assets) -> Result<()> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        let mut command = bound_to_us(&assets.etcd, "KILL", &[]);
        command
            .arg("--unsafe-no-fsync")
            .arg(format!("--name={}", self.name))
            .arg(format!("--data-dir={}", self.file("etcd")))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster={}={peer}", self.name))
            .arg("--log-level=warn");
        self.start("etcd", command)
    }

    fn wait_for_etcd(&mut self, interrupt: &Interrupt) -> Result<()> {
        let address = format!("http://127.0.0.1:{}/health", self.etcd_port);
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .new_agent();
        self.wait("start", interrupt, || agent.get(&address).call().is_ok())
    }

    fn start_apiserver(&mut self, assets: &Assets) -> Result<()> {
        let mut command = bound_to_us(&assets.apiserver, "KILL", &[]);
        command
            .arg(format!(
                "--etcd-servers=http://127.0.0.1:{}",
                self.etcd_port
            ))
            .arg(format!("--cert-dir={}", self.file("certificates")))
            .arg(format!("--secure-port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .args(["--authorization-mode=RBAC", "--allow-privileged"])
            .arg(format!("--token-auth-file={}", self.file("tokens")))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!(
                "--service-account-key-file={}",
                self.file("service-accounts.pub")
            ))
            .arg(format!(
                "--service-account-signing-key-file={}",
                self.file("service-accounts.key")
            ))
            .args([
                "--service-cluster-ip-range=10.96.0.0/16",
                "--endpoint-reconciler-type=none",
            ])
            .arg("--profiling=false");
        if let Some(audit) = &self.audit {
            command
                .arg(format!(
                    "--audit-policy-file={}",
                    self.file("audit-policy.yaml")
                ))
                .arg(format!("--audit-log-path={}", audit.display()));
        }
        self.start("kube-apiserver", command)
    }

    fn wait_for_apiserver(&mut self, interrupt: &Interrupt) -> Result<()> {
        let certificate = self.folder.join("certificates/apiserver.crt");
        // Written in one piece, but seen empty for a moment.
        let has_certificate =
            || fs::read_to_string(&certificate).is_ok_and(|text| text.contains("END CERTIFICATE"));
        self.wait("making its certificate", interrupt, has_certificate)?;
        let authority = self.authority()?;
        let api = Api::new(&self.server(), &authority, &self.token)?;
        self.wait("becoming ready", interrupt, || api.is_ready())?;
        self.api = Some(api);
        write_private(
            &self.folder.join("kubeconfig"),
            &kubeconfig::render(&[self.access()?]),
        )
    }

    fn start_others(&mut self, assets: &Assets) -> Result<()> {
        let kubeconfig = format!("--kubeconfig={}", self.file("kubeconfig"));
        let mut command = bound_to_us(&assets.controller_manager, "KILL", &[]);
        command
            .arg(&kubeconfig)
            .args(["--use-service-account-credentials", "--leader-elect=false"])
            .arg(format!(
                "--service-account-private-key-file={}",
                self.file("service-accounts.key")
            ))
            .args(["--enable-hostpath-provisioner", "--secure-port=0"])
            // The defaults of 20 and 30 make a hundred StatefulSets wait for minutes.
            .args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
        self.start("kube-controller-manager", command)?;
        let mut command = bound_to_us(&assets.scheduler, "KILL", &[]);
        command
            .arg(&kubeconfig)
            .args(["--leader-elect=false", "--secure-port=0"]);
        self.start("kube-scheduler", command)?;
        let stages = environment::repository().join("xtask/cluster/stages.yaml");
        let mut command = bound_to_us(&assets.kwok, "KILL", &[]);
        command
            .arg(&kubeconfig)
            .arg(format!("--config={}", stages.display()))
            .args([
                "--manage-all-nodes=true",
                "--node-ip=127.0.0.1",
                "--cidr=10.244.0.0/16",
            ])
            // Of its own; otherwise it takes a default port twice when clusters run side by side.
            .args(["--server-address=", "--node-port=0"]);
        self.start("kwok", command)
    }

    fn create_first_objects(&self, nodes: usize) -> Result<()> {
        let api = self.api()?;
        api.create("/apis/storage.k8s.io/v1/storageclasses", &storage_class())?;
        for number in 1..=nodes {
            api.create("/api/v1/nodes", &node(number))?;
        }
        Ok(())
    }

    fn wait_for_nodes(&mut self, nodes: usize, interrupt: &Interrupt) -> Result<()> {
        let Some(api) = self.api.take() else {
            return Ok(());
        };
        let outcome = self.wait("making the nodes ready", interrupt, || {
            let has_account = api
                .get("/api/v1/namespaces/default/serviceaccounts/default")
                .is_ok();
            has_account
                && api
                    .get("/api/v1/nodes")
                    .is_ok_and(|list| count_ready(&list) == nodes)
        });
        self.api = Some(api);
        outcome
    }

    /// Returns the folders of this host that volumes of this cluster take up.
    fn list_host_paths(&self) -> Vec<PathBuf> {
        self.api
            .as_ref()
            .and_then(|api| api.get("/api/v1/persistentvolumes").ok())
            .map(|list| host_paths(&list))
            .unwrap_or_default()
    }

    fn access(&self) -> Result<Access> {
        Ok(Access {
            name: self.name.clone(),
            server: self.server(),
            authority: self.authority()?,
            token: self.token.clone(),
        })
    }

    fn api(&self) -> Result<&Api> {
        self.api
            .as_ref()
            .context("use an API server before it is ready")
    }

    fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn authority(&self) -> Result<String> {
        let file = self.folder.join("certificates/apiserver.crt");
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn start(&mut self, name: &'static str, command: Command) -> Result<()> {
        let log = self.folder.join(format!("{name}.log"));
        self.daemons
            .push(Daemon::start(name, command, log, Ending::Kill)?);
        Ok(())
    }

    /// Waits for what the daemon started last is to do.
    fn wait(
        &mut self,
        what: &str,
        interrupt: &Interrupt,
        is_ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let latest = self.daemons.last_mut().context("wait for no daemon")?;
        latest.wait_until(what, READY_LIMIT, interrupt, is_ready)
    }
}

/// Every request, one line each, without bodies.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

fn audit_file(file: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return file.to_owned();
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".c{number}"));
    name.into()
}

fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": "kubernetes.io/host-path",
        "reclaimPolicy": "Delete",
    })
}

fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
    })
}

fn count_ready(nodes: &Value) -> usize {
    let items = nodes["items"].as_array();
    items.map_or(0, |items| {
        items.iter().filter(|node| takes_pods(node)).count()
    })
}

fn takes_pods(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let is_ready = conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    });
    let has_taints = node["spec"]["taints"]
        .as_array()
        .is_some_and(|taints| !taints.is_empty());
    is_ready && !has_taints
}

/// Returns where volumes are, as far as the provisioner of the test cluster put them there.
fn host_paths(volumes: &Value) -> Vec<PathBuf> {
    let items = volumes["items"].as_array();
    items
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["spec"]["hostPath"]["path"].as_str())
        .map(PathBuf::from)
        .filter(|path| path.parent() == Some(Path::new(HOST_PATHS)))
        .collect()
}

fn remove_host_paths(paths: &[PathBuf]) {
    for path in paths {
        // The controller manager may have removed it before it ended.
        fs::remove_dir_all(path).ok();
    }
    // Fails, as it should, while another cluster has volumes there.
    fs::remove_dir(HOST_PATHS).ok();
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
        .with_context(|| format!("set the mode of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tainted_node_is_not_ready() {
        let conditions = json!([{ "type": "Ready", "status": "True" }]);
        let free = json!({ "status": { "conditions": conditions } });
        let tainted = json!({
            "spec": { "taints": [{ "key": "node.kubernetes.io/not-ready" }] },
            "status": { "conditions": conditions },
        });
        let list = json!({ "items": [free, tainted, {}] });
        assert_eq!(count_ready(&list), 1);
    }

    #[test]
    fn only_paths_of_the_provisioner_are_removed() {
        let volume = |path: &str| json!({ "spec": { "hostPath": { "path": path } } });
        let list = json!({ "items": [
            volume("/tmp/hostpath_pv/1"),
            volume("/tmp/hostpath_pv/../../etc"),
            volume("/etc"),
            { "spec": {} },
        ]});
        assert_eq!(host_paths(&list), [PathBuf::from("/tmp/hostpath_pv/1")]);
    }

    #[test]
    fn second_cluster_has_an_audit_log_of_its_own() {
        let file = Path::new("audit.log");
        assert_eq!(audit_file(file, 1), file);
        assert_eq!(audit_file(file, 2), Path::new("audit.log.c2"));
    }

    fn start_one() -> (ControlPlane, Scratch) {
        // Refused where another test has installed it.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let interrupt = Interrupt::default();
        let assets = Assets::find(&interrupt).unwrap();
        let scratch = Scratch::new().unwrap();
        let shape = Shape {
            clusters: 1,
            nodes: 1,
            audit: None,
        };
        let control_plane = ControlPlane::start(&assets, &shape, &scratch, &interrupt).unwrap();
        (control_plane, scratch)
    }

    fn stateful_set() -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": { "name": "s" },
            "spec": {
                "serviceName": "s",
                "selector": { "matchLabels": { "app": "s" } },
                "template": {
                    "metadata": { "labels": { "app": "s" } },
                    "spec": { "containers": [{ "name": "c", "image": "example.org/c:1" }] },
                },
                "volumeClaimTemplates": [{
                    "metadata": { "name": "data" },
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": { "requests": { "storage": "1Gi" } },
                    },
                }],
            },
        })
    }

    fn wait_for(api: &Api, path: &str, is_there: impl Fn(&Value) -> bool) {
        let started = std::time::Instant::now();
        while !api.get(path).is_ok_and(|object| is_there(&object)) {
            assert!(started.elapsed() < READY_LIMIT, "{path}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    #[ignore = "starts a cluster"]
    fn stateful_set_gets_a_ready_pod_and_a_bound_claim() {
        let (control_plane, _scratch) = start_one();
        let api = control_plane.clusters[0].api().unwrap();
        let sets = "/apis/apps/v1/namespaces/default/statefulsets";
        api.create(sets, &stateful_set()).unwrap();
        wait_for(api, &format!("{sets}/s"), |set| {
            set["status"]["readyReplicas"] == 1
        });
        let claim = "/api/v1/namespaces/default/persistentvolumeclaims/data-s-0";
        wait_for(api, claim, |claim| claim["status"]["phase"] == "Bound");
        let paths = control_plane.clusters[0].list_host_paths();
        assert_eq!(paths.len(), 1);
        drop(control_plane);
        assert!(!paths[0].exists());
    }

    #[test]
    #[ignore = "starts a cluster"]
    fn privileged_pod_is_refused_where_the_namespace_says_restricted() {
        let (control_plane, _scratch) = start_one();
        let api = control_plane.clusters[0].api().unwrap();
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let namespace = json!({ "metadata": { "name": "strict", "labels": labels } });
        api.create("/api/v1/namespaces", &namespace).unwrap();
        let container = json!({
            "name": "c",
            "image": "example.org/c:1",
            "securityContext": { "privileged": true },
        });
        let account = "/api/v1/namespaces/strict/serviceaccounts/default";
        wait_for(api, account, |_| true);
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [container] } });
        let refusal = api
            .create("/api/v1/namespaces/strict/pods", &pod)
            .unwrap_err();
        assert!(refusal.to_string().contains("violates PodSecurity"));
    }
}

//! The programs of one control plane: their files, flags, and when each is ready.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    Shape,
    objects::{count_ready, host_paths, node, storage_class},
};
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

/// How often a controller may call: the defaults, 20 to 50 a second, make a hundred StatefulSets wait for minutes.
const OFTEN: [&str; 2] = ["--kube-api-qps=500", "--kube-api-burst=1000"];

/// One control plane: its folder, ports and programs.
pub struct Cluster {
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
    /// Makes the folder, ports, token and keys of a cluster.
    ///
    /// # Errors
    ///
    /// Fails when its files cannot be written.
    pub fn prepare(number: usize, shape: &Shape, scratch: &Scratch) -> Result<Self> {
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

    /// Starts etcd.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started.
    pub fn start_etcd(&mut self, assets: &Assets) -> Result<()> {
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

    /// Waits until etcd answers.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log.
    pub fn wait_for_etcd(&mut self, interrupt: &Interrupt) -> Result<()> {
        let address = format!("http://127.0.0.1:{}/health", self.etcd_port);
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .new_agent();
        self.wait("start", interrupt, || agent.get(&address).call().is_ok())
    }

    /// Starts the API server.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started.
    pub fn start_apiserver(&mut self, assets: &Assets) -> Result<()> {
        let mut command = bound_to_us(&assets.apiserver, "KILL", &[]);
        command
            .args(self.apiserver_arguments())
            .arg(format!("--secure-port={}", self.port));
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

    /// Returns what every API server of this cluster is started with: all but its port.
    pub fn apiserver_arguments(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.file(name));
        let files = [
            file("cert-dir", "certificates"),
            file("token-auth-file", "tokens"),
            file("service-account-key-file", "service-accounts.pub"),
            file("service-account-signing-key-file", "service-accounts.key"),
        ];
        let rest = [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ];
        let etcd = format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port);
        let rest = rest.into_iter().map(str::to_owned);
        [etcd].into_iter().chain(files).chain(rest).collect()
    }

    /// Waits until the API server is ready, and writes the kubeconfig of the others.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log.
    pub fn wait_for_apiserver(&mut self, interrupt: &Interrupt) -> Result<()> {
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

    /// Starts what needs an API server.
    ///
    /// # Errors
    ///
    /// Fails when one of them cannot be started.
    pub fn start_others(&mut self, assets: &Assets) -> Result<()> {
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
            .args(OFTEN)
            // On a busy machine a heartbeat may come late, and pods once marked unready stay so here: no
            // kubelet would look at them again.
            .arg("--node-monitor-grace-period=1h");
        self.start("kube-controller-manager", command)?;
        let mut command = bound_to_us(&assets.scheduler, "KILL", &[]);
        command
            .arg(&kubeconfig)
            .args(["--leader-elect=false", "--secure-port=0"])
            .args(OFTEN);
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
                // Without leases every node counts as lost after the grace period.
                "--node-lease-duration-seconds=40",
            ])
            // Of its own; otherwise it takes a default port twice when clusters run side by side.
            .args(["--server-address=", "--node-port=0"]);
        self.start("kwok", command)
    }

    /// Creates the default storage class and the nodes.
    ///
    /// # Errors
    ///
    /// Fails when the API server refuses.
    pub fn create_first_objects(&self, nodes: usize) -> Result<()> {
        let api = self.api()?;
        api.create("/apis/storage.k8s.io/v1/storageclasses", &storage_class())?;
        for number in 1..=nodes {
            api.create("/api/v1/nodes", &node(number))?;
        }
        Ok(())
    }

    /// Waits until a pod made now would run at once.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log of kwok, which makes nodes ready.
    pub fn wait_for_nodes(&mut self, nodes: usize, interrupt: &Interrupt) -> Result<()> {
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
    pub fn list_host_paths(&self) -> Vec<PathBuf> {
        self.api
            .as_ref()
            .and_then(|api| api.get("/api/v1/persistentvolumes").ok())
            .map(|list| host_paths(&list))
            .unwrap_or_default()
    }

    /// Returns how to reach the cluster as its admin.
    ///
    /// # Errors
    ///
    /// Fails before the API server has made its certificate.
    pub fn access(&self) -> Result<Access> {
        Ok(Access {
            name: self.name.clone(),
            server: self.server(),
            authority: self.authority()?,
            token: self.token.clone(),
        })
    }

    /// Returns a client.
    ///
    /// # Errors
    ///
    /// Fails before the API server is ready.
    pub fn api(&self) -> Result<&Api> {
        self.api
            .as_ref()
            .context("use an API server before it is ready")
    }

    /// Returns the programs that run.
    pub fn daemons(&mut self) -> &mut [Daemon] {
        &mut self.daemons
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

/// Writes a file that only we may read.
///
/// # Errors
///
/// Fails when it cannot be written.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
        .with_context(|| format!("set the mode of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_cluster_has_an_audit_log_of_its_own() {
        let file = Path::new("audit.log");
        assert_eq!(audit_file(file, 1), file);
        assert_eq!(audit_file(file, 2), Path::new("audit.log.c2"));
    }
}

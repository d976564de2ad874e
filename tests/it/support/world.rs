//! One test's world: a namespace, a scratch directory with `platform.yaml`, a database, and the program run
//! as a user runs it, under the Role that the chart ships.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::apiserver::ApiServer;
use super::cluster::Admin;
use super::proxy::Proxy;

/// A secret that must not occur in anything the program says or stores outside a Secret.
pub const CANARY: &str = "canary-7f3a91c2-do-not-show";

/// Tells whether the long form of tests is wanted: every case instead of a sample.
pub fn is_soak() -> bool {
    std::env::var("PLATFORM_SOAK").is_ok_and(|value| value == "1")
}

/// One test's world.
pub struct World {
    pub namespace: String,
    pub admin: Admin,
    pub proxy: Proxy,
    /// How a kubeconfig names the API server that the program talks to: the proxy, unless told otherwise.
    server: Value,
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// What is left behind slows down the worlds that come after.
impl Drop for World {
    fn drop(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            // A client belongs to the runtime that it was made in.
            runtime.block_on(async { Admin::connect().await.send("DELETE", &path, None).await })
        };
        // The test has its verdict; what cannot be deleted goes with the cluster.
        drop(std::thread::spawn(delete).join());
    }
}

/// What a run of the program said.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let ran = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(
            !ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY),
            "a secret was shown: {ran}"
        );
        ran
    }

    /// Checks the exit code, and shows everything when it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// What a pass may write, by collection.
pub const WRITTEN: [&str; 7] = [
    "secrets",
    "services",
    "statefulsets",
    "deployments",
    "networkpolicies",
    "horizontalpodautoscalers",
    "persistentvolumeclaims",
];

/// Leaves of an object what somebody declared.
pub fn drop_what_controllers_add(object: &mut Value) {
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for name in [
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(name);
    }
}

impl World {
    /// Makes a world of its own.
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("w{}-{number}", std::process::id());
        let admin = Admin::connect().await;
        let token = admin.install_controller(&namespace).await;
        let proxy = Proxy::start().await;
        let directory = tempfile::tempdir().unwrap();
        let world = Self {
            namespace,
            admin,
            server: json!({"server": proxy.address}),
            proxy,
            directory,
            // Behind the addresses that tests declare there is mostly nobody to be asked.
            environment: vec![(
                "PLATFORM_MASTER__HEALTH_INTERVAL_SECONDS".to_owned(),
                "0".to_owned(),
            )],
        };
        world.write_kubeconfig(&world.path("kubeconfig"), &token);
        world
    }

    fn write_kubeconfig(&self, path: &Path, token: &str) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": self.server}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}],
        });
        std::fs::write(path, kubeconfig.to_string()).unwrap();
    }

    /// Has the program talk to another API server from now on, with nothing in between.
    pub async fn move_to(&mut self, server: &ApiServer) {
        self.server = server.cluster();
        let path = self.kubeconfig_of("platform-controller").await;
        std::fs::rename(path, self.path("kubeconfig")).unwrap();
    }

    /// Writes a kubeconfig of another account of the chart's, and returns where it is.
    pub async fn kubeconfig_of(&self, account: &str) -> PathBuf {
        let token = self.admin.token_of(&self.namespace, account).await;
        let path = self.path(&format!("{account}.kubeconfig"));
        self.write_kubeconfig(&path, &token);
        path
    }

    /// Sets a variable for every later run of the program.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `platform.yaml`.
    pub fn declare(&self, yaml: &str) {
        std::fs::write(self.path("platform.yaml"), yaml).unwrap();
    }

    /// Returns a declaration with these challenges, each as `(slug, extra lines of its block)`.
    pub fn yaml(&self, challenges: &[(&str, &str)]) -> String {
        let digest = "a".repeat(64);
        let mut yaml = format!(
            "api_version: platform.network/v1\nenvironment: development\nnamespace: {}\n\
             safety: {{max_deleted_percent: 100, max_emission_change_points: 100}}\n\
             defaults: {{postgres: {{image: \"postgres:16-alpine@sha256:{digest}\"}}}}\nemissions:\n",
            self.namespace
        );
        if challenges.is_empty() {
            yaml = yaml.replace("emissions:\n", "emissions: {}\n");
        }
        for (slug, _) in challenges {
            yaml += &format!("  {slug}: 10\n");
        }
        yaml += if challenges.is_empty() {
            "challenges: {}\n"
        } else {
            "challenges:\n"
        };
        for (slug, extra) in challenges {
            yaml += &format!(
                "  {slug}:\n    image: ghcr.io/platformnetwork/{slug}:1.0.0@sha256:{digest}\n"
            );
            let lines: Vec<&str> = extra
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            if !lines
                .iter()
                .any(|line| line.trim_start().starts_with("status:"))
            {
                yaml += "    status: active\n";
            }
            for line in lines {
                yaml += &format!("    {line}\n");
            }
        }
        yaml
    }

    /// Prepares the program with an empty environment but for what a user sets.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
        command
            .args(args)
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", self.path("kubeconfig"))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end, off the async threads that the proxy needs.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[]).await
    }

    /// Starts the program and does not wait.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits for a started program.
    pub async fn finish(child: Child) -> Ran {
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
            .await
            .unwrap();
        Ran::of(&output)
    }

    /// Runs the program with more in its environment.
    pub async fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        Ran::of(&output)
    }

    /// Runs the program as somebody who may do everything, as `purge` wants it.
    pub async fn run_as_operator(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[("KUBECONFIG", &self.kubeconfig_of_operator())])
            .await
    }

    /// Writes a kubeconfig of somebody who may do everything, and returns where it is.
    pub fn kubeconfig_of_operator(&self) -> String {
        let path = self.path("operator.kubeconfig");
        self.write_kubeconfig(&path, &super::cluster::token());
        path.display().to_string()
    }

    /// Applies a declaration of these challenges to its end.
    pub async fn converge(&self, challenges: &[(&str, &str)]) {
        self.declare(&self.yaml(challenges));
        self.run(&["apply", "--yes", "--timeout", "60s"])
            .await
            .expect(0);
    }

    /// Changes an object as `kubectl edit` does, and returns it.
    pub async fn edit(&self, resource: &str, name: &str, patch: Value) -> Value {
        let path = format!("{}?fieldManager=kubectl-edit", self.api(resource, name));
        let kind = "application/strategic-merge-patch+json";
        self.admin
            .send_as("PATCH", &path, kind, Some(patch))
            .await
            .unwrap()
    }

    pub async fn delete(&self, resource: &str, name: &str) {
        let path = self.api(resource, name);
        self.admin.send("DELETE", &path, None).await.unwrap();
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, resource: &str, name: &str) {
        for _ in 0..150 {
            if self.get(resource, name).await.is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{resource}/{name} is still there");
    }

    /// Makes a Secret that a declaration may point at; its value is the canary.
    pub async fn put_secret(&self, name: &str, key: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: CANARY},
        });
        let path = self.api("secrets", "");
        self.admin.send("POST", &path, Some(secret)).await.unwrap();
    }

    /// Returns the decoded values of a Secret.
    pub async fn secret(&self, name: &str) -> std::collections::BTreeMap<String, String> {
        let secret = self.get("secrets", name).await.unwrap();
        let data = secret["data"].as_object().unwrap();
        let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        data.iter()
            .map(|(key, value)| (key.clone(), String::from_utf8(decoded(value)).unwrap()))
            .collect()
    }

    /// Returns the names of a collection's objects.
    pub async fn names(&self, resource: &str) -> Vec<String> {
        let items = self.admin.items(&self.api(resource, "")).await;
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }

    /// Returns the path of a collection or an object in this world's namespace.
    pub fn api(&self, resource: &str, name: &str) -> String {
        let group = match resource {
            "statefulsets" | "deployments" => "apis/apps/v1",
            "networkpolicies" => "apis/networking.k8s.io/v1",
            "horizontalpodautoscalers" => "apis/autoscaling/v2",
            "scaledobjects" => "apis/keda.sh/v1alpha1",
            "roles" => "apis/rbac.authorization.k8s.io/v1",
            _ => "api/v1",
        };
        let path = format!("/{group}/namespaces/{}/{resource}", self.namespace);
        if name.is_empty() {
            path
        } else {
            format!("{path}/{name}")
        }
    }

    pub async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.admin.get(&self.api(resource, name)).await
    }

    /// Returns everything a pass may write, by kind and name, without what controllers add.
    pub async fn snapshot(&self) -> std::collections::BTreeMap<String, Value> {
        let mut found = std::collections::BTreeMap::new();
        for resource in WRITTEN {
            for mut object in self.admin.items(&self.api(resource, "")).await {
                let name = object["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                drop_what_controllers_add(&mut object);
                found.insert(format!("{resource}/{name}"), object);
            }
        }
        found
    }

    /// Returns a snapshot that two worlds in the same state have in common: no namespace, no addresses, and
    /// of Secrets the keys alone.
    pub async fn normal_snapshot(&self) -> std::collections::BTreeMap<String, Value> {
        let mut snapshot = self.snapshot().await;
        for object in snapshot.values_mut() {
            let text = object.to_string().replace(&self.namespace, "NAMESPACE");
            *object = serde_json::from_str(&text).unwrap();
            if let Some(data) = object["data"].as_object_mut() {
                data.values_mut().for_each(|value| *value = Value::Null);
            }
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|name, _| !name.contains("kubernetes.io/"));
            }
            if let Some(spec) = object["spec"].as_object_mut() {
                for given in ["clusterIP", "clusterIPs", "volumeName"] {
                    spec.remove(given);
                }
            }
        }
        snapshot
    }
}

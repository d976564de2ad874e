//! One or more Kubernetes control planes on loopback, each a set of child processes.
//!
//! All clusters go through the same steps side by side: etcd, API server, then
//! the rest. A cluster is ready when its nodes take pods and the default service
//! account is there, so that the first pod anyone makes runs at once.

mod objects;
mod programs;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{
    api::Api,
    assets::Assets,
    daemon::Daemon,
    interrupt::Interrupt,
    kubeconfig::{self, Access},
    scratch::Scratch,
};

use self::{
    objects::remove_host_paths,
    programs::{Cluster, write_private},
};

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

    /// Returns a client of the first cluster, as its admin.
    ///
    /// # Errors
    ///
    /// Fails when the files that tell how to reach it cannot be read.
    pub fn api(&self) -> Result<Api> {
        let cluster = self.clusters.first().context("there is no cluster")?;
        let access = cluster.access()?;
        Api::new(&access.server, &access.authority, &access.token)
    }

    /// Returns the words that start one more API server of the first cluster, one a line; its port is for whoever
    /// starts it to add.
    ///
    /// # Errors
    ///
    /// Fails when there is no cluster.
    pub fn another_apiserver(&self, assets: &Assets) -> Result<String> {
        let cluster = self.clusters.first().context("there is no cluster")?;
        let program = assets.apiserver.display().to_string();
        let words = [vec![program], cluster.apiserver_arguments()].concat();
        Ok(words.join("\n"))
    }

    /// Returns what happened to programs that have ended by themselves.
    pub fn find_endings(&mut self) -> Vec<String> {
        let daemons = self.clusters.iter_mut().flat_map(Cluster::daemons);
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

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use serde_json::{Value, json};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

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
        let started = Instant::now();
        while !api.get(path).is_ok_and(|object| is_there(&object)) {
            assert!(started.elapsed() < LIMIT, "{path}");
            thread::sleep(Duration::from_millis(50));
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

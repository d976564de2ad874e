//! The objects that make a bare API server usable, and what is read back from it (pure,
//! but for the removal of volumes from this host).

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// Where the host-path provisioner of Kubernetes puts its volumes; it is fixed there.
const HOST_PATHS: &str = "/tmp/hostpath_pv";

/// Returns the class that binds a claim that names none.
pub fn storage_class() -> Value {
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

/// Returns a node for kwok to bring to life.
pub fn node(number: usize) -> Value {
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

/// Counts the nodes of a list that take pods now.
pub fn count_ready(nodes: &Value) -> usize {
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
pub fn host_paths(volumes: &Value) -> Vec<PathBuf> {
    let items = volumes["items"].as_array();
    items
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["spec"]["hostPath"]["path"].as_str())
        .map(PathBuf::from)
        .filter(|path| path.parent() == Some(Path::new(HOST_PATHS)))
        .collect()
}

/// Removes the folders of volumes, and the one above them when it is empty.
pub fn remove_host_paths(paths: &[PathBuf]) {
    for path in paths {
        // The controller manager may have removed it before it ended.
        fs::remove_dir_all(path).ok();
    }
    // Fails, as it should, while another cluster has volumes there.
    fs::remove_dir(HOST_PATHS).ok();
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
}

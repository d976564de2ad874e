//! The text of a kubeconfig.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

/// How to reach one cluster as its admin.
pub struct Access {
    /// Name of cluster, user and context.
    pub name: String,
    /// Address of the API server.
    pub server: String,
    /// Certificates to trust, as PEM.
    pub authority: String,
    /// Bearer token of the admin.
    pub token: String,
}

/// Renders a kubeconfig with one context per cluster; the first is the current one.
pub fn render(clusters: &[Access]) -> String {
    let mut text = String::from("apiVersion: v1\nkind: Config\n");
    if let Some(first) = clusters.first() {
        text.push_str("current-context: ");
        text.push_str(&first.name);
        text.push('\n');
    }
    text.push_str("clusters:\n");
    clusters.iter().for_each(|c| push_cluster(&mut text, c));
    text.push_str("users:\n");
    clusters.iter().for_each(|c| push_user(&mut text, c));
    text.push_str("contexts:\n");
    clusters.iter().for_each(|c| push_context(&mut text, c));
    text
}

fn push_cluster(text: &mut String, cluster: &Access) {
    let Access { name, server, .. } = cluster;
    let authority = STANDARD.encode(&cluster.authority);
    write!(
        text,
        "- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n"
    )
    .expect("writing to a string does not fail");
}

fn push_user(text: &mut String, cluster: &Access) {
    let Access { name, token, .. } = cluster;
    write!(text, "- name: {name}\n  user:\n    token: {token}\n")
        .expect("writing to a string does not fail");
}

fn push_context(text: &mut String, cluster: &Access) {
    let name = &cluster.name;
    write!(
        text,
        "- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n    namespace: default\n"
    )
    .expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(name: &str, port: u16) -> Access {
        Access {
            name: name.into(),
            server: format!("https://127.0.0.1:{port}"),
            authority: "PEM".into(),
            token: format!("token-{name}"),
        }
    }

    #[test]
    fn two_clusters_make_two_contexts_and_the_first_is_current() {
        let text = render(&[access("c1", 1), access("c2", 2)]);
        assert_eq!(
            text,
            "apiVersion: v1
kind: Config
current-context: c1
clusters:
- name: c1
  cluster:
    server: https://127.0.0.1:1
    certificate-authority-data: UEVN
- name: c2
  cluster:
    server: https://127.0.0.1:2
    certificate-authority-data: UEVN
users:
- name: c1
  user:
    token: token-c1
- name: c2
  user:
    token: token-c2
contexts:
- name: c1
  context:
    cluster: c1
    user: c1
    namespace: default
- name: c2
  context:
    cluster: c2
    user: c2
    namespace: default
"
        );
    }
}

//! The test cluster as its administrator sees it.

use std::process::Command;
use std::sync::OnceLock;

use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};

/// The administrator's client.
#[derive(Clone)]
pub struct Admin {
    client: kube::Client,
}

/// Returns the path of the kubeconfig that the test command provides.
pub fn kubeconfig() -> String {
    std::env::var("PLATFORM_TEST_KUBECONFIG").expect(
        "PLATFORM_TEST_KUBECONFIG is not set: run `cargo xtask test`, which starts a control plane",
    )
}

/// Returns the administrator's token.
pub fn token() -> String {
    let text = std::fs::read_to_string(kubeconfig()).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    file["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Returns how the kubeconfig names the cluster.
pub fn of_kubeconfig() -> Value {
    let text = std::fs::read_to_string(kubeconfig()).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    file["clusters"][0]["cluster"].clone()
}

/// Returns a client that trusts the cluster, without any credentials of its own.
pub async fn http_client() -> reqwest::Client {
    install_tls();
    let file = kube::config::Kubeconfig::read_from(kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    let authority = config.unwrap().root_cert.unwrap();
    let trust = |client: reqwest::ClientBuilder, certificate: Vec<u8>| {
        client.add_root_certificate(reqwest::Certificate::from_der(&certificate).unwrap())
    };
    let client = authority
        .into_iter()
        .fold(reqwest::Client::builder(), trust);
    client.build().unwrap()
}

/// Installs the TLS provider, once for all tests.
pub fn install_tls() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("no other provider is installed");
    });
}

impl Admin {
    pub async fn connect() -> Self {
        install_tls();
        let file = kube::config::Kubeconfig::read_from(kubeconfig()).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options)
            .await
            .unwrap();
        let client = kube::Client::try_from(config).unwrap();
        Self { client }
    }

    /// Sends one request; `Err` holds the status code and the server's message.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, (u16, String)> {
        let content_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send_as(method, path, content_type, body).await
    }

    pub async fn send_as(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<Value>,
    ) -> Result<Value, (u16, String)> {
        let body = body
            .map(|value| value.to_string().into_bytes())
            .unwrap_or_default();
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("content-type", content_type)
            .body(Body::from(body))
            .unwrap();
        let response = self
            .client
            .send(request)
            .await
            .expect("the API server answers");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status < 300 {
            Ok(value)
        } else {
            Err((
                status,
                value["message"].as_str().unwrap_or_default().to_owned(),
            ))
        }
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.send("GET", path, None).await {
            Ok(value) => Some(value),
            Err((404, _)) => None,
            Err(error) => panic!("GET {path}: {error:?}"),
        }
    }

    pub async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.send("GET", path, None).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Installs the kind of KEDA's objects, once for all tests, and lets the controller of a namespace write them
    /// as the chart does when asked to.
    pub async fn allow_keda(&self, namespace: &str) {
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        match self.send("POST", definitions, Some(scaled_objects())).await {
            Ok(_) | Err((409, _)) => {}
            Err(error) => panic!("{error:?}"),
        }
        let rendered = rendered_chart(namespace, &["kubernetes.autoscaling.kedaEnabled=true"]);
        let role = rendered
            .into_iter()
            .find(|object| object["kind"] == "Role")
            .unwrap();
        let path = format!(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/platform-controller"
        );
        self.send("PUT", &path, Some(role)).await.unwrap();
        let objects = format!("/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects");
        for _ in 0..100 {
            if self.get(&objects).await.is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("the kind of KEDA's objects is not served");
    }

    /// Makes a namespace with the controller's account and Role as the chart ships them, and returns a
    /// token of that account.
    pub async fn install_controller(&self, namespace: &str) -> String {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
        self.send("POST", "/api/v1/namespaces", Some(body))
            .await
            .unwrap();
        for object in rendered_chart(namespace, &[]) {
            let kind = object["kind"].as_str().unwrap_or_default();
            let collection = match kind {
                "ServiceAccount" => format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
                "Role" => {
                    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles")
                }
                "RoleBinding" => format!(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
                ),
                other => panic!("the chart renders a {other}, which this helper does not know"),
            };
            self.send("POST", &collection, Some(object)).await.unwrap();
        }
        self.token_of(namespace, "platform-controller").await
    }

    /// Returns a token of an account, for a day: a soak takes more than the hour of the default.
    pub async fn token_of(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86_400},
        });
        let answer = self.send("POST", &path, Some(body)).await.unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }
}

/// Renders `charts/platform` with Helm itself.
pub fn rendered_chart(namespace: &str, values: &[&str]) -> Vec<Value> {
    try_chart(namespace, values).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`rendered_chart`]; `Err` holds what Helm said.
pub fn try_chart(namespace: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    let helm = std::env::var("PLATFORM_TEST_HELM")
        .expect("PLATFORM_TEST_HELM is not set: run `cargo xtask test`");
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/platform");
    let args = ["template", "platform", chart, "--namespace", namespace];
    let mut command = Command::new(helm);
    command.args(args);
    for value in values {
        command.args(["--set", value]);
    }
    let output = command.output().expect("helm runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let values =
        documents.map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    Ok(values.filter(|value| !value.is_null()).collect())
}

/// A kind without rules of its own in the place of KEDA's.
fn scaled_objects() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {
            "group": "keda.sh", "scope": "Namespaced",
            "names": {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

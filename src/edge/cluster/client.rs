//! The cluster over HTTP: requests built here, bodies read within a bound, every call within a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Value, json};

use super::watch::SILENCE_LIMIT;
use super::{ClusterError, ClusterRead, ClusterWrite, Page};
use crate::edge::USER_AGENT;
use crate::model::document::Document;
use crate::model::{FIELD_MANAGER, Kind, ObjectKey, Scope};

/// The longest wait for a connection: one that takes longer is not made at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The largest answer read into memory; 500 objects of the largest kind are about 3 MiB.
const BODY_LIMIT: usize = 64 << 20;
/// Objects per page of a list: what `kubectl` asks for.
const PAGE_SIZE: u32 = 500;

/// A connection to one cluster.
pub struct KubeCluster {
    client: kube::Client,
    watching: kube::Client,
    name: String,
    call_limit: Duration,
}

/// Where the credentials of the local cluster come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Kubeconfig files, joined by `:`; the first one's current context counts.
    Files(String),
    /// The usual places: `~/.kube/config`, else, where allowed, the account of the pod.
    UsualPlaces {
        /// Whether the account of the pod may be used.
        in_cluster: bool,
    },
}

impl KubeCluster {
    /// Connects with the credentials found; no call takes longer than `call_limit`. Sends nothing yet.
    ///
    /// # Errors
    /// The kubeconfig is unreadable or malformed, or asks for something that is refused: commands
    /// (`exec`), `auth-provider`, or no server. Nothing is sent.
    pub async fn connect(
        credentials: &Credentials,
        call_limit: Duration,
    ) -> Result<Self, ConnectError> {
        let (mut config, name) = match credentials {
            Credentials::Files(paths) => from_files(paths).await?,
            Credentials::UsualPlaces { in_cluster } => match Kubeconfig::read() {
                Ok(kubeconfig) => from_kubeconfig(kubeconfig, "~/.kube/config").await?,
                Err(_) if *in_cluster => (
                    kube::Config::incluster().map_err(|_| ConnectError::NoCluster)?,
                    "in-cluster".to_owned(),
                ),
                Err(_) => return Err(ConnectError::NoCluster),
            },
        };
        config.connect_timeout = Some(CONNECT_LIMIT.min(call_limit));
        config.read_timeout = Some(call_limit);
        config.write_timeout = Some(call_limit);
        config
            .headers
            .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        // Retrying is the pass's business: it knows what may be repeated.
        config.default_retry = false;
        let client = |config: kube::Config| {
            kube::Client::try_from(config).map_err(|error| ConnectError::Client(error.to_string()))
        };
        let mut patient = config.clone();
        patient.read_timeout = Some(SILENCE_LIMIT);
        Ok(Self {
            client: client(config)?,
            watching: client(patient)?,
            name,
            call_limit,
        })
    }

    /// Returns the name of the kubeconfig's context, or `in-cluster`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the connection whose answers take as long as a watch is open.
    pub(super) fn watching(&self) -> kube::Client {
        self.watching.clone()
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Value, Failure> {
        self.call_for(method, path, body).await
    }

    async fn call_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<T, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json");
        let request = match body {
            Some((content_type, bytes)) => request
                .header(header::CONTENT_TYPE, content_type)
                .body(Body::from(bytes)),
            None => request.body(Body::empty()),
        };
        let request =
            request.map_err(|_| Failure::unreachable("the request could not be built"))?;
        match tokio::time::timeout(self.call_limit, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Plain(ClusterError::Timeout(
                self.call_limit.as_secs(),
            ))),
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, request: Request<Body>) -> Result<T, Failure> {
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| transport(&error))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await;
        let bytes = body
            .map_err(|_| Failure::unreachable("its answer was cut or too large"))?
            .to_bytes();
        if status.is_success() {
            return read(&bytes);
        }
        Err(Failure::Answer {
            status,
            retry_after,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        })
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account.
    #[error("no cluster: set KUBECONFIG or `kubernetes.kubeconfig`, or run inside a pod")]
    NoCluster,
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path}: {why}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it, without its content.
        why: String,
    },
    /// TLS or proxy settings.
    #[error("the cluster client could not be set up: {0}")]
    Client(String),
}

async fn from_files(paths: &str) -> Result<(kube::Config, String), ConnectError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.split(':').filter(|path| !path.is_empty()) {
        let read = Kubeconfig::read_from(Path::new(path)).map_err(|error| match error {
            kube::config::KubeconfigError::ReadConfig(error, _) => refuse(path, &error.to_string()),
            _ => refuse(path, "is no valid kubeconfig"),
        })?;
        merged = Some(match merged {
            Some(first) => first
                .merge(read)
                .map_err(|_| refuse(path, "does not fit the files named before it"))?,
            None => read,
        });
    }
    from_kubeconfig(merged.ok_or(ConnectError::NoCluster)?, paths).await
}

/// A kubeconfig that runs a command to sign in is refused: it would run whatever its author wants.
async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    path: &str,
) -> Result<(kube::Config, String), ConnectError> {
    for user in &kubeconfig.auth_infos {
        if let Some(AuthInfo {
            exec,
            auth_provider,
            ..
        }) = &user.auth_info
            && (exec.is_some() || auth_provider.is_some())
        {
            let why = format!(
                "user {:?} runs a command to sign in, which is refused; give it a token or a client certificate",
                user.name
            );
            return Err(refuse(path, &why));
        }
    }
    let name = kubeconfig.current_context.clone().unwrap_or_default();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| refuse(path, &shorten(&error.to_string())))?;
    Ok((config, name))
}

fn refuse(path: &str, why: &str) -> ConnectError {
    ConnectError::Kubeconfig {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// An unsuccessful call, before it is known which kind of object it was about.
pub(super) enum Failure {
    Plain(ClusterError),
    Answer {
        status: StatusCode,
        retry_after: Option<u64>,
        body: Value,
    },
}

impl Failure {
    fn unreachable(why: &str) -> Self {
        Self::Plain(ClusterError::Unreachable(why.to_owned()))
    }

    /// Sorts the answer. Of a Secret only field names are told: the server's message may quote values.
    pub(super) fn about(self, kind: Kind) -> ClusterError {
        let (status, retry_after, body) = match self {
            Self::Plain(error) => return error,
            Self::Answer {
                status,
                retry_after,
                body,
            } => (status, retry_after, body),
        };
        let reason = body["reason"].as_str().unwrap_or_default();
        let told = || tell(kind, &body);
        match status.as_u16() {
            401 => ClusterError::Unauthorized,
            403 => ClusterError::Forbidden(told()),
            // Something on the way answers 404 too, and knows nothing of what is there.
            404 if body["kind"] == "Status" => ClusterError::NotFound,
            409 if reason == "AlreadyExists" => ClusterError::AlreadyExists,
            409 => ClusterError::Conflict(told()),
            410 => ClusterError::Gone,
            400 | 422 => ClusterError::Invalid(told()),
            429 => ClusterError::TooManyRequests(retry_after),
            code => ClusterError::Server {
                code,
                reason: told(),
            },
        }
    }
}

fn transport(error: &kube::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Plain(ClusterError::Unreachable(shorten(&cause.to_string())))
}

fn tell(kind: Kind, body: &Value) -> String {
    if kind != Kind::Secret {
        return shorten(body["message"].as_str().unwrap_or("no reason given"));
    }
    let causes = body["details"]["causes"].as_array().into_iter().flatten();
    let fields: Vec<&str> = causes.filter_map(|cause| cause["field"].as_str()).collect();
    let reason = body["reason"].as_str().unwrap_or("no reason given");
    if fields.is_empty() {
        reason.to_owned()
    } else {
        shorten(&format!("{reason}: {}", fields.join(", ")))
    }
}

fn shorten(text: &str) -> String {
    let clean: String = text
        .chars()
        .take(400)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() > 400 {
        clean + "…"
    } else {
        clean
    }
}

/// Returns the path of a collection, or of one object in it.
fn path(kind: Kind, namespace: &str, name: Option<&str>, query: &BTreeMap<&str, String>) -> String {
    let version = kind.api_version();
    let group = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let namespace = (kind != Kind::Namespace).then_some(namespace);
    path_of(&group, namespace, kind.plural(), name, query)
}

pub(super) fn path_of(
    group: &str,
    namespace: Option<&str>,
    plural: &str,
    name: Option<&str>,
    query: &BTreeMap<&str, String>,
) -> String {
    let mut path = group.to_owned();
    let escape =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if let Some(namespace) = namespace {
        let _ = write!(path, "/namespaces/{}", escape(namespace));
    }
    let _ = write!(path, "/{plural}");
    if let Some(name) = name {
        let _ = write!(path, "/{}", escape(name));
    }
    for (index, (key, value)) in query.iter().enumerate() {
        let _ = write!(
            path,
            "{}{key}={}",
            if index == 0 { '?' } else { '&' },
            escape(value)
        );
    }
    path
}

/// A list as it is answered. Without items it is none: from an empty one would follow that all is gone.
#[derive(Deserialize)]
struct List {
    metadata: Option<ListMetadata>,
    items: Vec<Document>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl From<List> for Page {
    fn from(list: List) -> Self {
        let next = list.metadata.and_then(|metadata| metadata.next);
        Self {
            items: list.items,
            next: next.filter(|token| !token.is_empty()),
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => Failure::unreachable("its answer is not what was asked for"),
        _ => Failure::unreachable("its answer was cut or is no JSON"),
    })
}

fn object_path(key: &ObjectKey, query: &BTreeMap<&str, String>) -> String {
    path(key.kind, &key.namespace, Some(&key.name), query)
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl KubeCluster {
    async fn server_side_apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
        dry_run: bool,
    ) -> Result<Value, ClusterError> {
        let mut query = BTreeMap::from([
            ("fieldManager", FIELD_MANAGER.to_owned()),
            ("fieldValidation", "Strict".to_owned()),
            ("force", force.to_string()),
        ]);
        if dry_run {
            query.insert("dryRun", "All".to_owned());
        }
        // YAML is the content type of an apply; JSON is YAML.
        let body = Some(("application/apply-patch+yaml", bytes(manifest)));
        self.call(Method::PATCH, object_path(key, &query), body)
            .await
            .map_err(|failure| failure.about(key.kind))
    }
}

#[async_trait]
impl ClusterRead for KubeCluster {
    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        scope: &Scope,
        from: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let mut query = BTreeMap::from([
            ("labelSelector", scope.selector()),
            ("limit", PAGE_SIZE.to_string()),
        ]);
        if let Some(token) = from {
            query.insert("continue", token.to_owned());
        }
        let path = path(kind, namespace, None, &query);
        let list = self.call_for::<List>(Method::GET, path, None).await;
        list.map(Page::from).map_err(|failure| failure.about(kind))
    }

    async fn list_pods(&self, namespace: &str, scope: &Scope) -> Result<Vec<Value>, ClusterError> {
        let query = BTreeMap::from([
            ("labelSelector", scope.selector()),
            ("limit", PAGE_SIZE.to_string()),
        ]);
        let path = path_of("/api/v1", Some(namespace), "pods", None, &query);
        let list = self.call_for::<List>(Method::GET, path, None).await;
        let list = list.map_err(|failure| failure.about(Kind::StatefulSet))?;
        Ok(list.items.iter().map(Document::to_value).collect())
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        let answer = self
            .call(Method::GET, object_path(key, &BTreeMap::new()), None)
            .await;
        match answer.map_err(|failure| failure.about(key.kind)) {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn dry_run(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        self.server_side_apply(key, manifest, true, true).await
    }
}

#[async_trait]
impl ClusterWrite for KubeCluster {
    async fn apply(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<Value, ClusterError> {
        self.server_side_apply(key, manifest, force, false).await
    }

    async fn patch_json(
        &self,
        key: &ObjectKey,
        operations: &[Value],
        version: &str,
    ) -> Result<Value, ClusterError> {
        let query = BTreeMap::from([
            ("fieldManager", FIELD_MANAGER.to_owned()),
            ("fieldValidation", "Strict".to_owned()),
        ]);
        // Written into the object, the version is compared with the stored one: another is a conflict.
        let path = "/metadata/resourceVersion";
        let guard = json!({"op": "replace", "path": path, "value": version});
        let patch: Vec<&Value> = std::iter::once(&guard).chain(operations).collect();
        let body = Some(("application/json-patch+json", bytes(&json!(patch))));
        self.call(Method::PATCH, object_path(key, &query), body)
            .await
            .map_err(|failure| failure.about(key.kind))
    }

    async fn create(&self, key: &ObjectKey, manifest: &Value) -> Result<Value, ClusterError> {
        let query = BTreeMap::from([("fieldManager", FIELD_MANAGER.to_owned())]);
        let body = Some(("application/json", bytes(manifest)));
        self.call(
            Method::POST,
            path(key.kind, &key.namespace, None, &query),
            body,
        )
        .await
        .map_err(|failure| failure.about(key.kind))
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, version: &str) -> Result<(), ClusterError> {
        let options = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": version},
        });
        let body = Some(("application/json", bytes(&options)));
        let answer = self
            .call(Method::DELETE, object_path(key, &BTreeMap::new()), body)
            .await;
        answer
            .map(|_| ())
            .map_err(|failure| failure.about(key.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_group_namespace_and_query() {
        let query = BTreeMap::from([
            ("labelSelector", "a in (b,c)".to_owned()),
            ("limit", "500".to_owned()),
        ]);
        assert_eq!(
            path(Kind::StatefulSet, "platform", None, &query),
            "/apis/apps/v1/namespaces/platform/statefulsets?labelSelector=a+in+%28b%2Cc%29&limit=500"
        );
        assert_eq!(
            path(Kind::Namespace, "", Some("platform"), &BTreeMap::new()),
            "/api/v1/namespaces/platform"
        );
    }

    #[test]
    fn only_the_api_server_says_that_something_is_not_there() {
        let about = |body| {
            let failure = Failure::Answer {
                status: StatusCode::NOT_FOUND,
                retry_after: None,
                body,
            };
            failure.about(Kind::Secret)
        };
        let status = json!({"kind": "Status", "reason": "NotFound"});
        assert_eq!(about(status), ClusterError::NotFound);
        for other in [Value::Null, json!("404 page not found"), json!({})] {
            assert!(matches!(
                about(other),
                ClusterError::Server { code: 404, .. }
            ));
        }
    }

    #[test]
    fn a_refused_secret_tells_fields_and_no_values() {
        let body = json!({
            "reason": "Invalid",
            "message": "Secret is invalid: data[x]: Invalid value: \"canary\"",
            "details": {"causes": [{"field": "data[x]", "message": "Invalid value: \"canary\""}]},
        });
        assert_eq!(tell(Kind::Secret, &body), "Invalid: data[x]");
        assert!(tell(Kind::Service, &body).contains("Invalid value"));
    }

    #[test]
    fn an_answer_that_is_no_list_is_an_error_whatever_its_form() {
        let strange = [
            json!([]),
            json!("items"),
            json!(1),
            json!(null),
            json!({"items": null}),
            json!({"items": {}}),
            json!({"kind": "Status"}),
        ];
        for answer in strange {
            let text = answer.to_string();
            assert!(
                matches!(
                    read::<List>(text.as_bytes()),
                    Err(Failure::Plain(ClusterError::Unreachable(_)))
                ),
                "{answer}"
            );
        }
        let list = json!({"items": [{"a": 1}], "metadata": {"continue": "t"}}).to_string();
        let page = Page::from(read::<List>(list.as_bytes()).ok().unwrap());
        assert_eq!((page.items.len(), page.next.as_deref()), (1, Some("t")));
    }
}

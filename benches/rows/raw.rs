//! What a reference does: nothing but the requests that cannot be saved.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use platform::edge::cluster::ClusterWrite;
use platform::model::{Kind, ObjectKey};
use platform::reconcile::desired::build_desired;
use platform::reconcile::resolve::Facts;
use platform::spec::Platform;
use serde_json::{Value, json};

/// Applies under way at once.
const AT_ONCE: usize = 16;

/// Returns the objects of a platform but its namespace, Secrets with values like those that are generated.
pub fn manifests(platform: &Platform) -> Vec<(ObjectKey, Value)> {
    let desired = build_desired(platform, &Facts::default());
    let objects = desired.items.iter().filter_map(|(key, wanted)| {
        let key = key.object().filter(|key| key.kind != Kind::Namespace)?;
        let mut manifest = wanted.item.manifest()?;
        if key.kind == Kind::Secret {
            let value = "A".repeat(60);
            manifest["data"] = json!({"one": value, "two": value, "three": value, "four": value});
        }
        Some((key.clone(), manifest))
    });
    objects.collect()
}

/// Sends the server-side applies of these objects and returns how long that took.
pub async fn apply_all(
    cluster: &dyn ClusterWrite,
    manifests: &[(ObjectKey, Value)],
) -> Result<Duration> {
    let began = Instant::now();
    let applies = manifests
        .iter()
        .map(|(key, manifest)| cluster.apply(key, manifest, true));
    stream::iter(applies)
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(began.elapsed())
}

/// Connects as kubectl does.
pub async fn connect(kubeconfig: &str) -> Result<kube::Client> {
    let file = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await?;
    Ok(kube::Client::try_from(config)?)
}

/// Lists bytes, page by page, and reads nothing of them but where the next page begins.
pub struct Lister {
    client: kube::Client,
}

impl Lister {
    /// Connects, lists everything of these kinds in a namespace, the kinds side by side, and returns how long that
    /// took and how many requests it needed.
    pub async fn list(
        kubeconfig: &str,
        kinds: &[Kind],
        namespace: &str,
    ) -> Result<(Duration, usize)> {
        let began = Instant::now();
        let lister = Self {
            client: connect(kubeconfig).await?,
        };
        let lists = kinds.iter().map(|kind| lister.list_kind(*kind, namespace));
        let pages = futures::future::try_join_all(lists).await?;
        Ok((began.elapsed(), pages.iter().sum()))
    }

    async fn list_kind(&self, kind: Kind, namespace: &str) -> Result<usize> {
        let version = kind.api_version();
        let group = if version.contains('/') { "apis" } else { "api" };
        let plural = kind.plural();
        let path = format!("/{group}/{version}/namespaces/{namespace}/{plural}?limit=500");
        let (mut pages, mut token) = (0, String::new());
        loop {
            let body = self.get(&format!("{path}{token}")).await?;
            pages += 1;
            match next_page(&body) {
                Some(next) => token = format!("&continue={next}"),
                None => return Ok(pages),
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let request = http::Request::get(path).body(kube::client::Body::empty())?;
        let response = self.client.send(request).await?;
        ensure!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        let body = response.into_body().collect().await;
        Ok(body.context("read a page")?.to_bytes().to_vec())
    }
}

/// The metadata of a list stands before its items.
fn next_page(body: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
    let metadata = head.split("\"items\"").next()?;
    let (_, token) = metadata.split_once("\"continue\":\"")?;
    let token = token.split('"').next()?;
    (!token.is_empty()).then(|| token.to_owned())
}

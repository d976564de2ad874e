//! The reference of row 8: Flux's kustomize-controller with as many objects of the same kinds, run as a child process.
//!
//! What it needs of a cluster is made and deleted again: the definitions of its kinds, a source whose archive we serve,
//! and a Kustomization for each challenge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use kube::api::{Patch, PatchParams, PostParams};
use platform::model::ObjectKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::raw;
use super::running::resident_memory;
use super::world::{Installation, World};

/// The longest that anything is waited for: on two busy cores it applied 17 objects a second.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How long it is left alone then. Go collects what is no longer needed every two minutes where nothing else makes it,
/// and only then gives it back: whoever looks earlier counts garbage.
const REST: Duration = Duration::from_secs(150);
/// Between two looks at how far it is: each costs a list of what it applies.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Requests under way at once.
const AT_ONCE: usize = 16;
/// The label that names an object's challenge.
const SLUG: &str = "platform.challenge.slug";
/// What stands for the challenge of objects that are of none.
const SHARED: &str = "shared";
/// The name of the one source.
const SOURCE: &str = "bench";
/// The group of the kind that it applies.
const APPLIED: &str = "kustomize.toolkit.fluxcd.io";
/// The group of the kinds that it takes from others.
const TAKEN: &str = "source.toolkit.fluxcd.io";

/// Returns the resident memory in MiB at which it settles once it has applied the objects of `n` challenges.
pub async fn memory(world: &mut World, program: &str, n: usize) -> Result<f64> {
    let installation = world.install(n).await?;
    let client = raw::connect(&world.kubeconfig).await?;
    let cluster = Cluster::define(client, &installation.namespace).await?;
    let measured = measure(world, &cluster, &installation, program).await;
    cluster.clean_up().await.context("clean up after Flux")?;
    measured
}

async fn measure(
    world: &World,
    cluster: &Cluster,
    installation: &Installation,
    program: &str,
) -> Result<f64> {
    let manifests = raw::manifests(&installation.platform()?);
    let objects = manifests.len();
    let challenges = by_challenge(manifests);
    let archive = pack(&installation.declared.with_extension("flux"), &challenges)?;
    let mut servers = JoinSet::new();
    let artifact = serve(&mut servers, archive).await?;
    cluster.declare(artifact, challenges.keys()).await?;
    let mut flux = Flux::start(world, installation, program)?;
    eprintln!("  Flux applies {objects} objects…");
    let began = Instant::now();
    while cluster.count_applied().await? < objects {
        flux.check(began)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    eprintln!("  …in {:.0?}", began.elapsed());
    tokio::time::sleep(REST).await;
    resident_memory(flux.child.id())
}

/// What is made for it in a cluster.
struct Cluster {
    client: kube::Client,
    namespace: String,
}

impl Cluster {
    /// Defines its kinds. A cluster that has them already is somebody's, and is left alone.
    async fn define(client: kube::Client, namespace: &str) -> Result<Self> {
        let cluster = Self {
            client,
            namespace: namespace.to_owned(),
        };
        let definitions = cluster.definitions();
        for resource in kinds() {
            let definition = definition(&resource);
            definitions
                .create(&PostParams::default(), &definition)
                .await
                .with_context(|| format!("define {}", resource.kind))?;
        }
        let began = Instant::now();
        for resource in kinds() {
            let first = ListParams::default().limit(1);
            while cluster.all(&resource).list(&first).await.is_err() {
                let kind = &resource.kind;
                ensure!(began.elapsed() < PATIENCE, "{kind} is not served");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(cluster)
    }

    fn definitions(&self) -> Api<DynamicObject> {
        let group = "apiextensions.k8s.io";
        Api::all_with(
            self.client.clone(),
            &resource(group, "CustomResourceDefinition"),
        )
    }

    fn all(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// Declares the source, and a Kustomization for each challenge. The next pass of each lies beyond the end of the
    /// measurement: it is not ready in the midst of one.
    async fn declare(
        &self,
        artifact: Value,
        challenges: impl Iterator<Item = &String>,
    ) -> Result<()> {
        let kind = resource(TAKEN, "GitRepository");
        let source = DynamicObject::new(SOURCE, &kind).data(json!({
            "spec": {"interval": "1h", "url": "https://localhost/bench"},
            "status": {"artifact": artifact},
        }));
        self.all(&kind)
            .create(&PostParams::default(), &source)
            .await?;
        let kind = resource(APPLIED, "Kustomization");
        let all = self.all(&kind);
        for slug in challenges {
            let one = DynamicObject::new(slug, &kind).data(json!({"spec": {
                "interval": "1h",
                "retryInterval": "10s",
                "path": format!("./{slug}"),
                "prune": true,
                "wait": false,
                "sourceRef": {"kind": "GitRepository", "name": SOURCE},
            }}));
            all.create(&PostParams::default(), &one).await?;
        }
        Ok(())
    }

    /// Returns how many objects the Kustomizations have that are ready.
    async fn count_applied(&self) -> Result<usize> {
        let all = self.all(&resource(APPLIED, "Kustomization"));
        let mut objects = 0;
        for one in all.list(&ListParams::default()).await? {
            let status = &one.data["status"];
            let conditions = status["conditions"].as_array();
            let is_ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
            if conditions.is_some_and(|all| all.iter().any(is_ready)) {
                let entries = status["inventory"]["entries"].as_array();
                objects += entries.map_or(0, Vec::len);
            }
        }
        Ok(objects)
    }

    /// Deletes what its own end would wait for, and the definitions. All else goes with the namespace.
    async fn clean_up(&self) -> Result<()> {
        let all = self.all(&resource(APPLIED, "Kustomization"));
        let names = all.list_metadata(&ListParams::default()).await?;
        let names = names.items.into_iter().filter_map(|one| one.metadata.name);
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        stream::iter(names.collect::<Vec<_>>())
            .map(async |name| all.patch(&name, &PatchParams::default(), &released).await)
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;
        for resource in kinds() {
            let name = name_of_definition(&resource);
            self.definitions()
                .delete(&name, &DeleteParams::default())
                .await?;
        }
        Ok(())
    }
}

/// Returns the kinds that it watches; it does not start without.
fn kinds() -> [ApiResource; 4] {
    [
        resource(APPLIED, "Kustomization"),
        resource(TAKEN, "GitRepository"),
        resource(TAKEN, "OCIRepository"),
        resource(TAKEN, "Bucket"),
    ]
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

fn name_of_definition(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

/// Defines a kind of which anything may be said: what it checks is no part of the memory of who reads it. A status that
/// it writes lies apart; those of sources come with them, for nobody else is there to write them.
fn definition(resource: &ApiResource) -> DynamicObject {
    let subresources = match resource.group.as_str() {
        APPLIED => json!({"status": {}}),
        _ => json!({}),
    };
    let kind = self::resource("apiextensions.k8s.io", "CustomResourceDefinition");
    DynamicObject::new(&name_of_definition(resource), &kind).data(json!({"spec": {
        "group": resource.group,
        "scope": "Namespaced",
        "names": {
            "kind": resource.kind,
            "plural": resource.plural,
            "singular": resource.kind.to_lowercase(),
        },
        "versions": [{
            "name": resource.version,
            "served": true,
            "storage": true,
            "subresources": subresources,
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
            }},
        }],
    }}))
}

/// Sorts manifests by challenge. Workloads have no replicas: it looks at no pods, and the nodes are spared a thousand.
fn by_challenge(manifests: Vec<(ObjectKey, Value)>) -> BTreeMap<String, Vec<Value>> {
    let mut challenges: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (_, mut manifest) in manifests {
        if manifest["kind"] == "StatefulSet" {
            manifest["spec"]["replicas"] = json!(0);
        }
        let slug = manifest["metadata"]["labels"][SLUG].as_str();
        let slug = slug.unwrap_or(SHARED).to_owned();
        challenges.entry(slug).or_default().push(manifest);
    }
    challenges
}

/// Packs the manifests, those of a challenge in a folder of its own.
fn pack(folder: &Path, challenges: &BTreeMap<String, Vec<Value>>) -> Result<Vec<u8>> {
    for (slug, manifests) in challenges {
        let folder = folder.join(slug);
        std::fs::create_dir_all(&folder)?;
        let documents: Vec<String> = manifests.iter().map(Value::to_string).collect();
        std::fs::write(folder.join("objects.yaml"), documents.join("\n---\n"))?;
    }
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--directory"])
        .arg(folder)
        .arg(".");
    let packed = tar.output().context("run tar")?;
    ensure!(packed.status.success(), "tar ended with {}", packed.status);
    Ok(packed.stdout)
}

/// Serves an archive on loopback and returns what a source says of it.
async fn serve(servers: &mut JoinSet<()>, archive: Vec<u8>) -> Result<Value> {
    let digest = hex::encode(Sha256::digest(&archive));
    let archive = axum::body::Bytes::from(archive);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let artifact = json!({
        "url": format!("http://{address}/bench.tar.gz"),
        "path": "bench.tar.gz",
        "revision": format!("main@sha256:{digest}"),
        "digest": format!("sha256:{digest}"),
        "size": archive.len(),
        "lastUpdateTime": jiff::Timestamp::now().to_string(),
    });
    let router = Router::new().fallback(async move || archive);
    servers.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the archive is no longer served: {error}");
        }
    });
    Ok(artifact)
}

/// The running controller; killed when dropped.
struct Flux {
    child: Child,
    log: PathBuf,
}

impl Drop for Flux {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Flux {
    /// Starts it as Flux deploys it, but that it sees one namespace, for those of other rows are none of its business,
    /// and that its client does not slow itself down.
    fn start(world: &World, installation: &Installation, program: &str) -> Result<Self> {
        let folder = installation.declared.with_extension("flux");
        let log = installation.declared.with_extension("flux.log");
        let mut command = Command::new(program);
        command
            .args([
                "--watch-all-namespaces=false",
                "--enable-leader-election=false",
            ])
            .args(["--kube-api-qps=1000", "--kube-api-burst=1000"])
            .args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"])
            .args(["--log-level=info", "--log-encoding=json"])
            .env_clear()
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .env("KUBECONFIG", &world.kubeconfig)
            .env("RUNTIME_NAMESPACE", &installation.namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?);
        let child = command.spawn().context("start Flux")?;
        Ok(Self { child, log })
    }

    /// Fails with the end of its log when it has ended, or takes too long.
    fn check(&mut self, began: Instant) -> Result<()> {
        let ended = self.child.try_wait()?;
        if ended.is_none() && began.elapsed() < PATIENCE {
            return Ok(());
        }
        let log = std::fs::read_to_string(&self.log)?;
        let last = log.lines().last().unwrap_or_default();
        match ended {
            Some(ended) => bail!("Flux ended, {ended}: {last}"),
            None => bail!("Flux does not apply all: {last}"),
        }
    }
}

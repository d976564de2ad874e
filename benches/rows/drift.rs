//! Row 5: from a change by somebody else until it is put right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, WatchEvent, WatchParams};
use platform::edge::cluster::{ClusterError, ClusterWrite};
use platform::model::{ClusterName, Kind, ObjectKey, Slug, names};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::keeping::{percentile, settle, until};
use super::raw;
use super::report::{Goal, Reading, Report, median, millis};
use super::running::Running;
use super::world::{Installation, World, slug};

/// Challenges, with six objects each that are kept so (Secrets are made once and never rewritten). Who changes one
/// object again and again is put off, so each is changed once.
const CHALLENGES: usize = 185;
/// Changes by others.
const EDITS: usize = 1000;
/// Changes that the reference puts right.
const BARE: usize = 100;
/// A label of ours.
const LABEL: &str = "/metadata/labels/app.kubernetes.io~1name";
/// The kinds that are changed.
const KINDS: [Kind; 3] = [Kind::Service, Kind::StatefulSet, Kind::NetworkPolicy];
/// What stays somebody else's.
const NOTE: &str = "example.com/note";

/// What somebody else does to an object.
#[derive(Clone, Copy)]
enum Change {
    /// Replaces what is ours at a place, and notes something of their own.
    Edit(&'static str),
    /// Deletes it.
    Delete,
}

/// Measures the row.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    let installation = world.built(CHALLENGES).await?;
    // The same changes in every run.
    let mut random = StdRng::seed_from_u64(5);
    let objects = (0..CHALLENGES).flat_map(|number| objects(&installation, number));
    let mut changed: Vec<(ObjectKey, Change)> = objects
        .map(|key| {
            let changes = changes(key.kind);
            (key, changes[random.random_range(0..changes.len())])
        })
        .collect();
    changed.shuffle(&mut random);
    let (first, changed) = changed.split_at(BARE);
    let bare = bare(world, &installation, first).await?;
    let running = Running::start(world, &installation).await?;
    settle().await;
    let mut corrections = Vec::new();
    for (number, (key, change)) in changed.iter().take(EDITS).enumerate() {
        let time = corrected(world, key, *change, number).await?;
        corrections.push(millis(time));
    }
    ensure!(corrections.len() == EDITS, "fewer objects than changes");
    let reading = Reading::new(
        5,
        "drift until corrected, median",
        CHALLENGES,
        (median(corrections.clone()), "ms"),
    );
    report.add(
        reading
            .against("a bare watch and apply", bare)
            .goal(Goal::RatioAtMost(3.0)),
    );
    let worst = percentile(corrections, 99);
    report.add(
        Reading::new(5, "drift until corrected, p99", CHALLENGES, (worst, "ms"))
            .goal(Goal::AtMost(250.0)),
    );
    running.end().await
}

/// Returns what somebody may do.
fn changes(kind: Kind) -> &'static [Change] {
    match kind {
        Kind::Service => &[
            Change::Edit(LABEL),
            Change::Edit("/spec/ports/0/targetPort"),
            Change::Delete,
        ],
        Kind::StatefulSet => &[
            Change::Edit(LABEL),
            Change::Edit("/spec/template/spec/containers/0/image"),
            Change::Delete,
        ],
        _ => &[Change::Edit(LABEL), Change::Delete],
    }
}

/// Returns the objects of a challenge that are kept as they are declared.
fn objects(installation: &Installation, number: usize) -> Vec<ObjectKey> {
    let slug = Slug::parse(&slug(number)).expect("the slugs of this bench are slugs");
    let key = |kind: Kind, name: &str| ObjectKey {
        cluster: ClusterName::Local,
        kind,
        namespace: installation.namespace.clone(),
        name: name.to_owned(),
    };
    [names::workload(&slug), names::postgres(&slug)]
        .iter()
        .flat_map(|name| KINDS.map(|kind| key(kind, name)))
        .collect()
}

/// Changes an object; returns how long it took from then until it was as before, with what somebody noted.
async fn corrected(
    world: &World,
    key: &ObjectKey,
    change: Change,
    number: usize,
) -> Result<Duration> {
    let before = loop {
        let before = world.cluster.get(key).await?;
        let before = before.with_context(|| format!("{key} is not there"))?;
        // Its status may change at any time.
        match apply_change(world, key, &before, change, number).await {
            Err(ClusterError::Conflict(_)) => {}
            done => {
                done.with_context(|| format!("change {key}"))?;
                break before;
            }
        }
    };
    let began = Instant::now();
    let uid = &before["metadata"]["uid"];
    let note = json!(number.to_string());
    let is_right = |object: &Value| match change {
        Change::Edit(place) => {
            object["metadata"]["annotations"][NOTE] == note
                && object.pointer(place) == before.pointer(place)
        }
        Change::Delete => object["metadata"]["uid"] != *uid,
    };
    until(world, key, |object| {
        object.is_some_and(|object| {
            is_right(object) && object["metadata"]["labels"] == before["metadata"]["labels"]
        })
    })
    .await?;
    Ok(began.elapsed())
}

async fn apply_change(
    world: &World,
    key: &ObjectKey,
    before: &Value,
    change: Change,
    number: usize,
) -> Result<(), ClusterError> {
    let text = |name: &str| before["metadata"][name].as_str().unwrap_or_default();
    match change {
        Change::Delete => {
            let cluster = &world.cluster;
            cluster
                .delete(key, text("uid"), text("resourceVersion"))
                .await
        }
        Change::Edit(place) => {
            let mut notes = before["metadata"]["annotations"].clone();
            if notes.is_null() {
                notes = json!({});
            }
            notes[NOTE] = json!(number.to_string());
            let value = match place {
                "/spec/ports/0/targetPort" => json!(9999),
                _ => json!("somebody"),
            };
            let operations = [
                json!({"op": "replace", "path": place, "value": value}),
                json!({"op": "add", "path": "/metadata/annotations", "value": notes}),
            ];
            let patched = world
                .cluster
                .patch_json(key, &operations, text("resourceVersion"));
            patched.await.map(drop)
        }
    }
}

/// Returns the median time of the least that can be done for these changes: a watch on each kind, and an apply for each
/// event that tells of a change by somebody else.
async fn bare(
    world: &World,
    installation: &Installation,
    changes: &[(ObjectKey, Change)],
) -> Result<f64> {
    let manifests: BTreeMap<ObjectKey, Value> = raw::manifests(&installation.platform()?)
        .into_iter()
        .collect();
    let manifests = Arc::new(manifests);
    let client = raw::connect(&world.kubeconfig).await?;
    let mut putting_right = JoinSet::new();
    for kind in KINDS {
        let (group, version) = kind.api_version().rsplit_once('/').unwrap_or(("", "v1"));
        let named = GroupVersionKind::gvk(group, version, kind.as_str());
        let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
        let api = Api::namespaced_with(client.clone(), &installation.namespace, &resource);
        let cluster: Arc<dyn ClusterWrite> = world.cluster.clone();
        let with = (cluster, manifests.clone());
        putting_right.spawn(put_right(api, kind, with));
    }
    settle().await;
    let mut times = Vec::new();
    for (number, (key, change)) in changes.iter().enumerate() {
        let corrected = corrected(world, key, *change, number);
        tokio::select! {
            time = corrected => times.push(millis(time?)),
            Some(ended) = putting_right.join_next() => ended??,
        }
    }
    ensure!(times.len() == changes.len(), "a bare watch ended");
    Ok(median(times))
}

async fn put_right(
    api: Api<DynamicObject>,
    kind: Kind,
    (cluster, manifests): (Arc<dyn ClusterWrite>, Arc<BTreeMap<ObjectKey, Value>>),
) -> Result<()> {
    let first = kube::api::ListParams::default().limit(1);
    let newest = api.list_metadata(&first).await?.metadata.resource_version;
    let newest = newest.unwrap_or_default();
    let mut events = std::pin::pin!(api.watch_metadata(&WatchParams::default(), &newest).await?);
    // Each is changed once; what comes of putting it right is told as well.
    let mut done = BTreeSet::new();
    while let Some(event) = events.try_next().await? {
        let object = match event {
            WatchEvent::Modified(object) if object.annotations().contains_key(NOTE) => object,
            WatchEvent::Deleted(object) => object,
            _ => continue,
        };
        let key = ObjectKey {
            cluster: ClusterName::Local,
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        };
        if let Some(manifest) = manifests.get(&key)
            && done.insert(key.clone())
        {
            cluster.apply(&key, manifest, true).await?;
        }
    }
    Ok(())
}

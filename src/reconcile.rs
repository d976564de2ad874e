//! One pass, from a source to a status.
//!
//! ```text
//! source ─▶ spec ─▶ resolve ─▶ desired ─▶ live ─▶ plan ─┬▶ render ─▶ stdout
//!  (IO)    (pure)    (IO)      (pure)     (IO)   (pure) └▶ apply ─▶ status
//! ```
//!
//! [`plan_source`] is the pass stopped before its writes; [`run_plan`] goes on to the end and records it,
//! and [`converge::converge`] repeats both until everything is ready.

pub mod apply;
pub mod controller;
pub mod converge;
pub mod desired;
pub mod edit;
pub mod lease;
pub mod live;
pub mod plan;
pub mod record;
pub mod render;
pub mod resolve;
pub mod rollout;
pub mod source;
pub mod status;
pub mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

pub use self::record::Cause;

use self::apply::{Outcome, Permits, Progress, Writers};
use self::desired::{Desired, Standing, build_desired_of};
use self::lease::turn::Fence;
use self::live::{Depth, Live, Look, Rows, Why, see_live};
use self::plan::{Plan, Request, plan_pass};
use self::resolve::{Assignments, Facts, resolve};
use crate::edge::cluster::ClusterWrite;
use crate::edge::database::{Database, DatabaseError, ResolvedDigest};
use crate::edge::images::ImageRegistry;
use crate::model::pass::Begun;
use crate::model::{
    ClusterName, Digest, FenceToken, ImageRef, Revision, Row, RowKey, Scope, TargetId,
};
use crate::spec::Platform;

/// The outside as one pass meets it.
#[derive(Clone)]
pub struct Edges {
    /// Each cluster's connection, or why there is none.
    pub clusters: BTreeMap<ClusterName, Result<Arc<dyn ClusterWrite>, Why>>,
    /// The registry.
    pub registry: Registry,
    /// Where tags are resolved.
    pub images: Arc<dyn ImageRegistry>,
    /// The turn to write; none while there is only looking.
    pub fence: Option<Fence>,
}

/// The registry database as a pass finds it: present, absent, or unknown.
#[derive(Clone)]
pub enum Registry {
    /// It can be read.
    Ready(Arc<dyn Database>),
    /// There is none yet: every row is missing, and the first apply makes it.
    Absent,
    /// It could not be opened.
    Unknown(Why),
}

/// A pass up to its plan.
pub struct Planned {
    /// What should be there.
    pub desired: Desired,
    /// What is there.
    pub live: Live,
    /// What is to be done.
    pub plan: Plan,
    /// What was found out on the way, to be remembered.
    pub facts: Arc<Facts>,
}

/// Plans one pass: reads, and changes nothing.
pub async fn plan_source(platform: &Platform, request: &Request, edges: &Edges) -> Planned {
    let known = read_registered(&edges.registry, &Scope::All).await;
    let facts = find_facts(platform, &request.revision, Tags::Kept, edges, &known.rows).await;
    let facts = Arc::new(facts);
    plan_with(platform, facts, request, Depth::Full, edges, known).await
}

/// Where the digests of tags come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// What was resolved for the revision holds.
    Kept,
    /// The image registries are asked again.
    Anew,
}

/// Finds out what a declaration only points at: the digests of its tags, the places of its challenges.
pub async fn find_facts(
    platform: &Platform,
    revision: &Revision,
    tags: Tags,
    edges: &Edges,
    rows: &Rows,
) -> Facts {
    let remembered = remembered_digests(platform, &edges.registry).await;
    let known = match tags {
        Tags::Kept => digests_of(Some(revision), &remembered),
        Tags::Anew => BTreeMap::new(),
    };
    let mut facts = resolve(platform, edges.images.as_ref(), &known, &assignments(rows)).await;
    facts.take_earlier(digests_of(None, &remembered));
    withhold_unconnected(&mut facts, edges);
    facts
}

/// Plans what a request is about, with facts and rows that are known already.
pub async fn plan_with(
    platform: &Platform,
    facts: Arc<Facts>,
    request: &Request,
    depth: Depth<'_>,
    edges: &Edges,
    known: Registered,
) -> Planned {
    let Registered { rows, standing } = known;
    let desired = build_desired_of(platform, &facts, &standing, &request.scope);
    let look = Look {
        namespace: &platform.namespace,
        scope: &request.scope,
        depth,
    };
    let span = tracing::debug_span!("observe", keys = desired.items.len());
    let live = see_live(&desired, &look, &edges.clusters, rows);
    let live = live.instrument(span).await;
    let plan = plan_pass(request, &desired, &live, &platform.safety);
    Planned {
        desired,
        live,
        plan,
        facts,
    }
}

/// How a plan is carried out.
pub struct Run<'a> {
    /// Who asked for it, and from where.
    pub cause: &'a Cause<'a>,
    /// Tells the time, for records.
    pub clock: &'a (dyn Fn() -> jiff::Timestamp + Sync),
    /// When the time is over, whatever is left to do.
    pub deadline: Option<Instant>,
    /// Is told of each step as it ends.
    pub progress: Progress<'a>,
    /// How many writes may be under way, over all plans that follow each other.
    pub permits: Arc<Permits>,
}

/// Carries out a plan and records what came of each step.
///
/// # Errors
/// The registry is not there to write to, no turn to write was taken, or the plan was made without seeing the
/// registry or the cluster; nothing was done.
pub async fn run_plan(
    planned: &Planned,
    edges: &Edges,
    run: &Run<'_>,
) -> Result<Vec<Outcome>, Why> {
    if let Some(why) = planned.live.blindness() {
        return Err(why);
    }
    let database = match &edges.registry {
        Registry::Ready(database) => database.clone(),
        Registry::Absent => return Err(Why::from("the registry database is not there")),
        Registry::Unknown(why) => return Err(why.clone()),
    };
    let Some(fence) = edges.fence.clone() else {
        return Err(Why::from("no turn to write was taken"));
    };
    let token = fence.token();
    let writers = Writers {
        clusters: edges.clusters.clone(),
        database: database.clone(),
        fence,
        deadline: run.deadline,
        permits: run.permits.clone(),
    };
    // A plan may be looked at for long before somebody says yes to it.
    let suspended = database.suspensions(&Scope::All).await;
    let suspended = suspended.map_err(|error| Why(error.to_string()))?;
    let plan = &planned.plan.without(&suspended);
    let now = (run.clock)();
    let begun = begin_pass(plan, run.cause, (now, token), database.as_ref()).await?;
    remember_digests(
        &planned.facts,
        &plan.revision,
        token,
        database.as_ref(),
        now,
    )
    .await;
    let outcomes = apply::apply(plan, &writers, now, run.progress).await;
    let record = record::record(plan, &outcomes, run.cause, (now, (run.clock)()));
    if let Err(error) = database.record_pass(token, &record, begun.as_slice()).await {
        tracing::warn!(%error, "the pass was carried out and not recorded");
    }
    Ok(outcomes)
}

/// Keeps what a plan is about to write, if it writes anything: should this process end before the record of the pass,
/// the next writer records that it was begun.
///
/// # Errors
/// That could not be kept; nothing may be written.
pub async fn begin_pass(
    plan: &Plan,
    cause: &Cause<'_>,
    (began, token): (jiff::Timestamp, FenceToken),
    database: &dyn Database,
) -> Result<Option<Begun>, Why> {
    if plan.steps.is_empty() {
        return Ok(None);
    }
    let pass = record::begun(plan, cause, began);
    match database.begin_pass(token, &pass).await {
        Ok(begun) => Ok(Some(begun)),
        Err(error) => Err(Why(error.to_string())),
    }
}

/// A challenge placed on a cluster that this process has no connection to is withheld: nothing of it is touched.
fn withhold_unconnected(facts: &mut Facts, edges: &Edges) {
    for placement in facts.placements.values_mut() {
        if let Ok(cluster) = &*placement
            && let ClusterName::Target(id) = cluster
            && !edges.clusters.contains_key(cluster)
        {
            *placement = Err(format!(
                "it belongs on target {id}, and this version writes to the local cluster only; take `resources.target` out to run it here"
            ));
        }
    }
}

/// What the registry says.
#[derive(Clone)]
pub struct Registered {
    /// Its rows, or why they are not known.
    pub rows: Rows,
    /// What decides beside the declaration; known whenever the rows are.
    pub standing: Standing,
}

/// Reads what the registry says of what is in scope. Whether a challenge is suspended, or its image was given up, must be known before anything
/// of it is written, so without that nothing is known.
pub async fn read_registered(registry: &Registry, scope: &Scope) -> Registered {
    let read = match registry {
        Registry::Ready(database) => {
            let all = async {
                let rows = database.rows(scope).await?;
                let standing = Standing {
                    suspended: database.suspensions(scope).await?,
                    rollouts: database.rollouts(scope).await?,
                };
                Ok((rows, standing))
            };
            all.await
                .map_err(|error: DatabaseError| Why(error.to_string()))
        }
        Registry::Absent => Ok((BTreeMap::new(), Standing::default())),
        Registry::Unknown(why) => Err(why.clone()),
    };
    match read {
        Ok((rows, standing)) => Registered {
            rows: Ok(rows),
            standing,
        },
        Err(why) => Registered {
            rows: Err(why),
            standing: Standing::default(),
        },
    }
}

/// Returns the digests that tags of this declaration were resolved to, for whatever revision.
async fn remembered_digests(
    platform: &Platform,
    registry: &Registry,
) -> BTreeMap<ImageRef, ResolvedDigest> {
    let images: Vec<ImageRef> = resolve::list_unpinned(platform).into_iter().collect();
    match registry {
        Registry::Ready(database) if !images.is_empty() => {
            // One that is not known is asked for again.
            database.digests(&images).await.unwrap_or_default()
        }
        Registry::Ready(_) | Registry::Absent | Registry::Unknown(_) => BTreeMap::new(),
    }
}

/// Returns the digests that were resolved for a revision, or for any.
fn digests_of(
    revision: Option<&Revision>,
    remembered: &BTreeMap<ImageRef, ResolvedDigest>,
) -> BTreeMap<ImageRef, Digest> {
    let is_of = |resolved: &ResolvedDigest| revision.is_none_or(|of| resolved.is_of(of));
    let found = remembered.iter().filter(|(_, resolved)| is_of(resolved));
    found
        .map(|(image, resolved)| (image.clone(), resolved.digest.clone()))
        .collect()
}

fn assignments(rows: &Rows) -> Assignments {
    let assignment = |(key, row): (&RowKey, &Row)| {
        let RowKey::Assignment(slug) = key else {
            return None;
        };
        let target = TargetId::parse(row.0["target"].as_str()?).ok()?;
        let gpus = row.0["gpu_count"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())?;
        Some((slug.clone(), (target, gpus)))
    };
    rows.iter().flatten().filter_map(assignment).collect()
}

/// Keeps what tags were resolved to, so that a revision means one digest for as long as it is applied.
pub async fn remember_digests(
    facts: &Facts,
    revision: &Revision,
    token: FenceToken,
    database: &dyn Database,
    now: jiff::Timestamp,
) {
    for (image, digest) in facts.known_digests() {
        // A digest that could not be kept is only asked for once more.
        if let Err(error) = database
            .remember_digest(token, &image, &digest, revision, now)
            .await
        {
            tracing::warn!(%image, %error, "the resolved digest was not kept");
        }
    }
}

//! Row 1: the first apply of a platform, against a loop that only sends the server-side applies.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::raw;
use super::report::{Goal, Reading, Report, count, median};
use super::watched::{Call, Watched};
use super::world::{Session, World};
use super::{SIZES, find_program};

/// The size that the goal is about.
const GOAL_AT: usize = 100;
/// Rounds at sizes that are quick, of which the middle one counts.
const ROUNDS: usize = 3;

/// One first apply.
struct Applied {
    objects: usize,
    planning: f64,
    writing: f64,
    whole: f64,
}

/// Measures the row; leaves an installation of each size behind.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    let mut costs = Vec::new();
    for n in SIZES {
        let rounds = if n > GOAL_AT { 1 } else { ROUNDS };
        let (mut ours, mut raws) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            raws.push(raw_rate(world, n).await?);
            ours.push(apply(world, n).await?);
        }
        let of = |figure: fn(&Applied) -> f64| median(ours.iter().map(figure).collect());
        let rate = of(|applied| count(applied.objects) / applied.writing);
        let reading = Reading::new(1, "first apply, writes in flight", n, (rate, "objects/s"))
            .against("raw loop of applies", median(raws));
        report.add(match n {
            GOAL_AT => reading.goal(Goal::RatioAtLeast(0.8)),
            _ => reading,
        });
        let seconds = |name: &str, value: f64| Reading::new(1, name, n, (value, "s"));
        report.add(seconds(
            "first apply, planning with a dry run each",
            of(|a| a.planning),
        ));
        report.add(seconds("first apply, writing", of(|a| a.writing)));
        report.add(seconds("first apply, until all is ready", of(|a| a.whole)));
        costs.push((n, of(|applied| applied.writing)));
    }
    report.add_growth(1, "the time of writing", &costs, None);
    measure_kubectl(world, report).await
}

async fn apply(world: &mut World, n: usize) -> Result<Applied> {
    let installation = world.install(n).await?;
    let cluster = Arc::new(Watched::new(world.cluster.clone()));
    let mut session = Session::open(&installation, cluster.clone()).await?;
    let began = Instant::now();
    let planned = session.plan().await;
    let planning = began.elapsed().as_secs_f64();
    session.carry_out(planned).await?;
    let whole = began.elapsed().as_secs_f64();
    let objects = raw::manifests(&session.platform).len();
    ensure!(
        cluster.count(Call::Write) == objects,
        "{} writes of {objects} objects",
        cluster.count(Call::Write)
    );
    world.keep(n, installation);
    Ok(Applied {
        objects,
        planning,
        writing: cluster.writing().as_secs_f64(),
        whole,
    })
}

async fn raw_rate(world: &mut World, n: usize) -> Result<f64> {
    let installation = world.install(n).await?;
    let manifests = raw::manifests(&installation.platform()?);
    let objects = manifests.len();
    let took = raw::apply_all(world.cluster.as_ref(), &manifests).await?;
    world.settle(&installation.namespace).await?;
    Ok(count(objects) / took.as_secs_f64())
}

/// What people use today, beside it, where it is installed.
async fn measure_kubectl(world: &mut World, report: &mut Report) -> Result<()> {
    let Some(kubectl) = find_program("kubectl") else {
        return Ok(());
    };
    let installation = world.install(GOAL_AT).await?;
    let manifests = raw::manifests(&installation.platform()?);
    let items: Vec<_> = manifests.iter().map(|(_, manifest)| manifest).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    let file = installation.declared.with_extension("json");
    std::fs::write(&file, list.to_string())?;
    let mut command = std::process::Command::new(kubectl);
    command
        .args([
            "apply",
            "--server-side",
            "--kubeconfig",
            &world.kubeconfig,
            "--filename",
        ])
        .arg(&file)
        .stdout(std::process::Stdio::null());
    let began = Instant::now();
    let status = command.status().context("start kubectl")?;
    ensure!(status.success(), "kubectl ended with {status}");
    let rate = count(manifests.len()) / began.elapsed().as_secs_f64();
    world.settle(&installation.namespace).await?;
    let name = "kubectl apply --server-side";
    report.add(Reading::new(1, name, GOAL_AT, (rate, "objects/s")));
    Ok(())
}

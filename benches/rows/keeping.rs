//! Rows 2, 6, 8 and 15: what the controller costs over a world at rest, and how soon it acts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use platform::model::{ClusterName, Kind, ObjectKey};
use serde_json::Value;

use super::SIZES;
use super::audit::Audit;
use super::flux;
use super::report::{Goal, Reading, Report, count, median, millis};
use super::running::{PROGRAM, Running, revision};
use super::world::{Installation, World, slug, variable};

/// How long a world at rest is watched.
const REST: Duration = Duration::from_secs(20);
/// The challenges whose objects are the 4 000 that the goal of row 8 is about.
const GOAL_AT: usize = 500;
/// What Flux publishes of its kustomize-controller at as many objects, in MiB: for where it is not run.
const FLUX: f64 = 223.0;
/// The size at which row 6 is measured.
pub const BUSY: usize = 100;
/// Changes of the declaration of which row 6 takes the times.
pub const WRITES: usize = 20;
/// The longest that a correction is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures row 2: requests over an unchanged world, a revision without changes included.
pub async fn rest(world: &mut World, report: &mut Report) -> Result<()> {
    for n in SIZES {
        let installation = world.built(n).await?;
        // Its first look at challenges is told as Events of each.
        let first = Running::start(world, &installation).await?;
        settle().await;
        first.end().await?;
        let running = Running::start(world, &installation).await?;
        settle().await;
        let Some(audit) = Audit::begin()? else {
            return Ok(());
        };
        let before = revision(&running.ready().await?);
        let text = std::fs::read_to_string(&installation.declared)?;
        std::fs::write(&installation.declared, format!("# a comment\n{text}"))?;
        running.until_other_revision(&before).await?;
        tokio::time::sleep(REST).await;
        let requests = audit.requests(&installation.namespace)?;
        for (what, times) in &requests {
            eprintln!("  sent: {times} x {what}");
        }
        let requests: usize = requests.values().sum();
        let reading = Reading::new(
            2,
            "passes over an unchanged world",
            n,
            (count(requests), "requests"),
        );
        report.add(reading.goal(Goal::AtMost(0.0)));
        running.end().await?;
    }
    Ok(())
}

/// Measures row 8: memory.
pub async fn memory(world: &mut World, report: &mut Report) -> Result<()> {
    let reading = |n, memory| Reading::new(8, "memory of the controller", n, (memory, "MiB"));
    let (mut costs, mut at_goal) = (Vec::new(), f64::NAN);
    for n in [SIZES[0], SIZES[1], GOAL_AT, SIZES[2]] {
        let installation = world.built(n).await?;
        let running = Running::start(world, &installation).await?;
        settle().await;
        let memory = running.memory()?;
        costs.push((n, memory));
        report.add(if n == GOAL_AT {
            at_goal = memory;
            reading(n, memory).goal(Goal::AtMost(64.0))
        } else {
            reading(n, memory)
        });
        running.end().await?;
    }
    report.add_growth(8, "the memory", &costs, None);
    // Last, for what goes wrong in it is no reason to lose what was measured of ours.
    let (name, flux) = match variable("PLATFORM_TEST_FLUX") {
        Some(program) => ("Flux", flux::memory(world, &program, GOAL_AT).await?),
        None => ("Flux, as published, not run", FLUX),
    };
    let beside = reading(GOAL_AT, at_goal).against(name, flux);
    report.add(beside.goal(Goal::RatioAtMost(0.5)));
    Ok(())
}

/// Measures row 15: the start, the size, and what it takes while nothing happens.
pub async fn start(world: &mut World, report: &mut Report) -> Result<()> {
    let size = stripped_size()?;
    report.add(Reading::new(15, "program, stripped", 0, (size, "MiB")).goal(Goal::AtMost(40.0)));
    for n in SIZES {
        let installation = world.built(n).await?;
        let mut starts = Vec::new();
        for _ in 0..5 {
            let running = Running::start(world, &installation).await?;
            starts.push(millis(running.started));
            running.end().await?;
        }
        let reading = Reading::new(15, "start until /ready", n, (median(starts), "ms"));
        report.add(if n == SIZES[0] {
            reading.goal(Goal::AtMost(300.0))
        } else {
            reading
        });
        let running = Running::start(world, &installation).await?;
        settle().await;
        let idle = running.idle(REST).await?;
        report.add(
            Reading::new(
                15,
                "processor while nothing happens",
                n,
                (idle, "% of a core"),
            )
            .goal(Goal::AtMost(0.5)),
        );
        running.end().await?;
    }
    Ok(())
}

/// Measures row 6: from the file written until the object is.
pub async fn change(world: &mut World, report: &mut Report) -> Result<()> {
    let installation = world.built(BUSY).await?;
    let running = Running::start(world, &installation).await?;
    settle().await;
    let mut times = Vec::new();
    for number in 0..WRITES {
        let slug = slug(number);
        let text = std::fs::read_to_string(&installation.declared)?;
        let (old, new) = (format!("{slug}:1.0.0@"), format!("{slug}:1.0.2@"));
        ensure!(text.contains(&old), "{slug} has another image");
        let key = key(
            &installation,
            Kind::StatefulSet,
            format!("challenge-{slug}"),
        );
        let new_file = installation.declared.with_extension("new");
        std::fs::write(&new_file, text.replace(&old, &new))?;
        let began = Instant::now();
        std::fs::rename(new_file, &installation.declared)?;
        until(world, &key, |object| {
            object.is_some_and(|object| object.to_string().contains(&new))
        })
        .await?;
        times.push(millis(began.elapsed()));
    }
    report.add(Reading::new(
        6,
        "file written until the object is, median",
        BUSY,
        (median(times.clone()), "ms"),
    ));
    let worst = percentile(times, 99);
    report.add(
        Reading::new(
            6,
            "file written until the object is, p99",
            BUSY,
            (worst, "ms"),
        )
        .goal(Goal::AtMost(1000.0)),
    );
    running.end().await
}

/// Lets what still happens of itself come to its end.
pub async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

/// Returns the key of an object of an installation.
pub fn key(installation: &Installation, kind: Kind, name: String) -> ObjectKey {
    ObjectKey {
        cluster: ClusterName::Local,
        kind,
        namespace: installation.namespace.clone(),
        name,
    }
}

/// Waits until an object is as it should be; asks again every 2 ms.
pub async fn until(
    world: &World,
    key: &ObjectKey,
    holds: impl Fn(Option<&Value>) -> bool,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let object = world.cluster.get(key).await?;
        if holds(object.as_ref()) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{key} stays as it is");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns the size of the program without symbols, in MiB.
fn stripped_size() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("platform");
    let mut strip = std::process::Command::new("strip");
    let status = strip.arg("-o").arg(&stripped).arg(PROGRAM).status();
    ensure!(status.context("start strip")?.success(), "strip fails");
    let bytes = usize::try_from(stripped.metadata()?.len())?;
    Ok(count(bytes) / 1024.0 / 1024.0)
}

/// Returns the value below which so many of a hundred are.
pub fn percentile(mut values: Vec<f64>, hundredth: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * hundredth).div_ceil(100).saturating_sub(1);
    values.get(index).copied().unwrap_or(f64::NAN)
}

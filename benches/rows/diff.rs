//! Row 3: `platform diff`, started cold, on a platform to which nothing is left to do; its reference connects anew as
//! well.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use platform::model::Kind;

use super::SIZES;
use super::audit::Audit;
use super::raw::Lister;
use super::report::{Goal, Reading, Report, count, median, millis};
use super::world::{Installation, World};

/// Rounds of which the middle one counts.
const ROUNDS: usize = 5;
/// The kinds that a pass lists: all but namespaces, and but KEDA's where nothing uses it.
const KINDS: [Kind; 7] = [
    Kind::Secret,
    Kind::PersistentVolumeClaim,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::StatefulSet,
    Kind::Deployment,
    Kind::HorizontalPodAutoscaler,
];

/// Measures the row.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    let mut costs = Vec::new();
    for n in SIZES {
        let installation = world.built(n).await?;
        let (mut ours, mut raws, mut pages) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let (took, requests) =
                Lister::list(&world.kubeconfig, &KINDS, &installation.namespace).await?;
            raws.push(millis(took));
            pages = requests;
            ours.push(millis(diff(world, &installation)?));
        }
        let value = median(ours);
        costs.push((n, value));
        let goal = (n > SIZES[0]).then_some(Goal::RatioAtMost(2.0));
        let reading = Reading::new(3, "platform diff, nothing changed", n, (value, "ms"))
            .against("raw lists", median(raws));
        report.add(goal.into_iter().fold(reading, Reading::goal));
        count_requests(world, &installation, (n, pages), report)?;
    }
    report.add_growth(3, "platform diff", &costs, None);
    Ok(())
}

/// Runs the program to its end, which is that there is nothing to do.
fn diff(world: &World, installation: &Installation) -> Result<Duration> {
    let folder = installation.declared.parent().context("it has a folder")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command
        .arg("diff")
        .arg(&installation.declared)
        .args(["--database-url", &installation.database])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("KUBECONFIG", &world.kubeconfig)
        .stdin(Stdio::null());
    let began = Instant::now();
    let output = command.output().context("start platform")?;
    let took = began.elapsed();
    let said = || {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    ensure!(output.status.success(), "{}: {}", output.status, said());
    Ok(took)
}

/// Counts what the API server was asked during one `diff`, against pages of lists.
fn count_requests(
    world: &World,
    installation: &Installation,
    (n, pages): (usize, usize),
    report: &mut Report,
) -> Result<()> {
    let Some(audit) = Audit::begin()? else {
        return Ok(());
    };
    diff(world, installation)?;
    let requests = audit.requests(&installation.namespace)?;
    let total: usize = requests.values().sum();
    let reading = Reading::new(3, "platform diff, requests", n, (count(total), "requests"))
        .against("kinds × pages", count(pages))
        .goal(Goal::RatioAtMost(1.0));
    report.add(reading);
    Ok(())
}

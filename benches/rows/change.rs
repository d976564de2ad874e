//! Row 4: one challenge of many gets another image.

use std::sync::Arc;

use anyhow::{Result, ensure};
use platform::model::Key;

use super::SIZES;
use super::report::{Goal, Reading, Report, count};
use super::watched::{Call, Watched};
use super::world::{Session, World, slug};

/// Measures the row. The installations stay as they are afterwards, their declarations with them.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    for n in SIZES {
        let installation = world.built(n).await?;
        let changed = slug(n / 2);
        let text = std::fs::read_to_string(&installation.declared)?;
        let (old, new) = (format!("{changed}:1.0.0@"), format!("{changed}:1.0.1@"));
        ensure!(text.contains(&old), "{changed} has another image");
        std::fs::write(&installation.declared, text.replace(&old, &new))?;
        let cluster = Arc::new(Watched::new(world.cluster.clone()));
        let mut session = Session::open(&installation, cluster.clone()).await?;
        let planned = session.plan().await;
        let steps = &planned.plan.steps;
        let objects = steps
            .iter()
            .filter(|step| matches!(step.key, Key::Object(_)))
            .count();
        ensure!(objects > 0, "no object differs");
        session.carry_out(planned).await?;
        let sent = [Call::DryRun, Call::Write, Call::Get].map(|call| cluster.count(call));
        let requests = count(sent.iter().sum());
        let reading = Reading::new(
            4,
            "requests for one changed challenge",
            n,
            (requests, "requests"),
        )
        .against("a dry run and an apply per object", count(2 * objects))
        .goal(Goal::RatioAtMost(1.0));
        report.add(reading);
    }
    Ok(())
}

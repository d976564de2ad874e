//! Row 11: a hundred challenges are asked for their scores, ten of them dead; and how much memory a hundred take that
//! answer with as much as they may.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use platform::edge::challenge::{HttpChallenges, Limits, Place};
use platform::model::{Emission, Secret, Slug};
use platform::weights::collect::{Collected, Patience, Subject, collect};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::report::{Goal, Reading, Report};
use super::world::slug;

const CHALLENGES: usize = 100;
const DEAD: usize = 10;
/// Hotkeys that a challenge scores: as many as subnets have at most by default.
const HOTKEYS: usize = 4096;
/// What the bodies may take that are there at once.
const BODIES: f64 = 64.0;
/// What may be needed beside the bodies themselves.
const BESIDE: f64 = 64.0;

/// Measures the row.
pub async fn measure(report: &mut Report) -> Result<()> {
    let mut servers = JoinSet::new();
    let mut subjects = Vec::new();
    // The system takes connections that nobody ever answers.
    let mut silent = Vec::new();
    for number in 0..CHALLENGES {
        let slug = slug(number);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        subjects.push(subject(&slug, &listener)?);
        if number < DEAD {
            silent.push(listener);
        } else {
            serve(&mut servers, listener, vec![scores(&slug).into()]);
        }
    }
    let (collected, took) = ask(subjects).await;
    check(&collected, CHALLENGES - DEAD)?;
    let budget = Patience::default().budget().as_secs_f64();
    let reading = Reading::new(
        11,
        "collect, 10 dead",
        CHALLENGES,
        (took.as_secs_f64(), "s"),
    );
    report.add(
        reading
            .against("one budget", budget)
            .goal(Goal::AtMost(budget + 1.0)),
    );
    let healthy = collected.iter().filter(|one| one.answer.outcome.is_ok());
    let slowest = healthy.map(|one| one.took).max().unwrap_or_default();
    let name = "collect, slowest of those that answer";
    report.add(Reading::new(
        11,
        name,
        CHALLENGES,
        (slowest.as_secs_f64(), "s"),
    ));
    drop((servers, silent));
    measure_memory(report).await
}

/// Measures what bodies of the largest size take.
async fn measure_memory(report: &mut Report) -> Result<()> {
    let mut servers = JoinSet::new();
    let mut subjects = Vec::new();
    // One copy for all: only what the collector takes is to be measured.
    let padding = Bytes::from(" ".repeat(Limits::default().body - 1024));
    for number in 0..CHALLENGES {
        let slug = slug(number);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        subjects.push(subject(&slug, &listener)?);
        let head = Bytes::from(format!(r#"{{"challenge_slug": "{slug}","#));
        let tail = Bytes::from_static(br#""weights": {"hk": 1}}"#);
        serve(&mut servers, listener, vec![head, padding.clone(), tail]);
    }
    let before = begin_peak()?;
    let (collected, took) = ask(subjects).await;
    check(&collected, CHALLENGES)?;
    let grown = memory()? - before;
    let name = "memory for bodies of 16 MiB";
    let reading = Reading::new(11, name, CHALLENGES, (grown, "MiB"));
    report.add(reading.goal(Goal::AtMost(BODIES + BESIDE)));
    let name = "collect, bodies of 16 MiB";
    report.add(Reading::new(
        11,
        name,
        CHALLENGES,
        (took.as_secs_f64(), "s"),
    ));
    Ok(())
}

fn subject(slug: &str, listener: &TcpListener) -> Result<Subject> {
    Ok(Subject {
        place: Place {
            slug: Slug::parse(slug)?,
            base: format!("http://{}", listener.local_addr()?),
        },
        emission: Emission::parse("1")?,
        token: Some(Secret::new("token".to_owned())),
    })
}

fn scores(slug: &str) -> String {
    let scores = (0..HOTKEYS).map(|n| format!("\"5{n:047}\": {n}.25"));
    let scores: Vec<String> = scores.collect();
    format!(
        r#"{{"challenge_slug": "{slug}", "weights": {{{}}}}}"#,
        scores.join(",")
    )
}

/// Serves a body of these parts for every question.
fn serve(servers: &mut JoinSet<()>, listener: TcpListener, parts: Vec<Bytes>) {
    let router = Router::new().fallback(move || {
        let parts = parts.clone().into_iter().map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures::stream::iter(parts));
        async move { body }
    });
    servers.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("a challenge ended: {error}");
        }
    });
}

async fn ask(subjects: Vec<Subject>) -> (Vec<Collected>, Duration) {
    let client = HttpChallenges::new(Limits::default());
    let began = Instant::now();
    let collected = collect(&client, subjects, Patience::default()).await;
    (collected, began.elapsed())
}

fn check(collected: &[Collected], answered: usize) -> Result<()> {
    let failed = collected
        .iter()
        .filter_map(|one| one.answer.outcome.as_ref().err());
    let failed: Vec<String> = failed.map(ToString::to_string).collect();
    ensure!(
        collected.len() - failed.len() == answered,
        "{} of {} failed: {failed:?}",
        failed.len(),
        collected.len()
    );
    Ok(())
}

/// Has the most memory be counted from now on, not from rows before this one; returns what there is of it, in MiB.
fn begin_peak() -> Result<f64> {
    std::fs::write("/proc/self/clear_refs", "5").context("count the memory anew")?;
    memory()
}

/// Returns the most memory that this process has had, in MiB.
fn memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read the memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    Ok(f64::from(kib.context("the memory is not told")?) / 1024.0)
}

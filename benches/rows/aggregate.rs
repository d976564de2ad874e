//! Row 10: from the bytes that challenges send to one vector, against the arithmetic of the earlier system.
//!
//! On all processors, as the collector reads bodies: side by side, as they come in. That was on one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use platform::model::{Emission, Slug};
use platform::parallel::in_runs;
use platform::weights::aggregate::aggregate;
use platform::weights::scores::parse_reply;
use platform::weights::{Answer, Metagraph, Rules};

use super::report::{Goal, Reading, Report, median, millis};

/// Challenges and hotkeys of each.
const SHAPES: [(usize, usize); 2] = [(100, 4096), (20, 100_000)];
/// Neurons of the subnet.
const NEURONS: usize = 4096;
/// Rounds of which the middle one counts.
const ROUNDS: usize = 5;
/// What part of the reference it may take: it is to be twenty times as fast.
const MOST: f64 = 0.05;

/// Measures the row.
pub fn measure(report: &mut Report) -> Result<()> {
    for (challenges, hotkeys) in SHAPES {
        let bodies: Vec<Vec<u8>> = (0..challenges).map(|n| body(n, hotkeys)).collect();
        let registered: Vec<String> = (0..NEURONS).map(hotkey).collect();
        let (parse, compute) = earlier(&registered, &bodies)?;
        let (parsed, computed) = ours(&registered, &bodies)?;
        let total = |parse: Duration, compute: Duration| millis(parse + compute);
        let name = format!("aggregate {challenges} × {hotkeys}");
        let whole = Reading::new(10, &name, challenges, (total(parsed, computed), "ms"));
        report.add(
            whole
                .against("earlier system", total(parse, compute))
                .goal(Goal::RatioAtMost(MOST)),
        );
        for (part, ours, theirs) in [("parse", parsed, parse), ("compute", computed, compute)] {
            let reading = Reading::new(
                10,
                format!("{name}, {part}"),
                challenges,
                (millis(ours), "ms"),
            );
            report.add(reading.against("earlier system", millis(theirs)));
        }
    }
    Ok(())
}

/// An address as the chain has them: all begin alike, and follow no order.
fn hotkey(number: usize) -> String {
    let mut state = u64::try_from(number)
        .unwrap_or_default()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        | 1;
    let letters = (0..47).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(
            b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
                [(state >> 33) as usize % 58],
        )
    });
    std::iter::once('5').chain(letters).collect()
}

fn slug(number: usize) -> String {
    format!("challenge-{number:03}")
}

fn body(challenge: usize, hotkeys: usize) -> Vec<u8> {
    // Each in an order of its own, with scores of all magnitudes that challenges use. The step has no divisor in common
    // with how many there are, so each hotkey comes once.
    let step = 7919 + challenge * 10;
    let entries = (0..hotkeys).map(|n| {
        let key = n * step % hotkeys;
        let score = 1.0 / ((key * 31 + challenge) % 9973 + 1) as f64;
        format!("\"{}\":{score}", hotkey(key))
    });
    let entries: Vec<String> = entries.collect();
    format!(
        "{{\"challenge_slug\":\"{}\",\"weights\":{{{}}}}}",
        slug(challenge),
        entries.join(",")
    )
    .into_bytes()
}

fn ours(registered: &[String], bodies: &[Vec<u8>]) -> Result<(Duration, Duration)> {
    let metagraph = Metagraph::of(registered);
    let numbered: Vec<_> = bodies.iter().enumerate().collect();
    let (mut parsing, mut computing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let read = |run: &[(usize, &Vec<u8>)]| run.iter().map(answer).collect::<Result<Vec<_>>>();
        let runs: Result<Vec<_>> = in_runs(&numbered, 1, read).into_iter().collect();
        let answers: Vec<Answer> = runs?.into_iter().flatten().collect();
        let parsed = Instant::now();
        let (vector, _) = aggregate(&answers, &metagraph, Rules::default());
        computing.push(parsed.elapsed());
        parsing.push(parsed - began);
        ensure!(
            vector.uids.len() == NEURONS - 1,
            "a vector of everybody but the owner"
        );
    }
    let middle = |times: Vec<Duration>| {
        Duration::from_secs_f64(median(times.iter().map(Duration::as_secs_f64).collect()))
    };
    Ok((middle(parsing), middle(computing)))
}

fn answer((number, body): &(usize, &Vec<u8>)) -> Result<Answer> {
    let slug = Slug::parse(&slug(*number))?;
    let reply = parse_reply(body, &slug)?;
    Ok(Answer {
        slug,
        emission: Emission::parse("1")?,
        outcome: Ok(reply.scores),
    })
}

/// Measures the earlier system's arithmetic; needs Python.
fn earlier(registered: &[String], bodies: &[Vec<u8>]) -> Result<(Duration, Duration)> {
    let scratch = tempfile::tempdir()?;
    let names = scratch.path().join("hotkeys.json");
    std::fs::write(&names, serde_json::to_vec(registered)?)?;
    let mut command = Command::new("python3");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rows/aggregate.py"))
        .arg(names);
    for (number, body) in bodies.iter().enumerate() {
        let path = scratch.path().join(slug(number));
        std::fs::write(&path, body)?;
        command.arg(path);
    }
    let ended = command.output().context("run python3")?;
    ensure!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let text = String::from_utf8(ended.stdout)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let [parse, compute, count] = numbers[..] else {
        anyhow::bail!("python3 wrote {text:?}");
    };
    ensure!(count as usize == NEURONS - 1, "a vector of {count}");
    Ok((
        Duration::from_secs_f64(parse),
        Duration::from_secs_f64(compute),
    ))
}

//! What was measured: one line per figure, as a table and as JSON.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Everything measured in one run.
#[derive(Default)]
pub struct Report(Vec<Reading>);

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// The row of the table it belongs to.
    pub row: u8,
    /// What was measured.
    pub name: String,
    /// The number of challenges.
    pub n: usize,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is measured against.
    pub reference: Option<Reference>,
    /// The figure divided by its reference.
    pub ratio: Option<f64>,
    /// What is to be reached.
    pub goal: Option<String>,
    /// Whether it is.
    pub met: Option<bool>,
}

/// The other measurement of the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Reference {
    /// What was measured.
    pub name: &'static str,
    /// The figure, in the same unit.
    pub value: f64,
}

/// A limit.
#[derive(Clone, Copy)]
pub enum Goal {
    /// The ratio, at least.
    RatioAtLeast(f64),
    /// The ratio, at most.
    RatioAtMost(f64),
    /// The figure, at most.
    AtMost(f64),
}

impl Reading {
    /// A figure without reference or goal.
    pub fn new(
        row: u8,
        name: impl Into<String>,
        n: usize,
        (value, unit): (f64, &'static str),
    ) -> Self {
        Self {
            row,
            name: name.into(),
            n,
            value,
            unit,
            reference: None,
            ratio: None,
            goal: None,
            met: None,
        }
    }

    /// Adds what it is measured against.
    pub fn against(mut self, name: &'static str, value: f64) -> Self {
        self.reference = Some(Reference { name, value });
        self.ratio = Some(self.value / value);
        self
    }

    /// Adds what is to be reached.
    pub fn goal(mut self, goal: Goal) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        let (text, is_met) = match goal {
            Goal::RatioAtLeast(least) => (format!("ratio ≥ {least}"), ratio >= least),
            Goal::RatioAtMost(most) => (format!("ratio ≤ {most}"), ratio <= most),
            Goal::AtMost(most) => (format!("≤ {most} {}", self.unit), self.value <= most),
        };
        self.goal = Some(text);
        self.met = Some(is_met);
        self
    }
}

impl Report {
    /// Takes a figure in, and shows it at once.
    pub fn add(&mut self, reading: Reading) {
        eprintln!("  {reading}");
        self.0.push(reading);
    }

    /// Adds how a cost grows between the last two of these sizes: 1 is linear.
    pub fn add_growth(&mut self, row: u8, name: &str, costs: &[(usize, f64)], goal: Option<Goal>) {
        let [.., (few, cheap), (many, dear)] = costs else {
            return;
        };
        let sizes = [*few, *many].map(|n| f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
        let exponent = (dear / cheap).ln() / (sizes[1] / sizes[0]).ln();
        let name = format!("growth of {name} from {few}");
        let reading = Reading::new(row, name, *many, (exponent, "exponent"));
        self.add(match goal {
            Some(goal) => reading.goal(goal),
            None => reading,
        });
    }

    /// Writes `target/bench/report.json` and returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> Result<PathBuf> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../bench");
        std::fs::create_dir_all(&folder).context("make the folder of the report")?;
        let path = folder.canonicalize()?.join("report.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&self.0)?).context("write the report")?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reading in &self.0 {
            writeln!(f, "{reading}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            row,
            name,
            n,
            value,
            unit,
            ..
        } = self;
        write!(f, "{row:>2}  {n:>4}  {name:<48} {value:>9.2} {unit:<10}")?;
        if let (Some(reference), Some(ratio)) = (&self.reference, self.ratio) {
            let Reference { name, value } = reference;
            write!(f, " {ratio:>6.2} × {name} ({value:.2})")?;
        }
        match (&self.goal, self.met) {
            (Some(goal), Some(true)) => write!(f, "  {goal}: met"),
            (Some(goal), _) => write!(f, "  {goal}: MISSED"),
            _ => Ok(()),
        }
    }
}

/// Returns the one in the middle; of none, nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns a duration in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Returns a count as a figure.
pub fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

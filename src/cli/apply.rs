//! `platform apply`: the plan, carried out.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Form, SourceArg, parse_duration};
use crate::model::Slug;

/// Arguments of `apply`.
#[derive(Args)]
pub struct ApplyArgs {
    /// Where platform.yaml is.
    #[command(flatten)]
    pub source: SourceArg,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Do not wait until everything is ready.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for another writer, and until everything is ready.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Carry out exactly this saved plan, or refuse because the world moved.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "challenge"])]
    pub plan: Option<PathBuf>,
    /// Go over safety.max_deleted_percent.
    #[arg(long)]
    pub allow_deletes: bool,
    /// Go over safety.max_emission_change_points.
    #[arg(long)]
    pub allow_emission_change: bool,
    /// Go on inside a window of safety.freeze.
    #[arg(long)]
    pub allow_freeze: bool,
    /// Only this challenge; may be repeated.
    #[arg(long, value_name = "SLUG", value_parser = Slug::parse)]
    pub challenge: Vec<Slug>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Examples shown by `--help`.
pub const EXAMPLES: &str = "\
Examples:
  platform apply                                 show the plan, ask, carry it out, wait
  platform apply deploy/ --yes --timeout 5m      without a question
  platform apply --plan plan.json --yes          exactly what `diff --save plan.json` showed

Ends with 2 when a guard of safety refuses, 3 when the world moved or another writer is at work,
5 when not everything is ready in time or some keys failed.";

//! `platform status`: one screen.

use clap::Args;

use super::{Form, SourceArg};

/// Arguments of `status`.
#[derive(Args)]
pub struct StatusArgs {
    /// Where platform.yaml is.
    #[command(flatten)]
    pub source: SourceArg,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Examples shown by `--help`.
pub const EXAMPLES: &str = "\
Examples:
  platform status                                what is wanted, there and ready, and why not
  platform status -o json | jq .challenges";

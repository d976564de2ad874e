//! `platform purge`: deletes what the removal of a challenge kept.

use clap::Args;

use super::SourceArg;
use crate::model::Slug;

/// Arguments of `purge`.
#[derive(Args)]
pub struct PurgeArgs {
    /// The challenge whose data is deleted.
    #[arg(value_parser = Slug::parse)]
    pub slug: Slug,
    /// Where platform.yaml is.
    #[command(flatten)]
    pub source: SourceArg,
    /// The slug once more, instead of typing it when asked.
    #[arg(long, value_name = "SLUG", value_parser = Slug::parse)]
    pub confirm: Option<Slug>,
}

/// Examples shown by `--help`.
pub const EXAMPLES: &str = "\
Examples:
  platform purge old-one                         list what was kept, ask for the slug, delete
  platform purge old-one --confirm old-one       without a question

Refused while the challenge is declared. Claims and the password are gone for good.";

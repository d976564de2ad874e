//! `platform schema`: the forms that this program reads and writes.

use clap::Args;

use super::{CliError, Context, Exit};
use crate::reconcile::render::plan_schema;
use crate::spec;

/// Arguments of `schema`.
#[derive(Args)]
pub struct SchemaArgs {
    /// The JSON Schema of a plan, as `diff -o json` prints it.
    #[arg(long)]
    plan: bool,
    /// Every field of platform.yaml as Markdown.
    #[arg(long, conflicts_with = "plan")]
    markdown: bool,
}

pub(super) fn run(args: &SchemaArgs, context: &Context) -> Result<Exit, CliError> {
    let text = match (args.plan, args.markdown) {
        (true, _) => plan_schema(),
        (false, true) => spec::reference(),
        (false, false) => spec::schema(),
    };
    context.terminal.print(&text)?;
    Ok(Exit::Done)
}

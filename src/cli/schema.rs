//! `platform schema`: the forms that this program reads and writes.

use clap::Args;

use super::{CliError, Context, Exit};
use crate::reconcile::controller::notify::notification_schema;
use crate::reconcile::record::document::history_schema;
use crate::reconcile::render::plan_schema;
use crate::reconcile::status::document::status_schema;
use crate::spec;
use crate::weights::routes::openapi;

/// Arguments of `schema`.
#[derive(Args)]
pub struct SchemaArgs {
    /// The JSON Schema of a plan, as `diff -o json` prints it.
    #[arg(long)]
    plan: bool,
    /// The JSON Schema of a status, as `status -o json` prints it.
    #[arg(long, conflicts_with = "plan")]
    status: bool,
    /// The JSON Schema of a notification, as a webhook is sent it.
    #[arg(long, conflicts_with_all = ["plan", "status"])]
    notification: bool,
    /// The JSON Schema of the history, as `history -o json` and `history show N -o json` print it.
    #[arg(long, conflicts_with_all = ["plan", "status", "notification"])]
    history: bool,
    /// The OpenAPI document of weights and registry over HTTP.
    #[arg(long, conflicts_with_all = ["plan", "status", "notification", "history"])]
    openapi: bool,
    /// Every field of platform.yaml as Markdown.
    #[arg(long, conflicts_with_all = ["plan", "status", "notification", "history", "openapi"])]
    markdown: bool,
}

pub(super) fn run(args: &SchemaArgs, context: &Context) -> Result<Exit, CliError> {
    let text = match args {
        SchemaArgs { plan: true, .. } => plan_schema(),
        SchemaArgs { status: true, .. } => status_schema(),
        SchemaArgs {
            notification: true, ..
        } => notification_schema(),
        SchemaArgs { history: true, .. } => history_schema(),
        SchemaArgs { openapi: true, .. } => openapi(),
        SchemaArgs { markdown: true, .. } => spec::reference(),
        SchemaArgs { .. } => spec::schema(),
    };
    context.terminal.print(&text)?;
    Ok(Exit::Done)
}

//! `platform diff`: the plan, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::lead;
use super::saved::SavedPlan;
use super::session::Session;
use super::{CliError, Context, Exit, SourceArg};
use crate::model::Slug;
use crate::reconcile::Planned;
use crate::reconcile::render::{Options, render_json, render_markdown, render_text};

/// Arguments of `diff`.
#[derive(Args)]
pub struct DiffArgs {
    /// Where platform.yaml is.
    #[command(flatten)]
    pub source: SourceArg,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DiffForm,
    /// Show whole objects, not only what changes.
    #[arg(long)]
    pub full: bool,
    /// Only this challenge; may be repeated.
    #[arg(long, value_name = "SLUG", value_parser = Slug::parse)]
    pub challenge: Vec<Slug>,
    /// Take a commit that does not descend from the one applied last.
    #[arg(long)]
    pub allow_rewind: bool,
    /// Save the plan for `apply --plan`.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// Forms of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiffForm {
    /// For people at a terminal.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For reviews.
    Markdown,
}

/// Examples shown by `--help`.
pub const EXAMPLES: &str = "\
Examples:
  platform diff                                  what apply would do with ./platform.yaml
  platform diff deploy/ --challenge prism        one challenge of a directory
  platform diff -o markdown > plan.md            for a review
  platform diff --save plan.json                 ends with 1 where there are changes, so no `&&` behind it
  platform apply --plan plan.json                exactly what that showed, or nothing

Ends with 0 when there is nothing to change, 1 when there is, 4 when something could not be read.";

pub(super) async fn run(args: &DiffArgs, context: &Context) -> Result<Exit, CliError> {
    let mut session = Session::open(context, &args.challenge).await?;
    let planned = session.plan().await;
    if let Ok(planned) = &planned {
        session.note_held(context, planned).await;
    }
    tell_lead(context, &session, planned.as_ref().ok()).await;
    session.close().await;
    let plan = planned?.plan;
    let options = Options {
        palette: context.terminal.palette(),
        is_full: args.full,
    };
    let text = match args.output {
        DiffForm::Text => render_text(&plan, &session.header, &options),
        DiffForm::Json => render_json(&plan, &session.header, &options),
        DiffForm::Markdown => render_markdown(&plan, &session.header),
    };
    context.terminal.print(&text)?;
    if let Some(path) = &args.save {
        let saved = SavedPlan::of(
            &plan,
            &context.settings.source,
            &session.header.cluster,
            &args.challenge,
        );
        saved.write(path)?;
    }
    if plan.has_unknown() {
        return Ok(Exit::Dependency);
    }
    Ok(match plan.is_empty() {
        true => Exit::Done,
        false => Exit::Changes,
    })
}

/// Tells of a controller that would undo this plan. Where the world is not seen the plan says so itself.
async fn tell_lead(context: &Context, session: &Session, planned: Option<&Planned>) {
    let writes = |planned: &Planned| planned.live.blindness().is_none() && planned.plan.may_write();
    if !planned.is_some_and(writes) {
        return;
    }
    let lead = lead::find(context, session, Duration::ZERO).await;
    if let Some(note) = lead.note() {
        context.terminal.note(&note);
    }
}

//! `platform check`: all problems of a declaration. No cluster and no database; the network for git alone.

use clap::Args;
use serde_json::{Value, json};

use super::declaration::{self, Declaration};
use super::{CliError, Context, Exit, Form, SourceArg};
use crate::model::Revision;
use crate::spec::{Platform, Problem, Problems};

/// Arguments of `check`.
#[derive(Args)]
pub struct CheckArgs {
    /// Where platform.yaml is.
    #[command(flatten)]
    pub(super) source: SourceArg,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Problems are this verb's result, so they go where results go.
pub(super) async fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let settings = &context.settings;
    let snapshot = declaration::read(&settings.source, settings, None).await?;
    let (origin, revision) = (snapshot.origin.clone(), snapshot.revision.clone());
    match declaration::check(&snapshot.files, declaration::policy(&context.settings)) {
        Ok((platform, warnings)) => {
            let fine = Declaration {
                snapshot,
                platform,
                warnings,
            };
            show_fine(&fine, args.output, context)
        }
        Err(problems) => show_problems(&origin, &revision, &problems, args.output, context),
    }
}

fn show_fine(fine: &Declaration, form: Form, context: &Context) -> Result<Exit, CliError> {
    let (origin, revision) = (&fine.snapshot.origin, &fine.snapshot.revision);
    match form {
        Form::Text => {
            let mut text: String = fine.warnings.iter().map(|w| format!("{w}\n")).collect();
            let summary = summary(&fine.platform);
            text.push_str(&format!("{origin} at {revision} is valid: {summary}\n"));
            context.terminal.print(&text)?;
        }
        Form::Json => {
            let document = document(origin, revision, true, &fine.warnings, 0);
            context.terminal.print_json(&document)?;
        }
    }
    Ok(Exit::Done)
}

fn show_problems(
    origin: &str,
    revision: &Revision,
    problems: &Problems,
    form: Form,
    context: &Context,
) -> Result<Exit, CliError> {
    match form {
        Form::Text => context.terminal.print(&format!("{problems}\n"))?,
        Form::Json => {
            let document = document(origin, revision, false, &problems.shown, problems.rest);
            context.terminal.print_json(&document)?;
        }
    }
    Err(declaration::counted(origin, problems))
}

fn summary(platform: &Platform) -> String {
    let counted = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    format!(
        "{}, {}",
        counted(platform.challenges.len(), "challenge"),
        counted(platform.targets.len(), "target")
    )
}

fn document(
    origin: &str,
    revision: &Revision,
    is_valid: bool,
    problems: &[Problem],
    rest: usize,
) -> Value {
    json!({
        "version": 1,
        "source": origin,
        "revision": revision,
        "valid": is_valid,
        "problems": problems,
        "not_shown": rest,
    })
}

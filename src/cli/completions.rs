//! `platform completions`: a script that completes verbs and flags in a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliError, Context, Exit};

/// Arguments of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "platform", &mut script);
    context.terminal.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

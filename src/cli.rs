//! The command line: `platform VERB [SOURCE] [flags]`. One file per verb; nothing else prints.

mod act;
pub mod apply;
mod bug;
mod check;
mod completions;
mod database;
pub mod declaration;
pub mod diff;
pub mod error;
mod git_worker;
mod history;
mod lead;
mod logging;
mod nearest;
mod progress;
mod public;
pub mod purge;
mod registry;
mod run;
mod saved;
mod schema;
mod serve;
mod session;
mod set;
mod settings;
mod since;
mod standing;
pub mod status;
mod telling;
pub mod terminal;
mod turn;
mod weights;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tokio::runtime::Runtime;

pub use bug::report_panics;
pub use error::{CliError, Exit, Kind};
pub use terminal::{Color, Terminal};

use crate::model::Secret;
use crate::settings::{Environment, Flags, Settings};

/// The reconciler for people who run a Bittensor subnet: platform.yaml to Kubernetes and database.
#[derive(Parser)]
#[command(
    name = "platform",
    version,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    max_term_width = 100,
    after_help = "\
To begin with:
  platform check      is platform.yaml right?
  platform diff       what would change?
  platform apply      do it, and wait until everything is ready
  platform status     where does each challenge stand?

Ends with 0 when done, 1 when `diff` has something to show, 2 when the input is at fault,
3 when the world moved since a plan was saved, 4 when a dependency failed or refused,
5 when not everything is ready or some keys failed, 70 on a bug."
)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// Heading of the flags that every verb takes.
const COMMON: &str = "Common options";

#[derive(Args)]
struct Common {
    /// Settings of this process, as YAML.
    #[arg(long, value_name = "FILE", global = true, help_heading = COMMON)]
    config: Option<PathBuf>,
    /// The registry database, as PLATFORM_DATABASE_URL.
    #[arg(long, value_name = "URL", global = true, value_parser = parse_secret, help_heading = COMMON)]
    database_url: Option<Secret<String>>,
    /// When output is coloured: auto, always or never; NO_COLOR turns `auto` off.
    #[arg(
        long, value_name = "WHEN", global = true, value_enum, default_value_t,
        hide_possible_values = true, help_heading = COMMON
    )]
    color: Color,
    /// Show the chain of causes of an error, and log more; -vv still more.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = COMMON)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    /// Parse and check a declaration; prints all problems. No cluster and no database.
    #[command(after_help = "\
Examples:
  platform check                                 ./platform.yaml
  platform check deploy/ -o json                 a directory: platform.yaml and every *.yaml below it
  platform check https://HOST/subnet.git#main:deploy")]
    Check(check::CheckArgs),
    /// Print the JSON Schema of platform.yaml, of a plan, a status, a notification or the history, or the OpenAPI document.
    #[command(after_help = "\
Examples:
  platform schema > platform.schema.json         for an editor
  platform schema --plan                         what `diff -o json` prints
  platform schema --status                       what `status -o json` prints
  platform schema --notification                 what a webhook is sent
  platform schema --history                      what `history -o json` prints
  platform schema --openapi                      weights and registry over HTTP
  platform schema --markdown                     every field of platform.yaml, to read")]
    Schema(schema::SchemaArgs),
    /// Show what apply would do, to the cluster and the database. Changes nothing.
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::DiffArgs),
    /// Show the plan, ask, carry it out, and wait until everything is ready.
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::ApplyArgs),
    /// Follow the source and keep the cluster and the registry as it says, until told to stop.
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Run one role of the program.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::ServeArgs),
    /// Show where each challenge stands, on one screen.
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Leave a challenge as it is until it is resumed, or have the controller write nothing at all.
    #[command(after_help = act::SUSPEND)]
    Suspend(act::SuspendArgs),
    /// Go on with a challenge that was suspended, or have the controller go on.
    #[command(after_help = "\
Examples:
  platform resume prism
  platform resume --controller                   it surveys everything and goes on")]
    Resume(act::ResumeArgs),
    /// Have a running controller look now, at one challenge or at all.
    #[command(after_help = act::RECONCILE)]
    Reconcile(act::ReconcileArgs),
    /// Delete what the removal of a challenge kept: its claims and its database password.
    #[command(after_help = purge::EXAMPLES)]
    Purge(purge::PurgeArgs),
    /// Show past passes: when, which revision, by whom, and what came of them.
    #[command(after_help = "\
Examples:
  platform history                               the last 20 passes
  platform history show 12                       one of them, with every key
  platform history verify                        is each as it was recorded?
  platform history acts                          what was suspended, resumed and asked for, and by whom")]
    History(history::HistoryArgs),
    /// Compute a weight vector offline, or show the newest one.
    #[command(after_help = weights::EXAMPLES)]
    Weights(weights::WeightsArgs),
    /// Print the registry as everybody may know it.
    #[command(after_help = registry::EXAMPLES)]
    Registry(registry::RegistryArgs),
    /// Change one value of platform.yaml in place; comments and order stay.
    #[command(after_help = "\
Examples:
  platform set challenges.prism.status inactive
  platform set emissions.prism 35 deploy/
  platform set 'challenges.prism.env.\"dotted.name\"' text
  platform set challenges.prism.broker '{max_concurrent: 4}'
  platform set emissions.prism 35 --commit -m 'raise prism to 35'

The declaration is checked with the change before anything is written.")]
    Set(set::SetArgs),
    /// The registry database's schema.
    #[command(after_help = "\
Examples:
  platform database status
  platform database migrate --database-url sqlite:platform.db")]
    Database(database::DatabaseArgs),
    /// Print the effective settings and where each comes from, secrets masked.
    #[command(after_help = "\
Examples:
  platform settings
  PLATFORM_ENVIRONMENT=production platform settings --config settings.yaml -o json")]
    Settings(settings::SettingsArgs),
    /// Print a script that completes verbs and flags, or the manual page.
    #[command(after_help = "\
Examples:
  platform completions bash > /etc/bash_completion.d/platform
  platform completions zsh > ~/.zfunc/_platform
  platform completions man > /usr/local/share/man/man1/platform.1")]
    Completions(completions::CompletionsArgs),
    /// Read a git repository for another process of this program.
    #[command(
        hide = true,
        after_help = "Started by the other verbs: `platform git-worker` takes a question from standard input."
    )]
    GitWorker,
}

impl Verb {
    fn source(&self) -> Option<&SourceArg> {
        match self {
            Self::Check(args) => Some(&args.source),
            Self::Diff(args) => Some(&args.source),
            Self::Apply(args) => Some(&args.source),
            Self::Run(args) => Some(&args.source),
            Self::Serve(args) => Some(args.source()),
            Self::Status(args) => Some(&args.source),
            Self::Purge(args) => Some(&args.source),
            Self::Suspend(args) => Some(&args.source),
            Self::Reconcile(args) => Some(&args.source),
            Self::Set(args) => Some(&args.source),
            Self::Schema(_)
            | Self::History(_)
            | Self::Resume(_)
            | Self::Settings(_)
            | Self::Weights(_)
            | Self::Registry(_)
            | Self::Database(_)
            | Self::Completions(_)
            | Self::GitWorker => None,
        }
    }
}

impl Verb {
    fn allows_rewind(&self) -> bool {
        match self {
            Self::Diff(args) => args.allow_rewind,
            Self::Apply(args) => args.allow_rewind,
            _ => false,
        }
    }
}

/// The SOURCE argument.
#[derive(Args, Clone)]
pub struct SourceArg {
    /// A file, a directory with platform.yaml, or a git address such as https://HOST/REPOSITORY#BRANCH:PATH
    /// [default: $PLATFORM_SOURCE, else ./platform.yaml].
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What every verb is given.
pub struct Context {
    /// The effective settings.
    pub settings: Settings,
    /// Where results and errors go.
    pub terminal: Terminal,
}

/// Runs one command line; `arguments` begins with the program's name. Prints results and errors.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // A reader that has gone away needs no help.
            drop(usage.print());
            return if usage.use_stderr() {
                Exit::Input
            } else {
                Exit::Done
            };
        }
    };
    let (no_color, is_verbose) = (environment.has("NO_COLOR"), cli.common.verbose > 0);
    let terminal = Terminal::new(cli.common.color, no_color, is_verbose);
    if matches!(cli.verb, Verb::GitWorker) {
        return git_worker::run(&terminal).unwrap_or_else(|error| {
            terminal.error(&error);
            error.kind().exit()
        });
    }
    let flags = Flags {
        config: cli.common.config,
        database_url: cli.common.database_url,
        source: cli.verb.source().and_then(|source| source.source.clone()),
        allow_rewind: cli.verb.allows_rewind(),
    };
    let settings = match Settings::gather(&flags, environment) {
        Ok(settings) => settings,
        Err(error) => {
            let error = CliError::from(error);
            terminal.error(&error);
            return error.kind().exit();
        }
    };
    let stays = matches!(cli.verb, Verb::Run(_) | Verb::Serve(_));
    let verbose = cli.common.verbose + u8::from(stays);
    let context = Context { settings, terminal };
    let ended = Runtime::new()
        .map_err(|error| CliError::dependency("no threads can be started").because(error))
        .and_then(|runtime| {
            let traces = logging::begin(verbose, &context.settings.observability, &runtime)?;
            let ended = runtime.block_on(carry_out(cli.verb, &context));
            if let Some(traces) = traces {
                traces.end();
            }
            ended
        });
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            context.terminal.error(&error);
            error.kind().exit()
        }
    }
}

async fn carry_out(verb: Verb, context: &Context) -> Result<Exit, CliError> {
    match verb {
        Verb::Check(args) => check::run(&args, context).await,
        Verb::Schema(args) => schema::run(&args, context),
        Verb::Diff(args) => diff::run(&args, context).await,
        Verb::Apply(args) => apply::run(&args, context).await,
        Verb::Run(_) => run::run(context, true).await,
        Verb::Serve(args) => serve::run(&args, context).await,
        Verb::Weights(args) => weights::run(&args, context).await,
        Verb::Registry(args) => registry::run(&args, context).await,
        Verb::Status(args) => status::run(&args, context).await,
        Verb::Purge(args) => purge::run(&args, context).await,
        Verb::Suspend(args) => act::suspend(args, context).await,
        Verb::Resume(args) => act::resume(args, context).await,
        Verb::Reconcile(args) => act::reconcile(args, context).await,
        Verb::History(args) => history::run(&args, context).await,
        Verb::Set(args) => set::run(&args, context),
        Verb::Database(args) => database::run(&args, context).await,
        Verb::Settings(args) => settings::run(&args, context),
        Verb::Completions(args) => completions::run(&args, context),
        // It ended before the settings were read.
        Verb::GitWorker => Ok(Exit::Done),
    }
}

fn parse_secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Parses a time such as `90s`, `10m` or `1h30m`; at most a week.
///
/// # Errors
/// Another form, nothing, or longer than a week.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const WEEK: u64 = 7 * 24 * 3600;
    let bad = || "write a time such as 90s, 10m or 1h30m, of at most a week".to_owned();
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let seconds = match rest.as_bytes().get(digits) {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            _ => return Err(bad()),
        };
        total = number
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(bad)?;
        rest = &rest[digits + 1..];
    }
    match total {
        1..=WEEK => Ok(Duration::from_secs(total)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_verb_has_an_example() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands() {
            let examples = verb.get_after_help().map(ToString::to_string);
            let name = verb.get_name();
            assert!(
                examples.is_some_and(|text| text.contains(&format!("platform {name}"))),
                "{name}"
            );
        }
    }

    #[test]
    fn the_arguments_of_verbs_that_plan_are_well_formed() {
        let verb = |name| clap::Command::new(name);
        for command in [
            diff::DiffArgs::augment_args(verb("diff")),
            apply::ApplyArgs::augment_args(verb("apply")),
            status::StatusArgs::augment_args(verb("status")),
            purge::PurgeArgs::augment_args(verb("purge")),
        ] {
            command.debug_assert();
        }
    }

    #[test]
    fn times_are_read_and_bounded() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("168h", 604_800),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in [
            "",
            "0s",
            "10",
            "m",
            "1d",
            "169h",
            "-1s",
            "99999999999999999999s",
            "9999999999999999999h",
            "1 m",
            "1é",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}

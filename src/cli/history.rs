//! `platform history`: past passes, and whether they are as they were recorded.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::database::open_to_read;
use super::{CliError, Context, Exit, Form};
use crate::edge::database::Database;
use crate::model::Slug;
use crate::model::act::{ActKind, ActRecord};
use crate::model::chain::{Break, Chain, Link, Unbroken};
use crate::model::pass::{KeyOutcome, PassCounts, PassOutcome, PassRecord, PassSummary};
use crate::reconcile::record::document::Document;
use crate::reconcile::render::mask;

/// Told where a pass was begun that is not recorded.
const OPEN: &str = "a pass was begun and is not recorded yet: it is under way, or was killed, and then whoever writes next records it as interrupted";

/// Arguments of `history`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HistoryArgs {
    #[command(subcommand)]
    act: Option<Act>,
    /// How many passes, newest first.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only passes before this one.
    #[arg(long, value_name = "PASS")]
    before: Option<i64>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Subcommand)]
enum Act {
    /// Show one pass with what came of each key.
    #[command(after_help = "Examples:\n  platform history show 12")]
    Show {
        /// The pass's number.
        pass: i64,
        /// Form of the output.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// List acts that are no declarations, newest first: who suspended, resumed or asked for what.
    #[command(after_help = "Examples:\n  platform history acts -n 5")]
    Acts {
        /// How many.
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20,
            value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Form of the output.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Tell whether the passes that are kept are as they were recorded.
    #[command(after_help = "\
Examples:
  platform history verify
  platform history verify -o json | jq -r .head   the hash that stands for all of them, to note elsewhere

Each pass carries the hash of the one before it. Ends with 4 when one was changed, added or taken away behind
the program's back, and names the first. Who can write to the database and makes every hash anew from there on
is found only by a head that was noted elsewhere.")]
    Verify {
        /// Form of the output.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

pub(super) async fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let url = context.settings.database_url(false)?;
    let database = open_to_read(url).await?;
    match &args.act {
        Some(Act::Show { pass, output }) => {
            let found = match &database {
                Some(database) => database.pass(*pass).await?,
                None => None,
            };
            let found = found.ok_or_else(|| {
                CliError::input(format!("there is no pass {pass}"))
                    .hint("`platform history` lists those that are kept")
            })?;
            let text = render_pass(&found);
            let document = Document::Pass {
                version: 1,
                pass: Box::new(found),
            };
            show(context, *output, &document, || text)
        }
        Some(Act::Acts { limit, output }) => {
            let acts = match &database {
                Some(database) => database.acts(*limit).await?,
                None => Vec::new(),
            };
            if acts.is_empty() {
                context.terminal.note("no acts yet");
            }
            let document = json!({"version": 1, "acts": acts});
            show(context, *output, &document, || {
                acts.iter().map(render_act).collect()
            })
        }
        Some(Act::Verify { output }) => {
            let chain = match &database {
                Some(database) => database.verify_passes().await?,
                None => Chain::Unbroken(Unbroken::default()),
            };
            verified(&chain, *output, context)
        }
        None => list(args, context, database.as_deref()).await,
    }
}

async fn list(
    args: &HistoryArgs,
    context: &Context,
    database: Option<&dyn Database>,
) -> Result<Exit, CliError> {
    let (passes, open) = match database {
        Some(database) => (
            database.passes(args.limit, args.before).await?,
            database.begun_passes().await?,
        ),
        None => (Vec::new(), 0),
    };
    if passes.is_empty() {
        context.terminal.note("no passes yet");
    }
    if open > 0 {
        context.terminal.note(OPEN);
    }
    let text: String = passes.iter().map(render_summary).collect();
    let document = Document::Passes {
        version: 1,
        passes,
        has_open: open > 0,
    };
    show(context, args.output, &document, || text)
}

fn show(
    context: &Context,
    form: Form,
    document: &impl Serialize,
    render: impl FnOnce() -> String,
) -> Result<Exit, CliError> {
    match form {
        Form::Text => context.terminal.print(&render())?,
        Form::Json => context.terminal.print_json(document)?,
    }
    Ok(Exit::Done)
}

fn verified(chain: &Chain, form: Form, context: &Context) -> Result<Exit, CliError> {
    let is_unbroken = matches!(chain, Chain::Unbroken(_));
    if form == Form::Json {
        let mut document = json!(chain);
        document["version"] = json!(1);
        document["is_unbroken"] = json!(is_unbroken);
        context.terminal.print_json(&document)?;
    }
    match chain {
        Chain::Unbroken(chain) => {
            show_unbroken(chain, form, context)?;
            Ok(Exit::Done)
        }
        Chain::Broken(found) => Err(broken(found)),
    }
}

fn show_unbroken(chain: &Unbroken, form: Form, context: &Context) -> Result<(), CliError> {
    match (form, chain.since, &chain.head) {
        (Form::Json, ..) => Ok(()),
        (Form::Text, Some(since), Some(head)) => context.terminal.print(&format!(
            "{} passes, unbroken since #{since}\nhead {head}\n",
            chain.passes
        )),
        (Form::Text, ..) => context.terminal.print("no passes yet\n"),
    }
}

fn broken(found: &Break) -> CliError {
    let message = format!(
        "the history is broken: #{} {}; {} before it are as they were recorded",
        found.pass,
        found.fault.as_str(),
        found.unbroken
    );
    CliError::dependency(message).hint(
        "somebody else wrote to the database; compare with a backup, and see who may write there",
    )
}

fn render_summary(pass: &PassSummary) -> String {
    format!(
        "#{:<5} {}  {:.0}  {:<11}  {}  by {}  {}\n",
        pass.id,
        safe(&pass.chain.short()),
        pass.started_at,
        word(&pass.outcome),
        safe(&pass.revision),
        safe(&pass.actor),
        counts(&pass.counts)
    )
}

fn render_act(act: &ActRecord) -> String {
    let all = match act.kind {
        ActKind::Suspend | ActKind::Resume => "the controller",
        ActKind::Reconcile | ActKind::Resolve => "all",
    };
    let slug = act.slug.as_ref().map_or(all, Slug::as_str);
    let outcome = act.outcome.as_deref().unwrap_or("not taken up yet");
    let why = act.why.as_ref().map(|why| format!("  {}", safe(why)));
    format!(
        "#{:<5} {:.0}  {:<9}  {slug}  by {}  {}{}\n",
        act.id,
        act.at,
        act.kind.as_str(),
        safe(&act.actor),
        safe(&outcome),
        why.unwrap_or_default()
    )
}

/// Others wrote the record: nothing in it may steer a terminal.
fn safe(text: &impl ToString) -> String {
    mask::printable(&text.to_string())
}

fn render_pass(pass: &PassRecord) -> String {
    let mut text = format!(
        "pass     {}{}\nstarted  {:.0}, {}\noutcome  {}\nsource   {} at {}\nactor    {}\nplan     {}\ncounts   {}\n",
        pass.id.unwrap_or_default(),
        chain(pass),
        pass.started_at,
        end(pass),
        word(&pass.outcome),
        safe(&pass.source),
        safe(&pass.revision),
        safe(&pass.actor),
        safe(&pass.plan_digest),
        counts(&pass.counts)
    );
    for key in &pass.keys {
        text.push_str(&render_key(key));
    }
    text
}

/// Returns when a pass ended. Nobody knows that of one that was interrupted.
fn end(pass: &PassRecord) -> String {
    if pass.outcome == PassOutcome::Interrupted {
        return format!("found without an end {:.0}", pass.finished_at);
    }
    let took = pass.started_at.duration_until(pass.finished_at);
    format!("took {:.1} s", took.as_secs_f64())
}

/// Returns the pass's hash, and that of the one before it.
fn chain(pass: &PassRecord) -> String {
    let line = |link: &Link| {
        format!(
            "\nhash     {} after {}",
            safe(&link.short()),
            safe(&link.short_previous())
        )
    };
    pass.chain.as_ref().map(line).unwrap_or_default()
}

fn render_key(key: &KeyOutcome) -> String {
    let mut line = format!(
        "  {:<6} {:<11}  {}",
        word(&key.action),
        word(&key.outcome),
        safe(&key.key)
    );
    if let Some(why) = &key.why {
        write!(line, "  {}", safe(why)).expect("writing to a String does not fail");
    }
    line.push('\n');
    line
}

/// The word that stands for a value in JSON, so that both forms use one vocabulary.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

fn counts(counts: &PassCounts) -> String {
    let PassCounts {
        created,
        updated,
        deleted,
        unchanged,
        held,
        failed,
        unknown,
    } = *counts;
    let all = [
        (created, "created"),
        (updated, "changed"),
        (deleted, "deleted"),
        (held, "held"),
        (failed, "failed"),
        (unknown, "unknown"),
        (unchanged, "unchanged"),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> = some
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(" · "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Revision;
    use crate::model::pass::{KeyAction, KeyResult};

    fn pass() -> PassRecord {
        PassRecord {
            id: Some(12),
            started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            finished_at: "2026-01-02T03:04:07.5Z".parse().unwrap(),
            source: "platform.yaml".to_owned(),
            revision: Revision {
                digest: format!("sha256:{}", "a".repeat(64)),
                commit: None,
            },
            actor: "ada@host".to_owned(),
            plan_digest: "7d41".to_owned(),
            outcome: PassOutcome::Partial,
            counts: PassCounts {
                created: 1,
                failed: 2,
                ..PassCounts::default()
            },
            chain: Some(Link {
                previous: "0".repeat(64),
                hash: "ab".repeat(32),
            }),
            keys: vec![KeyOutcome {
                key: "Service challenge-prism".to_owned(),
                slug: Some("prism".to_owned()),
                action: KeyAction::Create,
                outcome: KeyResult::NotReached,
                why: Some("behind Secret".to_owned()),
            }],
        }
    }

    #[test]
    fn a_pass_reads_as_a_head_and_a_line_for_each_key() {
        assert_eq!(
            render_pass(&pass()),
            "pass     12\nhash     abababababab after 000000000000\nstarted  2026-01-02T03:04:05Z, took 2.5 s\noutcome  partial\n\
             source   platform.yaml at aaaaaaa\nactor    ada@host\nplan     7d41\n\
             counts   1 created · 2 failed\n  create not reached  Service challenge-prism  behind Secret\n"
        );
    }

    #[test]
    fn a_pass_that_was_interrupted_has_no_end_and_says_what_may_have_been_written() {
        let pass = PassRecord {
            id: Some(13),
            finished_at: "2026-01-02T04:00:00Z".parse().unwrap(),
            outcome: PassOutcome::Interrupted,
            counts: PassCounts {
                unknown: 1,
                ..PassCounts::default()
            },
            chain: None,
            keys: vec![KeyOutcome {
                key: "Service challenge-prism".to_owned(),
                slug: Some("prism".to_owned()),
                action: KeyAction::Update,
                outcome: KeyResult::Unknown,
                why: Some("it may have been written".to_owned()),
            }],
            ..pass()
        };
        assert_eq!(
            render_pass(&pass),
            "pass     13\nstarted  2026-01-02T03:04:05Z, found without an end 2026-01-02T04:00:00Z\n\
             outcome  interrupted\nsource   platform.yaml at aaaaaaa\nactor    ada@host\nplan     7d41\n\
             counts   1 unknown\n  update unknown      Service challenge-prism  it may have been written\n"
        );
    }

    #[test]
    fn nothing_in_a_record_steers_the_terminal() {
        let key = KeyOutcome {
            key: "Service \u{1b}[2Ja".to_owned(),
            slug: None,
            action: KeyAction::None,
            outcome: KeyResult::Held,
            why: Some("x\u{202e}y\nforged line".to_owned()),
        };
        let line = render_key(&key);
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        assert_eq!(line.lines().count(), 1);
    }
}

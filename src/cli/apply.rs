//! `platform apply`: the plan, carried out.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use serde_json::json;

use super::lead::{self, Lead};
use super::progress::Board;
use super::saved::SavedPlan;
use super::session::{Session, now};
use super::turn::{self, Signals};
use super::{CliError, Context, Exit, Form, SourceArg, parse_duration};
use crate::model::Slug;
use crate::reconcile::apply::Outcome;
use crate::reconcile::converge::{Converged, Patience, State, Told, converge, unready};
use crate::reconcile::lease::turn::Fence;
use crate::reconcile::plan::digest::{is_as_shown, plan_digest};
use crate::reconcile::plan::{Guard, Held, Plan};
use crate::reconcile::render::{Options, Palette, Totals, flag, mask, reason, render_text};
use crate::reconcile::{Cause, Planned};

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
    /// How long it may take until everything is ready; what is under way then is not waited for.
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
    /// Go on in another place than the registry knows: another namespace, or one where nothing of it is.
    #[arg(long)]
    pub allow_empty_cluster: bool,
    /// Go on inside a window of safety.freeze.
    #[arg(long)]
    pub allow_freeze: bool,
    /// Take a commit that does not descend from the one applied last.
    #[arg(long)]
    pub allow_rewind: bool,
    /// Suspend a controller that follows another source, and would undo this, and go on.
    #[arg(long)]
    pub take_over: bool,
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

Ends with 2 when a guard of safety refuses, 3 when the world moved since the plan was saved or a controller
follows another source, 4 when the registry or the cluster could not be read, 5 when not everything
is ready in time, some keys failed, or with --no-wait some are held.";

pub(super) async fn run(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    let saved = args.plan.as_deref().map(SavedPlan::read).transpose()?;
    let (source, only) = match &saved {
        Some(saved) => (saved.source.as_str(), saved.challenges.as_slice()),
        None => (context.settings.source.as_str(), args.challenge.as_slice()),
    };
    let mut session = Session::open_source(context, source, only).await?;
    let ended = carry_out(args, context, &mut session, saved.as_ref()).await;
    session.close().await;
    ended
}

async fn carry_out(
    args: &ApplyArgs,
    context: &Context,
    session: &mut Session,
    saved: Option<&SavedPlan>,
) -> Result<Exit, CliError> {
    let newest = session.newest_turn().await;
    let planned = session.plan().await?;
    if let Some(saved) = saved {
        saved.check(&planned.plan, &session.header.cluster)?;
    }
    session.note_held(context, &planned).await;
    show(args, context, session, &planned.plan)?;
    refuse_blind(&planned)?;
    refuse_guards(&planned.plan, args)?;
    if !args.no_wait {
        session.watch();
    }
    if !planned.plan.may_write() {
        session.open_for_writing(context).await?;
        let began = tokio::time::Instant::now();
        turn::record_interrupted(context, session).await;
        return go_on(args, context, session, planned, began).await;
    }
    let lead = lead::find(context, session, lead::PATIENCE).await;
    check_lead(&lead, args, context)?;
    confirm(args, context)?;
    session.open_for_writing(context).await?;
    let began = tokio::time::Instant::now();
    let mut signals = Signals::watch()?;
    if lead.is_in_the_way() {
        lead::suspend(context, session).await?;
    }
    let of_plan = ("apply", &planned.plan);
    let turn = tokio::select! {
        turn = turn::take(context, session, of_plan, args.timeout) => turn?,
        error = signals.interrupted() => return Err(error),
    };
    session.edges.fence = Some(turn.fence());
    let is_current = turn.is_first_since(newest);
    let work = async {
        // A controller may have begun since.
        let lead = lead::find(context, session, lead::PATIENCE).await;
        lead.refuse()?;
        let planned = match is_current {
            true => planned,
            false => plan_again(session, &planned).await?,
        };
        go_on(args, context, session, planned, began).await
    };
    let ended = tokio::select! {
        ended = work => ended,
        error = signals.interrupted() => Err(error),
    };
    turn.end().await;
    ended
}

/// Plans again where another wrote since the plan was shown; what is carried out is what was shown, or nothing.
/// What was waited for may have become ready meanwhile.
async fn plan_again(session: &Session, shown: &Planned) -> Result<Planned, CliError> {
    let planned = session.plan().await?;
    if is_as_shown(&planned.plan, &shown.plan) {
        return Ok(planned);
    }
    let message = "another writer changed the cluster or the database since this plan was shown; nothing was done";
    Err(CliError::stale(message).hint("look at the new plan, and run it again"))
}

async fn go_on(
    args: &ApplyArgs,
    context: &Context,
    session: &Session,
    planned: Planned,
    began: tokio::time::Instant,
) -> Result<Exit, CliError> {
    let digest = plan_digest(&planned.plan);
    let converged = run_passes(args, context, session, planned, began).await?;
    let waiting: Vec<String> = unready(&converged.last, &session.request().only)
        .iter()
        .map(|(key, state)| format!("{key} {state}"))
        .collect();
    let ended = report(
        args,
        context,
        &converged,
        &waiting,
        &digest,
        began.elapsed(),
    );
    let fence = session.edges.fence.as_ref();
    match (converged.state, fence.map(Fence::check)) {
        (State::Deposed, Some(Err(lost))) => Err(turn::deposed(&lost)),
        _ => ended,
    }
}

/// Shows the plan. Where the result is for programs, people who are asked, or refused, see it beside that.
fn show(
    args: &ApplyArgs,
    context: &Context,
    session: &Session,
    plan: &Plan,
) -> Result<(), CliError> {
    let options = |palette| Options {
        palette,
        is_full: false,
    };
    let text = |palette| render_text(plan, &session.header, &options(palette));
    match args.output {
        Form::Text => context.terminal.print(&text(context.terminal.palette()))?,
        Form::Json if !args.yes || !plan.guards.is_empty() => {
            context.terminal.note(text(Palette::Plain).trim_end());
        }
        Form::Json => {}
    }
    Ok(())
}

async fn run_passes(
    args: &ApplyArgs,
    context: &Context,
    session: &Session,
    planned: Planned,
    began: tokio::time::Instant,
) -> Result<Converged, CliError> {
    let board = Board::new(&planned.plan, &context.terminal);
    let patience = Patience {
        waits: !args.no_wait,
        deadline: began + args.timeout,
    };
    let told = Told {
        step: &|step, outcome| board.step(step, outcome),
        look: &|planned| board.look(planned),
        clock: &now,
    };
    let actor = format!("{} (apply)", context.settings.actor);
    let cause = Cause {
        source: &session.header.source,
        actor: &actor,
    };
    let platform = &session.declaration.platform;
    let request = session.request();
    let passes = converge(
        platform,
        &request,
        &session.edges,
        planned,
        &cause,
        &patience,
        &told,
    );
    let converged = passes.await;
    board.finish();
    converged.map_err(|why| {
        CliError::dependency(format!("the plan cannot be carried out: {why}"))
            .hint("mend what is named, and apply again")
    })
}

/// Without the registry or without its cluster a pass does not see what it would do.
fn refuse_blind(planned: &Planned) -> Result<(), CliError> {
    let Some(why) = planned.live.blindness() else {
        return Ok(());
    };
    let message = format!("{}; nothing was done", mask::line(&why.to_string()));
    Err(CliError::dependency(message)
        .hint("mend what is named, and apply again; `platform settings` shows what is in effect"))
}

fn refuse_guards(plan: &Plan, args: &ApplyArgs) -> Result<(), CliError> {
    let is_allowed = |guard: &&Guard| match guard {
        Guard::Deletes { .. } => args.allow_deletes,
        Guard::Elsewhere { .. } => args.allow_empty_cluster,
        Guard::EmissionChange { .. } => args.allow_emission_change,
        Guard::Freeze { .. } => args.allow_freeze,
    };
    let refused: Vec<&Guard> = plan
        .guards
        .iter()
        .filter(|guard| !is_allowed(guard))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let flags: Vec<&str> = refused.iter().map(|guard| flag(guard)).collect();
    let error = CliError::input("a guard of `safety` refuses this plan; nothing was done");
    Err(error.hint(format!(
        "look at it, and if it is meant: {}",
        flags.join(" ")
    )))
}

/// Refuses what a controller would undo, unless it is to be suspended.
fn check_lead(lead: &Lead, args: &ApplyArgs, context: &Context) -> Result<(), CliError> {
    match (lead, args.take_over) {
        (Lead::Free, true) => context.terminal.note(
            "no controller follows another source, so none is suspended; `platform suspend --controller` does that",
        ),
        (Lead::Free, false) => {}
        (Lead::Suspended(_), _) => {
            if let Some(note) = lead.note() {
                context.terminal.note(&note);
            }
        }
        (Lead::Other { .. } | Lead::Unknown(_), true) => {}
        (Lead::Other { .. } | Lead::Unknown(_), false) => lead.refuse()?,
    }
    Ok(())
}

fn confirm(args: &ApplyArgs, context: &Context) -> Result<(), CliError> {
    if args.yes {
        return Ok(());
    }
    match context.terminal.ask("Carry this out? [y/N] ") {
        Some(answer) if matches!(answer.as_str(), "y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(CliError::input("not confirmed; nothing was done")),
        None => Err(
            CliError::input("nobody is there to confirm the plan; nothing was done")
                .hint("add --yes where standard input is no terminal"),
        ),
    }
}

/// Tells what came of it, and what is left and why.
fn report(
    args: &ApplyArgs,
    context: &Context,
    converged: &Converged,
    waiting: &[String],
    digest: &str,
    took: Duration,
) -> Result<Exit, CliError> {
    let failed: Vec<(String, String)> = converged.outcomes.values().filter_map(failure).collect();
    let done = converged
        .outcomes
        .values()
        .filter(|outcome| matches!(outcome, Outcome::Done(_)))
        .count();
    let seconds = took.as_secs_f64();
    match args.output {
        Form::Json => context.terminal.print_json(&json!({
            "version": 1,
            "plan": digest,
            "state": state_name(converged.state),
            "done": done,
            "failed": failed.iter().map(|(key, why)| json!({"key": key, "why": why})).collect::<Vec<_>>(),
            "not_ready": waiting,
            "seconds": seconds,
        }))?,
        Form::Text => {
            for (key, why) in &failed {
                context.terminal.warn(&mask::line(&format!("{key}: {why}")));
            }
            let totals = Totals::of(&converged.last.plan);
            let sentence = render_end(converged.state, done, failed.len(), totals.held, seconds);
            context.terminal.print(&sentence)?;
        }
    }
    exit(converged, &failed, waiting)
}

/// Returns the last line of a run: what was done, and where that leaves the platform.
fn render_end(state: State, done: usize, failed: usize, held: usize, seconds: f64) -> String {
    let counts = [(done, "done"), (failed, "failed"), (held, "held")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let end = match state {
        State::Converged => ". Everything is as declared and ready.",
        State::NotWaited => ". Nobody waited; `platform status` tells what is ready.",
        State::TimedOut | State::Stuck | State::Unknown | State::Deposed => {
            ". Not everything is as declared."
        }
    };
    match counts.is_empty() {
        true => format!("Nothing to do{end}\n"),
        false => format!("{} in {seconds:.1} s{end}\n", counts.join(", ")),
    }
}

fn failure(outcome: &Outcome) -> Option<(String, String)> {
    match outcome {
        Outcome::Failed(key, error) => Some((key.to_string(), error.told())),
        Outcome::Done(_) | Outcome::NotReached { .. } | Outcome::OutOfTime(_) => None,
    }
}

fn not_tried(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::OutOfTime(key) => Some(mask::line(&format!("{key} was not tried"))),
        Outcome::Done(_) | Outcome::Failed(..) | Outcome::NotReached { .. } => None,
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Converged => "converged",
        State::NotWaited => "not_waited",
        State::TimedOut => "timed_out",
        State::Stuck => "stuck",
        State::Unknown => "unknown",
        State::Deposed => "deposed",
    }
}

/// Returns what is held and why; what waits comes last, for it often waits for the rest.
fn held(plan: &Plan, is_meant: impl Fn(&Held) -> bool) -> impl Iterator<Item = String> {
    let meant = plan.held.iter().filter(move |held| is_meant(held));
    let left = meant.filter(|held| !matches!(held, Held::Retained { .. } | Held::Suspended { .. }));
    let (waits, rest): (Vec<&Held>, Vec<&Held>) =
        left.partition(|held| matches!(held, Held::Waits { .. }));
    rest.into_iter().chain(waits).filter_map(reason)
}

/// Tells whether something is held that waiting would not have helped.
fn needs_somebody(plan: &Plan) -> bool {
    held(plan, |held| !matches!(held, Held::Waits { .. }))
        .next()
        .is_some()
}

/// Returns the first of several reasons and how many more there are.
fn shorten(reasons: &[String]) -> String {
    match reasons {
        [] => String::new(),
        [only] => format!(": {only}"),
        [first, rest @ ..] => format!(": {first}, and {} more", rest.len()),
    }
}

fn exit(
    converged: &Converged,
    failed: &[(String, String)],
    waiting: &[String],
) -> Result<Exit, CliError> {
    let hint = "`platform status` tells what is left, and `platform history show` what was done";
    match converged.state {
        State::Converged => Ok(Exit::Done),
        State::Deposed => Ok(Exit::Stale),
        State::NotWaited if failed.is_empty() && !needs_somebody(&converged.last.plan) => {
            Ok(Exit::Done)
        }
        State::NotWaited | State::Stuck => {
            let failed = failed
                .iter()
                .map(|(key, why)| mask::line(&format!("{key}: {why}")));
            let left: Vec<String> = failed.chain(held(&converged.last.plan, |_| true)).collect();
            let message = format!(
                "some keys failed or are held{}; the rest was done",
                shorten(&left)
            );
            Err(CliError::not_converged(message).hint(hint))
        }
        State::TimedOut => {
            let hindrance = converged.hindrance.iter();
            let left: Vec<String> = hindrance
                .map(|why| mask::line(&why.to_string()))
                .chain(waiting.iter().cloned())
                .chain(held(&converged.last.plan, |_| true))
                .chain(converged.outcomes.values().filter_map(not_tried))
                .collect();
            let message = format!("not converged in time{}", shorten(&left));
            Err(CliError::not_converged(message).hint(hint))
        }
        State::Unknown => {
            let unknown: Vec<String> = held(&converged.last.plan, Held::is_unknown).collect();
            let why = shorten(&unknown);
            Err(CliError::dependency(format!(
                "not everything could be read{why}; the rest was done"
            ))
            .hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_says_what_was_done_and_whether_that_is_all() {
        assert_eq!(
            render_end(State::Converged, 21, 0, 0, 0.84),
            "21 done in 0.8 s. Everything is as declared and ready.\n"
        );
        assert_eq!(
            render_end(State::Converged, 0, 0, 0, 0.1),
            "Nothing to do. Everything is as declared and ready.\n"
        );
        assert_eq!(
            render_end(State::Stuck, 3, 1, 2, 61.0),
            "3 done, 1 failed, 2 held in 61.0 s. Not everything is as declared.\n"
        );
    }
}

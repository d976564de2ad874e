//! `platform purge`: deletes what the removal of a challenge kept.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::session::{Session, now};
use super::turn::{self, Signals};
use super::{CliError, Context, Exit, SourceArg};
use crate::model::{Key, Kind, ObjectKey, Slug};
use crate::reconcile::apply::Outcome;
use crate::reconcile::plan::{Action, Held, Step};
use crate::reconcile::render::reason;
use crate::reconcile::{Cause, Planned, Run, run_plan};

/// How long it waits for another writer.
const WAIT: Duration = Duration::from_secs(60);

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

Never touches what the declaration still wants: of a declared challenge only what it no longer uses goes, such
as the database of one that was given `database: sqlite`. Claims and the password are gone for good.";

pub(super) async fn run(args: &PurgeArgs, context: &Context) -> Result<Exit, CliError> {
    let mut session = Session::open(context, &[]).await?;
    let ended = carry_out(args, context, &mut session).await;
    session.close().await;
    ended
}

async fn carry_out(
    args: &PurgeArgs,
    context: &Context,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let slug = &args.slug;
    let newest = session.newest_turn().await;
    let mut planned = session.plan().await?;
    planned.plan.steps = purge_steps(&planned, slug)?;
    planned.plan.held.clear();
    if planned.plan.steps.is_empty() {
        // What is declared, has rows or has left something was refused above, or has steps.
        return Err(session.unknown(slug, &planned));
    }
    context.terminal.print(&listing(&planned, slug))?;
    confirm(args, context)?;
    session.open_for_writing(context).await?;
    let mut signals = Signals::watch()?;
    let of_plan = ("purge", &planned.plan);
    let turn = tokio::select! {
        turn = turn::take(context, session, of_plan, WAIT) => turn?,
        error = signals.interrupted() => return Err(error),
    };
    session.edges.fence = Some(turn.fence());
    let ended = match turn.is_first_since(newest) {
        true => tokio::select! {
            ended = delete(args, context, session, &planned) => ended,
            error = signals.interrupted() => Err(error),
        },
        false => Err(CliError::stale(
            "another writer was at work since this was listed; nothing was deleted",
        )
        .hint("run it again")),
    };
    turn.end().await;
    ended
}

async fn delete(
    args: &PurgeArgs,
    context: &Context,
    session: &Session,
    planned: &Planned,
) -> Result<Exit, CliError> {
    let slug = &args.slug;
    let actor = format!("{} (purge)", context.settings.actor);
    let cause = Cause {
        source: &session.header.source,
        actor: &actor,
    };
    let run = Run {
        cause: &cause,
        clock: &now,
        deadline: None,
        progress: &|_, _| {},
        permits: Arc::default(),
    };
    let outcomes = run_plan(planned, &session.edges, &run).await;
    let outcomes = outcomes.map_err(|why| {
        CliError::dependency(why.to_string()).hint("mend what is named, and purge again")
    })?;
    for outcome in &outcomes {
        match outcome {
            Outcome::Done(key) => context.terminal.print(&format!("deleted {key}\n"))?,
            Outcome::Failed(key, error) => {
                context.terminal.warn(&format!("{key}: {}", error.told()));
            }
            Outcome::NotReached { key, behind } => {
                context
                    .terminal
                    .warn(&format!("{key} is left because {behind} failed"));
            }
            Outcome::OutOfTime(key) => context.terminal.warn(&format!("{key} is left")),
        }
    }
    match outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Done(_)))
    {
        true => Ok(Exit::Done),
        false => Err(
            CliError::not_converged(format!("not everything of {slug} was deleted"))
                .hint("mend what is named above and purge again"),
        ),
    }
}

/// Returns one delete per kept object, with the identity seen. What a declared challenge wants is never kept
/// but wanted, its claims too.
fn purge_steps(planned: &Planned, slug: &Slug) -> Result<Vec<Step>, CliError> {
    let is_its = |held: &&Held| held.slug() == Some(slug);
    if let Some(unknown) = planned.plan.held.iter().find(|held| held.is_unknown()) {
        let why = reason(unknown).unwrap_or_default();
        return Err(
            CliError::dependency(format!("what is kept of {slug} is not known: {why}"))
                .hint("see that the cluster and the database can be read, and purge again"),
        );
    }
    let is_kept = |held: &&Held| matches!(held, Held::Retained { .. });
    let is_its_step = |step: &Step| step.slug.as_ref() == Some(slug);
    let is_undone = planned.plan.steps.iter().any(is_its_step)
        || planned
            .plan
            .held
            .iter()
            .filter(is_its)
            .any(|held| !is_kept(&held));
    if is_undone {
        let message = match planned.desired.declared.contains(slug) {
            true => format!("what is declared of {slug} is not applied yet"),
            false => format!("{slug} is not removed yet"),
        };
        return Err(CliError::input(message)
            .hint("run `platform apply` first; purge deletes only what that keeps"));
    }
    let kept: Vec<&ObjectKey> = planned
        .plan
        .held
        .iter()
        .filter(|held| is_its(held) && is_kept(held))
        .filter_map(Held::key)
        .filter_map(Key::object)
        .collect();
    if kept.is_empty() && planned.desired.declared.contains(slug) {
        let message = format!("{slug} is declared and uses its data; nothing is deleted");
        return Err(CliError::input(message)
            .hint("to give its data up, take it out of platform.yaml and apply that first"));
    }
    let step = |key: &ObjectKey| {
        let observed = planned.live.object(key)?;
        Some(Step {
            key: Key::Object(key.clone()),
            slug: Some(slug.clone()),
            action: Action::Delete {
                seen: Some((observed.uid.clone(), observed.version.clone())),
            },
            // Data first: while the password is there, a purge that was cut short can be looked at.
            wave: u8::from(key.kind == Kind::Secret),
            after: Vec::new(),
        })
    };
    Ok(kept.into_iter().filter_map(step).collect())
}

fn listing(planned: &Planned, slug: &Slug) -> String {
    let mut text = format!("kept of {slug}, to be deleted for good:\n");
    for step in &planned.plan.steps {
        text += &format!("  {}\n", step.key);
    }
    text
}

fn confirm(args: &PurgeArgs, context: &Context) -> Result<(), CliError> {
    let typed = match &args.confirm {
        Some(confirmed) => Some(confirmed.to_string()),
        None => context
            .terminal
            .ask(&format!("Type {} to delete this: ", args.slug)),
    };
    match typed {
        Some(typed) if typed == args.slug.as_str() => Ok(()),
        Some(_) => Err(CliError::input(
            "another name was given; nothing was deleted",
        )),
        None => Err(
            CliError::input("nobody is there to type the slug; nothing was deleted")
                .hint(format!("add --confirm {}", args.slug)),
        ),
    }
}

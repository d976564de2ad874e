//! `platform suspend`, `resume` and `reconcile`: acts that are no declarations. They go through the registry
//! database, where passes see them and a running controller takes them up.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;

use super::nearest::{nearest, unknown};
use super::session::now;
use super::{CliError, Context, Exit, SourceArg, declaration};
use crate::edge::database::{Database, open_and_migrate};
use crate::model::act::{Act, ActKind};
use crate::model::{Scope, Slug};
use crate::reconcile::render::mask;

/// What is told when the controller is suspended.
pub(super) const SUSPENDED: &str =
    "the controller is suspended; `platform resume --controller` lets it go on";
/// The longest reason.
const MAX_WHY: usize = 500;

/// Arguments of `suspend`.
#[derive(Args)]
pub struct SuspendArgs {
    /// The challenge that is left as it is.
    #[arg(value_parser = Slug::parse, required_unless_present = "controller", conflicts_with = "controller")]
    slug: Option<Slug>,
    /// Suspend the controller: it changes nothing, of no challenge, and `apply` still does.
    #[arg(long)]
    controller: bool,
    /// Where platform.yaml is; it is read when the registry does not know the challenge.
    #[command(flatten)]
    pub source: SourceArg,
    /// Why; shown wherever the challenge is, and kept.
    #[arg(long, value_name = "TEXT", value_parser = parse_why)]
    why: String,
}

/// Arguments of `resume`.
#[derive(Args)]
pub struct ResumeArgs {
    /// The challenge to go on with.
    #[arg(value_parser = Slug::parse, required_unless_present = "controller", conflicts_with = "controller")]
    slug: Option<Slug>,
    /// Have the controller go on.
    #[arg(long)]
    controller: bool,
}

/// Arguments of `reconcile`.
#[derive(Args)]
pub struct ReconcileArgs {
    /// The challenge to look at; all without one.
    #[arg(value_parser = Slug::parse)]
    slug: Option<Slug>,
    /// Where platform.yaml is; it is read when the registry does not know the challenge.
    #[command(flatten)]
    pub source: SourceArg,
    /// Ask the image registries anew what the tags of the declaration stand for.
    #[arg(long)]
    resolve: bool,
}

/// Examples shown by `--help` of `suspend`.
pub const SUSPEND: &str = "\
Examples:
  platform suspend prism --why 'debugging the pod, ada'
  platform resume prism
  platform suspend --controller --why 'by hand until monday, ada'

Until it is resumed nothing of the challenge is created, changed or deleted, by `apply` or by a controller; what is
under way ends. `diff`, `status` and `apply` show it. A suspended controller reads, tells and waits; `apply` goes on.";

/// Examples shown by `--help` of `reconcile`.
pub const RECONCILE: &str = "\
Examples:
  platform reconcile                             a running controller looks at everything now
  platform reconcile prism                       at one challenge
  platform reconcile --resolve                   and asks what mutable tags stand for today
  platform history acts                          what came of it";

pub(super) async fn suspend(args: SuspendArgs, context: &Context) -> Result<Exit, CliError> {
    let SuspendArgs {
        slug,
        controller: _,
        source: _,
        why,
    } = args;
    let database = open(context).await?;
    let done = async {
        if let Some(slug) = &slug {
            check_known(slug, database.as_ref(), context).await?;
        }
        let act = act(context, ActKind::Suspend, slug.as_ref(), Some(why));
        database.act(&act).await?;
        let text = match slug {
            Some(slug) => {
                format!("{slug} is suspended; `platform resume {slug}` goes on with it\n")
            }
            None => format!("{SUSPENDED}\n"),
        };
        context.terminal.print(&text)
    };
    close(done.await, database).await
}

pub(super) async fn resume(args: ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    let database = open(context).await?;
    let done = match &args.slug {
        Some(slug) => resume_challenge(slug, database.as_ref(), context).await,
        None => resume_controller(database.as_ref(), context).await,
    };
    close(done, database).await
}

async fn resume_controller(database: &dyn Database, context: &Context) -> Result<(), CliError> {
    let Some(suspension) = database.controller_suspension().await? else {
        return Err(CliError::input("the controller is not suspended")
            .hint("there is nothing to resume; `platform status` shows a suspension"));
    };
    let act = act(context, ActKind::Resume, None, None);
    database.act(&act).await?;
    let told = format!("the controller is resumed; it was suspended {suspension}");
    context.terminal.print(&format!("{}\n", mask::line(&told)))
}

async fn resume_challenge(
    slug: &Slug,
    database: &dyn Database,
    context: &Context,
) -> Result<(), CliError> {
    let suspended = database.suspensions(&Scope::All).await?;
    let rollouts = database.rollouts(&Scope::All).await?;
    let failed = rollouts.get(slug).and_then(|known| known.failed.as_ref());
    let suspension = suspended.get(slug);
    if suspension.is_none() && failed.is_none() {
        let given_up = rollouts.iter().filter(|(_, known)| known.failed.is_some());
        let names = suspended.keys().chain(given_up.map(|(slug, _)| slug));
        let names = names.map(Slug::as_str).collect();
        return Err(CliError::input(format!(
            "{slug} is not suspended, and none of its images was given up"
        ))
        .hint(nearest(slug.as_str(), &names)));
    }
    let act = act(context, ActKind::Resume, Some(slug), None);
    database.act(&act).await?;
    let suspended = suspension.map(|suspension| format!("it was suspended {suspension}"));
    let tried = failed.map(|failed| format!("image {} is tried again", failed.image));
    let told: Vec<String> = suspended.into_iter().chain(tried).collect();
    let told = mask::line(&told.join("; "));
    let text = format!("{slug} is resumed; {told}\n");
    context.terminal.print(&text)
}

pub(super) async fn reconcile(args: ReconcileArgs, context: &Context) -> Result<Exit, CliError> {
    let database = open(context).await?;
    let done = async {
        if let Some(slug) = &args.slug {
            check_known(slug, database.as_ref(), context).await?;
        }
        let kind = match args.resolve {
            true => ActKind::Resolve,
            false => ActKind::Reconcile,
        };
        let act = act(context, kind, args.slug.as_ref(), None);
        let number = database.act(&act).await?;
        let text = format!("asked for as act #{number}; a running controller takes it up\n");
        context.terminal.print(&text)
    };
    close(done.await, database).await
}

async fn open(context: &Context) -> Result<Arc<dyn Database>, CliError> {
    let url = context.settings.database_url(false)?;
    Ok(open_and_migrate(url).await?)
}

async fn close(done: Result<(), CliError>, database: Arc<dyn Database>) -> Result<Exit, CliError> {
    database.close().await;
    done.map(|()| Exit::Done)
}

pub(super) fn act(
    context: &Context,
    kind: ActKind,
    slug: Option<&Slug>,
    why: Option<String>,
) -> Act {
    Act {
        kind,
        slug: slug.cloned(),
        why,
        actor: context.settings.actor.clone(),
        at: now(),
    }
}

/// Refuses a challenge that neither the registry nor the declaration knows. The declaration is read only when
/// the registry does not know it: an act must be possible while git is away.
async fn check_known(
    slug: &Slug,
    database: &dyn Database,
    context: &Context,
) -> Result<(), CliError> {
    let rows = database.rows(&Scope::All).await?;
    let mut known: BTreeSet<&str> = rows
        .keys()
        .filter_map(|key| key.slug())
        .map(Slug::as_str)
        .collect();
    if known.contains(slug.as_str()) {
        return Ok(());
    }
    let settings = &context.settings;
    let declared = declaration::read_from(&settings.source, settings, None).await?;
    known.extend(declared.platform.challenges.keys().map(Slug::as_str));
    match known.contains(slug.as_str()) {
        true => Ok(()),
        false => Err(unknown(slug, &known)),
    }
}

fn parse_why(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why, for those who find it so".to_owned()),
        why if why.chars().count() > MAX_WHY => Err(format!(
            "at most {MAX_WHY} characters; keep the rest elsewhere"
        )),
        why => Ok(why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_given_and_bounded() {
        assert_eq!(parse_why(" a "), Ok("a".to_owned()));
        assert!(parse_why(" \n").is_err());
        assert!(parse_why(&"x".repeat(501)).is_err());
    }
}

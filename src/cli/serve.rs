//! `platform serve ROLE`: one role of what `platform run` is in one process.

use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::public::{Door, Hears, Public, await_policy};
use super::run::{self, RunArgs};
use super::session::{connect, now};
use super::standing::{Vitals, follow_while, stop_on_signals};
use super::{CliError, Context, Exit, SourceArg};
use crate::model::address::masked;
use crate::reconcile::controller::board::Board;
use crate::reconcile::controller::routes::source_metrics;
use crate::weights::routes::readiness;

pub const EXAMPLES: &str = "\
Examples:
  platform serve controller https://git.example/subnet.git#main
  platform serve weights https://git.example/subnet.git#main     as many as needed; one of them computes
  platform serve admin --no-weights                              serves what others compute";

/// Arguments of `platform serve`.
#[derive(Args)]
pub struct ServeArgs {
    #[command(subcommand)]
    pub role: Role,
}

/// One role of the program.
#[derive(Subcommand)]
pub enum Role {
    /// Follow the source and keep the cluster and the registry as it says.
    Controller(RunArgs),
    /// Serve weights and the registry; of all processes that do, one makes the weights.
    Weights(RunArgs),
    /// Serve the operator's listener: weights, the registry and the webhook of a git host. It makes the weights when it
    /// is its turn.
    Admin(AdminArgs),
}

/// Arguments of `platform serve admin`.
#[derive(Args)]
pub struct AdminArgs {
    /// Leave the weights to others, and do without a cluster.
    #[arg(long)]
    no_weights: bool,
    #[command(flatten)]
    source: SourceArg,
}

/// Whether a process stands for making weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    InTurn,
    ByOthers,
}

impl ServeArgs {
    /// Returns the source that the role follows.
    pub(super) fn source(&self) -> &SourceArg {
        match &self.role {
            Role::Controller(args) | Role::Weights(args) => &args.source,
            Role::Admin(args) => &args.source,
        }
    }
}

/// Runs a role until told to stop by SIGTERM or Ctrl-C.
///
/// # Errors
/// A setting cannot be used, or the address to listen on is taken. What goes wrong later is waited out.
pub(super) async fn run(args: &ServeArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.role {
        Role::Controller(_) => run::run(context, false).await,
        Role::Weights(_) => show(context, Weights::InTurn, Hears::Nothing).await,
        Role::Admin(args) => match args.no_weights {
            true => show(context, Weights::ByOthers, Hears::Pushes).await,
            false => show(context, Weights::InTurn, Hears::Pushes).await,
        },
    }
}

/// Serves weights and the registry.
async fn show(context: &Context, weights: Weights, hears: Hears) -> Result<Exit, CliError> {
    let stop = CancellationToken::new();
    let vitals = Vitals::open(context).await?;
    let door = Door::open(context, hears).await?;
    let cluster = match weights {
        Weights::InTurn => Some(Arc::new(connect(context).await?)),
        Weights::ByOthers => None,
    };
    let source = masked(&context.settings.source);
    context.terminal.note(&format!("following {source}"));
    let views = door.views();
    let (hint, board) = (Arc::new(Notify::new()), Arc::<Board>::default());
    let mut parts = door.metrics();
    parts.push(source_metrics(board.clone(), now));
    let telling = vitals.serve((readiness(views.clone()), parts), stop.clone());
    let told = (hint, board);
    let pushes = door.pushes();
    let showing = follow_while(context, told, &stop, async |database, mut followed| {
        if let Some(pushes) = pushes {
            pushes.put_database(database.clone());
        }
        let public = Public::new(context, (&views, database), followed.clone())?;
        let declared = async {
            let is_declared = await_policy(context, &mut followed, Some(&views), &stop).await?;
            if let (true, Some(cluster)) = (is_declared, cluster) {
                public.compute_in_turn(context, cluster, &stop).await;
            }
            Ok(())
        };
        let declared = async { declared.await.inspect_err(|_: &CliError| stop.cancel()) };
        let ((), shown) = tokio::join!(public.serve(stop.clone()), declared);
        shown
    });
    let serving = door.serve(stop.clone());
    let (signalled, (), (), shown) =
        tokio::join!(stop_on_signals(&stop), telling, serving, showing);
    shown.and(signalled)?;
    context
        .terminal
        .note("stopped; what was under way has ended");
    Ok(Exit::Done)
}

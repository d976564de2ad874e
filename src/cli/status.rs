//! `platform status`: one screen.

use clap::Args;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::history::word;
use super::session::Session;
use super::{CliError, Context, Exit, Form, SourceArg};
use crate::model::pass::PassSummary;
use crate::model::{Scope, Slug};
use crate::reconcile::render::{mask, reason, shared_reasons};
use crate::reconcile::status::{self, ChallengeStatus, Condition};
use crate::reconcile::{Planned, Registry};
use crate::spec::platform::Status as Declared;

/// Arguments of `status`.
#[derive(Args)]
pub struct StatusArgs {
    /// Where platform.yaml is.
    #[command(flatten)]
    pub source: SourceArg,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Examples shown by `--help`.
pub const EXAMPLES: &str = "\
Examples:
  platform status                                what is wanted, there and ready, and why not
  platform status -o json | jq .challenges";

pub(super) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let session = Session::open(context, &[]).await?;
    let planned = session.plan().await;
    let last_pass = match &session.edges.registry {
        Registry::Ready(database) => database.passes(1, None).await.unwrap_or_default().pop(),
        Registry::Absent | Registry::Unknown(_) => None,
    };
    session.close().await;
    let planned = planned?;
    let challenges = status::challenges(&session.declaration.platform, &planned, &Scope::All);
    let screen = Screen {
        session: &session,
        planned: &planned,
        challenges,
        last_pass,
    };
    match args.output {
        Form::Text => context.terminal.print(&screen.text())?,
        Form::Json => context.terminal.print_json(&screen.document())?,
    }
    Ok(match planned.plan.has_unknown() {
        true => Exit::Dependency,
        false => Exit::Done,
    })
}

/// Everything one screen shows.
struct Screen<'a> {
    session: &'a Session,
    planned: &'a Planned,
    challenges: BTreeMap<Slug, ChallengeStatus>,
    last_pass: Option<PassSummary>,
}

impl Screen<'_> {
    fn is_converged(&self) -> bool {
        let is_done = |status: &ChallengeStatus| {
            matches!(
                status.condition,
                Condition::Ready | Condition::Stopped | Condition::Suspended | Condition::Removed
            )
        };
        self.planned.plan.is_settled() && self.challenges.values().all(is_done)
    }

    fn document(&self) -> Value {
        let header = &self.session.header;
        json!({
            "version": 1,
            "source": header.source,
            "revision": self.planned.plan.revision,
            "cluster": header.cluster,
            "database": header.database,
            "converged": self.is_converged(),
            "last_pass": self.last_pass,
            "challenges": self.challenges,
            "unknown": self.unknown(),
        })
    }

    fn unknown(&self) -> Vec<String> {
        let unlisted = self
            .planned
            .plan
            .held
            .iter()
            .filter(|held| held.is_unknown() && held.slug().is_none());
        unlisted.filter_map(reason).collect()
    }

    fn text(&self) -> String {
        let header = &self.session.header;
        let mut text = format!(
            "source  {} at {}     cluster {}     database {}\n",
            header.source, self.planned.plan.revision, header.cluster, header.database
        );
        text += &match &self.last_pass {
            Some(pass) => format!(
                "last    pass #{} at {} by {}: {}\n",
                pass.id,
                pass.finished_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
                mask::line(&pass.actor),
                word(&pass.outcome),
            ),
            None => "last    no pass yet\n".to_owned(),
        };
        text += &self.table();
        for line in shared_reasons(&self.planned.plan) {
            text += &format!("\n{line}\n");
        }
        text += match (self.is_converged(), self.planned.plan.is_empty()) {
            (true, _) => "\nConverged.\n",
            (false, true) => {
                "\nNot converged: everything is applied, and not everything is ready.\n"
            }
            (false, false) => "\nNot converged; `platform diff` shows what is to be done.\n",
        };
        text
    }

    fn table(&self) -> String {
        if self.challenges.is_empty() {
            return "\nNo challenges.\n".to_owned();
        }
        let width = self
            .challenges
            .keys()
            .map(|slug| slug.as_str().len())
            .max()
            .unwrap_or(0)
            .max(9);
        let mut text = format!(
            "\n{:width$}  {:9}  {:>8}  {:11}  {:>7}\n",
            "CHALLENGE", "DECLARED", "SHARE", "CONDITION", "THERE"
        );
        for (slug, status) in &self.challenges {
            let declared = status.declared.map_or("-", declared_name);
            let there = format!("{}/{}", status.there, status.wanted);
            let condition = status.condition.as_str();
            text += &format!(
                "{:width$}  {declared:9}  {:>8}  {condition:11}  {there:>7}\n",
                slug.as_str(),
                status.share
            );
            for why in status.why.iter().take(MAX_REASONS) {
                text += &format!("{:width$}    {}\n", "", mask::line(why));
            }
            if status.why.len() > MAX_REASONS {
                text += &format!(
                    "{:width$}    and {} more\n",
                    "",
                    status.why.len() - MAX_REASONS
                );
            }
        }
        text
    }
}

/// Reasons shown of one challenge.
const MAX_REASONS: usize = 5;

fn declared_name(declared: Declared) -> &'static str {
    match declared {
        Declared::Draft => "draft",
        Declared::Active => "active",
        Declared::Inactive => "inactive",
        Declared::Disabled => "disabled",
    }
}

//! `platform status`: one screen.

use clap::Args;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::word;
use super::session::{Session, now};
use super::since::{Conditions, ago};
use super::{CliError, Context, Exit, Form, SourceArg};
use crate::edge::database::Database;
use crate::model::act::Suspension;
use crate::model::condition::{AllConditions, ConditionType, Truth};
use crate::model::health::{AllHealth, Known};
use crate::model::pass::PassSummary;
use crate::model::{Scope, Slug};
use crate::reconcile::render::{mask, reason, shared_reasons};
use crate::reconcile::status::conditions::telling;
use crate::reconcile::status::document::{self, Document, ShownRevision};
use crate::reconcile::status::health::{NOT_ASKED, NOT_READ, OUTDATED, shown};
use crate::reconcile::status::targets::{ShownTarget, targets};
use crate::reconcile::status::weights::{self, Newest};
use crate::reconcile::status::{self, ChallengeStatus};
use crate::reconcile::{Planned, Registry};
use crate::spec::platform::Status as Declared;
use crate::weights::document::Document as Weights;

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
    let netuid = session.declaration.platform.network.netuid;
    let (suspended, last_pass, kept, health, newest) = match &session.edges.registry {
        Registry::Ready(database) => (
            database.controller_suspension().await.ok().flatten(),
            database.passes(1, None).await.unwrap_or_default().pop(),
            // Without them it is not known since when; what is so is found out all the same.
            database.conditions().await.unwrap_or_default(),
            database.health().await.ok(),
            find_newest(database.as_ref(), netuid).await,
        ),
        Registry::Absent => (
            None,
            None,
            AllConditions::new(),
            Some(AllHealth::new()),
            Newest::Absent,
        ),
        Registry::Unknown(_) => (None, None, AllConditions::new(), None, Newest::Unknown),
    };
    session.close().await;
    let planned = planned?;
    let now = now();
    let challenges = status::challenges(&session.declaration.platform, &planned, &Scope::All);
    let judged = |(slug, status): (Slug, ChallengeStatus)| {
        let found = health.as_ref().and_then(|health| health.get(&slug));
        let status = status.judged(found, now);
        (slug, status)
    };
    let challenges: BTreeMap<Slug, ChallengeStatus> = challenges.into_iter().map(judged).collect();
    let deadline = context.settings.controller.rollout_deadline;
    let screen = Screen {
        session: &session,
        planned: &planned,
        conditions: Conditions::find(&challenges, kept, &planned, deadline, now),
        challenges,
        health,
        suspended,
        last_pass,
        targets: targets(&planned.desired, &planned.live),
        netuid,
        newest,
        now,
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

/// Returns the newest vector of a subnet, as far as it can be read.
async fn find_newest(database: &dyn Database, netuid: u16) -> Newest {
    let snapshot = match database.newest_weights(netuid, None, now()).await {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Newest::Absent,
        Err(_) => return Newest::Unknown,
    };
    match serde_json::from_str::<Weights>(&snapshot.document) {
        Ok(weights) => Newest::Made {
            summary: snapshot.summary,
            is_burn: weights.hotkey_weights.is_empty(),
        },
        Err(_) => Newest::Unknown,
    }
}

/// Everything one screen shows.
struct Screen<'a> {
    session: &'a Session,
    planned: &'a Planned,
    challenges: BTreeMap<Slug, ChallengeStatus>,
    conditions: Conditions,
    /// How challenges were found when they were asked; nothing where that could not be read.
    health: Option<AllHealth>,
    /// Why the controller writes nothing, if it is known to be suspended.
    suspended: Option<Suspension>,
    last_pass: Option<PassSummary>,
    targets: BTreeMap<String, ShownTarget>,
    /// The declared subnet, and its newest vector.
    netuid: u16,
    newest: Newest,
    now: Timestamp,
}

impl Screen<'_> {
    fn is_converged(&self) -> bool {
        let is_done = |status: &ChallengeStatus| status.condition.is_done();
        self.planned.plan.is_settled() && self.challenges.values().all(is_done)
    }

    fn document(&self) -> Document {
        let header = &self.session.header;
        let last_pass = self.last_pass.as_ref();
        let health = self.challenges.keys().filter_map(|slug| {
            let known = self.known_of(slug)?;
            Some((slug.clone(), shown(known, self.health.is_some())))
        });
        let health = health.collect();
        Document {
            version: 1,
            source: header.source.clone(),
            revision: ShownRevision::from(&self.planned.plan.revision),
            cluster: header.cluster.clone(),
            database: header.database.clone(),
            converged: self.is_converged(),
            controller_suspended: self
                .suspended
                .as_ref()
                .map(|suspension| mask::line(&suspension.to_string())),
            last_pass: last_pass.and_then(|pass| serde_json::to_value(pass).ok()),
            challenges: document::challenges(
                &self.challenges,
                &self.conditions.found,
                &self.conditions.kept,
                &health,
            ),
            targets: self.targets.clone(),
            weights: weights::shown(self.netuid, &self.newest, self.now),
            unknown: self.unknown(),
        }
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
        text += &self.weights_line();
        if let Some(suspension) = &self.suspended {
            text += &format!(
                "lead    the controller is suspended {}; `platform resume --controller`\n",
                mask::line(&suspension.to_string())
            );
        }
        text += &self.table();
        text += &self.targets_table();
        text += &self.unknown_health();
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

    fn weights_line(&self) -> String {
        let netuid = self.netuid;
        let (summary, is_burn) = match &self.newest {
            Newest::Made { summary, is_burn } => (summary, *is_burn),
            Newest::Absent => return format!("weights none of subnet {netuid} yet\n"),
            Newest::Unknown => return format!("weights of subnet {netuid} unknown: {NOT_READ}\n"),
        };
        let state = match self.now < summary.expires_at {
            true => "in force until",
            false => "expired at",
        };
        let burn = match is_burn {
            true => "; all to the burn UID",
            false => "",
        };
        let told = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!(
            "weights of subnet {netuid} at {}, {} ago, {state} {}{burn}\n",
            told(summary.computed_at),
            ago(summary.computed_at, self.now),
            told(summary.expires_at),
        )
    }

    fn targets_table(&self) -> String {
        if self.targets.is_empty() {
            return String::new();
        }
        let width = self.targets.keys().map(String::len).max().unwrap_or(0);
        let width = width.max(6);
        let mut text = format!(
            "\n{:width$}  {:7}  {:6}  {:>4}\n",
            "TARGET", "ROW", "MODE", "GPUS"
        );
        for (id, target) in &self.targets {
            let takes = match (target.enabled, target.draining) {
                (false, _) => "  disabled",
                (true, true) => "  draining",
                (true, false) => "",
            };
            text += &format!(
                "{id:width$}  {:7}  {:6}  {:>4}{takes}\n",
                target.row, target.mode, target.gpu_count
            );
        }
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
            "\n{:width$}  {:9}  {:>8}  {:11}  {:>7}  {}\n",
            "CHALLENGE", "DECLARED", "SHARE", "CONDITION", "THERE", "SINCE"
        );
        for (slug, status) in &self.challenges {
            let declared = status.declared.map_or("-", declared_name);
            let there = format!("{}/{}", status.there, status.wanted);
            let condition = status.condition.as_str();
            let (of, truth) = telling(status.condition);
            let since = self.conditions.since(slug, of, truth);
            let line = format!(
                "{:width$}  {declared:9}  {:>8}  {condition:11}  {there:>7}  {}",
                slug.as_str(),
                status.share,
                since.unwrap_or_default()
            );
            text += line.trim_end();
            text.push('\n');
            for why in status.why.iter().take(MAX_REASONS) {
                text += &format!("{:width$}    {}\n", "", mask::line(&why.text));
            }
            if status.why.len() > MAX_REASONS {
                text += &format!(
                    "{:width$}    and {} more\n",
                    "",
                    status.why.len() - MAX_REASONS
                );
            }
            let troubles = self.troubles(slug);
            for line in troubles.into_iter().chain(self.unfitness(slug)) {
                text += &format!("{:width$}    {line}\n", "");
            }
        }
        text
    }

    /// Returns what is known of a challenge's health; nothing of one that nobody asks.
    fn known_of(&self, slug: &Slug) -> Option<Known<'_>> {
        let found = self.health.as_ref().and_then(|health| health.get(slug));
        self.challenges.get(slug)?.health(found, self.now)
    }

    /// Returns since when a challenge is not fit, and when that was found last.
    fn unfitness(&self, slug: &Slug) -> Option<String> {
        let Known::Found(health) = self.known_of(slug)? else {
            return None;
        };
        let why = &self.challenges.get(slug)?.why;
        let word = health.fitness.as_str().replace('_', " ");
        let (since, asked) = (ago(health.since, self.now), ago(health.asked_at, self.now));
        why.iter()
            .any(|reason| reason.word.is_of_health())
            .then(|| format!("{word} since {since}, asked {asked} ago"))
    }

    /// Returns one line for each reason why it is not known of some how they are.
    fn unknown_health(&self) -> String {
        let mut unknown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for slug in self.challenges.keys() {
            let why = match self.known_of(slug) {
                Some(Known::NotAsked) if self.health.is_some() => NOT_ASKED,
                Some(Known::NotAsked) => NOT_READ,
                Some(Known::Outdated(_)) => OUTDATED,
                Some(Known::Found(_)) | None => continue,
            };
            unknown.entry(why).or_default().push(slug.as_str());
        }
        let line = |(why, slugs): (&str, Vec<&str>)| {
            let of = match slugs.as_slice() {
                [one] => (*one).to_owned(),
                many => format!("{} challenges", many.len()),
            };
            let who = match why {
                OUTDATED => WHO_ASKS,
                _ => "",
            };
            format!("\nhealth of {of} unknown: {why}{who}\n")
        };
        unknown.into_iter().map(line).collect()
    }

    /// Returns what the one word for a challenge does not say: that it drifts, or that nothing moves.
    fn troubles(&self, slug: &Slug) -> Vec<String> {
        let told = [ConditionType::Drifted, ConditionType::Stalled];
        let trouble = |of: ConditionType| {
            let conditions = self.conditions.found.get(slug)?;
            let condition = conditions.of.get(&of).filter(|_| conditions.holds(of))?;
            let since = self.conditions.since(slug, of, Truth::True);
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            let name = of.as_str().to_lowercase();
            Some(format!("{name}{since}: {}", mask::line(&condition.message)))
        };
        told.into_iter().filter_map(trouble).collect()
    }
}

/// Who asks how challenges are, and how to see whose turn it is.
const WHO_ASKS: &str =
    "; whoever computes weights asks (`kubectl get lease platform-weights` says whose turn it is)";
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

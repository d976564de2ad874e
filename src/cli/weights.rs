//! `platform weights`: the computation offline, and the newest vector with what it came of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::database::open_to_read;
use super::{CliError, Context, Exit, Form, session};
use crate::edge::database::{Database, DatabaseError};
use crate::edge::files::{Links, read_regular};
use crate::model::Slug;
use crate::model::snapshot::Snapshot;
use crate::weights::aggregate::{Account, Kept, Part, Untold, aggregate, explain, explain_kept};
use crate::weights::document::Document;
use crate::weights::inputs::{Inputs, parse_inputs};
use crate::weights::{Contribution, Explanation, Vector};

pub const EXAMPLES: &str = "\
Examples:
  platform weights compute --inputs inputs.json
  platform weights compute --inputs inputs.json --explain
  platform weights show --explain                what each challenge and hotkey got, and why
  platform weights show --netuid 42 -o json      another subnet than the one that is served
  platform weights show --at 2030-01-01T12:00:00.104512Z --explain";

/// The largest file of inputs.
const MAX_INPUTS: u64 = 256 << 20;

/// The subnet of a declaration that names none, as long as the database knows no other.
const DEFAULT_NETUID: u16 = 100;

/// Arguments of `weights`.
#[derive(Args)]
pub struct WeightsArgs {
    #[command(subcommand)]
    act: Act,
    /// Say as well what became of each challenge's share and of each hotkey's scores.
    #[arg(long, global = true)]
    explain: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Form,
}

#[derive(Subcommand)]
enum Act {
    /// Compute the vector of a file. No chain, no challenge and no database.
    ///
    /// The file is {"hotkeys": [...], "challenges": [{"slug", "emission_percent", "ok", "weights": {...}}]}: the
    /// position of a hotkey is its UID, and challenges are as in a weights document. `burn_uid` (0) and
    /// `unassigned_share` (spread) may stand beside them.
    Compute {
        /// The file.
        #[arg(long, value_name = "FILE")]
        inputs: PathBuf,
    },
    /// Show the newest vector in the database, or an older one.
    Show {
        /// The subnet. Default: the one that was served last from this database, or else 100.
        #[arg(long)]
        netuid: Option<u16>,
        /// The `computed_at` of any vector that is kept, as `/v1/weights/history` lists the newest.
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
}

pub(super) async fn run(args: &WeightsArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.act {
        Act::Compute { inputs } => compute(inputs, args, context),
        Act::Show { netuid, at } => show(*netuid, *at, args, context).await,
    }
}

fn compute(
    path: &std::path::Path,
    args: &WeightsArgs,
    context: &Context,
) -> Result<Exit, CliError> {
    let failed = || CliError::input(format!("cannot read {}", path.display()));
    let bytes = read_regular(path, MAX_INPUTS, Links::Follow).map_err(|e| failed().because(e))?;
    let inputs = parse_inputs(&bytes).map_err(|error| failed().because(error))?;
    let (vector, explanation) = aggregate(&inputs.answers, &inputs.metagraph, inputs.rules);
    let accounts = match args.explain {
        true => explain(&inputs.answers, &inputs.metagraph, inputs.rules),
        false => BTreeMap::new(),
    };
    match args.output {
        Form::Json => {
            let mut document = json!({
                "version": 1,
                "uids": vector.uids,
                "weights": vector.weights,
                "hotkey_weights": vector.hotkey_weights,
            });
            if args.explain {
                document["challenges"] = json!(explanation.challenges);
                document["hotkeys"] = accounts.iter().map(account_document).collect();
            }
            context.terminal.print_json(&document)?;
        }
        Form::Text => {
            let mut text = render_vector(&vector, &inputs);
            if args.explain {
                text.push_str(&render_explanation(&explanation));
                text.push_str(&render_accounts(&accounts));
            }
            context.terminal.print(&text)?;
        }
    }
    Ok(Exit::Done)
}

async fn show(
    netuid: Option<u16>,
    at: Option<Timestamp>,
    args: &WeightsArgs,
    context: &Context,
) -> Result<Exit, CliError> {
    let (netuid, found) = match open_to_read(context.settings.database_url(false)?).await? {
        Some(database) => {
            let found = find(database.as_ref(), netuid, at).await;
            database.close().await;
            found?
        }
        None => (netuid.unwrap_or(DEFAULT_NETUID), None),
    };
    if let (None, Some(at)) = (&found, at) {
        let message = format!("no weights of subnet {netuid} that were computed at {at} are kept");
        return Err(CliError::input(message).hint(
            "copy `computed_at` whole, with its fraction; only the newest 10 000 vectors are kept",
        ));
    }
    let Some(snapshot) = found else {
        context.terminal.note(&format!(
            "no weights of subnet {netuid} yet: `--netuid N` names another; `platform run` or `platform serve weights` \
             makes them, and `kubectl get lease platform-weights` tells whose turn it is"
        ));
        return Ok(Exit::Done);
    };
    match args.output {
        Form::Json => show_document(&snapshot, args.explain, context)?,
        Form::Text => context
            .terminal
            .print(&render_snapshot(&snapshot, args.explain)?)?,
    }
    Ok(Exit::Done)
}

/// Returns the newest vector of a subnet, or the one of a time, with which subnet that is.
async fn find(
    database: &dyn Database,
    netuid: Option<u16>,
    at: Option<Timestamp>,
) -> Result<(u16, Option<Snapshot>), DatabaseError> {
    let netuid = match netuid {
        Some(netuid) => netuid,
        None => {
            let known = database.known_network().await?;
            known.map_or(DEFAULT_NETUID, |known| known.netuid)
        }
    };
    let found = match at {
        Some(at) => database.weights_of(netuid, at).await,
        None => database.newest_weights(netuid, None, session::now()).await,
    };
    Ok((netuid, found?))
}

fn show_document(snapshot: &Snapshot, explains: bool, context: &Context) -> Result<(), CliError> {
    let document: Document = serde_json::from_str(&snapshot.document).map_err(unreadable)?;
    let mut shown = json!(snapshot.summary);
    shown["version"] = json!(1);
    if explains {
        let kept = explain_kept(&document, &explanation(snapshot)?);
        shown["explanation"] = snapshot.explanation.clone();
        shown["hotkeys"] = kept.accounts.iter().map(account_document).collect();
        shown["not_kept"] = kept.untold.iter().map(untold_document).collect();
    }
    shown["document"] = json!(document.brief());
    context.terminal.print_json(&shown)
}

fn render_snapshot(snapshot: &Snapshot, explains: bool) -> Result<String, CliError> {
    let document: Document = serde_json::from_str(&snapshot.document).map_err(unreadable)?;
    let summary = &snapshot.summary;
    let age = session::now().duration_since(summary.computed_at).as_secs();
    let state = match session::now() < summary.expires_at {
        true => "in force",
        false => "expired",
    };
    let mut text = format!(
        "subnet {}  computed {}, {age} s ago, {state}\nrevision {}  inputs {}\n",
        summary.netuid, summary.computed_at, summary.revision, summary.inputs_digest
    );
    for (uid, weight) in document.uids.iter().zip(&document.weights) {
        push_line(&mut text, format_args!("{uid:>5}  {weight}"));
    }
    if explains {
        let explanation = explanation(snapshot)?;
        text.push_str(&render_explanation(&explanation));
        text.push_str(&render_kept(&explain_kept(&document, &explanation)));
    }
    Ok(text)
}

fn explanation(snapshot: &Snapshot) -> Result<Explanation, CliError> {
    serde_json::from_value(snapshot.explanation.clone()).map_err(unreadable)
}

fn render_vector(vector: &Vector, inputs: &Inputs) -> String {
    let hotkeys: BTreeMap<u16, &str> = inputs
        .metagraph
        .uids
        .iter()
        .map(|(h, uid)| (uid, h))
        .collect();
    let mut text = "  UID  WEIGHT                  HOTKEY\n".to_owned();
    for (uid, weight) in vector.uids.iter().zip(&vector.weights) {
        let hotkey = hotkeys.get(uid).copied().unwrap_or_default();
        push_line(
            &mut text,
            format_args!("{uid:>5}  {weight:<22}  {}", hotkey.escape_debug()),
        );
    }
    if vector.is_burn {
        text.push_str("nobody registered has earned anything: all goes to the burn UID\n");
    }
    text
}

fn render_explanation(explanation: &Explanation) -> String {
    let mut text = "\nCHALLENGE                                 SHARE   ASSIGNED\n".to_owned();
    for challenge in &explanation.challenges {
        push_line(
            &mut text,
            format_args!("{}", render_contribution(challenge)),
        );
    }
    text
}

fn render_contribution(challenge: &Contribution) -> String {
    let head = format!(
        "{:<40} {:>6.2} %  {:>6.2} %",
        challenge.slug.as_str(),
        challenge.share * 100.0,
        challenge.assigned * 100.0
    );
    if let Some(failure) = &challenge.failure {
        return format!("{head}  takes no part: {failure}");
    }
    let dropped = &challenge.dropped;
    let reasons = [
        (dropped.unregistered, "not registered"),
        (dropped.burn, "of the burn UID"),
        (dropped.not_positive, "not above zero"),
        (dropped.not_finite, "no finite number"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0);
    reasons.fold(
        format!("{head}  {} earning", challenge.earning),
        |text, (count, why)| format!("{text}, {count} {why}"),
    )
}

fn render_accounts(accounts: &BTreeMap<String, Account>) -> String {
    let mut text = "\nHOTKEY\n".to_owned();
    for (hotkey, account) in accounts {
        let has_earned = |(_, part): &(Slug, Part)| matches!(part, Part::Earned(_));
        let uid = match account.uid {
            Some(uid) => format!("  UID {uid}"),
            None if account.parts.iter().any(has_earned) => "  UID not kept".to_owned(),
            None => String::new(),
        };
        push_line(&mut text, format_args!("{}{uid}", hotkey.escape_debug()));
        for (slug, part) in &account.parts {
            push_line(
                &mut text,
                format_args!("    {slug}  {}", render_part(*part)),
            );
        }
        if account.parts.is_empty() {
            text.push_str("    only of challenges whose scores are not kept\n");
        }
    }
    text
}

/// Returns what a kept vector tells, and at the end what it does not.
fn render_kept(kept: &Kept) -> String {
    let mut text = render_accounts(&kept.accounts);
    if !kept.untold.is_empty() {
        text.push_str("\nNOT KEPT\n");
    }
    for (slug, untold) in &kept.untold {
        push_line(
            &mut text,
            format_args!("    {slug}  {}", render_untold(*untold)),
        );
    }
    text
}

fn render_untold(untold: Untold) -> String {
    match untold {
        Untold::Scores => {
            "its scores had no room in the document: what each hotkey has of it, the challenge can tell"
                .to_owned()
        }
        Untold::Share => "what its scores came to".to_owned(),
        Untold::NotFinite(count) => {
            format!("which hotkeys had no finite number, {count} in all")
        }
    }
}

fn render_part(part: Part) -> String {
    match part {
        Part::Earned(share) => share.to_string(),
        Part::NotFinite => "dropped: no finite number".to_owned(),
        Part::NotPositive => "dropped: not above zero".to_owned(),
        Part::Unregistered => "dropped: not registered".to_owned(),
        Part::Burn => "dropped: of the burn UID".to_owned(),
        Part::Untold => {
            "dropped: not registered, of the burn UID, or too little; which is not kept".to_owned()
        }
    }
}

fn account_document((hotkey, account): (&String, &Account)) -> Value {
    let part = |(slug, part): &(Slug, Part)| match part {
        Part::Earned(share) => json!({"slug": slug, "earned": share}),
        dropped => {
            json!({"slug": slug, "dropped": render_part(*dropped).trim_start_matches("dropped: ")})
        }
    };
    let parts: Vec<Value> = account.parts.iter().map(part).collect();
    json!({"hotkey": hotkey, "uid": account.uid, "parts": parts})
}

fn untold_document((slug, untold): &(Slug, Untold)) -> Value {
    json!({"slug": slug, "what": render_untold(*untold)})
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.push_str(&format!("{line}\n"));
}

fn unreadable(error: serde_json::Error) -> CliError {
    CliError::dependency("weights in the database cannot be read").because(error)
}

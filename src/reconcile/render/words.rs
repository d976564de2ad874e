//! Reasons and counts in words, the same in every form of a plan. Untrusted parts are masked here.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    group::{Group, Totals},
    mask,
};
use crate::{
    model::{Key, Kind, names},
    reconcile::plan::{Guard, Held, Plan},
};

/// Keys or kinds named on one line.
const MAX_NAMED: usize = 20;

/// Returns why something is not done, as one line; `None` for what removal keeps.
pub fn reason(held: &Held) -> Option<String> {
    let line = match held {
        Held::Retained { .. } => return None,
        Held::Foreign { key, why, .. } => format!("held: {key} is not ours ({why})"),
        Held::Unknown { key, why, .. } => {
            let why = why.without_kind(key);
            format!("unknown: {key} could not be read ({why})")
        }
        Held::Refused { key, why, .. } => format!("refused: {key}: {why}"),
        Held::Drifted { key, why, .. } => format!("drift reported: {key}: {why}"),
        Held::Waits { slug, on, why, .. } => {
            let postgres = slug.as_ref().map(names::postgres);
            let is_postgres = on
                .object()
                .is_some_and(|on| Some(&on.name) == postgres.as_ref());
            let on = if is_postgres {
                "Postgres".to_owned()
            } else {
                on.to_string()
            };
            format!("held: {on} not ready ({why})")
        }
        Held::Unlisted { cluster, kind, why } => {
            let (kinds, why) = (plural(*kind), why.without(*kind));
            format!("unknown: {kinds} on {cluster} could not be listed, none is deleted ({why})")
        }
        Held::Unrecorded { why } => {
            format!("unknown: the registry's rows could not be read, none is written ({why})")
        }
        Held::Withheld { why, .. } => format!("withheld: {why}"),
        Held::Suspended { why, .. } => format!("suspended {why}"),
        Held::RolledBack { why, .. } => format!("rolled back: {why}"),
    };
    Some(mask::line(&line))
}

/// Returns the reasons of a group, each once, with how many keys share it. What could not be read for the same
/// cause, such as a cluster that is away, shares one line that names it all.
pub fn reasons(group: &Group<'_>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut unread: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut unlisted: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for held in &group.held {
        match held {
            Held::Unknown { key, why, .. } => {
                let key_shown = mask::line(&key.to_string());
                unread
                    .entry(why.without_kind(key))
                    .or_default()
                    .push(key_shown);
            }
            Held::Unlisted { cluster, kind, why } => {
                let cause = (cluster.to_string(), why.without(*kind));
                unlisted.entry(cause).or_default().push(plural(*kind));
            }
            held => {
                if let Some(line) = reason(held) {
                    *counts.entry(line).or_default() += 1;
                }
            }
        }
    }
    let with_count = |(line, count)| match count {
        1 => line,
        count => format!("{line} · {count} keys"),
    };
    let unread = unread.iter().map(|(cause, keys)| {
        let (keys, cause) = (listed(keys), mask::line(cause));
        format!("unknown: {keys} could not be read ({cause})")
    });
    let unlisted = unlisted.iter().map(|((cluster, cause), kinds)| {
        let (kinds, cause) = (listed(kinds), mask::line(cause));
        format!("unknown: {kinds} on {cluster} could not be listed, none is deleted ({cause})")
    });
    let counted = counts.into_iter().map(with_count);
    counted.chain(unread).chain(unlisted).collect()
}

/// Returns the reasons of what belongs to no challenge and could not be read.
#[must_use]
pub fn shared_reasons(plan: &Plan) -> Vec<String> {
    let held = plan.held.iter();
    let group = Group {
        held: held
            .filter(|held| held.is_unknown() && held.slug().is_none())
            .collect(),
        ..Group::default()
    };
    reasons(&group)
}

/// Names what shares a cause, bounded: the rest is counted.
fn listed(names: &[String]) -> String {
    let shown = names.len().min(MAX_NAMED);
    let rest = match names.len() - shown {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{}{rest}", names[..shown].join(", "))
}

fn plural(kind: Kind) -> String {
    match kind {
        Kind::NetworkPolicy => "NetworkPolicies".to_owned(),
        kind => format!("{kind}s"),
    }
}

/// Returns what removal keeps, claims as a number, and the verb that removes it.
pub fn kept(group: &Group<'_>) -> Option<String> {
    let is_claim = |key: &&&Key| {
        let key = key.object();
        key.is_some_and(|key| key.kind == Kind::PersistentVolumeClaim)
    };
    let claims = group.kept.iter().filter(is_claim).count();
    let others = group.kept.iter().filter(|key| !is_claim(key));
    let mut parts: Vec<String> = others.map(|key| mask::line(&key.to_string())).collect();
    if claims > 0 {
        parts.push(counted(claims, "claim"));
    }
    if parts.is_empty() {
        return None;
    }
    let purge = group.slug.map(|slug| format!(" (platform purge {slug})"));
    Some(format!(
        "kept: {}{}",
        parts.join(", "),
        purge.unwrap_or_default()
    ))
}

/// Returns how many objects and rows the steps of a group are about.
pub fn extent(group: &Group<'_>) -> String {
    let objects = group
        .steps
        .iter()
        .filter(|step| step.key.object().is_some())
        .count();
    let rows = group.steps.len() - objects;
    let counts = [(objects, "object"), (rows, "row")];
    let parts = counts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, noun)| counted(count, noun)).collect();
    parts.join(", ")
}

/// Returns a number with its noun.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Returns the share before and after of a group, if that changes.
pub fn share(group: &Group<'_>) -> Option<String> {
    let (before, after) = group.share?;
    Some(format!(
        "share {} → {}",
        mask::line(before),
        mask::line(after)
    ))
}

/// Returns the totals that are not zero, and always how much is unchanged.
pub fn totals(totals: Totals) -> String {
    let Totals {
        create,
        change,
        delete,
        keep,
        held,
        unchanged,
    } = totals;
    let counts = [
        (create, "create"),
        (change, "change"),
        (delete, "delete"),
        (keep, "keep"),
        (held, "held"),
    ];
    let shown = counts.into_iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<_> = shown
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    parts.push(format!("{unchanged} unchanged"));
    parts.join(" · ")
}

/// Returns what a guard is about, as one line without the flag.
#[must_use]
pub fn guard(guard: &Guard) -> String {
    let line = match guard {
        Guard::Deletes {
            deletes,
            owned,
            limit_percent,
        } => format!(
            "{deletes} of {owned} owned keys would be deleted; safety.max_deleted_percent is {limit_percent}"
        ),
        Guard::Elsewhere {
            challenges,
            namespace,
            before: Some(before),
        } => format!(
            "the registry knows {challenges} challenges as applied in namespace {before}, this plan is about {namespace}: what is in {before} would be left behind, with its data"
        ),
        Guard::Elsewhere {
            challenges,
            namespace,
            before: None,
        } => format!(
            "the registry knows {challenges} applied challenges, namespace {namespace} has nothing of any: is it the right cluster? tokens, passwords and databases would be made anew"
        ),
        Guard::EmissionChange {
            slug,
            basis_points,
            limit_points,
        } => format!(
            "the share of {slug} would move by {}.{:02} points; safety.max_emission_change_points is {limit_points}",
            basis_points / 100,
            basis_points % 100
        ),
        Guard::Freeze { until, why } => format!("frozen until {until}: {why}"),
    };
    mask::line(&line)
}

/// Returns which guards hold a revision and what ends that, as one line; nothing where none does. What ends it comes
/// first: a git host takes a few words only.
#[must_use]
pub fn guards_hold(guards: &[Guard]) -> Option<String> {
    let flags: BTreeSet<&str> = guards.iter().map(flag).collect();
    let flags: Vec<&str> = flags.into_iter().collect();
    let (first, rest) = guards.split_first()?;
    let more = match rest.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let (flags, why) = (flags.join(" "), guard(first));
    Some(format!(
        "held until `platform apply {flags}`, or a newer commit: {why}{more}"
    ))
}

/// Returns the flag of `apply` that lets a plan pass a guard.
pub fn flag(guard: &Guard) -> &'static str {
    match guard {
        Guard::Deletes { .. } => "--allow-deletes",
        Guard::Elsewhere { .. } => "--allow-empty-cluster",
        Guard::EmissionChange { .. } => "--allow-emission-change",
        Guard::Freeze { .. } => "--allow-freeze",
    }
}

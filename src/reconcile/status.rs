//! Where each challenge stands, for `status` and for the end of an `apply`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Planned;
use super::live::{Readiness, Seen};
use super::plan::Held;
use crate::model::{Item, Key, RowKey, Slug};
use crate::spec::Platform;
use crate::spec::platform::Status as Declared;

/// Where a challenge stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChallengeStatus {
    /// What is declared; absent for a challenge that left the declaration.
    pub declared: Option<Declared>,
    /// Its share among the active ones, in percent.
    pub share: String,
    /// The image that is wanted.
    pub image: String,
    /// How many keys are wanted.
    pub wanted: usize,
    /// How many of them are as they should be.
    pub there: usize,
    /// How it is.
    pub condition: Condition,
    /// Why it is not ready, one reason each.
    pub why: Vec<String>,
}

/// How a challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Everything is as declared, and its workloads are ready.
    Ready,
    /// It is declared as a draft, inactive or disabled, and so it is.
    Stopped,
    /// Something is still to be done, or to become ready.
    Progressing,
    /// Something is not done, and will not be without somebody's help.
    Held,
    /// Something could not be read.
    Unknown,
    /// It left the declaration; what is left of it is kept, or goes with the next apply.
    Removed,
}

/// Returns where each challenge stands: every declared one, and every other of which something is left.
#[must_use]
pub fn challenges(platform: &Platform, planned: &Planned) -> BTreeMap<Slug, ChallengeStatus> {
    let left = planned
        .live
        .seen
        .iter()
        .filter_map(|(key, seen)| match (key, seen) {
            (Key::Row(row), _) => row.slug().cloned(),
            (Key::Object(_), Seen::Object(observed)) => {
                observed.owner.as_ref().map(|owner| owner.slug.clone())
            }
            (Key::Object(_), _) => None,
        });
    let slugs: BTreeSet<Slug> = platform.challenges.keys().cloned().chain(left).collect();
    slugs
        .into_iter()
        .map(|slug| (slug.clone(), challenge(platform, planned, &slug)))
        .collect()
}

fn challenge(platform: &Platform, planned: &Planned, slug: &Slug) -> ChallengeStatus {
    let declared = platform.challenges.get(slug);
    let wanted: Vec<&Key> = planned
        .desired
        .items
        .iter()
        .filter_map(|(key, wanted)| {
            let is_its = match key {
                Key::Row(row) => row.slug() == Some(slug),
                Key::Object(_) => wanted
                    .item
                    .ownership()
                    .is_some_and(|owner| owner.slug == *slug),
            };
            is_its.then_some(key)
        })
        .collect();
    let undone: BTreeSet<&Key> = undone(planned, slug);
    let there = wanted
        .iter()
        .filter(|key| !undone.contains(**key) && exists(planned, key))
        .count();
    let (condition, why) = judge(
        planned,
        slug,
        declared.map(|challenge| challenge.status),
        &wanted,
    );
    ChallengeStatus {
        declared: declared.map(|challenge| challenge.status),
        share: platform.share(slug).to_string(),
        image: image(planned, slug),
        wanted: wanted.len(),
        there,
        condition,
        why,
    }
}

fn undone<'a>(planned: &'a Planned, slug: &Slug) -> BTreeSet<&'a Key> {
    let steps = planned
        .plan
        .steps
        .iter()
        .filter(|step| step.slug.as_ref() == Some(slug))
        .map(|step| &step.key);
    let held = planned
        .plan
        .held
        .iter()
        .filter(|held| held.slug() == Some(slug))
        .filter_map(Held::key);
    steps.chain(held).collect()
}

fn exists(planned: &Planned, key: &Key) -> bool {
    matches!(
        planned.live.seen.get(key),
        Some(Seen::Object(_) | Seen::Row(_))
    )
}

fn image(planned: &Planned, slug: &Slug) -> String {
    let row = planned
        .desired
        .items
        .get(&Key::Row(RowKey::Challenge(slug.clone())));
    match row.map(|wanted| &wanted.item) {
        Some(Item::Row(row)) => row.0["image"].as_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn judge(
    planned: &Planned,
    slug: &Slug,
    declared: Option<Declared>,
    wanted: &[&Key],
) -> (Condition, Vec<String>) {
    let mut why = Vec::new();
    let mut worst = match declared {
        None => return (Condition::Removed, removed(planned, slug)),
        Some(Declared::Active) => Condition::Ready,
        Some(Declared::Draft | Declared::Inactive | Declared::Disabled) => Condition::Stopped,
    };
    for held in planned
        .plan
        .held
        .iter()
        .filter(|held| held.slug() == Some(slug))
    {
        let (condition, reason) = match held {
            Held::Retained { .. } => continue,
            Held::Waits { key, on, why, .. } => (
                Condition::Progressing,
                format!("{key} waits for {on}: {why}"),
            ),
            Held::Unknown { key, why, .. } => (Condition::Unknown, format!("{key}: {why}")),
            Held::Withheld { why, .. } => (Condition::Held, why.to_string()),
            Held::Foreign { key, why, .. }
            | Held::Refused { key, why, .. }
            | Held::Drifted { key, why, .. } => (Condition::Held, format!("{key}: {why}")),
            Held::Unlisted { .. } => continue,
        };
        worst = worst.max(condition);
        why.push(reason);
    }
    let pending = planned
        .plan
        .steps
        .iter()
        .filter(|step| step.slug.as_ref() == Some(slug))
        .count();
    if pending > 0 {
        worst = worst.max(Condition::Progressing);
        why.push(format!("{pending} to apply"));
    }
    for key in wanted {
        if let Some(Seen::Object(observed)) = planned.live.seen.get(*key)
            && let Readiness::NotReady(state) = &observed.readiness
        {
            worst = worst.max(Condition::Progressing);
            why.push(format!("{key} {state}"));
        }
    }
    (worst, why)
}

fn removed(planned: &Planned, slug: &Slug) -> Vec<String> {
    let steps = planned
        .plan
        .steps
        .iter()
        .filter(|step| step.slug.as_ref() == Some(slug))
        .count();
    let kept = planned
        .plan
        .held
        .iter()
        .filter(|held| held.slug() == Some(slug))
        .count();
    let to_delete = (steps > 0).then(|| format!("{steps} to delete"));
    let kept = (kept > 0).then(|| format!("{kept} kept (platform purge {slug})"));
    to_delete.into_iter().chain(kept).collect()
}

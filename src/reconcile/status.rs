//! Where each challenge stands, for `status` and for the end of an `apply`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Planned;
use super::desired::Presence;
use super::live::{Readiness, Seen};
use super::plan::Held;
use crate::model::{Item, Key, RowKey, Scope, Slug};
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
    /// Somebody suspended it: it is left as it is.
    Suspended,
    /// Something is not done, and will not be without somebody's help.
    Held,
    /// Something could not be read.
    Unknown,
    /// It left the declaration; what is left of it is kept, or goes with the next apply.
    Removed,
}

impl Condition {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Stopped,
        Self::Progressing,
        Self::Suspended,
        Self::Held,
        Self::Unknown,
        Self::Removed,
    ];

    /// Returns its name as people are shown it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Progressing => "progressing",
            Self::Suspended => "suspended",
            Self::Held => "held",
            Self::Unknown => "unknown",
            Self::Removed => "removed",
        }
    }
}

/// Returns where each challenge in scope stands, as far as the plan looked at it: every declared one, and every other of which something is left.
#[must_use]
pub fn challenges(
    platform: &Platform,
    planned: &Planned,
    scope: &Scope,
) -> BTreeMap<Slug, ChallengeStatus> {
    let mut parts: BTreeMap<&Slug, Part<'_>> = BTreeMap::new();
    let declared = platform.challenges.keys();
    for slug in declared.filter(|slug| scope.contains(slug)) {
        parts.entry(slug).or_default();
    }
    for (key, seen) in &planned.live.seen {
        if let Some(slug) = owner(key, seen) {
            parts.entry(slug).or_default();
        }
    }
    for (key, wanted) in &planned.desired.items {
        let slug = match key {
            Key::Row(row) => row.slug(),
            Key::Object(_) => wanted.item.slug(),
        };
        // What a draft would have is wanted only where it is there.
        let is_due = wanted.presence == Presence::Required || exists(planned, key);
        if let (Some(slug), true) = (slug, is_due) {
            parts.entry(slug).or_default().wanted.push(key);
        }
    }
    for step in &planned.plan.steps {
        if let Some(slug) = &step.slug {
            parts.entry(slug).or_default().steps.push(&step.key);
        }
    }
    for held in &planned.plan.held {
        if let Some(slug) = held.slug() {
            parts.entry(slug).or_default().held.push(held);
        }
    }
    let status =
        |(slug, part): (&Slug, Part<'_>)| (slug.clone(), part.status(platform, planned, slug));
    parts.into_iter().map(status).collect()
}

/// What belongs to one challenge.
#[derive(Default)]
struct Part<'a> {
    wanted: Vec<&'a Key>,
    steps: Vec<&'a Key>,
    held: Vec<&'a Held>,
}

impl Part<'_> {
    fn status(&self, platform: &Platform, planned: &Planned, slug: &Slug) -> ChallengeStatus {
        let declared = platform
            .challenges
            .get(slug)
            .map(|challenge| challenge.status);
        let held = self.held.iter().filter_map(|held| held.key());
        let undone: BTreeSet<&Key> = self.steps.iter().copied().chain(held).collect();
        let is_there = |key: &&&Key| !undone.contains(**key) && exists(planned, key);
        let (condition, why) = match declared {
            Some(declared) => self.judge(planned, declared),
            None => match planned.desired.suspended.get(slug) {
                Some(suspension) => (Condition::Suspended, vec![suspension.to_string()]),
                None => (Condition::Removed, self.left(slug)),
            },
        };
        ChallengeStatus {
            declared,
            share: platform.share(slug).to_string(),
            image: image(planned, slug),
            wanted: self.wanted.len(),
            there: self.wanted.iter().filter(is_there).count(),
            condition,
            why,
        }
    }

    fn judge(&self, planned: &Planned, declared: Declared) -> (Condition, Vec<String>) {
        let as_declared = match declared {
            Declared::Active => Condition::Ready,
            Declared::Draft | Declared::Inactive | Declared::Disabled => Condition::Stopped,
        };
        let mut reasons = unread(&self.held);
        reasons.extend(self.held.iter().filter_map(|held| held_back(held)));
        if !self.steps.is_empty() {
            reasons.push((
                Condition::Progressing,
                format!("{} to apply", self.steps.len()),
            ));
        }
        for key in &self.wanted {
            if let Some(Seen::Object(observed)) = planned.live.seen.get(*key)
                && let Readiness::NotReady(state) = &observed.readiness
            {
                reasons.push((Condition::Progressing, format!("{key} {state}")));
            }
        }
        let worst = reasons
            .iter()
            .map(|(condition, _)| *condition)
            .fold(as_declared, Condition::max);
        (
            worst,
            reasons.into_iter().map(|(_, reason)| reason).collect(),
        )
    }

    fn left(&self, slug: &Slug) -> Vec<String> {
        let (steps, kept) = (self.steps.len(), self.held.len());
        let to_delete = (steps > 0).then(|| format!("{steps} to delete"));
        let kept = (kept > 0).then(|| format!("{kept} kept (platform purge {slug})"));
        to_delete.into_iter().chain(kept).collect()
    }
}

fn owner<'a>(key: &'a Key, seen: &'a Seen) -> Option<&'a Slug> {
    match (key, seen) {
        (Key::Row(row), _) => row.slug(),
        (Key::Object(_), Seen::Object(observed)) => observed.owner.as_ref()?.slug.as_ref(),
        (Key::Object(_), _) => None,
    }
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

/// Returns what could not be read, one reason for all keys that share it: a cluster that is away is said once.
fn unread(held: &[&Held]) -> Vec<(Condition, String)> {
    let mut causes: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    for held in held {
        if let Held::Unknown { key, why, .. } = held {
            let keys = causes.entry(why.without_kind(key)).or_default();
            keys.push(key);
        }
    }
    let reason = |(cause, keys): (&str, Vec<&Key>)| match keys.as_slice() {
        [key] => format!("{key} could not be read: {cause}"),
        keys => format!("{} keys could not be read: {cause}", keys.len()),
    };
    let reasons = causes.into_iter().map(reason);
    reasons.map(|reason| (Condition::Unknown, reason)).collect()
}

/// Returns what a held key means for its challenge; kept data means nothing, and [`unread`] has the unknown.
fn held_back(held: &Held) -> Option<(Condition, String)> {
    Some(match held {
        Held::Retained { .. }
        | Held::Unlisted { .. }
        | Held::Unrecorded { .. }
        | Held::Unknown { .. } => return None,
        Held::Waits { key, on, why, .. } => (
            Condition::Progressing,
            format!("{key} waits for {on}: {why}"),
        ),
        Held::Withheld { why, .. } => (Condition::Held, why.to_string()),
        Held::Suspended { why, .. } => (Condition::Suspended, why.to_string()),
        Held::Foreign { key, why, .. }
        | Held::Refused { key, why, .. }
        | Held::Drifted { key, why, .. } => (Condition::Held, format!("{key}: {why}")),
    })
}

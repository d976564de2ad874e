//! Where each challenge stands, for `status`, for the end of an `apply` and for the conditions that a controller
//! keeps. Pure.

pub mod conditions;
pub mod document;
pub mod health;
pub mod reason;
pub mod targets;
pub mod weights;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use self::reason::{Reason, Word};
use super::Planned;
use super::desired::Presence;
use super::live::{Readiness, Seen};
use super::plan::Held;
use crate::model::{Item, Key, Kind, ObjectKey, RowKey, Scope, Slug, names};
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
    /// The version that is declared; nothing of what left the declaration.
    #[serde(skip)]
    pub version: String,
    /// How many keys are wanted.
    pub wanted: usize,
    /// How many of them are as they should be.
    pub there: usize,
    /// How it is.
    pub condition: Condition,
    /// Why it is not ready, one reason each.
    pub why: Vec<Reason>,
    /// How many keys are left to do or to become ready.
    #[serde(skip)]
    pub left: usize,
    /// The object that stands for it.
    #[serde(skip)]
    pub workload: Option<Workload>,
}

/// The object that stands for a challenge where one has to be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Which it is.
    pub key: ObjectKey,
    /// Its identity, where it is there.
    pub uid: Option<String>,
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

    /// Tells whether a challenge that is so needs nothing more.
    #[must_use]
    pub fn is_done(self) -> bool {
        match self {
            Self::Ready | Self::Stopped | Self::Suspended | Self::Removed => true,
            Self::Progressing | Self::Held | Self::Unknown => false,
        }
    }

    /// Returns its name in camel case, where no reason says more.
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "AsDeclared",
            Self::Stopped => "Stopped",
            Self::Progressing => "Progressing",
            Self::Suspended => "Suspended",
            Self::Held => "Held",
            Self::Unknown => "Unknown",
            Self::Removed => "Removed",
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
        let challenge = platform.challenges.get(slug);
        let declared = challenge.map(|challenge| challenge.status);
        let held = self.held.iter().filter_map(|held| held.key());
        let undone: BTreeSet<&Key> = self.steps.iter().copied().chain(held).collect();
        let is_there = |key: &&&Key| !undone.contains(**key) && exists(planned, key);
        let (condition, why) = match declared {
            Some(declared) => self.judge(planned, declared),
            None => match planned.desired.suspended.get(slug) {
                Some(suspension) => {
                    let why = Reason::new(Word::Suspended, suspension.to_string());
                    (Condition::Suspended, vec![why])
                }
                None => (Condition::Removed, self.remains(slug)),
            },
        };
        ChallengeStatus {
            declared,
            share: platform.share(slug).to_string(),
            image: image(planned, slug),
            version: challenge.map_or_else(String::new, |challenge| challenge.version.clone()),
            wanted: self.wanted.len(),
            there: self.wanted.iter().filter(is_there).count(),
            left: self.left(planned),
            workload: self.workload(planned, slug),
            condition,
            why,
        }
    }

    fn judge(&self, planned: &Planned, declared: Declared) -> (Condition, Vec<Reason>) {
        let as_declared = match declared {
            Declared::Active => Condition::Ready,
            Declared::Draft | Declared::Inactive | Declared::Disabled => Condition::Stopped,
        };
        let mut reasons = unread(&self.held);
        reasons.extend(self.held.iter().filter_map(|held| held_back(held)));
        if !self.steps.is_empty() {
            let text = format!("{} to apply", self.steps.len());
            reasons.push(Reason::new(Word::Applying, text));
        }
        let unready = self.unready(planned);
        reasons.extend(
            unready.map(|(key, state)| Reason::new(Word::NotReady, format!("{key} {state}"))),
        );
        let worst = reasons
            .iter()
            .map(|reason| reason.word.condition())
            .fold(as_declared, Condition::max);
        (worst, reasons)
    }

    /// Returns what is there and not ready, with its state.
    fn unready<'p>(&self, planned: &'p Planned) -> impl Iterator<Item = (&Key, &'p str)> {
        self.wanted
            .iter()
            .filter_map(|key| match planned.live.seen.get(*key) {
                Some(Seen::Object(observed)) => match &observed.readiness {
                    Readiness::NotReady(state) => Some((*key, state.as_str())),
                    Readiness::Ready => None,
                },
                _ => None,
            })
    }

    fn left(&self, planned: &Planned) -> usize {
        let is_waiting = |held: &&&Held| matches!(held, Held::Waits { .. });
        let waiting = self.held.iter().filter(is_waiting).count();
        self.steps.len() + waiting + self.unready(planned).count()
    }

    fn workload(&self, planned: &Planned, slug: &Slug) -> Option<Workload> {
        let name = names::workload(slug);
        let is_workload = |key: &&ObjectKey| {
            key.name == name && matches!(key.kind, Kind::StatefulSet | Kind::Deployment)
        };
        let keys = self.wanted.iter().chain(&self.steps);
        let key = keys.filter_map(|key| key.object()).find(is_workload)?;
        let observed = planned.live.object(key);
        Some(Workload {
            key: key.clone(),
            uid: observed.map(|observed| observed.uid.clone()),
        })
    }

    /// Returns what is left of a challenge that was removed.
    fn remains(&self, slug: &Slug) -> Vec<Reason> {
        let (steps, kept) = (self.steps.len(), self.held.len());
        let to_delete =
            (steps > 0).then(|| Reason::new(Word::Deleting, format!("{steps} to delete")));
        let kept = (kept > 0)
            .then(|| Reason::new(Word::Kept, format!("{kept} kept (platform purge {slug})")));
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
fn unread(held: &[&Held]) -> Vec<Reason> {
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
    reasons
        .map(|text| Reason::new(Word::NotRead, text))
        .collect()
}

/// Returns what a held key means for its challenge; kept data means nothing, and [`unread`] has the unknown.
fn held_back(held: &Held) -> Option<Reason> {
    let (word, text) = match held {
        Held::Retained { .. }
        | Held::Unlisted { .. }
        | Held::Unrecorded { .. }
        | Held::Unknown { .. } => return None,
        Held::Waits { key, on, why, .. } => (Word::Waiting, format!("{key} waits for {on}: {why}")),
        Held::Withheld { why, .. } => (Word::Withheld, why.to_string()),
        Held::RolledBack { why, .. } => (Word::RolledBack, why.to_string()),
        Held::Suspended { why, .. } => (Word::Suspended, why.to_string()),
        Held::Foreign { key, why, .. } => (Word::Foreign, format!("{key}: {why}")),
        Held::Refused { key, why, .. } => (Word::Refused, format!("{key}: {why}")),
        Held::Drifted { key, why, .. } => (Word::Drifted, format!("{key}: {why}")),
    };
    Some(Reason::new(word, text))
}

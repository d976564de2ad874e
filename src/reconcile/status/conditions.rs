//! From the conditions before and where a challenge stands now to its conditions now. Pure.
//!
//! Two look at a challenge: the controller that keeps it, which also knows of fights and of failures in a row,
//! and whoever asks for its status. What only the first can know is taken over by the second.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{ChallengeStatus, Condition, Reason, Word};
use crate::model::condition::{ChallengeCondition, ConditionType, Conditions, Progress, Truth};
use crate::reconcile::live::Why;
use crate::reconcile::render::mask;

/// What is found out about a challenge at one look.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Where it stands.
    pub status: &'a ChallengeStatus,
    /// What the controller that keeps it knows; nothing where somebody else looks.
    pub kept: Option<&'a Kept>,
    /// The revision it was looked at for.
    pub revision: &'a str,
    /// How long it may make no progress.
    pub deadline: Duration,
    /// When.
    pub now: Timestamp,
}

/// What the controller that keeps a challenge knows besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Who keeps changing it back, if somebody does.
    pub fight: Option<Why>,
    /// Whether a freeze window holds its steps.
    pub is_frozen: bool,
    /// Whether it fails or is fought over for so long that the pauses grow no more.
    pub is_exhausted: bool,
}

/// Whether a condition holds, and why. None of it is for whoever cannot find it out.
struct Verdict {
    status: Truth,
    reason: &'static str,
    message: String,
}

/// The word of a condition that is as it should be.
const AS_DECLARED: &str = "AsDeclared";
/// The word for a fight with another writer.
pub const FIGHT: &str = "Fight";
/// The word for steps that a freeze window holds.
const FROZEN: &str = "Frozen";
/// The word for failures without end.
const BACK_OFF: &str = "BackOff";

/// Returns the conditions of a challenge now. Where a status stays, so does the time since when it is so.
#[must_use]
pub fn conditions(before: Option<&Conditions>, found: &Found<'_>) -> Conditions {
    let progress = progress(before, found);
    let of = ConditionType::ALL.into_iter().map(|of| {
        let old = before.and_then(|before| before.of.get(&of));
        let condition = match verdict(of, found, progress.as_ref()) {
            Some(verdict) => verdict.since(old, found),
            None => match old.filter(|old| is_kept(old, found)) {
                Some(old) => old.clone(),
                None => found.otherwise(AS_DECLARED).since(old, found),
            },
        };
        (of, condition)
    });
    Conditions {
        of: of.collect(),
        progress,
    }
}

/// Returns when a challenge will be said to make no progress, if nothing happens before.
#[must_use]
pub fn stalls_at(conditions: &Conditions, deadline: Duration) -> Option<Timestamp> {
    let progress = conditions.progress?;
    let is_told = conditions.holds(ConditionType::Stalled);
    (!is_told).then(|| after(progress.at, deadline))
}

/// Tells whether a condition is one that only the controller can tell the end of.
fn is_kept(old: &ChallengeCondition, found: &Found<'_>) -> bool {
    [FIGHT, FROZEN, BACK_OFF].contains(&old.reason.as_str()) && old.revision == found.revision
}

fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// Progress is that less is left to do, or that there is something else to do.
fn progress(before: Option<&Conditions>, found: &Found<'_>) -> Option<Progress> {
    found.reason_of(Condition::Progressing)?;
    let left = u32::try_from(found.status.left).unwrap_or(u32::MAX);
    let begun = Progress {
        left,
        at: found.now,
    };
    let Some(before) = before else {
        return Some(begun);
    };
    let revision = before.of.get(&ConditionType::Progressing);
    let is_same = revision.is_some_and(|condition| condition.revision == found.revision);
    match before.progress {
        Some(old) if is_same && left >= old.left => Some(Progress { left, at: old.at }),
        _ => Some(begun),
    }
}

fn verdict(of: ConditionType, found: &Found<'_>, progress: Option<&Progress>) -> Option<Verdict> {
    match of {
        ConditionType::Ready => Some(ready(found)),
        ConditionType::Progressing => Some(found.told(Condition::Progressing, "AtRest")),
        ConditionType::Held => held(found),
        ConditionType::Drifted => drifted(found),
        ConditionType::Suspended => Some(found.told(Condition::Suspended, AS_DECLARED)),
        ConditionType::Stalled => stalled(found, progress),
    }
}

fn ready(found: &Found<'_>) -> Verdict {
    let status = match found.status.condition {
        Condition::Ready => return Verdict::new(Truth::True, AS_DECLARED, ""),
        Condition::Stopped => return Verdict::new(Truth::False, "Stopped", "as declared"),
        Condition::Removed => return Verdict::new(Truth::False, "Removed", &found.first_text()),
        // Nobody looks after it.
        Condition::Suspended | Condition::Unknown => Truth::Unknown,
        Condition::Progressing | Condition::Held => Truth::False,
    };
    match found.reason_of(found.status.condition) {
        Some(reason) => Verdict::because(status, reason),
        None => Verdict::new(status, found.status.condition.word(), ""),
    }
}

fn held(found: &Found<'_>) -> Option<Verdict> {
    let is_held = |reason: &&Reason| {
        reason.word.condition() == Condition::Held && reason.word != Word::Drifted
    };
    if let Some(reason) = found.status.why.iter().find(is_held) {
        return Some(Verdict::because(Truth::True, reason));
    }
    if found.kept?.is_frozen {
        let message = "a freeze window holds what is to be done";
        return Some(Verdict::new(Truth::True, FROZEN, message));
    }
    Some(found.otherwise(AS_DECLARED))
}

fn drifted(found: &Found<'_>) -> Option<Verdict> {
    let reported = |reason: &&Reason| reason.word == Word::Drifted;
    if let Some(reason) = found.status.why.iter().find(reported) {
        return Some(Verdict::because(Truth::True, reason));
    }
    match &found.kept?.fight {
        Some(fight) => Some(Verdict::new(Truth::True, FIGHT, &fight.0)),
        None => Some(found.otherwise(AS_DECLARED)),
    }
}

fn stalled(found: &Found<'_>, progress: Option<&Progress>) -> Option<Verdict> {
    let late = progress.filter(|progress| found.now >= after(progress.at, found.deadline));
    if let Some(progress) = late {
        let first = found.reason_of(Condition::Progressing);
        let first = first.map_or_else(String::new, |reason| format!(": {reason}"));
        let message = format!("no progress since {:.0}{first}", progress.at);
        return Some(Verdict::new(Truth::True, "DeadlineExceeded", &message));
    }
    match found.kept?.is_exhausted {
        true => Some(Verdict::new(Truth::True, BACK_OFF, &found.first_text())),
        false => Some(Verdict::new(Truth::False, AS_DECLARED, "")),
    }
}

impl Found<'_> {
    fn reason_of(&self, condition: Condition) -> Option<&Reason> {
        let mut reasons = self.status.why.iter();
        reasons.find(|reason| reason.word.condition() == condition)
    }

    fn first_text(&self) -> String {
        let first = self.status.why.first();
        first.map(ToString::to_string).unwrap_or_default()
    }

    /// Says that a condition holds for the first reason of its sort, and otherwise that it does not.
    fn told(&self, condition: Condition, otherwise: &'static str) -> Verdict {
        match self.reason_of(condition) {
            Some(reason) => Verdict::because(Truth::True, reason),
            None => self.otherwise(otherwise),
        }
    }

    /// Says that a condition does not hold, as far as everything could be read.
    fn otherwise(&self, word: &'static str) -> Verdict {
        match self.reason_of(Condition::Unknown) {
            Some(unread) => Verdict::because(Truth::Unknown, unread),
            None => Verdict::new(Truth::False, word, ""),
        }
    }
}

impl Verdict {
    fn new(status: Truth, reason: &'static str, message: &str) -> Self {
        Self {
            status,
            reason,
            message: mask::line(message),
        }
    }

    fn because(status: Truth, reason: &Reason) -> Self {
        Self::new(status, reason.word.as_str(), &reason.text)
    }

    fn since(self, old: Option<&ChallengeCondition>, found: &Found<'_>) -> ChallengeCondition {
        let old = old.filter(|old| old.status == self.status);
        ChallengeCondition {
            status: self.status,
            reason: self.reason.to_owned(),
            message: self.message,
            since: old.map_or(found.now, |old| old.since),
            revision: found.revision.to_owned(),
        }
    }
}

/// Returns the condition that tells since when a challenge is as its one word says.
#[must_use]
pub fn telling(condition: Condition) -> (ConditionType, Truth) {
    match condition {
        Condition::Ready => (ConditionType::Ready, Truth::True),
        Condition::Stopped | Condition::Removed => (ConditionType::Ready, Truth::False),
        Condition::Progressing => (ConditionType::Progressing, Truth::True),
        Condition::Suspended => (ConditionType::Suspended, Truth::True),
        Condition::Held => (ConditionType::Held, Truth::True),
        Condition::Unknown => (ConditionType::Ready, Truth::Unknown),
    }
}

/// Returns how many challenges are in each status of each condition.
#[must_use]
pub fn counts<'a>(
    all: impl IntoIterator<Item = &'a Conditions>,
) -> BTreeMap<(ConditionType, Truth), u64> {
    let mut counts = BTreeMap::new();
    for conditions in all {
        for (of, condition) in &conditions.of {
            *counts.entry((*of, condition.status)).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests;

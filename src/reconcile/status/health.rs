//! What a challenge answered, as part of where it stands. Pure.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ChallengeStatus, Condition, Reason, Word};
use crate::model::health::{Fitness, Health, Known};
use crate::reconcile::render::mask;
use crate::spec::platform::Status as Declared;

/// How a challenge is by its own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShownHealth {
    /// `fit`, `no_answer`, `unwell`, `mismatched`; or `unknown`, which does not keep it from being ready.
    pub fitness: String,
    /// What is wrong, or why it is unknown; null where it is fit.
    pub why: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Since when it is so (RFC 3339); null where it is unknown.
    pub since: Option<String>,
    /// When it was last asked (RFC 3339), to the minute; null where it never was for the declared version.
    pub asked_at: Option<String>,
}

impl ChallengeStatus {
    /// Returns what is known of its health; nothing of one that is not to run, for nobody asks it.
    #[must_use]
    pub fn health<'a>(&self, found: Option<&'a Health>, now: Timestamp) -> Option<Known<'a>> {
        let is_asked = self.declared == Some(Declared::Active);
        is_asked.then(|| Known::of(found, &self.version, now))
    }

    /// Takes in how it was found when it was asked. It is not ready unless it is fit, as far as that is known; what
    /// is not known says nothing. While its pods come up, or nobody looks after it, an answer says nothing either.
    #[must_use]
    pub fn judged(mut self, found: Option<&Health>, now: Timestamp) -> Self {
        let counts = matches!(self.condition, Condition::Ready | Condition::Held);
        if let (true, Some(Known::Found(health))) = (counts, self.health(found, now))
            && let Some(word) = word(health.fitness)
        {
            let text = format!("{}; {}", health.why, health.fitness.remedy());
            self.why.push(Reason::new(word, text));
            self.condition = self.condition.max(word.condition());
        }
        self
    }
}

fn word(fitness: Fitness) -> Option<Word> {
    match fitness {
        Fitness::Fit => None,
        Fitness::NoAnswer => Some(Word::NoAnswer),
        Fitness::Unwell => Some(Word::Unwell),
        Fitness::Mismatched => Some(Word::Mismatched),
    }
}

/// Returns the form of it that machines read; `is_read` is whether it could be read what is known.
#[must_use]
pub fn shown(known: Known<'_>, is_read: bool) -> ShownHealth {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (health, why) = match known {
        Known::Found(health) => {
            return ShownHealth {
                fitness: known.as_str().to_owned(),
                why: text(&mask::line(&health.why)),
                remedy: text(health.fitness.remedy()),
                since: Some(health.since.to_string()),
                asked_at: Some(health.asked_at.to_string()),
            };
        }
        Known::Outdated(health) => (Some(health), OUTDATED),
        Known::NotAsked if is_read => (None, NOT_ASKED),
        Known::NotAsked => (None, NOT_READ),
    };
    ShownHealth {
        fitness: known.as_str().to_owned(),
        why: text(why),
        remedy: None,
        since: None,
        asked_at: health.map(|health| health.asked_at.to_string()),
    }
}

/// Why it is unknown how a challenge is.
pub const NOT_ASKED: &str = "not asked yet";
/// Why it is unknown how a challenge is that was asked once.
pub const OUTDATED: &str = "not asked of late";
/// Why it is unknown how any challenge is.
pub const NOT_READ: &str = "the database could not be read";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    fn health(fitness: Fitness) -> Health {
        Health {
            fitness,
            why: match fitness {
                Fitness::Fit => String::new(),
                _ => "its health is no JSON object".to_owned(),
            },
            since: at(0),
            asked_at: at(100),
            holds_until: at(280),
            version: "1.0.0".to_owned(),
        }
    }

    fn status(condition: Condition) -> ChallengeStatus {
        let why = match condition {
            Condition::Progressing => vec![Reason::new(Word::NotReady, "0/1 ready")],
            Condition::Held => vec![Reason::new(Word::Drifted, "changed by kubectl")],
            Condition::Suspended => vec![Reason::new(Word::Suspended, "by ada")],
            Condition::Unknown => vec![Reason::new(Word::NotRead, "away")],
            _ => Vec::new(),
        };
        ChallengeStatus {
            declared: match condition {
                Condition::Stopped => Some(Declared::Inactive),
                Condition::Removed => None,
                _ => Some(Declared::Active),
            },
            share: String::new(),
            image: String::new(),
            version: "1.0.0".to_owned(),
            wanted: 8,
            there: 8,
            condition,
            left: why.len(),
            why,
            workload: None,
        }
    }

    /// Returns the condition and the words of all reasons.
    fn told(status: &ChallengeStatus) -> (Condition, String) {
        let words = status.why.iter().map(|reason| reason.word.as_str());
        (status.condition, words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_answer_makes_its_reason() {
        for (fitness, expected) in [
            (Fitness::Fit, (Condition::Ready, "")),
            (Fitness::NoAnswer, (Condition::Progressing, "NoAnswer")),
            (Fitness::Unwell, (Condition::Progressing, "Unwell")),
            (Fitness::Mismatched, (Condition::Progressing, "Mismatched")),
        ] {
            let judged = status(Condition::Ready).judged(Some(&health(fitness)), at(110));
            let (condition, word) = told(&judged);
            assert_eq!((condition, word.as_str()), expected);
            for reason in &judged.why {
                assert!(reason.text.contains(fitness.remedy()), "{reason}");
            }
        }
    }

    #[test]
    fn an_answer_counts_for_what_runs_as_declared_only() {
        let unwell = health(Fitness::Unwell);
        for (condition, expected) in [
            (Condition::Ready, (Condition::Progressing, "Unwell")),
            (Condition::Stopped, (Condition::Stopped, "")),
            (Condition::Progressing, (Condition::Progressing, "NotReady")),
            (Condition::Suspended, (Condition::Suspended, "Suspended")),
            (Condition::Held, (Condition::Held, "Drifted Unwell")),
            (Condition::Unknown, (Condition::Unknown, "NotRead")),
            (Condition::Removed, (Condition::Removed, "")),
        ] {
            let judged = status(condition).judged(Some(&unwell), at(110));
            let (condition, words) = told(&judged);
            assert_eq!((condition, words.as_str()), expected);
        }
    }

    #[test]
    fn what_is_not_known_keeps_nothing_from_being_ready_and_is_told() {
        let unwell = health(Fitness::Unwell);
        let other = Health {
            version: "0.9.0".to_owned(),
            ..unwell.clone()
        };
        for (found, now, is_read, why, asked_at) in [
            (None, 110, true, NOT_ASKED, None),
            (None, 110, false, NOT_READ, None),
            (Some(&other), 110, true, NOT_ASKED, None),
            (Some(&unwell), 280, true, OUTDATED, Some(at(100))),
        ] {
            let ready = status(Condition::Ready);
            let known = ready.health(found, at(now)).unwrap();
            let shown = shown(known, is_read);
            assert_eq!(shown.fitness, "unknown");
            assert_eq!(shown.why.as_deref(), Some(why));
            assert_eq!(shown.asked_at, asked_at.map(|at| at.to_string()));
            assert_eq!(ready.clone().judged(found, at(now)), ready);
        }
        assert_eq!(
            status(Condition::Stopped).health(Some(&unwell), at(110)),
            None
        );
    }

    #[test]
    fn an_answer_is_shown_with_its_times_and_what_to_do() {
        let unwell = health(Fitness::Unwell);
        let told = shown(Known::Found(&unwell), true);
        assert_eq!(told.fitness, "unwell");
        assert_eq!(told.remedy.as_deref(), Some(Fitness::Unwell.remedy()));
        assert_eq!(told.since, Some(at(0).to_string()));
        assert_eq!(told.asked_at, Some(at(100).to_string()));
        let fit = health(Fitness::Fit);
        let told = shown(Known::Found(&fit), true);
        assert_eq!((told.why, told.remedy), (None, None));
    }
}

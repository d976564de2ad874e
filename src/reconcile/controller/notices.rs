//! What is worth telling: from conditions before and after, and from what is true of the source, to notices. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::board::Stands;
use super::follow::Bad;
use crate::edge::database::revision_id;
use crate::model::condition::{ChallengeCondition, ConditionType, Conditions, Truth};
use crate::model::notice::{Notice, NoticeClass, Subject};
use crate::model::{Key, Revision, Slug};
use crate::reconcile::live::Why;
use crate::reconcile::plan::Guard;
use crate::reconcile::render::{guards_hold, mask};
use crate::reconcile::status::conditions::FIGHT;

/// Keys that one note names; the rest is counted.
const MAX_NAMED: usize = 5;

/// The word for an image that is not tried again, while an earlier one runs.
const ROLLED_BACK: &str = "RolledBack";
/// The word for a revision that everything is as declared by.
pub const CONVERGED: &str = "Converged";

/// What is true of the platform as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matters {
    /// The revision that is kept.
    pub kept: Option<Revision>,
    /// Whether everything is as it declares.
    pub is_done: bool,
    /// The newest revision that everything was seen to be as declared by.
    pub converged: Option<Revision>,
    /// What is newer and cannot be used.
    pub bad: Option<Bad>,
    /// The guards that hold a newer revision.
    pub guards: Vec<Guard>,
    /// The revision that they hold.
    pub guarded: Option<Revision>,
    /// Why not everything can be seen.
    pub blindness: Option<Why>,
}

/// Returns what is told of a challenge whose conditions changed.
#[must_use]
pub fn of_conditions(
    about: &Subject,
    before: Option<&Conditions>,
    after: &Conditions,
    now: Timestamp,
) -> Vec<Notice> {
    let changed = after.of.iter().filter_map(|(of, condition)| {
        let old = before.and_then(|before| before.of.get(of));
        let (reason, class) = told(*of, old, condition)?;
        let note = match condition.message.is_empty() {
            true => reason.to_owned(),
            false => condition.message.clone(),
        };
        Some(Notice {
            about: about.clone(),
            reason,
            class,
            note,
            revision: Some(condition.revision.clone()),
            at: now,
        })
    });
    changed.collect()
}

/// Returns the word for a change of a condition, and what it means, if it is worth telling.
fn told(
    of: ConditionType,
    old: Option<&ChallengeCondition>,
    new: &ChallengeCondition,
) -> Option<(&'static str, NoticeClass)> {
    use ConditionType as Type;
    use NoticeClass::{Drift, Failure, Progress, Success};
    let before = old.map(|old| old.status);
    if before == Some(new.status) {
        return None;
    }
    let was_so = before == Some(Truth::True);
    Some(match (of, new.status) {
        (Type::Ready, Truth::True) => ("Ready", Progress),
        (Type::Ready, Truth::Unknown) if new.reason == "NotRead" => ("NotRead", Failure),
        (Type::Ready, Truth::False) if new.reason == "Stopped" && was_so => ("Stopped", Progress),
        // That a new one begins needs no telling.
        (Type::Progressing, Truth::True) if old.is_some() => ("Progressing", Progress),
        (Type::Held, Truth::True) if new.reason == ROLLED_BACK => (ROLLED_BACK, Failure),
        (Type::Held, Truth::True) => ("Held", Failure),
        (Type::Held, Truth::False) if was_so => ("Released", Success),
        (Type::Drifted, Truth::True) if new.reason == FIGHT => (FIGHT, Drift),
        (Type::Drifted, Truth::True) => ("Drifted", Drift),
        (Type::Drifted, Truth::False) if was_so => ("DriftGone", Drift),
        (Type::Suspended, Truth::True) => ("Suspended", Progress),
        (Type::Suspended, Truth::False) if was_so => ("Resumed", Progress),
        (Type::Stalled, Truth::True) => ("Stalled", Failure),
        (Type::Stalled, Truth::False) if was_so => ("Recovered", Success),
        _ => return None,
    })
}

/// Returns that what others had changed of a challenge was put right.
#[must_use]
pub fn of_correction(
    about: &Subject,
    keys: &BTreeSet<Key>,
    revision: Option<String>,
    now: Timestamp,
) -> Notice {
    let named: Vec<String> = keys.iter().take(MAX_NAMED).map(Key::to_string).collect();
    let rest = match keys.len() - named.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let note = format!(
        "changed by somebody else and put right: {}{rest}",
        named.join(", ")
    );
    Notice {
        about: about.clone(),
        reason: "DriftCorrected",
        class: NoticeClass::Drift,
        note: mask::line(&note),
        revision,
        at: now,
    }
}

/// Returns what is told of the platform as a whole.
#[must_use]
pub fn of_matters(before: &Matters, after: &Matters, now: Timestamp) -> Vec<Notice> {
    use NoticeClass::{Failure, Success};
    let mut notices = Vec::new();
    let id = |revision: Option<&Revision>| revision.map(|r| revision_id(r).to_owned());
    let mut tell = |reason, class, note: &str, revision: Option<&Revision>| {
        notices.push(Notice {
            about: Subject::Platform,
            reason,
            class,
            note: mask::line(note),
            revision: id(revision),
            at: now,
        });
    };
    let kept = after.kept.as_ref();
    let why = |bad: &Bad| (bad.revision.clone(), bad.why.clone());
    if before.bad.as_ref().map(why) != after.bad.as_ref().map(why) {
        match &after.bad {
            Some(bad) => tell("SourceRefused", Failure, &bad.why, bad.revision.as_ref()),
            None => tell(
                "SourceAccepted",
                Success,
                "the source can be used again",
                kept,
            ),
        }
    }
    if before.guards != after.guards {
        match guards_hold(&after.guards) {
            Some(why) => tell("GuardHolds", Failure, &why, after.guarded.as_ref()),
            None => tell(
                "GuardPassed",
                Success,
                "no guard holds a revision any more",
                kept,
            ),
        }
    }
    if before.blindness.is_some() != after.blindness.is_some() {
        match &after.blindness {
            Some(why) => tell("Blind", Failure, &why.0, kept),
            None => tell("SeesAgain", Success, "everything can be seen again", kept),
        }
    }
    if let Some(revision) = &after.converged
        && id(before.converged.as_ref()) != id(Some(revision))
    {
        let note = format!("everything is as {revision} declares it");
        tell(CONVERGED, Success, &note, Some(revision));
    }
    notices
}

/// Returns what a notice about a challenge is about.
#[must_use]
pub fn subject(slug: &Slug, stands: Option<&Stands>) -> Subject {
    let workload = stands.and_then(|stands| stands.status.workload.clone());
    Subject::Challenge {
        slug: slug.clone(),
        object: workload.map(|workload| (workload.key, workload.uid)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn conditions(statuses: &[(ConditionType, Truth, &str)]) -> Conditions {
        let condition = |(of, status, reason): &(ConditionType, Truth, &str)| {
            let condition = ChallengeCondition {
                status: *status,
                reason: (*reason).to_owned(),
                message: format!("{reason} it is"),
                since: Timestamp::UNIX_EPOCH,
                revision: "r".to_owned(),
            };
            (*of, condition)
        };
        Conditions {
            of: statuses.iter().map(condition).collect::<BTreeMap<_, _>>(),
            progress: None,
        }
    }

    fn words(before: Option<&Conditions>, after: &Conditions) -> Vec<&'static str> {
        let about = Subject::Platform;
        let told = of_conditions(&about, before, after, Timestamp::UNIX_EPOCH);
        told.iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        use ConditionType::{Drifted, Held, Progressing, Ready, Stalled};
        let first = conditions(&[
            (Ready, Truth::False, "Applying"),
            (Progressing, Truth::True, "Applying"),
            (Held, Truth::False, "AsDeclared"),
            (Stalled, Truth::False, "AsDeclared"),
        ]);
        assert_eq!(words(None, &first), [""; 0]);
        assert_eq!(words(Some(&first), &first), [""; 0]);
        let bad = conditions(&[
            (Ready, Truth::Unknown, "NotRead"),
            (Progressing, Truth::True, "NotReady"),
            (Held, Truth::True, ROLLED_BACK),
            (Drifted, Truth::True, FIGHT),
            (Stalled, Truth::True, "BackOff"),
        ]);
        let told = words(Some(&first), &bad);
        assert_eq!(told, ["NotRead", ROLLED_BACK, "Fight", "Stalled"]);
        let good = conditions(&[
            (Ready, Truth::True, "AsDeclared"),
            (Progressing, Truth::False, "AtRest"),
            (Held, Truth::False, "AsDeclared"),
            (Drifted, Truth::False, "AsDeclared"),
            (Stalled, Truth::False, "AsDeclared"),
        ]);
        let told = words(Some(&bad), &good);
        assert_eq!(told, ["Ready", "Released", "DriftGone", "Recovered"]);
    }

    #[test]
    fn a_bad_revision_is_told_once_and_its_end_too() {
        let now = Timestamp::UNIX_EPOCH;
        let revision = |digit: char| Revision {
            digest: digit.to_string(),
            commit: None,
        };
        let fine = Matters {
            converged: Some(revision('a')),
            ..Matters::default()
        };
        let words = |before: &Matters, after: &Matters| {
            let told = of_matters(before, after, now);
            told.iter().map(|notice| notice.reason).collect::<Vec<_>>()
        };
        assert_eq!(words(&Matters::default(), &fine), ["Converged"]);
        let bad = Matters {
            bad: Some(Bad {
                revision: None,
                why: "https://a:canary@h/ is away\nand gone".to_owned(),
                since: now,
            }),
            ..fine.clone()
        };
        let told = of_matters(&fine, &bad, now);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].is_warning() && !told[0].note.contains("canary"),
            "{told:?}"
        );
        assert_eq!(words(&bad, &bad), [""; 0]);
        assert_eq!(words(&bad, &fine), ["SourceAccepted"]);
    }

    #[test]
    fn a_correction_names_few_keys() {
        let key =
            |name: &str| Key::Row(crate::model::RowKey::Challenge(Slug::parse(name).unwrap()));
        let keys: BTreeSet<Key> = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"].map(key).into();
        let notice = of_correction(&Subject::Platform, &keys, None, Timestamp::UNIX_EPOCH);
        assert!(
            notice.note.ends_with("registry ee and 2 more"),
            "{}",
            notice.note
        );
        assert!(!notice.is_warning());
    }
}

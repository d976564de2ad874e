//! When a condition holds, since when, and what a look from outside leaves as it was.

use super::*;
use crate::spec::platform::Status;

const DEADLINE: Duration = Duration::from_secs(600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn status(condition: Condition, why: &[(Word, &str)], left: usize) -> ChallengeStatus {
    ChallengeStatus {
        declared: Some(Status::Active),
        share: "100.00 %".to_owned(),
        image: String::new(),
        version: String::new(),
        wanted: 8,
        there: 8,
        condition,
        why: why
            .iter()
            .map(|(word, text)| Reason::new(*word, *text))
            .collect(),
        left,
        workload: None,
    }
}

fn ready_status() -> ChallengeStatus {
    status(Condition::Ready, &[], 0)
}

fn unready() -> ChallengeStatus {
    let why = [(Word::NotReady, "StatefulSet challenge-a 0/1 ready")];
    status(Condition::Progressing, &why, 1)
}

struct Walk {
    conditions: Option<Conditions>,
    revision: &'static str,
}

impl Walk {
    fn new() -> Self {
        Self {
            conditions: None,
            revision: "r1",
        }
    }

    fn look(&mut self, second: i64, status: &ChallengeStatus, kept: Option<&Kept>) -> &Conditions {
        let found = Found {
            status,
            kept,
            revision: self.revision,
            deadline: DEADLINE,
            now: at(second),
        };
        let now = conditions(self.conditions.as_ref(), &found);
        assert_eq!(now.of.len(), ConditionType::ALL.len());
        // A second look at the same moment finds the same.
        assert_eq!(conditions(Some(&now), &found), now);
        self.conditions.insert(now)
    }
}

/// Returns the statuses as six letters, in the order of the types.
fn letters(conditions: &Conditions) -> String {
    let letter = |condition: &ChallengeCondition| condition.status.as_str().chars().next();
    conditions.of.values().filter_map(letter).collect()
}

#[test]
fn each_word_of_a_status_makes_its_conditions() {
    let none = Kept::default();
    for (condition, why, letters_now, word) in [
        (Condition::Ready, &[][..], "TFFFFF", AS_DECLARED),
        (Condition::Stopped, &[], "FFFFFF", "Stopped"),
        (
            Condition::Progressing,
            &[(Word::Applying, "2 to apply")],
            "FTFFFF",
            "Applying",
        ),
        (
            Condition::Held,
            &[(Word::Applying, "1 to apply"), (Word::Refused, "x")],
            "FTTFFF",
            "Refused",
        ),
        (
            Condition::Held,
            &[(Word::Drifted, "x")],
            "FFFTFF",
            "Drifted",
        ),
        (
            Condition::Suspended,
            &[(Word::Suspended, "by ada")],
            "UFFFTF",
            "Suspended",
        ),
        (
            Condition::Unknown,
            &[(Word::NotRead, "away"), (Word::Refused, "x")],
            "UUTUUF",
            "NotRead",
        ),
        (
            Condition::Removed,
            &[(Word::Kept, "1 kept")],
            "FFFFFF",
            "Removed",
        ),
    ] {
        let mut walk = Walk::new();
        let now = walk.look(0, &status(condition, why, 1), Some(&none));
        assert_eq!(letters(now), letters_now, "{condition:?}");
        assert_eq!(now.of[&ConditionType::Ready].reason, word, "{condition:?}");
        let (of, truth) = telling(condition);
        let told = now.of[&of].status == truth || now.holds(ConditionType::Drifted);
        assert!(told, "{condition:?}");
    }
}

#[test]
fn the_time_moves_only_with_the_status() {
    let (mut walk, none) = (Walk::new(), Kept::default());
    walk.look(0, &unready(), Some(&none));
    let other = [(Word::Waiting, "StatefulSet challenge-a waits")];
    let other = status(Condition::Progressing, &other, 1);
    walk.revision = "r2";
    let now = walk.look(5, &other, Some(&none));
    let progressing = &now.of[&ConditionType::Progressing];
    assert_eq!(
        (progressing.since, progressing.reason.as_str()),
        (at(0), "Waiting")
    );
    assert_eq!(progressing.revision, "r2");
    let now = walk.look(9, &ready_status(), Some(&none));
    assert_eq!(now.of[&ConditionType::Progressing].since, at(9));
    assert_eq!(now.of[&ConditionType::Ready].since, at(9));
    assert_eq!(now.of[&ConditionType::Held].since, at(0));
}

#[test]
fn what_makes_no_progress_before_the_deadline_is_stalled() {
    let (mut walk, none) = (Walk::new(), Kept::default());
    let two = status(Condition::Progressing, &[(Word::Applying, "2 to apply")], 2);
    walk.look(0, &two, Some(&none));
    let now = walk.look(500, &unready(), Some(&none));
    assert_eq!(stalls_at(now, DEADLINE), Some(at(1100)), "less is left");
    assert!(
        !walk
            .look(1099, &unready(), Some(&none))
            .holds(ConditionType::Stalled)
    );
    let now = walk.look(1100, &unready(), Some(&none));
    assert!(now.holds(ConditionType::Stalled) && now.holds(ConditionType::Progressing));
    let stalled = &now.of[&ConditionType::Stalled];
    assert_eq!(stalled.reason, "DeadlineExceeded");
    assert_eq!(
        stalled.message,
        "no progress since 2026-01-01T00:08:20Z: StatefulSet challenge-a 0/1 ready"
    );
    assert_eq!(stalls_at(now, DEADLINE), None);
    walk.revision = "r2";
    assert!(
        !walk
            .look(1200, &unready(), Some(&none))
            .holds(ConditionType::Stalled)
    );
    walk.look(1300, &ready_status(), Some(&none));
    let now = walk.look(1900, &unready(), Some(&none));
    assert_eq!(stalls_at(now, DEADLINE), Some(at(2500)), "it begins anew");
}

#[test]
fn an_outage_is_no_lack_of_progress() {
    let (mut walk, none) = (Walk::new(), Kept::default());
    let away = status(Condition::Unknown, &[(Word::NotRead, "away")], 0);
    walk.look(0, &unready(), Some(&none));
    walk.look(300, &away, Some(&none));
    let now = walk.look(900, &unready(), Some(&none));
    assert_eq!(stalls_at(now, DEADLINE), Some(at(1500)));
}

#[test]
fn failures_without_end_and_fights_are_told() {
    let mut walk = Walk::new();
    let why = Why::from("Service a is changed back");
    let fought = Kept {
        fight: Some(why),
        is_exhausted: true,
        is_frozen: true,
    };
    let now = walk.look(0, &ready_status(), Some(&fought));
    assert_eq!(letters(now), "TFTTFT");
    let word = |of| now.of[&of].reason.as_str();
    assert_eq!(word(ConditionType::Drifted), FIGHT);
    assert_eq!(word(ConditionType::Stalled), "BackOff");
    assert_eq!(word(ConditionType::Held), "Frozen");
    let now = walk.look(1, &ready_status(), None);
    assert_eq!(
        letters(now),
        "TFTTFT",
        "nobody else can tell that it is over"
    );
    let now = walk.look(2, &ready_status(), Some(&Kept::default()));
    assert_eq!(letters(now), "TFFFFF");
}

#[test]
fn a_message_is_one_short_line_without_passwords() {
    let text = format!("postgres://a:canary@h/db\n{}", "x".repeat(900));
    let refused = status(Condition::Held, &[(Word::Refused, &text)], 0);
    let mut walk = Walk::new();
    let now = walk.look(0, &refused, None);
    let message = &now.of[&ConditionType::Held].message;
    assert!(
        !message.contains("canary") && !message.contains('\n'),
        "{message}"
    );
    assert!(message.len() < 1024, "{}", message.len());
}

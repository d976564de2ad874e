//! How it goes with each commit that is spoken of: the one that is kept, one that a guard holds, one that cannot be
//! used. Pure.

use super::commit_status::{CommitState, Outlook};
use super::notices::Matters;
use crate::edge::database::revision_id;
use crate::model::Revision;
use crate::model::condition::{AllConditions, ConditionType};
use crate::reconcile::render::guards_hold;

/// Returns how it goes with each commit; a source without commits has none.
#[must_use]
pub fn outlooks(matters: &Matters, known: &AllConditions) -> Vec<Outlook> {
    let mut outlooks = Vec::new();
    let mut add = |revision: Option<&Revision>, state, description: String| {
        let commit = revision.and_then(|revision| revision.commit.as_ref());
        outlooks.extend(commit.map(|commit| Outlook {
            commit: commit.id.clone(),
            state,
            description,
        }));
    };
    let (state, description) = of_kept(matters, known);
    add(matters.kept.as_ref(), state, description);
    if let Some(bad) = &matters.bad {
        add(bad.revision.as_ref(), CommitState::Failure, bad.why.clone());
    }
    if let Some(description) = guards_hold(&matters.guards) {
        add(matters.guarded.as_ref(), CommitState::Pending, description);
    }
    outlooks
}

fn of_kept(matters: &Matters, known: &AllConditions) -> (CommitState, String) {
    let revision = matters.kept.as_ref().map(revision_id);
    let failing = known.iter().find_map(|(slug, conditions)| {
        let types = [ConditionType::Stalled, ConditionType::Held];
        let mut held = types.into_iter().filter(|of| conditions.holds(*of));
        let condition = held.find_map(|of| conditions.of.get(&of))?;
        // What was found for another revision says nothing of this one; a freeze window ends.
        let counts = Some(condition.revision.as_str()) == revision && condition.reason != "Frozen";
        counts.then(|| format!("{slug}: {}", condition.message))
    });
    match (matters.is_done, failing) {
        (true, _) => {
            let count = known.len();
            let description = format!("{count} challenges are as it declares them");
            (CommitState::Success, description)
        }
        (false, Some(why)) => (CommitState::Failure, why),
        (false, None) => (CommitState::Pending, "being brought about".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::model::Slug;
    use crate::model::condition::{ChallengeCondition, Conditions, Truth};
    use crate::model::revision::Commit;
    use crate::reconcile::controller::follow::Bad;
    use crate::reconcile::plan::Guard;

    fn revision(id: &str) -> Option<Revision> {
        Some(Revision {
            digest: "d".to_owned(),
            commit: Some(Commit {
                id: id.to_owned(),
                subject: String::new(),
            }),
        })
    }

    fn stalled(revision: &str) -> AllConditions {
        let condition = ChallengeCondition {
            status: Truth::True,
            reason: "BackOff".to_owned(),
            message: "0/1 ready".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            revision: revision.to_owned(),
        };
        let conditions = Conditions {
            of: BTreeMap::from([(ConditionType::Stalled, condition)]),
            progress: None,
        };
        AllConditions::from([(Slug::parse("prism").unwrap(), conditions)])
    }

    #[test]
    fn each_commit_that_is_spoken_of_has_its_state() {
        let kept = Matters {
            kept: revision("one"),
            ..Matters::default()
        };
        let told = |matters: &Matters, known: &AllConditions| {
            let outlooks = outlooks(matters, known).into_iter();
            outlooks.map(|o| (o.commit, o.state)).collect::<Vec<_>>()
        };
        let one = |state| ("one".to_owned(), state);
        let none = AllConditions::new();
        assert_eq!(told(&kept, &none), [one(CommitState::Pending)]);
        assert_eq!(told(&kept, &stalled("zero")), [one(CommitState::Pending)]);
        assert_eq!(told(&kept, &stalled("one")), [one(CommitState::Failure)]);
        let newer = Matters {
            is_done: true,
            bad: Some(Bad {
                revision: revision("two"),
                why: "platform.yaml:1: no".to_owned(),
                since: Timestamp::UNIX_EPOCH,
            }),
            guards: vec![Guard::Freeze {
                until: "tomorrow".to_owned(),
                why: "holidays".to_owned(),
            }],
            guarded: revision("three"),
            ..kept
        };
        let all = [
            one(CommitState::Success),
            ("two".to_owned(), CommitState::Failure),
            ("three".to_owned(), CommitState::Pending),
        ];
        assert_eq!(told(&newer, &none), all);
        let without = Matters {
            kept: Some(Revision {
                digest: "d".to_owned(),
                commit: None,
            }),
            ..Matters::default()
        };
        assert_eq!(told(&without, &none), []);
    }
}

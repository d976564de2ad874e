//! Cases about conditions: written together, replaced whole, gone with their challenge.

use std::collections::BTreeSet;

use super::*;
use crate::model::condition::{
    AllConditions, ChallengeCondition, ConditionType, Conditions, Progress, Truth,
};

fn conditions(second: i64, message: &str, progress: Option<Progress>) -> Conditions {
    let condition = |of: ConditionType| ChallengeCondition {
        status: match of {
            ConditionType::Ready => Truth::Unknown,
            ConditionType::Progressing => Truth::True,
            _ => Truth::False,
        },
        reason: format!("Because{}", of.as_str()),
        message: message.to_owned(),
        since: at(second),
        revision: "3f2a9c1".to_owned(),
    };
    Conditions {
        of: ConditionType::ALL
            .into_iter()
            .map(|of| (of, condition(of)))
            .collect(),
        progress,
    }
}

pub(super) async fn conditions_read_back_as_written_and_the_newest_holds(world: World) {
    let database = world.open().await;
    assert_eq!(database.conditions().await.unwrap(), AllConditions::new());
    let progress = Progress { left: 3, at: at(2) };
    let mut all = AllConditions::from([
        (
            slug("prism"),
            conditions(1, "quotes ' \" \\ $1 ?1 \u{1f600}", Some(progress)),
        ),
        (slug("other"), conditions(2, "", None)),
    ]);
    let none = BTreeSet::new();
    let written = database.write_conditions(UNTAKEN, &all, &none);
    written.await.unwrap();
    assert_eq!(database.conditions().await.unwrap(), all);
    let newer = AllConditions::from([(slug("prism"), conditions(9, "later", None))]);
    let written = database.write_conditions(UNTAKEN, &newer, &none);
    written.await.unwrap();
    all.extend(newer);
    assert_eq!(
        database.conditions().await.unwrap(),
        all,
        "progress is over too"
    );
    let gone = BTreeSet::from([slug("prism"), slug("never-there")]);
    let nothing = AllConditions::new();
    let written = database.write_conditions(UNTAKEN, &nothing, &gone);
    written.await.unwrap();
    all.remove(&slug("prism"));
    assert_eq!(database.conditions().await.unwrap(), all);
    database.take_fence(at(0)).await.unwrap();
    let gone = BTreeSet::from([slug("other")]);
    let late = database.write_conditions(UNTAKEN, &nothing, &gone).await;
    assert!(
        matches!(late, Err(DatabaseError::Fenced { .. })),
        "{late:?}"
    );
    assert_eq!(database.conditions().await.unwrap(), all);
}

pub(super) async fn conditions_of_a_thousand_challenges_are_one_write(world: World) {
    let database = world.open().await;
    let long = "x\0".repeat(2000);
    let all: AllConditions = (0..1000)
        .map(|number| {
            (
                slug(&format!("c-{number}")),
                conditions(number, &long, None),
            )
        })
        .collect();
    database
        .write_conditions(UNTAKEN, &all, &BTreeSet::new())
        .await
        .unwrap();
    let kept = database.conditions().await.unwrap();
    assert_eq!(kept.len(), 1000);
    let message = &kept[&slug("c-7")].of[&ConditionType::Ready].message;
    assert_eq!(message.chars().count(), 1000, "cut and never refused");
    assert!(!message.contains('\0'));
}

pub(super) async fn a_condition_that_cannot_be_named_is_no_answer(world: World) {
    let database = world.open().await;
    let all = AllConditions::from([(slug("prism"), conditions(1, "", None))]);
    database
        .write_conditions(UNTAKEN, &all, &BTreeSet::new())
        .await
        .unwrap();
    world
        .ask("update challenge_conditions set type = 'Later' where type = 'Ready'")
        .await;
    let error = database.conditions().await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unreadable { .. }), "{error}");
}

//! Cases about how challenges were found: one row each, the newest holds, gone with their challenge.

use std::collections::BTreeSet;

use super::*;
use crate::model::health::{AllHealth, Fitness, Health};

fn health(fitness: Fitness, second: i64) -> Health {
    Health {
        fitness,
        why: "its health: quotes ' \" \\ $1 ?1 \u{1f600}".to_owned(),
        since: at(second),
        asked_at: at(second + 60),
        holds_until: at(second + 240),
        version: "1.2.0+build.7".to_owned(),
    }
}

pub(super) async fn how_a_challenge_was_found_reads_back_and_the_newest_holds(world: World) {
    let database = world.open().await;
    assert_eq!(database.health().await.unwrap(), AllHealth::new());
    let none = BTreeSet::new();
    let words = [
        Fitness::Fit,
        Fitness::NoAnswer,
        Fitness::Unwell,
        Fitness::Mismatched,
    ];
    let mut all: AllHealth = (1..)
        .zip(words)
        .map(|(second, word)| {
            (
                slug(word.as_str().replace('_', "-").as_str()),
                health(word, second),
            )
        })
        .collect();
    database.write_health(&all, &none).await.unwrap();
    assert_eq!(database.health().await.unwrap(), all);
    let newer = AllHealth::from([(slug("fit"), health(Fitness::Unwell, 9))]);
    let gone = BTreeSet::from([slug("unwell"), slug("never-there")]);
    database.write_health(&newer, &gone).await.unwrap();
    all.extend(newer);
    all.remove(&slug("unwell"));
    assert_eq!(database.health().await.unwrap(), all);
    database
        .write_health(&AllHealth::new(), &none)
        .await
        .unwrap();
    assert_eq!(database.health().await.unwrap(), all);
}

pub(super) async fn how_a_thousand_challenges_were_found_is_one_row_each(world: World) {
    let database = world.open().await;
    let all: AllHealth = (0..1000)
        .map(|number| {
            let found = Health {
                why: "x\0".repeat(2000),
                ..health(Fitness::NoAnswer, number)
            };
            (slug(&format!("c-{number}")), found)
        })
        .collect();
    for _ in 0..3 {
        database.write_health(&all, &BTreeSet::new()).await.unwrap();
    }
    let kept = database.health().await.unwrap();
    assert_eq!(kept.len(), 1000);
    let why = &kept[&slug("c-7")].why;
    assert_eq!(why.chars().count(), 300, "cut and never refused");
    assert!(!why.contains('\0'));
}

pub(super) async fn a_fitness_that_cannot_be_named_is_no_answer(world: World) {
    let database = world.open().await;
    let all = AllHealth::from([(slug("prism"), health(Fitness::Fit, 1))]);
    database.write_health(&all, &BTreeSet::new()).await.unwrap();
    world
        .ask("update challenge_health set fitness = 'later'")
        .await;
    let error = database.health().await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unreadable { .. }), "{error}");
}

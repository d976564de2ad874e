//! Cases about acts and suspensions: in force at once, kept with who and when, bounded.

use super::*;
use crate::model::act::{Act, ActKind, ActRecord};

pub(super) fn act(kind: ActKind, name: Option<&str>, second: i64) -> Act {
    Act {
        kind,
        slug: name.map(slug),
        why: (kind == ActKind::Suspend).then(|| format!("because \"{second}\"\0")),
        actor: "ada@host".to_owned(),
        at: at(second),
    }
}

pub(super) async fn a_challenge_is_suspended_until_it_is_resumed(world: World) {
    let database = world.open().await;
    assert!(database.suspensions(&Scope::All).await.unwrap().is_empty());
    for (kind, name) in [
        (ActKind::Suspend, "prism"),
        (ActKind::Suspend, "other"),
        (ActKind::Resume, "other"),
        (ActKind::Resume, "never-suspended"),
    ] {
        database.act(&act(kind, Some(name), 1)).await.unwrap();
    }
    let suspended = database.suspensions(&Scope::All).await.unwrap();
    assert_eq!(suspended.keys().collect::<Vec<_>>(), [&slug("prism")]);
    let prism = &suspended[&slug("prism")];
    assert_eq!(prism.why, "because \"1\"\u{fffd}");
    assert_eq!((prism.actor.as_str(), prism.since), ("ada@host", at(1)));
    database
        .act(&act(ActKind::Suspend, Some("prism"), 7))
        .await
        .unwrap();
    let suspended = database.suspensions(&Scope::All).await.unwrap();
    assert_eq!(
        suspended[&slug("prism")].since,
        at(7),
        "the newest reason holds"
    );
}

pub(super) async fn the_controller_is_suspended_apart_from_every_challenge(world: World) {
    let database = world.open().await;
    let suspension = async || database.controller_suspension().await.unwrap();
    assert_eq!(suspension().await, None);
    for (name, second) in [(Some("prism"), 1), (None, 2), (None, 3)] {
        let act = act(ActKind::Suspend, name, second);
        database.act(&act).await.unwrap();
    }
    let kept = suspension().await.unwrap();
    assert_eq!((kept.actor.as_str(), kept.since), ("ada@host", at(3)));
    let only = Scope::Only([slug("prism")].into());
    for scope in [Scope::All, only] {
        let suspended = database.suspensions(&scope).await.unwrap();
        assert_eq!(suspended.keys().collect::<Vec<_>>(), [&slug("prism")]);
    }
    let resume = |name| act(ActKind::Resume, name, 4);
    database.act(&resume(Some("prism"))).await.unwrap();
    assert!(suspension().await.is_some(), "only the challenge goes on");
    database.act(&resume(None)).await.unwrap();
    assert_eq!(suspension().await, None);
    let acts = database.acts(10).await.unwrap();
    assert_eq!(acts.len(), 5);
    assert!(acts.iter().all(|act| act.outcome.is_some()));
}

pub(super) async fn acts_are_kept_with_who_when_and_what_came_of_them(world: World) {
    let database = world.open().await;
    let mut ids = Vec::new();
    for (kind, name) in [
        (ActKind::Suspend, Some("prism")),
        (ActKind::Reconcile, Some("prism")),
        (ActKind::Resolve, None),
    ] {
        ids.push(database.act(&act(kind, name, 1)).await.unwrap());
    }
    let pending = database.pending_acts().await.unwrap();
    let numbers: Vec<i64> = pending.iter().map(|act| act.id).collect();
    assert_eq!(numbers, ids[1..], "a suspension needs nobody to take it up");
    database.end_act(ids[1], "looked at", at(3)).await.unwrap();
    database.end_act(ids[1], "twice", at(4)).await.unwrap();
    assert_eq!(database.pending_acts().await.unwrap().len(), 1);
    let kept = database.acts(10).await.unwrap();
    assert_eq!(kept.len(), 3);
    let expected = ActRecord {
        id: ids[1],
        kind: ActKind::Reconcile,
        slug: Some(slug("prism")),
        why: None,
        actor: "ada@host".to_owned(),
        at: at(1),
        outcome: Some("looked at".to_owned()),
        ended_at: Some(at(3)),
    };
    assert_eq!(kept[1], expected);
    assert_eq!(kept[2].outcome.as_deref(), Some("done"));
    assert_eq!(kept[2].ended_at, Some(at(1)));
    assert_eq!(database.acts(1).await.unwrap().len(), 1);
}

pub(super) async fn a_suspension_of_a_challenge_that_cannot_be_named_is_no_answer(world: World) {
    let database = world.open().await;
    database
        .act(&act(ActKind::Suspend, Some("prism"), 1))
        .await
        .unwrap();
    world.ask("update suspensions set slug = 'No Slug'").await;
    let error = database.suspensions(&Scope::All).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unreadable { .. }), "{error}");
}

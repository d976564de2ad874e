//! What holds for every plan, whatever is declared and whatever is there.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{agreeing, unlist};
use super::{desired, plan};
use crate::model::{Component, Item, Key, Kind};
use crate::reconcile::desired::fixture::{challenge, deployed};
use crate::reconcile::desired::{Desired, Presence};
use crate::reconcile::live::{Live, Readiness, Seen, Why};
use crate::reconcile::plan::digest::plan_digest;
use crate::reconcile::plan::{Action, Held, Plan};
use crate::spec::platform::{Challenge, Database, Drift, Status};

/// Checks one plan.
pub fn check(wanted: &Desired, live: &Live, made: &Plan) {
    let again = plan(wanted, live, &[]);
    assert_eq!(made, &again);
    assert_eq!(plan_digest(made), plan_digest(&again));
    each_wanted_key_is_told_once(wanted, made);
    for step in &made.steps {
        assert_is_ours(&step.key, wanted, live);
        if let Action::Delete { .. } = step.action {
            assert_may_be_deleted(&step.key, wanted, live);
        }
    }
}

fn each_wanted_key_is_told_once(wanted: &Desired, made: &Plan) {
    let mut told: BTreeSet<&Key> = BTreeSet::new();
    let keys = made.steps.iter().map(|step| &step.key);
    for key in keys.chain(made.held.iter().filter_map(Held::key)) {
        assert!(told.insert(key), "{key} is told twice");
    }
    let silent = wanted.items.iter().filter(|(key, _)| !told.contains(key));
    let required = silent
        .clone()
        .filter(|(_, wanted)| wanted.presence == Presence::Required);
    assert!(required.count() <= made.unchanged);
    assert!(silent.count() >= made.unchanged);
}

fn assert_is_ours(key: &Key, wanted: &Desired, live: &Live) {
    let is_ours = match live.seen.get(key) {
        Some(Seen::Object(observed)) => {
            observed.owner.is_some() || key.object().unwrap().kind == Kind::Namespace
        }
        Some(Seen::Row(_) | Seen::Absent { .. }) => true,
        Some(Seen::Unknown(_)) => false,
        None => wanted.items.contains_key(key),
    };
    assert!(is_ours, "{key} is not ours to touch");
}

fn assert_may_be_deleted(key: &Key, wanted: &Desired, live: &Live) {
    assert!(!wanted.items.contains_key(key), "{key} is wanted");
    let Some(object) = key.object() else {
        assert!(live.rows_unknown.is_none());
        return;
    };
    let place = (object.cluster.clone(), object.kind);
    assert!(
        !live.partial.contains_key(&place),
        "{key} is of a kind not listed"
    );
    assert_ne!(object.kind, Kind::PersistentVolumeClaim);
    let owner = live.object(object).unwrap().owner.as_ref().unwrap();
    assert!(!owner.component.keeps_data(), "{key} holds data");
    assert_ne!(owner.component, Component::ChallengePostgresSecret);
}

fn any_challenge(name: &'static str) -> impl Strategy<Value = Option<Challenge>> {
    let status = prop::sample::select(vec![
        Status::Active,
        Status::Active,
        Status::Inactive,
        Status::Draft,
    ]);
    let parts = (0..4u8, status, any::<bool>(), any::<bool>(), any::<bool>());
    parts.prop_map(move |(form, status, is_lite, has_env, reports)| {
        let mut any = match form {
            0 => return None,
            1 => deployed(name),
            _ => challenge(name),
        };
        any.status = status;
        if is_lite && form > 1 {
            any.database = Database::Sqlite;
        }
        if has_env {
            any.env.insert("LEVEL".to_owned(), "info".to_owned());
        }
        if reports {
            any.drift = Drift::Report;
        }
        Some(any)
    })
}

fn any_desired() -> impl Strategy<Value = Desired> {
    (
        any_challenge("one"),
        any_challenge("two"),
        any_challenge("three"),
    )
        .prop_map(|(one, two, three)| desired([one, two, three].into_iter().flatten()))
}

/// What goes wrong for one key, chosen by a number that is spread over the keys there are.
fn disturb(live: &mut Live, (which, how): (usize, u8)) {
    let keys: Vec<Key> = live.seen.keys().cloned().collect();
    let Some(key) = keys.get(which % keys.len().max(1)) else {
        return;
    };
    let kind = key.object().map(|key| key.kind);
    match (how, live.seen.get_mut(key)) {
        (0, Some(seen @ Seen::Object(_))) => *seen = Seen::Unknown(Why::from("cut")),
        (1, Some(Seen::Object(observed))) => observed.owner = None,
        (2, Some(Seen::Object(observed))) => observed.terminating = true,
        (3, Some(Seen::Object(observed))) => {
            observed.readiness = Readiness::NotReady("0/1 ready".to_owned());
        }
        (4, _) => {
            if let Some(kind) = kind.filter(|kind| *kind != Kind::Namespace) {
                unlist(live, kind, "cut");
            }
        }
        (5, _) => {
            live.seen.retain(|key, _| key.object().is_some());
            live.rows_unknown = Some(Why::from("cut"));
        }
        _ => {}
    }
}

/// Returns the world after all steps of a plan were done.
fn carried_out(wanted: &Desired, live: &Live, made: &Plan) -> Live {
    let mut after = live.clone();
    let done = agreeing(wanted, wanted);
    for step in &made.steps {
        match &step.action {
            Action::Delete { .. } => after.seen.remove(&step.key),
            Action::Create(_) | Action::Update { .. } => {
                let seen = done.seen[&step.key].clone();
                after.seen.insert(step.key.clone(), seen)
            }
        };
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_plan_keeps_the_rules(
        before in any_desired(),
        after in any_desired(),
        faults in prop::collection::vec((any::<usize>(), 0..8u8), 0..4),
    ) {
        let mut live = agreeing(&before, &after);
        for fault in faults {
            disturb(&mut live, fault);
        }
        check(&after, &live, &plan(&after, &live, &[]));
    }

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(before in any_desired(), after in any_desired()) {
        let live = agreeing(&before, &after);
        let made = plan(&after, &live, &[]);
        let rest = plan(&after, &carried_out(&after, &live, &made), &[]);
        // What waited for something that is ready by now comes next.
        let rest = plan(&after, &carried_out(&after, &carried_out(&after, &live, &made), &rest), &[]);
        prop_assert!(rest.is_empty(), "{:?}", rest);
    }

    #[test]
    fn a_removed_challenge_leaves_its_data(before in any_desired()) {
        let empty = desired([]);
        let live = agreeing(&before, &empty);
        let made = plan(&empty, &live, &[]);
        let retained: BTreeSet<&Key> = made
            .held
            .iter()
            .filter(|held| matches!(held, Held::Retained { .. }))
            .filter_map(Held::key)
            .collect();
        for (key, seen) in &live.seen {
            let Seen::Object(observed) = seen else { continue };
            let is_claim = key.object().unwrap().kind == Kind::PersistentVolumeClaim;
            let holds = observed.owner.as_ref().is_some_and(|owner| owner.component.keeps_data());
            prop_assert_eq!(retained.contains(key), is_claim || holds, "{}", key);
        }
    }

    #[test]
    fn no_password_is_made_where_data_is_or_may_be(
        before in any_desired(),
        after in any_desired(),
        is_unlisted in any::<bool>(),
    ) {
        let mut live = agreeing(&before, &after);
        let is_password = |key: &Key| key.to_string().ends_with("-postgres-secret");
        let absent = live.seen.iter_mut().filter(|(key, _)| is_password(key));
        for (_, seen) in absent {
            *seen = Seen::Absent { verdict: crate::reconcile::live::Verdict::Accepted };
        }
        if is_unlisted {
            unlist(&mut live, Kind::PersistentVolumeClaim, "cut");
        }
        let made = plan(&after, &live, &[]);
        for step in made.steps.iter().filter(|step| is_password(&step.key)) {
            prop_assert!(!is_unlisted, "{}", step.key);
            let Action::Create(Item::Generated(generated)) = &step.action else {
                panic!("{} is not made anew", step.key);
            };
            let crate::model::Recipe::Postgres { claim, .. } = &generated.recipe else {
                panic!("{} is no password", step.key);
            };
            let has_data = live.seen.keys().any(|key| {
                key.object().is_some_and(|key| key.name == *claim)
            });
            prop_assert!(!has_data, "{} beside its data", step.key);
        }
    }
}

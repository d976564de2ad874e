//! Plans of declarations against worlds made by hand.

mod cases;
mod properties;
mod tokens;
mod world;

use std::collections::BTreeMap;

use super::*;
use crate::model::{Emission, Row, RowKey};
use crate::reconcile::desired::build_desired;
use crate::reconcile::desired::fixture::{challenge, deployed, platform, slug};
use crate::reconcile::live::{Contents, Observed, Readiness, Seen, Verdict};
use crate::reconcile::resolve::Facts;
use crate::spec::platform::{Challenge, Freeze, Safety, Status};

fn with_emission(name: &str, emission: &str) -> Challenge {
    Challenge {
        emission: Emission::parse(emission).unwrap(),
        ..challenge(name)
    }
}

fn desired(challenges: impl IntoIterator<Item = Challenge>) -> Desired {
    build_desired(&platform(challenges), &Facts::default())
}

/// The world after everything wanted was done: rows as wanted, objects ours and ready.
fn settled(desired: &Desired) -> Live {
    let seen = |(key, wanted): (&Key, &crate::reconcile::desired::Wanted)| {
        let seen = match &wanted.item {
            Item::Row(row) => Seen::Row(row.clone()),
            Item::TokenRow | Item::Derived(_) => return None,
            item => Seen::Object(Box::new(Observed {
                contents: contents(item),
                ..observed(item.ownership().cloned())
            })),
        };
        Some((key.clone(), seen))
    };
    Live {
        seen: desired.items.iter().filter_map(seen).collect(),
        ..Live::default()
    }
}

/// A generated Secret that is complete.
fn contents(item: &Item) -> Option<Contents> {
    let Item::Generated(generated) = item else {
        return None;
    };
    let keys = generated.recipe.keys().iter();
    Some(Contents {
        keys: keys.map(|key| (*key).to_owned()).collect(),
        tokens: None,
        hashes: BTreeMap::new(),
    })
}

fn observed(owner: Option<crate::model::Ownership>) -> Observed {
    Observed {
        uid: "u".to_owned(),
        version: "1".to_owned(),
        standing: None,
        owner,
        readiness: Readiness::Ready,
        terminating: false,
        changes: Vec::new(),
        repair: None,
        verdict: Verdict::Same,
        foreign: Vec::new(),
        contents: None,
    }
}

fn request(only: &[&str]) -> Request {
    Request {
        revision: Revision {
            digest: "sha256:0".to_owned(),
            commit: None,
        },
        only: only.iter().map(|name| slug(name)).collect(),
        scope: Scope::All,
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn plan(desired: &Desired, live: &Live, only: &[&str]) -> Plan {
    plan_pass(&request(only), desired, live, &platform([]).safety)
}

/// Makes a plan inside a freeze window.
fn plan_frozen(desired: &Desired, live: &Live) -> Plan {
    let at = |text: &str| text.parse().unwrap();
    let window = Freeze {
        from: at("2026-01-01T00:00:00Z"),
        to: at("2026-01-02T00:00:00Z"),
        why: "rest".to_owned(),
    };
    let safety = Safety {
        freeze: vec![window],
        ..platform([]).safety
    };
    let request = Request {
        now: at("2026-01-01T12:00:00Z"),
        ..request(&[])
    };
    plan_pass(&request, desired, live, &safety)
}

fn shares(plan: &Plan) -> BTreeMap<&str, (&str, &str)> {
    let shares = plan.shares.iter();
    shares
        .map(|(slug, (before, after))| (slug.as_str(), (before.as_str(), after.as_str())))
        .collect()
}

#[test]
fn shares_of_a_narrowed_plan_are_those_it_leads_to() {
    let live = settled(&desired([
        with_emission("aa", "10"),
        with_emission("bb", "10"),
    ]));
    let desired = desired([with_emission("aa", "90"), with_emission("bb", "90")]);
    let whole = plan(&desired, &live, &[]);
    assert!(whole.shares.is_empty() && whole.guards.is_empty());
    let narrowed = plan(&desired, &live, &["aa"]);
    let moved = [
        ("aa", ("50.00 %", "90.00 %")),
        ("bb", ("50.00 %", "10.00 %")),
    ];
    assert_eq!(shares(&narrowed), BTreeMap::from(moved));
    let jump = |guard: &Guard| matches!(guard, Guard::EmissionChange { .. });
    assert!(narrowed.guards.iter().any(jump), "{:?}", narrowed.guards);
}

#[test]
fn no_share_is_told_while_the_rows_are_not_known() {
    let desired = desired([challenge("aa")]);
    let live = Live {
        rows_unknown: Some(Why::from("away")),
        ..Live::default()
    };
    assert!(plan(&desired, &live, &[]).shares.is_empty());
}

/// Marks an object as one that the server would refuse.
fn refuse(live: &mut Live, kind: Kind, name: &str) {
    let verdict = Verdict::Refused(Why::from("no"));
    live.seen
        .insert(Key::Object(object(kind, name)), Seen::Absent { verdict });
}

fn object(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        cluster: ClusterName::Local,
        kind,
        namespace: "platform".to_owned(),
        name: name.to_owned(),
    }
}

fn is_deleted(plan: &Plan, kind: Kind, name: &str) -> bool {
    let key = Key::Object(object(kind, name));
    let is_delete = |step: &Step| matches!(step.action, Action::Delete { .. });
    plan.steps
        .iter()
        .any(|step| step.key == key && is_delete(step))
}

#[test]
fn old_workload_stays_while_the_one_that_replaces_it_is_refused() {
    let before = settled(&desired([challenge("demo")]));
    let desired = desired([deployed("demo")]);
    let (set, name) = (Kind::StatefulSet, "challenge-demo");
    let mut live = before.clone();
    live.seen.extend(
        settled(&desired)
            .seen
            .into_iter()
            .filter(|(key, _)| !before.seen.contains_key(key)),
    );
    live.seen
        .remove(&Key::Object(object(Kind::Deployment, name)));
    let verdict = Verdict::Accepted;
    let deployment = Key::Object(object(Kind::Deployment, name));
    live.seen.insert(deployment, Seen::Absent { verdict });
    assert!(is_deleted(&plan(&desired, &live, &[]), set, name));

    refuse(&mut live, Kind::Deployment, name);
    let refused = plan(&desired, &live, &[]);
    assert!(!is_deleted(&refused, set, name));
    let waits = |held: &Held| matches!(held, Held::Waits { key, .. } if *key == Key::Object(object(set, name)));
    assert!(refused.held.iter().any(waits), "{:?}", refused.held);
}

#[test]
fn stopping_takes_the_workload_away_whatever_else_is_held() {
    let mut live = settled(&desired([challenge("demo")]));
    let stopped = Challenge {
        status: Status::Inactive,
        ..challenge("demo")
    };
    refuse(&mut live, Kind::NetworkPolicy, "challenge-demo");
    let plan = plan(&desired([stopped]), &live, &[]);
    assert!(is_deleted(&plan, Kind::StatefulSet, "challenge-demo"));
}

#[test]
fn everything_anew_beside_a_full_registry_needs_a_word() {
    let desired = desired([challenge("demo")]);
    let mut live = Live::default();
    for key in desired.items.keys().filter_map(Key::object) {
        let verdict = Verdict::Accepted;
        live.seen
            .insert(Key::Object(key.clone()), Seen::Absent { verdict });
    }
    let is_elsewhere = |plan: &Plan| {
        let is_it = |guard: &Guard| matches!(guard, Guard::Elsewhere { challenges: 1, .. });
        plan.guards.iter().any(is_it)
    };
    assert!(!is_elsewhere(&plan(&desired, &live, &[])), "a first apply");

    let tokens = Key::Row(RowKey::Tokens(slug("demo")));
    live.seen
        .insert(tokens, Seen::Row(Row(serde_json::json!({}))));
    assert!(is_elsewhere(&plan(&desired, &live, &[])));

    let claim = object(
        Kind::PersistentVolumeClaim,
        "challenge-data-challenge-demo-0",
    );
    let owner = crate::model::Ownership {
        slug: Some(slug("demo")),
        component: crate::model::Component::ChallengeData,
    };
    let claim = (
        Key::Object(claim),
        Seen::Object(Box::new(observed(Some(owner)))),
    );
    live.seen.extend([claim]);
    assert!(
        !is_elsewhere(&plan(&desired, &live, &[])),
        "kept data is there"
    );
}

#[test]
fn a_frozen_time_holds_what_only_waits_and_needs_no_word_where_nothing_is_to_be_done() {
    let desired = desired([challenge("demo")]);
    let mut live = world::agreeing(&desired, &desired);
    assert_eq!(plan_frozen(&desired, &live).guards, []);
    let verdict = Verdict::Accepted;
    let workload = Key::Object(object(Kind::StatefulSet, "challenge-demo"));
    live.seen.insert(workload, Seen::Absent { verdict });
    let database = Key::Object(object(Kind::StatefulSet, "challenge-demo-postgres"));
    let Some(Seen::Object(database)) = live.seen.get_mut(&database) else {
        unreachable!("what agrees has its database");
    };
    database.readiness = Readiness::NotReady("0/1 ready".to_owned());
    let waiting = plan_frozen(&desired, &live);
    assert!(waiting.steps.is_empty() && waiting.may_write());
    let is_freeze = |guard: &Guard| matches!(guard, Guard::Freeze { .. });
    assert!(waiting.guards.iter().all(is_freeze) && waiting.guards.len() == 1);
}

#[test]
fn rows_of_another_namespace_need_a_word_whatever_is_there() {
    let desired = desired([challenge("demo")]);
    let mut live = world::agreeing(&desired, &desired);
    let key = Key::Row(RowKey::Challenge(slug("demo")));
    let Some(Seen::Row(row)) = live.seen.get_mut(&key) else {
        unreachable!("what agrees has its row");
    };
    row.0["spec"]["namespace"] = "before".into();
    let guards = plan(&desired, &live, &[]).guards;
    let expected = Guard::Elsewhere {
        challenges: 1,
        namespace: "platform".to_owned(),
        before: Some("before".to_owned()),
    };
    assert_eq!(guards, [expected]);
}

//! Plans of declarations against worlds made by hand.

use std::collections::BTreeMap;

use super::*;
use crate::model::Emission;
use crate::reconcile::desired::build_desired;
use crate::reconcile::desired::fixture::{challenge, platform, slug};
use crate::reconcile::live::{Observed, Readiness, Seen, Verdict};
use crate::reconcile::resolve::Facts;
use crate::spec::platform::Challenge;

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
            Item::TokenRow => return None,
            item => Seen::Object(Box::new(observed(item.ownership().cloned()))),
        };
        Some((key.clone(), seen))
    };
    Live {
        seen: desired.items.iter().filter_map(seen).collect(),
        ..Live::default()
    }
}

fn observed(owner: Option<crate::model::Ownership>) -> Observed {
    Observed {
        uid: "u".to_owned(),
        version: "1".to_owned(),
        owner,
        readiness: Readiness::Ready,
        terminating: false,
        changes: Vec::new(),
        verdict: Verdict::Same,
        foreign: Vec::new(),
        contents: None,
        repair: None,
    }
}

fn plan(desired: &Desired, live: &Live, only: &[&str]) -> Plan {
    let request = Request {
        revision: Revision {
            digest: "sha256:0".to_owned(),
            commit: None,
        },
        only: only.iter().map(|name| slug(name)).collect(),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    plan_pass(&request, desired, live, &platform([]).safety)
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

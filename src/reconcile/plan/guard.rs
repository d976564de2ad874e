//! The guards of `safety`: what a pass may not do without being told so. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Guard, Held, Plan, Request};
use crate::model::{
    ClusterName, Emission, Item, Key, Kind, ObjectKey, Ownership, Row, RowKey, Scope, Share, Slug,
};
use crate::reconcile::desired::Desired;
use crate::reconcile::live::{Live, Seen};
use crate::spec::platform::Safety;

/// Returns the share of each challenge whose share changes, before and after, as shown to people, when the
/// rows of the challenges in `only` are written, or of all when that is empty. Shares follow from all rows
/// together, so those of others may move too. Nothing is known of them while the rows are not.
#[must_use]
pub fn shares(
    desired: &Desired,
    live: &Live,
    only: &BTreeSet<Slug>,
) -> BTreeMap<Slug, (String, String)> {
    if live.rows_unknown.is_some() {
        return BTreeMap::new();
    }
    let (before, after) = (shares_before(live), shares_after(desired, live, only));
    let share = |shares: &BTreeMap<&Slug, Share>, slug| shares.get(slug).copied();
    let shown = |share: Option<Share>| share.unwrap_or_default().to_string();
    let points = |share: Option<Share>| share.unwrap_or_default().basis_points();
    let slugs: BTreeSet<&Slug> = before.keys().chain(after.keys()).copied().collect();
    let moved = slugs.into_iter().filter_map(|slug| {
        let (before, after) = (share(&before, slug), share(&after, slug));
        let pair = || (slug.clone(), (shown(before), shown(after)));
        (points(before) != points(after)).then(pair)
    });
    moved.collect()
}

/// Returns the guards that a plan would pass.
pub(super) fn guards(
    plan: &Plan,
    desired: &Desired,
    live: &Live,
    safety: &Safety,
    request: &Request,
) -> Vec<Guard> {
    let frozen = safety
        .freeze
        .iter()
        .find(|window| window.from <= request.now && request.now < window.to);
    let freeze = frozen
        .filter(|_| plan.may_write())
        .map(|window| Guard::Freeze {
            until: window.to.to_string(),
            why: window.why.clone(),
        });
    if request.scope != Scope::All {
        return freeze.into_iter().collect();
    }
    [
        deletes(plan, desired, live, safety),
        moved(plan, desired, live).or_else(|| elsewhere(plan, live)),
        emission_change(plan, safety),
        freeze,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn deletes(plan: &Plan, desired: &Desired, live: &Live, safety: &Safety) -> Option<Guard> {
    let now = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Delete { .. }))
        .count();
    // What waits and is not wanted waits to be deleted.
    let is_unwanted =
        |held: &&Held| matches!(held, Held::Waits { key, .. } if !desired.items.contains_key(key));
    let deletes = now + plan.held.iter().filter(is_unwanted).count();
    let is_owned = |seen: &&Seen| match seen {
        Seen::Object(observed) => observed.owner.is_some(),
        Seen::Row(_) => true,
        Seen::Absent { .. } | Seen::Unknown(_) => false,
    };
    let owned = live.seen.values().filter(is_owned).count();
    let limit = safety.max_deleted_percent;
    let over = deletes * 100 > owned * usize::try_from(limit).unwrap_or(usize::MAX);
    over.then_some(Guard::Deletes {
        deletes,
        owned,
        limit_percent: limit,
    })
}

/// The registry tells that challenges were applied, and where this plan makes objects is nothing of anybody:
/// more likely another cluster, context or namespace than all of it lost. There, databases begin empty and
/// tokens anew, while the old ones run on unseen.
fn elsewhere(plan: &Plan, live: &Live) -> Option<Guard> {
    let made = plan.steps.iter().find_map(|step| match &step.action {
        Action::Create(_) => step.key.object().filter(|key| key.kind != Kind::Namespace),
        Action::Update { .. } | Action::Delete { .. } => None,
    })?;
    let is_challenges = |owner: &Ownership| owner.slug.is_some();
    let is_there = |seen: &Seen| matches!(seen, Seen::Object(observed) if observed.owner.as_ref().is_some_and(is_challenges));
    let is_applied = |key: &&Key| matches!(key, Key::Row(RowKey::Tokens(_)));
    let challenges = live.seen.keys().filter(is_applied).count();
    (challenges > 0 && !live.seen.values().any(is_there)).then(|| Guard::Elsewhere {
        challenges,
        namespace: made.namespace.clone(),
        before: None,
    })
}

/// Rows tell where their challenge was applied last. In another namespace its objects and its data would be
/// left behind unseen, and what is there by its name taken for its own. Where a target is involved, on either
/// side, namespaces are the targets' own.
fn moved(plan: &Plan, desired: &Desired, live: &Live) -> Option<Guard> {
    let is_home =
        |key: &&ObjectKey| key.kind == Kind::Namespace && key.cluster == ClusterName::Local;
    let home = desired.items.keys().filter_map(Key::object).find(is_home)?;
    let is_placed = |slug: &Slug| {
        let key = Key::Row(RowKey::Assignment(slug.clone()));
        desired.items.contains_key(&key) || live.seen.contains_key(&key)
    };
    let recorded = |(key, seen): (&Key, &'_ Seen)| match (key, seen) {
        (Key::Row(RowKey::Challenge(slug)), Seen::Row(row)) if !is_placed(slug) => {
            let namespace = row.0.pointer("/spec/namespace")?.as_str()?;
            (namespace != home.name).then(|| namespace.to_owned())
        }
        _ => None,
    };
    let elsewhere: Vec<String> = live.seen.iter().filter_map(recorded).collect();
    let before = elsewhere.first().filter(|_| !plan.steps.is_empty())?;
    Some(Guard::Elsewhere {
        challenges: elsewhere.len(),
        namespace: home.name.clone(),
        before: Some(before.clone()),
    })
}

/// The plan's own shares tell the jump; a registry without active challenges had no shares to move.
fn emission_change(plan: &Plan, safety: &Safety) -> Option<Guard> {
    let had_shares = plan.shares.values().any(|(before, _)| before != "0.00 %");
    let jump = |(slug, (before, after)): (&Slug, &(String, String))| {
        let moved = basis_points(before).abs_diff(basis_points(after));
        (moved, slug.clone())
    };
    let (basis_points, slug) = plan.shares.iter().map(jump).max()?;
    let limit = safety.max_emission_change_points;
    let over = had_shares && basis_points > limit.saturating_mul(100);
    over.then_some(Guard::EmissionChange {
        slug,
        basis_points,
        limit_points: limit,
    })
}

fn basis_points(shown: &str) -> u32 {
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn shares_before(live: &Live) -> BTreeMap<&Slug, Share> {
    of_rows(
        live.seen
            .iter()
            .filter_map(|(key, seen)| match (key, seen) {
                (Key::Row(RowKey::Challenge(slug)), Seen::Row(row)) => Some((slug, row)),
                _ => None,
            }),
    )
}

/// A challenge that is withheld, that the plan is not about, or that left the declaration while not everything
/// could be listed, keeps the row it has.
fn shares_after<'a>(
    desired: &'a Desired,
    live: &'a Live,
    only: &BTreeSet<Slug>,
) -> BTreeMap<&'a Slug, Share> {
    let is_kept = |slug: &Slug| {
        let stays = !live.partial.is_empty() && !desired.declared.contains(slug);
        stays || desired.is_untouched(slug) || !(only.is_empty() || only.contains(slug))
    };
    let wanted = desired
        .items
        .iter()
        .filter_map(|(key, wanted)| match (key, &wanted.item) {
            (Key::Row(RowKey::Challenge(slug)), Item::Row(row)) if !is_kept(slug) => {
                Some((slug, row))
            }
            _ => None,
        });
    let kept = live
        .seen
        .iter()
        .filter_map(|(key, seen)| match (key, seen) {
            (Key::Row(RowKey::Challenge(slug)), Seen::Row(row)) if is_kept(slug) => {
                Some((slug, row))
            }
            _ => None,
        });
    of_rows(wanted.chain(kept))
}

fn of_rows<'a>(rows: impl Iterator<Item = (&'a Slug, &'a Row)>) -> BTreeMap<&'a Slug, Share> {
    let active = rows.filter(|(_, row)| row.0["status"] == "active");
    let emission = |row: &Row| {
        Emission::parse(row.0["emission_percent"].as_str().unwrap_or("0")).unwrap_or_default()
    };
    let emissions: BTreeMap<&Slug, Emission> =
        active.map(|(slug, row)| (slug, emission(row))).collect();
    let part = |emission: &Emission| u64::from(emission.ten_thousandths());
    let whole = emissions.values().map(part).sum();
    let share = |(slug, part)| (slug, Share::of_whole(part, whole));
    emissions.into_iter().map(share).collect()
}

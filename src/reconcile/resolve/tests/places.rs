//! Where challenges are placed.

use proptest::prelude::*;

use super::world::agent;
use super::*;

/// A world of challenges written as `slug gpus target`, with `-` for nothing.
fn places_world(challenges: &[&str], targets: &[(&str, u32)]) -> Platform {
    let parsed: Vec<Vec<&str>> = challenges
        .iter()
        .map(|line| line.split(' ').collect())
        .collect();
    let slugs: Vec<&str> = parsed.iter().map(|words| words[0]).collect();
    let mut platform = world(&slugs);
    for words in &parsed {
        let resources = &mut challenge(&mut platform, words[0]).resources;
        resources.gpu_count = words[1].parse().ok();
        resources.target = (words[2] != "-").then(|| target_id(words[2]));
    }
    for (id, gpus) in targets {
        target(&mut platform, id, *gpus);
    }
    platform
}

fn noted(entries: &[(&str, &str, u32)]) -> Assignments {
    entries
        .iter()
        .map(|(name, id, gpus)| (slug(name), (target_id(id), *gpus)))
        .collect()
}

/// The places as lines `slug target` or `slug: reason`.
fn place(platform: &Platform, current: &Assignments) -> Vec<String> {
    placement::place(platform, current)
        .iter()
        .map(|(slug, place)| match place {
            Ok(cluster) => format!("{slug} {cluster}"),
            Err(why) => format!("{slug}: {why}"),
        })
        .collect()
}

#[test]
fn without_targets_everything_runs_here() {
    let platform = places_world(&["aa 4 -", "bb - -"], &[]);
    let nothing: Vec<String> = Vec::new();
    assert_eq!(place(&platform, &noted(&[])), nothing);
    assert_eq!(place(&platform, &noted(&[("aa", "gone", 4)])), nothing);
}

#[test]
fn gpus_go_to_the_first_target_with_room() {
    let platform = places_world(
        &["aa 4 -", "bb 4 -", "cc 2 -", "dd - -"],
        &[("t1", 4), ("t2", 8)],
    );
    assert_eq!(place(&platform, &noted(&[])), ["aa t1", "bb t2", "cc t2"]);
}

#[test]
fn a_named_target_comes_first_and_has_no_substitute() {
    let platform = places_world(
        &["aa 4 -", "bb 4 t1", "cc 1 t1", "dd - t1", "ee 1 nowhere"],
        &[("t1", 4), ("t2", 8)],
    );
    assert_eq!(
        place(&platform, &noted(&[])),
        [
            "aa t2",
            "bb t1",
            "cc: target t1 has 0 of 4 GPUs left, 1 wanted; ask for fewer, free some or name another",
            "dd t1",
            "ee: target nowhere is not declared; declare it under `targets`",
        ]
    );
}

#[test]
fn what_runs_stays_even_where_a_newcomer_names_its_target() {
    let platform = places_world(&["aa 4 t2", "bb 4 -"], &[("t1", 4), ("t2", 4)]);
    let lines = place(&platform, &noted(&[("bb", "t2", 4)]));
    assert!(
        lines[0].starts_with("aa: target t2 has 0 of 4"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "bb t2");
}

#[test]
fn a_named_target_beats_the_assignment() {
    let platform = places_world(&["aa 4 t2", "bb 4 t1"], &[("t1", 4), ("t2", 4)]);
    let swapped = noted(&[("aa", "t1", 4), ("bb", "t2", 4)]);
    assert_eq!(place(&platform, &swapped), ["aa t2", "bb t1"]);
}

#[test]
fn a_challenge_that_grows_takes_nothing_from_its_neighbours() {
    let mut platform = places_world(&["aa 6 -", "bb 4 -"], &[("t1", 8)]);
    let current = noted(&[("aa", "t1", 4), ("bb", "t1", 4)]);
    let lines = place(&platform, &current);
    assert_eq!(
        lines,
        [
            "aa: no target takes 6 GPUs: t1 has 4 of 8 GPUs left, 6 wanted; free some, or declare another target",
            "bb t1"
        ]
    );
    target(&mut platform, "t2", 6);
    assert_eq!(place(&platform, &current), ["aa t2", "bb t1"]);
}

#[test]
fn a_target_that_shrank_keeps_as_many_as_fit() {
    let platform = places_world(&["aa 4 -", "bb 4 -"], &[("t1", 4)]);
    let lines = place(&platform, &noted(&[("aa", "t1", 4), ("bb", "t1", 4)]));
    assert_eq!(lines[0], "aa t1");
    assert!(
        lines[1].starts_with("bb: no target takes 4 GPUs"),
        "{lines:?}"
    );
}

#[test]
fn a_disabled_or_draining_target_takes_nothing_and_keeps_nothing() {
    let mut platform = places_world(
        &["aa 1 -", "bb 1 t2", "cc - -"],
        &[("t1", 8), ("t2", 8), ("t3", 8)],
    );
    platform.targets.get_mut(&target_id("t1")).unwrap().enabled = false;
    platform.targets.get_mut(&target_id("t2")).unwrap().draining = true;
    let current = noted(&[("aa", "t1", 1), ("bb", "t2", 1), ("cc", "t1", 0)]);
    assert_eq!(
        place(&platform, &current),
        ["aa t3", "bb: target t2 is draining; name another, or none"]
    );
}

#[test]
fn a_refused_challenge_still_holds_its_gpus() {
    let platform = places_world(&["aa 9 -", "bb 5 -"], &[("t1", 8)]);
    let lines = place(&platform, &noted(&[("aa", "t1", 4)]));
    assert!(
        lines[1].contains("t1 has 4 of 8 GPUs left, 5 wanted"),
        "{lines:?}"
    );
}

#[test]
fn a_challenge_without_gpus_stays_where_its_data_is() {
    let platform = places_world(&["aa - -"], &[("t1", 0)]);
    assert_eq!(place(&platform, &noted(&[("aa", "t1", 0)])), ["aa t1"]);
}

#[test]
fn stopped_challenges_keep_their_place_and_drafts_take_none() {
    let mut platform = places_world(&["aa 4 -", "bb 4 -", "cc 4 t1", "dd 4 -"], &[("t1", 8)]);
    challenge(&mut platform, "aa").status = Status::Inactive;
    challenge(&mut platform, "bb").status = Status::Draft;
    challenge(&mut platform, "cc").status = Status::Draft;
    challenge(&mut platform, "dd").status = Status::Draft;
    let current = noted(&[("aa", "t1", 4), ("dd", "t1", 4)]);
    assert_eq!(place(&platform, &current), ["aa t1", "dd t1"]);
}

#[test]
fn a_challenge_can_be_stopped_where_it_is_though_there_is_no_room() {
    let mut platform = places_world(&["aa 4 -", "bb 4 -"], &[("t1", 4)]);
    challenge(&mut platform, "aa").status = Status::Inactive;
    let current = noted(&[("aa", "t1", 4), ("bb", "t1", 4)]);
    assert_eq!(place(&platform, &current), ["aa t1", "bb t1"]);
    let target = platform.targets.get_mut(&target_id("t1")).unwrap();
    target.draining = true;
    let lines = place(&platform, &current);
    assert_eq!(lines[0], "aa t1");
    assert!(lines[1].contains("t1 is draining"), "{lines:?}");
    platform.targets.get_mut(&target_id("t1")).unwrap().enabled = false;
    let lines = place(&platform, &current);
    assert!(lines[0].contains("t1 is disabled"), "{lines:?}");
}

#[test]
fn the_policy_trusts_checked_connections_only() {
    let mut platform = places_world(&["aa 1 -"], &[("t1", 1), ("t2", 1), ("t3", 1)]);
    platform
        .targets
        .get_mut(&target_id("t1"))
        .unwrap()
        .verify_tls = false;
    platform.targets.get_mut(&target_id("t2")).unwrap().reach = agent("http://a.example");
    platform.targets.get_mut(&target_id("t3")).unwrap().reach = agent("https://a.example");
    assert_eq!(place(&platform, &noted(&[])), ["aa t1"]);
    platform.environment = Environment::Production;
    assert_eq!(place(&platform, &noted(&[("aa", "t1", 1)])), ["aa t3"]);
}

#[test]
fn a_refusal_names_five_targets_and_counts_the_rest() {
    let names: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
    let targets: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let lines = place(&places_world(&["aa 1 -"], &targets), &noted(&[]));
    assert!(lines[0].contains("t4 has 0 of 0"), "{lines:?}");
    assert!(!lines[0].contains("t5") && lines[0].contains("; and 4 more;"));
}

#[test]
fn assignments_are_kept_for_the_refused_and_dropped_for_the_removed() {
    let platform = places_world(&["aa 9 -", "bb 2 -", "cc - -"], &[("t1", 8)]);
    let current = noted(&[("aa", "t1", 4), ("zz", "t1", 1), ("cc", "gone", 0)]);
    let facts = Facts {
        placements: placement::place(&platform, &current),
        ..Facts::default()
    };
    assert_eq!(
        facts.assignments(&platform, &current),
        noted(&[("aa", "t1", 4), ("bb", "t1", 2)])
    );
}

/// Eight challenges (GPUs, named target, status), four targets (GPUs, enabled, draining), and what was noted.
fn any_world() -> impl Strategy<Value = (Platform, Assignments)> {
    let challenge_parts = (0..6_u32, 0..8_usize, 0..4_u8);
    let parts = (
        proptest::collection::vec(challenge_parts, 8),
        proptest::collection::vec((0..10_u32, 0..5_u8, 0..5_u8), 0..4),
        proptest::collection::btree_map(0..10_usize, (0..5_usize, 0..6_u32), 0..8),
    );
    parts.prop_map(|(challenges, targets, current)| {
        let names: Vec<String> = (0..challenges.len()).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut platform = world(&names);
        for (n, (gpus, enabled, draining)) in targets.iter().enumerate() {
            let target = target(&mut platform, &format!("t{n}"), *gpus);
            target.enabled = *enabled > 0;
            target.draining = *draining == 0;
        }
        for (name, (gpus, named, status)) in names.iter().zip(&challenges) {
            let challenge = challenge(&mut platform, name);
            challenge.resources.gpu_count = (*gpus > 0).then_some(*gpus);
            challenge.resources.target = (*named < 4).then(|| target_id(&format!("t{named}")));
            challenge.status = match status {
                0 => Status::Draft,
                1 => Status::Inactive,
                _ => Status::Active,
            };
        }
        let current = current
            .into_iter()
            .map(|(n, (id, gpus))| (slug(&format!("c{n}")), (target_id(&format!("t{id}")), gpus)));
        (platform, current.collect())
    })
}

fn pass(platform: &Platform, current: &Assignments) -> (Facts, Assignments) {
    let facts = Facts {
        placements: placement::place(platform, current),
        ..Facts::default()
    };
    let next = facts.assignments(platform, current);
    (facts, next)
}

proptest! {
    #[test]
    fn no_target_is_given_out_twice_to_what_runs((platform, current) in any_world()) {
        let places = placement::place(&platform, &current);
        for (id, target) in &platform.targets {
            let here = Ok(ClusterName::Target(id.clone()));
            let running: Vec<&Challenge> = platform
                .challenges
                .values()
                .filter(|c| c.status == Status::Active && places.get(&c.slug) == Some(&here))
                .collect();
            let given: u32 = running.iter().map(|c| gpus_of(c)).sum();
            prop_assert!(given <= target.gpu_count);
            prop_assert!(running.is_empty() || (target.enabled && !target.draining));
        }
    }

    #[test]
    fn what_was_placed_stays_placed((platform, current) in any_world()) {
        let (first, next) = pass(&platform, &current);
        let (second, _) = pass(&platform, &next);
        for (slug, place) in &first.placements {
            let runs = platform.challenges[slug].status == Status::Active;
            if place.is_ok() && runs {
                prop_assert_eq!(second.placements.get(slug), Some(place));
            }
        }
    }
}

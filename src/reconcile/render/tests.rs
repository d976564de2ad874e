//! The forms of a plan against blessed files, and what no form may ever show.

use serde_json::{Value, json};

use super::{
    Header, Options, Palette, flag, guards_hold,
    json::{Document, document},
    mask, plan_schema, render_json, render_markdown, render_text, samples, words,
};
use crate::{
    model::{Key, Kind, RowKey},
    reconcile::plan::{Action, Plan, digest::plan_digest},
};

fn cases() -> [(&'static str, Plan, Header); 4] {
    [
        ("everyday", samples::everyday(), samples::header()),
        ("rare", samples::rare(), samples::header()),
        ("hostile", samples::hostile(), samples::hostile_header()),
        ("nothing", samples::empty(), samples::header()),
    ]
}

#[test]
fn forms_are_as_blessed() {
    let full = Options {
        is_full: true,
        ..Options::default()
    };
    for (name, plan, header) in cases() {
        let bless = |form: &str, text: String| {
            samples::assert_blessed(&format!("tests/cases/render/{name}{form}"), &text);
        };
        bless(".txt", render_text(&plan, &header, &Options::default()));
        bless("-full.txt", render_text(&plan, &header, &full));
        bless(".json", render_json(&plan, &header, &Options::default()));
        bless(".md", render_markdown(&plan, &header));
    }
}

#[test]
fn the_published_schema_is_the_generated_one() {
    samples::assert_blessed("schema/plan.schema.json", &plan_schema());
}

#[test]
fn no_form_shows_a_secret() {
    for (_, plan, header) in cases() {
        for text in samples::all_forms(&plan, &header) {
            for canary in samples::CANARIES {
                assert!(!text.contains(canary), "{canary} in {text}");
            }
        }
    }
}

#[test]
fn no_form_can_act_on_a_terminal() {
    for (_, plan, header) in cases() {
        for text in samples::all_forms(&plan, &header) {
            let found = text.chars().find(|c| *c != '\n' && mask::is_deceptive(*c));
            assert_eq!(found, None, "{text}");
        }
    }
}

#[test]
fn colours_are_all_that_a_palette_adds() {
    let (plan, header) = (samples::rare(), samples::header());
    let ansi = Options {
        palette: Palette::Ansi,
        ..Options::default()
    };
    let mut text = render_text(&plan, &header, &ansi);
    assert!(text.contains("\u{1b}[33m~ ab\u{1b}[0m"));
    while let Some(at) = text.find('\u{1b}') {
        let end = at + text[at..].find('m').unwrap();
        text.replace_range(at..=end, "");
    }
    assert_eq!(text, render_text(&plan, &header, &Options::default()));
}

#[test]
fn same_plan_gives_the_same_bytes() {
    for ((_, plan, header), (_, again, _)) in cases().into_iter().zip(cases()) {
        assert_eq!(
            samples::all_forms(&plan, &header),
            samples::all_forms(&again, &header)
        );
        assert_eq!(plan_digest(&plan), plan_digest(&again));
    }
}

#[test]
fn json_reads_back_as_the_same_document() {
    for (_, plan, header) in cases() {
        let options = Options::default();
        let text = render_json(&plan, &header, &options);
        let read: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(read, document(&plan, &header, &options));
        assert!(text.contains(r#""format": "platform.network/plan/v1""#));
    }
}

#[test]
fn every_step_and_every_held_key_is_in_the_document() {
    for (_, plan, header) in cases() {
        let document = document(&plan, &header, &Options::default());
        let of_challenges = |count: fn(&super::json::Challenge) -> usize| -> usize {
            document.challenges.iter().map(count).sum()
        };
        let steps = of_challenges(|challenge| challenge.steps.len()) + document.cluster_wide.len();
        let held = of_challenges(|challenge| challenge.held.len()) + document.held.len();
        assert_eq!((steps, held), (plan.steps.len(), plan.held.len()));
    }
}

#[test]
fn a_comment_is_bounded_however_large_the_plan() {
    let mut plan = samples::empty();
    for number in 0..2000 {
        let slug = format!("challenge-number-{number}");
        let changes =
            (0..6).map(|n| samples::change(&format!("field{n}"), json!(1), json!("x".repeat(300))));
        let key = Key::Row(RowKey::Challenge(samples::slug(&slug)));
        plan.steps
            .push(samples::step(&slug, key, samples::row(changes.collect())));
    }
    let text = render_markdown(&plan, &samples::header());
    assert!(text.len() < 60_000, "{}", text.len());
    assert!(text.contains("… 1900 more challenges") && text.contains(" more lines\n```\n"));
}

#[test]
fn a_fence_is_longer_than_any_in_the_text() {
    let text = render_markdown(&samples::hostile(), &samples::hostile_header());
    assert!(text.contains("\n````diff\n") && text.contains("\n````\n"));
}

#[test]
fn many_changes_of_one_step_are_counted_not_shown() {
    let mut plan = samples::empty();
    let changes = (0..60).map(|n| samples::change(&format!("f{n}"), json!(n), json!(n + 1)));
    let key = samples::object(Kind::StatefulSet, "challenge-ab");
    let new = samples::workload("ab", json!([]));
    plan.steps = vec![samples::step(
        "ab",
        key,
        samples::update(new, changes.collect()),
    )];
    let text = render_text(&plan, &samples::header(), &Options::default());
    assert!(
        text.contains("f49   49 → 50\n        … 10 more changes\n"),
        "{text}"
    );
}

#[test]
fn what_ends_a_guard_has_room_in_the_status_of_a_commit() {
    assert_eq!(guards_hold(&[]), None);
    let guards = samples::rare().guards;
    assert!(guards.len() > 1, "{guards:?}");
    for held in guards.iter().map(std::slice::from_ref).chain([&guards[..]]) {
        let told = guards_hold(held).unwrap();
        let shown: String = told.chars().take(140).collect();
        for guard in held {
            assert!(shown.contains(flag(guard)), "{shown}");
        }
        assert!(shown.contains("or a newer commit"), "{shown}");
        assert!(told.contains(&words::guard(&held[0])), "{told}");
    }
}

#[test]
fn digest_is_not_moved_by_a_version_or_a_remark() {
    let plan = samples::everyday();
    let mut moved = plan.clone();
    for step in &mut moved.steps {
        if let Action::Delete {
            seen: Some((_, version)),
        } = &mut step.action
        {
            *version = "78".to_owned();
        }
    }
    moved.unchanged += 1;
    moved.notes = samples::rare().notes;
    moved.shares.clear();
    moved.revision.commit = None;
    assert_ne!(plan, moved);
    assert_eq!(plan_digest(&plan), plan_digest(&moved));
}

#[test]
fn digest_moves_with_everything_that_is_done() {
    let plan = samples::everyday();
    let edits: [fn(&mut Plan); 9] = [
        |plan| plan.revision.digest.push('0'),
        |plan| plan.steps.swap(0, 1),
        |plan| drop(plan.steps.pop()),
        |plan| drop(plan.held.pop()),
        |plan| plan.guards = samples::rare().guards,
        |plan| plan.steps[0].wave += 1,
        |plan| changes(plan)[0].old = Some(json!("30")),
        |plan| changes(plan)[0].new = None,
        |plan| {
            for step in &mut plan.steps {
                if let Action::Delete {
                    seen: Some((uid, _)),
                } = &mut step.action
                {
                    uid.push('x');
                }
            }
        },
    ];
    let mut digests: Vec<_> = edits
        .iter()
        .map(|edit| {
            let mut edited = plan.clone();
            edit(&mut edited);
            plan_digest(&edited)
        })
        .collect();
    digests.push(plan_digest(&plan));
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), edits.len() + 1);
    assert!(digests.iter().all(|digest| digest.len() == 64));
}

fn changes(plan: &mut Plan) -> &mut Vec<crate::reconcile::live::Change> {
    match &mut plan.steps[0].action {
        Action::Update { changes, .. } => changes,
        _ => panic!("the first step is an update"),
    }
}

#[test]
fn digest_is_pinned() {
    // As any program computes it from JSON with sorted members: a saved plan still fits after an upgrade.
    let value: Value = json!({"b": [1, "x"], "a": {"d": null, "c": true}});
    let mut plan = samples::empty();
    let new = crate::model::Item::Row(crate::model::Row(value));
    let key = Key::Row(RowKey::Challenge(samples::slug("ab")));
    plan.steps = vec![samples::step("ab", key, Action::Create(new))];
    let pinned = "55ece477c22329f807544cf4dcaf6a53683a8fa2e3e3abfc82d6d229025d82ac";
    assert_eq!(plan_digest(&plan), pinned);
}

//! What every database must do, run on SQLite always and on PostgreSQL where there is one.
//!
//! Each case gets a database of its own. `PLATFORM_TEST_POSTGRES_URL` names a server and a user who may
//! create databases; those cases are ignored by default, and fail, not skip, without it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find their server and their second process by variables, and keep every handle"
)]

mod act_cases;
mod chain_cases;
mod condition_cases;
mod fence_cases;
mod health_cases;
mod network_cases;
mod only_postgres;
mod only_sqlite;
mod open_cases;
mod pass_cases;
mod push_cases;
mod rollout_cases;
mod row_cases;
mod schema_cases;
mod snapshot_cases;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::{Access, Retention, Store};
use super::*;
use crate::model::pass::*;
use crate::model::revision::Commit;
use crate::model::{Slug, TargetId};
use act_cases::*;
use chain_cases::*;
use condition_cases::*;
use fence_cases::*;
use health_cases::*;
use network_cases::*;
use open_cases::*;
use pass_cases::*;
use push_cases::*;
use rollout_cases::*;
use row_cases::*;
use schema_cases::*;
use snapshot_cases::*;
use world::World;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            use super::world;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    world::on_sqlite(super::$case).await;
                }
            )*
        }
        mod postgres {
            use super::world;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs PostgreSQL"]
                async fn $case() {
                    world::on_postgres(super::$case).await;
                }
            )*
        }
    };
}

on_both!(
    every_kind_of_row_reads_back_as_written,
    only_what_is_in_scope_is_read,
    rows_that_are_written_side_by_side_are_all_written,
    a_second_write_keeps_the_time_the_row_was_made,
    a_row_of_the_wrong_form_is_refused_and_nothing_is_written,
    a_deleted_row_is_gone_and_deleting_it_again_is_no_error,
    a_row_that_cannot_be_named_is_an_error_and_no_partial_answer,
    several_that_start_at_once_migrate_once,
    opening_for_reading_migrates_nothing_and_takes_no_write,
    passes_are_recorded_and_read_back,
    passes_are_listed_newest_first_in_pages,
    the_oldest_passes_make_room,
    passes_with_many_keys_make_room_sooner,
    a_pass_with_too_much_in_it_is_cut_and_never_refused,
    an_interrupted_recording_leaves_a_whole_pass_or_none,
    writers_at_the_same_time_all_succeed,
    a_pass_that_was_begun_and_recorded_leaves_nothing_open,
    a_pass_that_never_ended_is_recorded_by_the_next_turn,
    parts_of_one_pass_that_never_ended_are_one_pass,
    a_deposed_writer_begins_nothing_and_takes_nothing_back,
    taking_a_turn_that_is_cut_off_loses_no_pass_and_doubles_none,
    what_is_begun_while_a_turn_is_taken_is_refused_or_recorded,
    a_begun_pass_with_too_much_in_it_is_cut_and_never_refused,
    passes_that_never_ended_make_room_like_others,
    weights_are_kept_to_the_byte_and_read_back,
    weights_are_never_replaced_by_older_ones,
    weights_of_a_clock_that_was_ahead_hold_up_nobody,
    an_outage_is_kept_until_the_next_vector,
    the_network_is_kept_as_the_last_declaration_has_it,
    a_clock_that_is_far_ahead_makes_no_weights_old,
    weights_make_room_by_number_and_by_size_and_the_newest_stays,
    weights_of_before_sizes_were_kept_have_theirs,
    what_could_not_make_room_does_so_the_next_time,
    each_pass_carries_the_hash_of_the_one_before_it,
    every_column_of_a_pass_is_under_its_hash,
    a_changed_time_of_a_pass_is_found,
    an_outcome_that_was_added_or_taken_away_is_found,
    a_pass_deleted_in_the_middle_is_found,
    passes_that_changed_places_are_found,
    a_pass_that_was_made_anew_with_its_hash_is_found_by_the_next,
    newest_passes_that_are_gone_are_found,
    oldest_passes_that_are_gone_are_found,
    a_pass_that_was_added_is_found,
    an_end_of_the_chain_that_was_changed_or_lost_is_found,
    the_chain_holds_while_old_passes_make_room,
    recorders_at_the_same_time_do_not_fork_the_chain,
    a_chain_that_grows_and_sheds_while_it_is_verified_is_unbroken,
    passes_from_before_the_chain_are_chained,
    chaining_that_was_cut_short_goes_on,
    a_program_that_knows_no_chain_records_nothing,
    a_challenge_is_suspended_until_it_is_resumed,
    the_controller_is_suspended_apart_from_every_challenge,
    acts_are_kept_with_who_when_and_what_came_of_them,
    a_suspension_of_a_challenge_that_cannot_be_named_is_no_answer,
    conditions_read_back_as_written_and_the_newest_holds,
    conditions_of_a_thousand_challenges_are_one_write,
    a_condition_that_cannot_be_named_is_no_answer,
    how_a_challenge_was_found_reads_back_and_the_newest_holds,
    how_a_thousand_challenges_were_found_is_one_row_each,
    a_fitness_that_cannot_be_named_is_no_answer,
    what_came_of_images_is_kept_and_what_failed_is_tried_again_when_resumed,
    a_push_is_kept_once_by_whichever_process,
    pushes_that_are_old_or_too_many_make_room,
    a_push_is_told_to_every_process_that_waits,
    a_newer_schema_is_refused,
    a_changed_migration_is_refused,
    a_schema_that_lacks_the_newest_migration_is_brought_up_to_date,
    digests_are_remembered_with_their_revision,
    each_turn_has_a_higher_token,
    what_a_deposed_writer_sends_is_refused_and_changes_nothing,
    turns_taken_at_the_same_time_are_all_different,
    a_write_that_has_begun_is_over_before_the_next_turn,
    every_statement_prepares,
    no_error_repeats_a_value,
    a_closed_database_says_so,
);

/// For cases in which nobody takes a turn.
const UNTAKEN: FenceToken = FenceToken::UNTAKEN;

fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_001 + second * 1_000_000).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn revision(number: u32) -> Revision {
    Revision {
        digest: format!("sha256:{number:064x}"),
        commit: Some(Commit {
            id: format!("{number:040x}"),
            subject: "raise prism to 35".to_owned(),
        }),
    }
}

fn challenge() -> Value {
    json!({
        "name": "Prism", "description": null, "status": "active", "emission_percent": "30",
        "version": "1.2.0", "api_version": "1.0", "image": "ghcr.io/o/prism:1.2.0",
        "internal_base_url": "http://challenge-prism:8000",
        "spec": { "env": { "A": "1" }, "ports": [8000], "limits": { "cpu": "500m" }, "none": null },
    })
}

fn with(mut row: Value, member: &str, value: Value) -> Row {
    row[member] = value;
    Row(row)
}

fn rows() -> BTreeMap<RowKey, Row> {
    let tokens = json!({
        "token_hash": "ab".repeat(32), "token_hint": "abcd…wxyz",
        "broker_token_hash": "cd".repeat(32), "broker_token_hint": "-_09…AZaz",
    });
    let target = json!({
        "mode": "kubeconfig", "enabled": true, "draining": false, "verify_tls": true,
        "gpu_count": 8, "spec": { "namespace": "gpu" },
    });
    let odd = "quotes ' \" \\ $1 ?1 %s, lines\r\n\t, \u{1f600} and é\u{7f}\u{1}";
    let spec = json!({
        odd: [odd, { "deep": [[[{}]]] }], "big": u64::MAX, "small": i64::MIN, "half": 0.5,
        "": "", "empty": {}, "list": [], "deep": nested(50),
    });
    BTreeMap::from([
        (RowKey::Challenge(slug("prism")), Row(challenge())),
        (
            RowKey::Challenge(slug("odd")),
            with(challenge(), "spec", spec),
        ),
        (
            RowKey::Challenge(slug("named")),
            with(challenge(), "name", json!(odd)),
        ),
        (
            RowKey::Challenge(slug("told")),
            with(challenge(), "description", json!(odd)),
        ),
        (
            RowKey::Challenge(slug("zero")),
            with(challenge(), "emission_percent", json!("0")),
        ),
        (
            RowKey::Challenge(slug("tiny")),
            with(challenge(), "emission_percent", json!("0.0001")),
        ),
        (
            RowKey::Challenge(slug("half")),
            with(challenge(), "emission_percent", json!("12.5")),
        ),
        (
            RowKey::Challenge(slug("most")),
            with(challenge(), "emission_percent", json!("9999.9999")),
        ),
        (
            RowKey::Challenge(slug("draft")),
            with(challenge(), "status", json!("draft")),
        ),
        (RowKey::Tokens(slug("no-challenge-yet")), Row(tokens)),
        (
            RowKey::Target(TargetId::parse("GPU_1.a").unwrap()),
            Row(target.clone()),
        ),
        (
            RowKey::Target(TargetId::parse("b").unwrap()),
            with(target, "draining", json!(true)),
        ),
        (
            RowKey::Assignment(slug("prism")),
            Row(json!({ "target": "b", "gpu_count": 0 })),
        ),
        (
            RowKey::Assignment(slug("odd")),
            Row(json!({ "target": "b", "gpu_count": u32::MAX })),
        ),
    ])
}

fn pass(number: u32, keys: usize) -> PassRecord {
    let outcome = |n: usize| KeyOutcome {
        key: format!("StatefulSet challenge-{n}"),
        slug: (n > 0).then(|| format!("slug-{n}")),
        action: KeyAction::Update,
        outcome: if n.is_multiple_of(2) {
            KeyResult::Done
        } else {
            KeyResult::Failed
        },
        why: (!n.is_multiple_of(2)).then(|| "refused: \"quota\" \u{1f600}".to_owned()),
    };
    PassRecord {
        id: None,
        started_at: at(i64::from(number)),
        finished_at: at(i64::from(number) + 3),
        source: "platform.yaml".to_owned(),
        revision: revision(number),
        actor: "cli root".to_owned(),
        plan_digest: format!("sha256:{number:064x}"),
        outcome: PassOutcome::Partial,
        counts: PassCounts {
            updated: 1,
            failed: 1,
            ..PassCounts::default()
        },
        chain: None,
        keys: (0..keys).map(outcome).collect(),
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
}

//! In which order the steps of one challenge are taken: a rank per kind and direction, ties by key.
//!
//! Steps of no challenge (targets, namespaces) come before all others whatever their rank, but for those of wave
//! [`AFTER_ALL`].

use crate::model::{Component, Key, Kind, Ownership, RowKey};

/// The wave of what is made of all challenges: it runs when the steps of all of them have ended, however.
pub const AFTER_ALL: u8 = 20;

/// What a step does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It makes or changes it.
    Write,
    /// It deletes it.
    Delete,
}

/// Returns the wave of a step: all steps of a lower wave are done before it begins. `ownership` tells a
/// challenge's workload from its Postgres; an object without one is ranked as the challenge's.
#[must_use]
pub fn wave(key: &Key, ownership: Option<&Ownership>, direction: Direction) -> u8 {
    let is_postgres =
        ownership.is_some_and(|owner| owner.component == Component::ChallengePostgres);
    let is_of_all = ownership.is_some_and(|owner| owner.component == Component::ChallengeTokens);
    match (key, direction) {
        (Key::Object(_), Direction::Write) if is_of_all => AFTER_ALL,
        (Key::Row(row), Direction::Write) => write_row(row),
        (Key::Row(row), Direction::Delete) => delete_row(row),
        (Key::Object(object), Direction::Write) => write_object(object.kind, is_postgres),
        (Key::Object(object), Direction::Delete) => delete_object(object.kind, is_postgres),
    }
}

fn write_row(row: &RowKey) -> u8 {
    match row {
        RowKey::Target(_) => 2,
        // First of all writes: who comes upon an object finds the declaration that it belongs to.
        RowKey::Challenge(_) => 3,
        // It names a challenge and a target.
        RowKey::Assignment(_) => 4,
        // It repeats hash and hint of the token Secret.
        RowKey::Tokens(_) => 6,
    }
}

fn write_object(kind: Kind, is_postgres: bool) -> u8 {
    match kind {
        // Everything else stands in it.
        Kind::Namespace => 4,
        // Pods mount Secrets and claims, and must not run a moment without their policy.
        Kind::Secret | Kind::PersistentVolumeClaim | Kind::NetworkPolicy => 5,
        Kind::Service => 6,
        // The challenge begins by asking its database, so it waits until that is ready.
        Kind::StatefulSet if is_postgres => 7,
        Kind::StatefulSet | Kind::Deployment => 8,
        // It needs what it scales.
        Kind::HorizontalPodAutoscaler | Kind::ScaledObject => 9,
    }
}

fn delete_object(kind: Kind, is_postgres: bool) -> u8 {
    match kind {
        // Before the one that replaces it is made, for two would fight; before the workload that it scales.
        Kind::HorizontalPodAutoscaler | Kind::ScaledObject => 0,
        // After the challenge that uses it.
        Kind::StatefulSet if is_postgres => 10,
        // Before every write: when the mode changes, the old workload holds the claim that the new one mounts.
        Kind::StatefulSet | Kind::Deployment => 1,
        Kind::Service => 11,
        // Pods that are still ending keep their policy as long as possible.
        Kind::NetworkPolicy => 12,
        Kind::Secret | Kind::PersistentVolumeClaim => 13,
        Kind::Namespace => 16,
    }
}

fn delete_row(row: &RowKey) -> u8 {
    match row {
        // The reverse of their writes, and after all objects: while anything is left, it can be looked up.
        RowKey::Tokens(_) | RowKey::Assignment(_) => 14,
        RowKey::Challenge(_) => 15,
        RowKey::Target(_) => 16,
    }
}

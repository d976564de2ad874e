//! Rounds over a real database and challenges that answer what the test says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::edge::challenge::{Body, Place};
use crate::edge::database::open_and_migrate;
use crate::model::failure::Failure;
use crate::model::{FenceToken, Revision, Row, RowKey, Secret};

/// Challenges that answer what the test says, each question once with what stands in front.
#[derive(Default)]
struct Told {
    answers: Mutex<BTreeMap<&'static str, Vec<Result<&'static str, Failure>>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Challenges for Told {
    async fn get_weights(&self, _: &Place, _: &Secret<String>) -> Result<Body, Failure> {
        Err(Failure::NoToken)
    }

    async fn get_health(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        self.asked.lock().unwrap().push(place.slug.to_string());
        let mut answers = self.answers.lock().unwrap();
        let Some(answers) = answers.get_mut(place.slug.as_str()) else {
            return Ok(b"{}".to_vec());
        };
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        };
        answer.map(|text| text.as_bytes().to_vec())
    }

    async fn get_version(&self, _: &Place) -> Result<Vec<u8>, Failure> {
        Ok(br#"{"capabilities": ["get_weights"]}"#.to_vec())
    }
}

struct World {
    rounds: Rounds,
    told: Arc<Told>,
    memory: Memory,
}

static NOW: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_second(1_767_225_600 + NOW.load(Ordering::SeqCst)).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

impl World {
    async fn new() -> Self {
        let url = Secret::new("sqlite::memory:".to_owned());
        let told = Arc::new(Told::default());
        let rounds = Rounds {
            database: open_and_migrate(&url).await.unwrap(),
            challenges: told.clone(),
            hint: Arc::default(),
            interval: Duration::from_secs(60),
            clock,
        };
        let memory = Memory::default();
        let world = Self {
            rounds,
            told,
            memory,
        };
        world.declare("aa", "active", "1.0.0").await;
        world.declare("bb", "active", "1.0.0").await;
        world.declare("cc", "inactive", "1.0.0").await;
        world
    }

    async fn declare(&self, name: &str, status: &str, version: &str) {
        let row = Row(json!({
            "name": name, "description": null, "status": status, "emission_percent": "1",
            "version": version, "api_version": "1.0", "image": "ghcr.io/o/a:1.0.0",
            "internal_base_url": "http://challenge:8000",
            "spec": {"required_capabilities": ["get_weights"]},
        }));
        let revision = Revision {
            digest: "d".to_owned(),
            commit: None,
        };
        let key = RowKey::Challenge(slug(name));
        let token = FenceToken::UNTAKEN;
        let written = self
            .rounds
            .database
            .write_row(token, &key, &row, &revision, clock());
        written.await.unwrap();
    }

    fn answer(&self, name: &'static str, answers: &[Result<&'static str, Failure>]) {
        let mut all = self.told.answers.lock().unwrap();
        all.insert(name, answers.to_vec());
    }

    /// Has a round and returns who was asked.
    async fn round(&mut self, is_of_all: bool) -> Vec<String> {
        NOW.fetch_add(1, Ordering::SeqCst);
        let had = self.rounds.round(&mut self.memory, is_of_all).await;
        had.unwrap();
        std::mem::take(&mut *self.told.asked.lock().unwrap())
    }

    async fn kept(&self, name: &str) -> Option<Health> {
        let mut kept = self.rounds.database.health().await.unwrap();
        kept.remove(&slug(name))
    }
}

const UNWELL: Result<&str, Failure> = Ok(r#"{"status": "canary"}"#);

#[tokio::test]
async fn what_is_found_is_kept_and_since_when_moves_only_with_the_fitness() {
    let mut world = World::new().await;
    assert_eq!(world.round(true).await, ["aa", "bb"]);
    let first = world.kept("aa").await.unwrap();
    assert_eq!((first.fitness, first.why.as_str()), (Fitness::Fit, ""));
    assert_eq!(first.since, first.asked_at);
    let life = first.asked_at.duration_until(first.holds_until);
    assert_eq!(life.as_secs(), 180);

    // Within the minute nothing is written where nothing changed.
    world.round(true).await;
    assert_eq!(world.kept("aa").await, Some(first.clone()));

    world.answer("aa", &[UNWELL]);
    world.round(true).await;
    let second = world.kept("aa").await.unwrap();
    assert_eq!(second.fitness, Fitness::Unwell);
    assert!(second.since > first.since);
    assert!(!second.why.contains("canary"), "{second:?}");

    // Another reason for the same word is told, since when it is so stays.
    world.answer("aa", &[Ok("no JSON")]);
    world.round(true).await;
    let third = world.kept("aa").await.unwrap();
    assert_eq!(
        (third.fitness, third.since),
        (Fitness::Unwell, second.since)
    );
    assert_ne!(third.why, second.why);

    world.answer("aa", &[Ok("{}")]);
    world.round(true).await;
    let healed = world.kept("aa").await.unwrap();
    assert_eq!((healed.fitness, healed.why.as_str()), (Fitness::Fit, ""));
    assert!(healed.since > third.since);
}

#[tokio::test]
async fn those_that_are_not_fit_are_asked_again_sooner_and_others_are_not() {
    let mut world = World::new().await;
    assert!(!world.memory.is_settled(), "nothing is known yet");
    world.answer("bb", &[UNWELL]);
    world.round(true).await;
    assert!(!world.memory.is_settled());
    assert_eq!(world.round(false).await, ["bb"]);
    // What is declared anew is among them.
    world.declare("aa", "active", "1.0.1").await;
    world.declare("cc", "active", "1.0.0").await;
    assert_eq!(world.round(false).await, ["aa", "bb", "cc"]);
    world.answer("bb", &[Ok("{}")]);
    assert_eq!(world.round(false).await, ["bb"]);
    assert!(world.memory.is_settled());
    assert!(world.round(false).await.is_empty());
}

#[tokio::test]
async fn one_lost_answer_is_no_outage_and_two_are() {
    let mut world = World::new().await;
    let lost = || Err(Failure::Timeout);
    world.answer("bb", &[lost()]);
    world.round(true).await;
    let silent = world.kept("bb").await.unwrap();
    assert_eq!(silent.fitness, Fitness::NoAnswer);
    assert_eq!(silent.why, "its health could not be asked: timeout");
    world.answer("aa", &[lost(), Ok("{}")]);
    world.answer("bb", &[Ok("{}")]);
    assert_eq!(world.round(true).await, ["aa", "bb", "aa"]);
    assert_eq!(world.kept("aa").await.unwrap().fitness, Fitness::Fit);
    world.answer("aa", &[lost()]);
    assert_eq!(world.round(true).await, ["aa", "bb", "aa"]);
    assert_eq!(world.kept("aa").await.unwrap().fitness, Fitness::NoAnswer);
}

#[tokio::test]
async fn what_is_active_no_more_is_forgotten_and_a_restart_forgets_nothing() {
    let mut world = World::new().await;
    world.round(true).await;
    let first = world.kept("aa").await.unwrap();
    world.memory = Memory::default();
    world.declare("bb", "disabled", "1.0.0").await;
    assert_eq!(world.round(true).await, ["aa"]);
    assert_eq!(world.kept("bb").await, None);
    let second = world.kept("aa").await.unwrap();
    assert_eq!(second.since, first.since);
    assert!(second.asked_at > first.asked_at, "the first round is kept");
}

#[tokio::test]
async fn what_another_wrote_is_put_right_within_a_minute() {
    let mut world = World::new().await;
    world.round(true).await;
    let right = world.kept("aa").await.unwrap();
    let wrong = Health {
        fitness: Fitness::NoAnswer,
        ..right.clone()
    };
    let written = AllHealth::from([(slug("aa"), wrong)]);
    let none = BTreeSet::new();
    world
        .rounds
        .database
        .write_health(&written, &none)
        .await
        .unwrap();
    world.memory.touched = Instant::now().checked_sub(TOUCH);
    world.round(true).await;
    assert_eq!(world.kept("aa").await.unwrap().fitness, Fitness::Fit);
}

#[test]
fn jitter_lengthens_an_interval_by_a_fifth_at_most() {
    let interval = Duration::from_secs(60);
    for _ in 0..100 {
        let next = with_jitter(interval);
        assert!(next >= interval && next <= interval * 6 / 5, "{next:?}");
    }
}

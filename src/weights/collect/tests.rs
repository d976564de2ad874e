//! How often and how long challenges are asked, by a clock that the test moves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::edge::challenge::Body;

/// What a challenge does each time it is asked, by its slug.
type Script = Box<dyn Fn(&str, usize) -> Act + Send + Sync>;

enum Act {
    Answer(&'static str),
    Fail(Failure),
    Hang,
}

struct Scripted {
    script: Script,
    asked: Mutex<Vec<(String, Duration)>>,
    began: Instant,
    open: AtomicUsize,
    most: AtomicUsize,
}

/// Ends however the question does.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    fn new(script: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            asked: Mutex::default(),
            began: Instant::now(),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }

    /// Returns when a challenge was asked, in milliseconds.
    fn times(&self, slug: &str) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|(name, _)| name == slug);
        of.map(|(_, at)| at.as_millis()).collect()
    }
}

#[async_trait]
impl Challenges for Scripted {
    async fn get_weights(&self, place: &Place, _: &Secret<String>) -> Result<Body, Failure> {
        let slug = place.slug.to_string();
        let before = self.times(&slug).len();
        let at = self.began.elapsed();
        self.asked.lock().unwrap().push((slug.clone(), at));
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        let _open = Open(&self.open);
        self.most.fetch_max(open, Ordering::SeqCst);
        let ended = match (self.script)(&slug, before) {
            Act::Answer(text) => Ok(text.replace("SLUG", &slug).into_bytes().into()),
            Act::Fail(failure) => Err(failure),
            Act::Hang => {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Err(Failure::Timeout)
            }
        };
        tokio::task::yield_now().await;
        ended
    }

    async fn get_health(&self, _: &Place) -> Result<Vec<u8>, Failure> {
        Err(Failure::Transport)
    }

    async fn get_version(&self, _: &Place) -> Result<Vec<u8>, Failure> {
        Err(Failure::Transport)
    }
}

const GOOD: &str = r#"{"challenge_slug": "SLUG", "weights": {"hk": 1}}"#;

fn subjects(slugs: impl IntoIterator<Item = String>) -> Vec<Subject> {
    let subject = |slug: String| Subject {
        place: Place {
            slug: Slug::parse(&slug).unwrap(),
            base: format!("http://{slug}"),
        },
        emission: Emission::default(),
        token: Some(Secret::new("t".to_owned())),
    };
    slugs.into_iter().map(subject).collect()
}

async fn ask(client: &Scripted, slugs: &[&str]) -> Vec<Collected> {
    let slugs = slugs.iter().map(ToString::to_string);
    collect(client, subjects(slugs), Patience::default()).await
}

#[test]
fn the_budget_is_three_attempts_and_two_pauses() {
    assert_eq!(Patience::default().budget(), Duration::from_millis(31_500));
    let once = Patience {
        attempts: 0,
        ..Patience::default()
    };
    assert_eq!(once.budget(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_repeated_twice_after_longer_pauses() {
    let client = Scripted::new(|slug, before| match (slug, before) {
        ("late", 2) | ("good", _) => Act::Answer(GOOD),
        ("other", _) => Act::Answer(r#"{"challenge_slug": "good"}"#),
        _ => Act::Fail(Failure::Http(500)),
    });
    let collected = ask(&client, &["late", "good", "never", "other"]).await;
    let slugs: Vec<_> = collected.iter().map(|c| c.answer.slug.as_str()).collect();
    assert_eq!(slugs, ["good", "late", "never", "other"]);
    let attempts: Vec<_> = collected.iter().map(|c| c.attempts).collect();
    assert_eq!(attempts, [1, 3, 3, 3]);
    assert_eq!(client.times("never"), [0, 500, 1500]);
    let outcome = |index: usize| &collected[index].answer.outcome;
    assert!(outcome(0).is_ok() && outcome(1).is_ok());
    assert_eq!(outcome(2), &Err(Failure::Http(500)));
    assert_eq!(outcome(3), &Err(Failure::WrongSlug));
    assert_eq!(collected[2].took, Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn what_repeating_cannot_mend_is_not_repeated() {
    let client = Scripted::new(|_, _| Act::Fail(Failure::Unreachable));
    let mut asked = subjects(["bad", "none"].map(str::to_owned));
    asked[1].token = None;
    let collected = collect(&client, asked, Patience::default()).await;
    assert_eq!((collected[0].attempts, collected[1].attempts), (1, 0));
    assert_eq!(collected[1].answer.outcome, Err(Failure::NoToken));
    assert!(client.times("none").is_empty());
}

#[tokio::test(start_paused = true)]
async fn those_that_hang_take_one_budget_and_nobody_waits_for_their_repeats() {
    let client = Scripted::new(|slug, _| match slug.starts_with("dead") {
        true => Act::Hang,
        false => Act::Answer(GOOD),
    });
    let dead = (0..40).map(|n| format!("dead-{n:02}"));
    let good = (0..60).map(|n| format!("good-{n:02}"));
    let began = Instant::now();
    let collected = collect(&client, subjects(dead.chain(good)), Patience::default()).await;
    assert!(began.elapsed() <= Duration::from_millis(31_500));
    assert_eq!(client.most.load(Ordering::SeqCst), AT_ONCE);
    for one in &collected {
        let is_dead = one.answer.slug.as_str().starts_with("dead");
        let expected = if is_dead {
            Err(Failure::Timeout)
        } else {
            Ok(1)
        };
        let found = one.answer.outcome.as_ref().map(super::super::Scores::len);
        assert_eq!(found.map_err(Clone::clone), expected, "{}", one.answer.slug);
        // The first turns of all that hang come before anybody's second.
        assert!(
            is_dead || one.took <= Duration::from_millis(10_100),
            "{:?}",
            one.took
        );
    }
}

/// What a challenge with so many scores answered.
fn scored(slug: &str, hotkeys: usize) -> Collected {
    let scores = (0..hotkeys).map(|n| (format!("hotkey-{n:08}"), 1.0));
    Collected {
        answer: Answer {
            slug: Slug::parse(slug).unwrap(),
            emission: Emission::default(),
            outcome: Ok(scores.collect()),
        },
        scored_at: Some(Timestamp::UNIX_EPOCH),
        attempts: 1,
        took: Duration::ZERO,
    }
}

#[test]
fn beyond_the_room_for_scores_the_longest_answers_fail_in_whatever_order_they_came() {
    let all = [
        ("aa", 300),
        ("bb", 1000),
        ("cc", 200),
        ("dd", 1000),
        ("ee", 0),
    ];
    let one = |(slug, hotkeys): (&str, usize)| scored(slug, hotkeys);
    let room = all
        .into_iter()
        .map(one)
        .map(|one| size(&one))
        .sum::<usize>();
    for (most, failed) in [
        (room, vec![]),
        (room - 1, vec!["dd"]),
        (room / 3, vec!["bb", "dd"]),
        (1, vec!["aa", "bb", "cc", "dd"]),
    ] {
        for turn in 0..all.len() {
            let mut order = all;
            order.rotate_left(turn);
            let mut gathered = Gathered::within(most);
            for answer in order {
                gathered.take(one(answer));
                assert!(gathered.taken <= most);
            }
            let left = gathered.into_ordered();
            assert!(left.is_sorted_by_key(|one| one.answer.slug.clone()));
            let is_out = |one: &&Collected| one.answer.outcome == Err(Failure::TooLarge);
            let out = left.iter().filter(is_out);
            let out: Vec<_> = out.map(|one| one.answer.slug.as_str()).collect();
            assert_eq!(out, failed, "{most} {order:?}");
        }
    }
}

//! The example challenge does what authors are told to do, asked by the client that asks every challenge.

use jiff::Timestamp;
use platform::edge::challenge::{Challenges as _, HttpChallenges, Limits, Place};
use platform::model::failure::Failure;
use platform::model::{Secret, Slug};
use platform::weights::health::{Expected, Unfit, ask as ask_health};
use serde_json::{Value, json};

use crate::support::challenge::Running;
use crate::support::challenge::work::{Board, MAX_HOTKEYS, Refused, zeros};
use crate::support::cluster::install_tls;

async fn ask(running: &Running, slug: &str, token: &str) -> Result<Value, Failure> {
    install_tls();
    let place = Place {
        slug: Slug::parse(slug).unwrap(),
        base: running.base.clone(),
    };
    let client = HttpChallenges::new(Limits::default());
    let body = client
        .get_weights(&place, &Secret::new(token.to_owned()))
        .await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

async fn work(running: &Running, hotkey: &str, number: u64) -> u16 {
    let work = json!({"hotkey": hotkey, "number": number});
    let answer = reqwest::Client::new()
        .post(format!("{}/work", running.base))
        .json(&work)
        .send()
        .await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn scores_are_for_whoever_has_the_token_and_means_this_challenge() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let running = Running::start("demo", Some(file.display().to_string())).await;
    assert_eq!(
        ask(&running, "demo", "t0ken").await,
        Err(Failure::Http(503))
    );
    std::fs::write(&file, "\n").unwrap();
    assert_eq!(
        ask(&running, "demo", "t0ken").await,
        Err(Failure::Http(503))
    );
    std::fs::write(&file, "t0ken\n").unwrap();
    assert_eq!(ask(&running, "demo", "t0ke").await, Err(Failure::Http(401)));
    assert_eq!(
        ask(&running, "demo", "t0ken2").await,
        Err(Failure::Http(401))
    );
    assert_eq!(
        ask(&running, "other", "t0ken").await,
        Err(Failure::Http(400))
    );
    let answer = ask(&running, "demo", "t0ken").await.unwrap();
    assert_eq!(answer, json!({"challenge_slug": "demo", "weights": {}}));
    std::fs::write(&file, "another").unwrap();
    assert_eq!(
        ask(&running, "demo", "t0ken").await,
        Err(Failure::Http(401))
    );
    assert!(ask(&running, "demo", "another").await.is_ok());
    let none = Running::start("demo", None).await;
    assert_eq!(ask(&none, "demo", "t0ken").await, Err(Failure::Http(503)));
}

#[tokio::test]
async fn it_is_found_fit_unless_it_is_another_or_away() {
    install_tls();
    let running = Running::start("demo", None).await;
    let expected = |slug: &str, base: &str, version: &str| Expected {
        place: Place {
            slug: Slug::parse(slug).unwrap(),
            base: base.to_owned(),
        },
        api_version: "1.0".to_owned(),
        version: version.to_owned(),
        capabilities: vec!["get_weights".to_owned()],
    };
    let asked = [
        expected("demo", &running.base, "1.0.0"),
        expected("other", &running.base, "1.0.0"),
        expected("old", "http://127.0.0.1:1", "1.0.0"),
    ];
    let client = HttpChallenges::new(Limits::default());
    let found = ask_health(&client, &asked.each_ref(), Timestamp::now).await;
    let fitness: Vec<_> = found.into_iter().map(|found| found.fitness).collect();
    let away = Unfit::NoHealth(Failure::Transport);
    assert_eq!(fitness, [Ok(()), Err(away), Err(Unfit::OtherSlug)]);
    let newer = [expected("demo", &running.base, "1.1.0")];
    let found = ask_health(&client, &newer.each_ref(), Timestamp::now).await;
    let other = Unfit::OtherVersion("1.1.0".to_owned());
    assert_eq!(found[0].fitness, Err(other));
}

#[tokio::test]
async fn work_becomes_a_score() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "t0ken").unwrap();
    let running = Running::start("demo", Some(file.display().to_string())).await;
    install_tls();
    for number in 0..32 {
        assert_eq!(work(&running, "5Alice", number).await, 200);
    }
    assert_eq!(work(&running, "no hotkey", 1).await, 400);
    let best = (0..32).map(|number| zeros("demo", "5Alice", number)).max();
    let expected = f64::from(best.unwrap()).exp2();
    let answer = ask(&running, "demo", "t0ken").await.unwrap();
    assert_eq!(answer["weights"], json!({"5Alice": expected}));
}

#[test]
fn a_full_board_keeps_the_best() {
    let mut board = Board::default();
    let offers: Vec<(String, u64)> = (0..MAX_HOTKEYS + 200)
        .map(|index| (format!("h{index}"), 7))
        .collect();
    let mut worst = u32::MAX;
    for (hotkey, number) in &offers {
        let known = board.scores().len();
        match board.offer("demo", hotkey, *number) {
            Ok(zeros) => worst = worst.min(zeros),
            Err(refused) => assert_eq!((refused, known), (Refused::TooLittle, MAX_HOTKEYS)),
        }
    }
    assert_eq!(board.scores().len(), MAX_HOTKEYS);
    let strong = (0..).find(|number| zeros("demo", "late", *number) > worst + 3);
    board.offer("demo", "late", strong.unwrap()).unwrap();
    assert_eq!(board.scores().len(), MAX_HOTKEYS);
    assert!(board.scores().contains_key("late"));
}

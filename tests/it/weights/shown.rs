//! `platform weights show`: what the database tells of a vector, as a process made and kept it.

use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use platform::model::network::KnownNetwork;
use platform::model::snapshot::Snapshot;
use serde_json::{Value, json};

use super::world::World;

/// Runs `weights show` beside the world's database; returns its exit code and both outputs.
async fn show(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command
        .args(["weights", "show"])
        .args(arguments)
        .env_clear()
        .env("PLATFORM_DATABASE_URL", "sqlite:platform.db")
        .current_dir(world.directory.path());
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

/// Makes a vector of which something of every kind was dropped, and returns it as it is kept.
async fn make(world: &World) -> Snapshot {
    world.tell(
        Ok(vec![
            ("hk1", 1.0),
            ("hk2", 0.0),
            ("missing", 2.0),
            ("owner", 1.0),
        ]),
        Ok(vec![("hk2", 2.0), ("bad", f64::NAN)]),
    );
    let process = world.start().await;
    assert_eq!(process.epoch(world).await.unwrap(), [1, 2]);
    newest(world).await
}

async fn newest(world: &World) -> Snapshot {
    let newest = world.database.newest_weights(42, None, Timestamp::now());
    newest.await.unwrap().unwrap()
}

#[tokio::test]
async fn each_hotkey_is_told_what_it_got_and_what_was_dropped() {
    let world = World::new().await;
    make(&world).await;
    let (code, out, _) = show(&world, &["--netuid", "42", "--explain"]).await;
    assert_eq!(code, Some(0));
    for lines in [
        "hk1  UID 1\n    aa  0.1\n",
        "hk2  UID 2\n    aa  dropped: not above zero\n    bb  0.6\n",
        "missing\n    aa  dropped: not registered, of the burn UID, or too little; which is not kept\n",
        "owner\n    aa  dropped: not registered, of the burn UID, or too little; which is not kept\n",
        "NOT KEPT\n    bb  which hotkeys had no finite number, 1 in all\n",
    ] {
        assert!(out.contains(lines), "{lines}\n{out}");
    }
    let (_, out, _) = show(&world, &["--netuid", "42", "--explain", "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        shown["hotkeys"][1],
        json!({"hotkey": "hk2", "uid": 2, "parts": [
            {"slug": "aa", "dropped": "not above zero"}, {"slug": "bb", "earned": 0.6},
        ]})
    );
    assert_eq!(shown["not_kept"][0]["slug"], "bb");
    assert_eq!(shown["explanation"]["challenges"][0]["share"], 0.4);
    assert_eq!(shown["version"], 1);
}

#[tokio::test]
async fn a_challenge_whose_scores_were_left_out_is_named() {
    let world = World::new().await;
    let mut kept = make(&world).await;
    let second = SignedDuration::from_secs(1);
    kept.summary.computed_at += second;
    let mut document: Value = serde_json::from_str(&kept.document).unwrap();
    let source = document["source_challenges"][1].as_object_mut().unwrap();
    source.remove("weights");
    source.insert("weights_left_out".to_owned(), json!(true));
    kept.document = document.to_string();
    let is_kept = world
        .database
        .keep_weights(&kept, Timestamp::now() + second);
    assert!(is_kept.await.unwrap());
    let (_, out, _) = show(&world, &["--netuid", "42", "--explain"]).await;
    for lines in [
        "hk1  UID 1\n    aa  0.1\n",
        "hk2  UID 2\n    aa  dropped: not above zero\n",
        "NOT KEPT\n    bb  its scores had no room in the document: what each hotkey has of it, the challenge can tell\n",
    ] {
        assert!(out.contains(lines), "{lines}\n{out}");
    }
    let (_, out, _) = show(&world, &["--netuid", "42", "--explain", "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    let parts = &shown["hotkeys"][1]["parts"];
    assert_eq!(parts, &json!([{"slug": "aa", "dropped": "not above zero"}]));
    let untold = shown["not_kept"][0]["what"].as_str().unwrap();
    assert!(untold.contains("no room"), "{untold}");
}

#[tokio::test]
async fn the_subnet_is_the_one_that_was_served_last() {
    let world = World::new().await;
    make(&world).await;
    let (code, out, error) = show(&world, &[]).await;
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(error.contains("no weights of subnet 100 yet"), "{error}");
    let network = KnownNetwork {
        netuid: 42,
        chain_endpoint: String::new(),
        name: "platform".to_owned(),
        master_uid: 0,
    };
    let keeping = world.database.keep_network(&network, Timestamp::now());
    keeping.await.unwrap();
    let (_, out, _) = show(&world, &[]).await;
    assert!(out.starts_with("subnet 42  computed"), "{out}");
    let (_, _, error) = show(&world, &["--netuid", "7"]).await;
    assert!(error.contains("no weights of subnet 7 yet"), "{error}");
}

#[tokio::test]
async fn any_kept_vector_is_shown_by_its_time() {
    let world = World::new().await;
    let first = make(&world).await.summary.computed_at.to_string();
    world.tell(Ok(vec![("hk2", 1.0)]), Ok(vec![]));
    let process = world.start().await;
    assert_eq!(process.epoch(&world).await.unwrap(), [2]);
    let weights = async |at: &[&str]| {
        let arguments = [&["--netuid", "42", "-o", "json"], at].concat();
        let (_, out, _) = show(&world, &arguments).await;
        let shown: Value = serde_json::from_str(&out).unwrap();
        (
            shown["computed_at"].clone(),
            shown["document"]["uids"].clone(),
        )
    };
    assert_eq!(weights(&[]).await.1, json!([2]));
    assert_eq!(
        weights(&["--at", &first]).await,
        (json!(first), json!([1, 2]))
    );
    let (_, out, _) = show(&world, &["--netuid", "42", "--at", &first]).await;
    assert!(out.contains(&format!("computed {first}, ")), "{out}");

    let none = ["--netuid", "42", "--at", "2020-01-01T00:00:00Z"];
    let (code, out, error) = show(&world, &none).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        error.contains("computed at 2020-01-01T00:00:00Z are kept"),
        "{error}"
    );
    let (code, _, _) = show(&world, &["--at", "yesterday"]).await;
    assert_eq!(code, Some(2));
}

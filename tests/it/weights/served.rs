//! Vectors over real HTTP, from a real database: made, signed, sent once, kept over a restart, and not replaced
//! by an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use platform::model::{Emission, Row, Slug};
use platform::weights::epoch::EpochError;
use platform::weights::publish::Outage;
use platform::weights::registered::Registered;
use platform::weights::signature::Signature;
use platform::weights::{Failure, Unassigned};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::world::{LIMITS, Process, World, key};

#[tokio::test]
async fn a_vector_is_made_kept_signed_and_served() {
    let world = World::new().await;
    let process = world.start().await;
    let none = process.refused("/v1/weights/latest").await;
    assert_eq!(
        none,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "Master weight service unavailable".to_owned()
        )
    );

    world.tell(
        Ok(vec![("hk1", 1.0), ("missing", 3.0)]),
        Ok(vec![("hk2", 2.0), ("bad", f64::NAN)]),
    );
    assert_eq!(process.epoch(&world).await.unwrap(), [1, 2]);
    let answer = process.get("/v1/weights/latest", &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let signature = Signature {
        signer: header("x-platform-weights-signer"),
        text: header("x-platform-weights-signature"),
    };
    assert_eq!(signature.signer, key().address());
    let body = answer.bytes().await.unwrap();
    assert!(signature.is_of(&body));
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["weights"], json!([1.0 / 7.0, 6.0 / 7.0]));
    assert_eq!(document["hotkey_weights"], json!({"hk1": 0.1, "hk2": 0.6}));
    assert_eq!(
        document["source_challenges"][1],
        json!({
            "slug": "bb", "emission_percent": 60.0, "weights": {"hk2": 2.0}, "ok": true, "error": null,
        })
    );
    let kept = world
        .database
        .newest_weights(42, None, Timestamp::now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.document.as_bytes(), body);
    assert_eq!(
        (kept.summary.revision.as_str(), kept.summary.metagraph_block),
        ("c0ffee", Some(7))
    );
}

#[tokio::test]
async fn bytes_are_sent_once_and_in_the_form_that_is_asked_for() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    process.epoch(&world).await.unwrap();
    let plain = process.get("/v1/weights/latest", &[]).await;
    let tag = plain.headers()["etag"].to_str().unwrap().to_owned();
    let body = plain.bytes().await.unwrap();
    let again = process
        .get("/v1/weights/latest", &[("if-none-match", &tag)])
        .await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["etag"], tag.as_str());
    assert!(again.bytes().await.unwrap().is_empty());

    let packed = process
        .get("/v1/weights/latest", &[("accept-encoding", "gzip")])
        .await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_ne!(packed.headers()["etag"], tag.as_str());
    let packed = packed.bytes().await.unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, body);

    let brief = process.get("/v1/weights/latest?detail=0", &[]).await;
    let signature = brief.headers()["x-platform-weights-signature"]
        .to_str()
        .unwrap()
        .to_owned();
    let brief = brief.bytes().await.unwrap();
    let signature = Signature {
        signer: key().address(),
        text: signature,
    };
    assert!(signature.is_of(&brief), "each form is signed by itself");
    let brief: Value = serde_json::from_slice(&brief).unwrap();
    assert_eq!(brief["source_challenges"][0].get("weights"), None);
    assert_eq!(brief["weights"], json!([1.0]));
}

#[tokio::test]
async fn an_outage_makes_no_vector_and_the_last_one_stays() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![("hk2", 1.0)]));
    process.epoch(&world).await.unwrap();
    let good = process.json("/v1/weights/latest").await;
    let unchanged = async |why: Outage| {
        let ended = process.epoch(&world).await;
        assert!(
            matches!(ended, Err(EpochError::Outage(outage)) if outage == why),
            "{ended:?}"
        );
        assert_eq!(process.json("/v1/weights/latest").await, good);
    };
    world.tell(Err(Failure::Timeout), Err(Failure::Http(500)));
    unchanged(Outage::Challenges).await;
    world.tell(Ok(vec![("gone", 1.0)]), Err(Failure::Http(500)));
    unchanged(Outage::Challenges).await;
    world.register(&[]);
    unchanged(Outage::Metagraph).await;
    std::fs::remove_file(world.directory.path().join("metagraph.json")).unwrap();
    unchanged(Outage::Metagraph).await;

    // One that answers is enough, whatever became of the other.
    world.register(&["owner", "hk1"]);
    world.tell(Ok(vec![("hk1", 1.0)]), Err(Failure::Http(500)));
    assert_eq!(process.epoch(&world).await.unwrap(), [1]);
    let document = process.json("/v1/weights/latest").await;
    assert_eq!(
        document["source_challenges"][1],
        json!({
            "slug": "bb", "emission_percent": 60.0, "weights": {}, "ok": false, "error": "http 500",
        })
    );
    // That nobody earned anything is burnt where every challenge says so.
    world.tell(Ok(vec![("gone", 1.0)]), Ok(vec![]));
    assert_eq!(process.epoch(&world).await.unwrap(), [0]);
}

#[tokio::test]
async fn readers_get_the_vector_that_is_there_and_begin_no_round() {
    let world = World::new().await;
    let process = world.start().await;
    let all_read = async || {
        let readers = (0..200).map(|_| process.get("/v1/weights/latest", &[]));
        let answers = futures::future::join_all(readers).await;
        let codes: BTreeSet<StatusCode> = answers.iter().map(Response::status).collect();
        let bodies = answers.into_iter().map(Response::bytes);
        let bodies = futures::future::try_join_all(bodies).await.unwrap();
        (codes, bodies.into_iter().collect::<BTreeSet<_>>())
    };
    let rounds = || world.told.rounds.load(Ordering::SeqCst);
    let (codes, _) = all_read().await;
    assert_eq!(codes, BTreeSet::from([StatusCode::SERVICE_UNAVAILABLE]));
    assert_eq!(rounds(), 0);

    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    process.epoch(&world).await.unwrap();
    let first = process.get("/v1/weights/latest", &[]).await.bytes().await;
    let shut = world.told.gate.acquire().await.unwrap();
    world.tell(Ok(vec![("hk2", 1.0)]), Ok(vec![]));
    let reading = async {
        process.until("a round", async |_| rounds() == 2).await;
        let read = all_read().await;
        drop(shut);
        read
    };
    let (made, (codes, bodies)) = tokio::join!(process.epoch(&world), reading);
    assert_eq!(made.unwrap(), [2]);
    assert_eq!(codes, BTreeSet::from([StatusCode::OK]));
    assert_eq!(bodies, BTreeSet::from([first.unwrap()]));
    assert_eq!(rounds(), 2);
    assert_eq!(process.json("/v1/weights/latest").await["uids"], json!([2]));
}

/// Goes on with a task for so many steps; `None` where it would go on.
async fn after_steps<F: Future>(steps: usize, task: F) -> Option<F::Output> {
    let mut task = std::pin::pin!(task);
    for _ in 0..steps {
        let step = poll_fn(|context| Poll::Ready(task.as_mut().poll(context)));
        if let Poll::Ready(done) = step.await {
            return Some(done);
        }
        // What it waits for happens elsewhere.
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn whoever_dies_at_any_step_of_publishing_leaves_the_vector_before_or_the_whole_new_one() {
    let world = World::new().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    let first = world.start().await;
    first.epoch(&world).await.unwrap();
    let mut newest = first.json("/v1/weights/latest").await["computed_at"].clone();
    let (mut steps, mut deaths) = (1, 0);
    loop {
        let process = world.start().await;
        let ended = after_steps(steps, process.epoch(&world)).await;
        drop(process);
        let mut next = world.start().await;
        next.look();
        next.until("a vector", async |next| {
            next.get("/v1/weights/latest", &[]).await.status() == 200
        })
        .await;
        let answer = next.get("/v1/weights/latest", &[]).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let signature = Signature {
            signer: header("x-platform-weights-signer"),
            text: header("x-platform-weights-signature"),
        };
        let body = answer.bytes().await.unwrap();
        assert!(signature.is_of(&body), "torn after {steps} steps");
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["uids"], json!([1]), "after {steps} steps");
        let at = document["computed_at"].clone();
        assert!(at.as_str() >= newest.as_str(), "older after {steps} steps");
        newest = at;
        if let Some(ended) = ended {
            ended.unwrap();
            break;
        }
        (steps, deaths) = (steps + 1 + steps / 4, deaths + 1);
        assert!(steps < 1_000_000, "it does not end");
    }
    assert!(deaths >= 3, "it was stopped {deaths} times only");
}

#[tokio::test]
async fn a_clock_that_was_set_back_replaces_no_newer_vector() {
    fn a_moment_ago() -> Timestamp {
        Timestamp::now() - Duration::from_secs(20)
    }
    fn an_hour_ago() -> Timestamp {
        Timestamp::now() - Duration::from_secs(3600)
    }
    let world = World::new().await;
    let mut process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    process.epoch(&world).await.unwrap();
    let good = process.json("/v1/weights/latest").await;
    process.parts.serving.clock.wall = a_moment_ago;
    world.tell(Ok(vec![("hk2", 1.0)]), Ok(vec![]));
    let ended = process.epoch(&world).await;
    assert!(matches!(ended, Err(EpochError::Overtaken)), "{ended:?}");
    assert_eq!(process.json("/v1/weights/latest").await, good);
    // By this clock the vector is from an hour ahead, which would hold this process up for an hour. What it makes
    // meanwhile is older than that for everybody else.
    process.parts.serving.clock.wall = an_hour_ago;
    process.epoch(&world).await.unwrap();
    let mut other = world.start().await;
    other.look();
    let is_served =
        async |other: &Process| other.get("/v1/weights/latest", &[]).await.status() == 200;
    other.until("a vector", is_served).await;
    assert_eq!(other.json("/v1/weights/latest").await, good);
}

#[tokio::test]
async fn an_outage_from_the_start_is_told_as_such() {
    let world = World::new().await;
    let process = world.start().await;
    world.tell(Err(Failure::Timeout), Err(Failure::Timeout));
    let stop = CancellationToken::new();
    let computing = process
        .parts
        .clone()
        .compute(Registered::new(LIMITS), stop.clone());
    let asking = async {
        process
            .until("an outage", async |process| {
                process.get("/v1/weights/latest", &[]).await.status() == 502
            })
            .await;
        stop.cancel();
        process.refused("/v1/weights/latest").await
    };
    let (_, refused) = tokio::join!(computing, asking);
    assert_eq!(
        refused,
        (
            StatusCode::BAD_GATEWAY,
            "no challenge provided weights".to_owned()
        )
    );
}

#[tokio::test]
async fn what_is_declared_and_not_registered_yet_has_failed_and_burns_nothing() {
    let mut world = World::new().await;
    let declared = (Slug::parse("zz").unwrap(), Emission::parse("50").unwrap());
    world.terms.active = BTreeMap::from([declared]);
    let process = world.start().await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![]));
    assert_eq!(process.epoch(&world).await.unwrap(), [1]);
    let served = process.get("/v1/weights/latest", &[]).await;
    let served: Value = served.json().await.unwrap();
    let last = &served["source_challenges"][2];
    assert_eq!((&last["slug"], &last["ok"]), (&json!("zz"), &json!(false)));
    assert_eq!(last["error"], "not registered");
    for slug in ["aa", "bb"] {
        world.declare(slug, "40", "inactive").await;
    }
    let ended = process.epoch(&world).await.unwrap_err();
    assert!(matches!(ended, EpochError::Outage(_)), "{ended}");
}

#[tokio::test]
async fn a_restart_and_a_second_process_serve_the_same_bytes() {
    let world = World::new().await;
    let first = world.start().await;
    let mut second = world.start().await;
    second.look();
    world.tell(Ok(vec![("hk1", 0.1)]), Ok(vec![("hk2", 0.7)]));
    first.epoch(&world).await.unwrap();
    let body = first
        .get("/v1/weights/latest", &[])
        .await
        .bytes()
        .await
        .unwrap();
    drop(first);
    let mut third = world.start().await;
    third.look();
    for process in [&second, &third] {
        process
            .until("the vector", async |process| {
                process.get("/v1/weights/latest", &[]).await.status() == 200
            })
            .await;
        let served = process.get("/v1/weights/latest", &[]).await;
        assert!(
            served
                .headers()
                .contains_key("x-platform-weights-signature")
        );
        assert_eq!(served.bytes().await.unwrap(), body);
    }
}

#[tokio::test]
async fn vectors_of_the_past_are_listed_and_served_as_they_were() {
    let world = World::new().await;
    let mut process = world.start().await;
    let mut bodies = Vec::new();
    for score in [1.0, 2.0, 3.0] {
        world.tell(Ok(vec![("hk1", score)]), Ok(vec![]));
        process.epoch(&world).await.unwrap();
        bodies.push(
            process
                .get("/v1/weights/latest", &[])
                .await
                .bytes()
                .await
                .unwrap(),
        );
    }
    process.look();
    process
        .until("the history", async |process| {
            let history = process.json("/v1/weights/history").await;
            history["items"].as_array().unwrap().len() == 3
        })
        .await;
    let history = process.json("/v1/weights/history?limit=2").await;
    let times: Vec<&str> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["computed_at"].as_str())
        .collect();
    assert_eq!(times.len(), 2);
    let older = process
        .json(&format!("/v1/weights/history?before={}", times[1]))
        .await;
    let first = older["items"][0]["computed_at"].as_str().unwrap();
    for (time, body) in [
        (first, &bodies[0]),
        (times[1], &bodies[1]),
        (times[0], &bodies[2]),
    ] {
        let served = process.get(&format!("/v1/weights/{time}"), &[]).await;
        assert_eq!(served.bytes().await.unwrap(), body);
    }
    // The last one that was sent is sent again, in either form, and only once more read for the other one.
    let path = format!("/v1/weights/{}", times[0]);
    let packed = process.get(&path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    world.database.close().await;
    let plain = process.get(&path, &[]).await;
    assert_eq!(plain.bytes().await.unwrap(), bodies[2]);
    let packed = process.get(&path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let known = process.get(&path, &[("if-none-match", "*")]).await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let other = process.refused(&format!("/v1/weights/{first}")).await;
    assert_eq!(other.1, "Database unavailable");
    for unknown in ["2030-01-01T12:00:00Z", "yesterday", "%00"] {
        let refused = process.refused(&format!("/v1/weights/{unknown}")).await;
        assert_eq!(
            refused,
            (StatusCode::NOT_FOUND, "Weights not found".to_owned())
        );
    }
    let bad = process.get("/v1/weights/history?limit=canary", &[]).await;
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!bad.text().await.unwrap().contains("canary"));
}

#[tokio::test]
async fn the_registry_is_served_and_follows_its_rows() {
    let world = World::new().await;
    let mut process = world.start().await;
    let none = process.refused("/v1/registry").await;
    assert_eq!(none.0, StatusCode::SERVICE_UNAVAILABLE);
    process.look();
    process
        .until("the registry", async |process| {
            process.get("/v1/registry", &[]).await.status() == 200
        })
        .await;
    let answer = process.get("/v1/registry", &[]).await;
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    assert!(!text.contains("canary"), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let slugs: Vec<_> = document["challenges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["slug"])
        .collect();
    assert_eq!(slugs, ["aa", "bb", "cc"]);
    let again = process
        .get("/v1/registry", &[("if-none-match", &tag)])
        .await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let ready = process.get("/ready", &[]).await;
    assert_eq!(ready.status(), StatusCode::OK);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["checks"]["weights_signed"], true);
    assert_eq!(process.refused("/v1/else").await.0, StatusCode::NOT_FOUND);
    let posted = process
        .client
        .post(format!("{}/v1/registry", process.base))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (posted.status(), posted.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD")
    );
}

/// Lets a process look at the database a few times, and returns how it answers for the registry.
async fn registry_after_looks(world: &World, process: &Process) -> (u16, usize) {
    // Each of them has it look at once.
    for _ in 0..3 {
        process.told.send_replace(Some(world.terms.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = process.get("/v1/registry", &[]).await;
    let code = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (code, body["challenges"].as_array().map_or(0, Vec::len))
}

#[tokio::test]
async fn no_registry_is_served_before_what_is_declared_was_applied() {
    let world = World::new().await;
    for slug in ["aa", "bb", "cc"] {
        world.remove(slug).await;
    }
    let mut process = world.start().await;
    process.look();
    assert_eq!(registry_after_looks(&world, &process).await, (503, 0));
    world.declare("aa", "40", "active").await;
    let first = registry_after_looks(&world, &process).await;
    assert_eq!(first, (503, 0), "the first pass is under way");
    world.remove("aa").await;
    world.record_pass().await;
    let first = registry_after_looks(&world, &process).await;
    assert_eq!(first, (503, 0), "it has applied nothing");
    world.declare("aa", "40", "active").await;
    world.record_pass().await;
    let first = registry_after_looks(&world, &process).await;
    assert_eq!(first, (200, 1), "the other one holds up nobody");
    // That there are none any more is news like any other.
    world.remove("aa").await;
    world.record_pass().await;
    assert_eq!(registry_after_looks(&world, &process).await, (200, 0));
    let mut world = World::new().await;
    world.terms.active.clear();
    for slug in ["aa", "bb", "cc"] {
        world.remove(slug).await;
    }
    let mut process = world.start().await;
    process.look();
    assert_eq!(registry_after_looks(&world, &process).await, (503, 0));
    world.record_pass().await;
    assert_eq!(registry_after_looks(&world, &process).await, (200, 0));
}

#[tokio::test]
async fn what_nobody_has_earned_goes_where_the_rules_say() {
    let mut world = World::new().await;
    let process = world.start().await;
    world.tell(
        Ok(vec![("hk1", 1.0), ("missing", 3.0)]),
        Ok(vec![("hk2", 2.0)]),
    );
    for (unassigned, weights) in [
        (Unassigned::Spread, json!({"1": 1.0 / 7.0, "2": 6.0 / 7.0})),
        (Unassigned::WithinChallenge, json!({"1": 0.4, "2": 0.6})),
        (Unassigned::Burn, json!({"0": 0.3, "1": 0.1, "2": 0.6})),
    ] {
        world.terms.rules.unassigned = unassigned;
        process.epoch(&world).await.unwrap();
        let document = process.json("/v1/weights/latest").await;
        let uids = document["uids"].as_array().unwrap();
        assert_eq!(uids.len(), weights.as_object().unwrap().len());
        for (uid, weight) in uids.iter().zip(document["weights"].as_array().unwrap()) {
            let expected = weights[uid.to_string()].as_f64().unwrap();
            let difference = (weight.as_f64().unwrap() - expected).abs();
            assert!(difference < 1e-12, "{unassigned:?}: {document}");
        }
    }
}

#[tokio::test]
async fn emissions_of_nothing_give_nobody_anything() {
    let world = World::new().await;
    let process = world.start().await;
    world.declare("aa", "0", "active").await;
    world.declare("bb", "0", "active").await;
    world.tell(Ok(vec![("hk1", 1.0)]), Ok(vec![("hk2", 1.0)]));
    assert_eq!(process.epoch(&world).await.unwrap(), [0]);
    let document = process.json("/v1/weights/latest").await;
    assert_eq!(document["hotkey_weights"], json!({}));
    assert_eq!(document["source_challenges"][0]["ok"], true);
}

#[tokio::test]
async fn the_registry_shows_what_is_public_and_nothing_else() {
    let world = World::new().await;
    let row = |status: &str| {
        Row(json!({
            "name": "Prism", "description": null, "status": status, "emission_percent": "30",
            "version": "1.4.2", "api_version": "1.0", "image": "ghcr.io/o/prism:1.4.2",
            "internal_base_url": "http://challenge-prism:8000",
            "spec": {
                "env": {"LOG_LEVEL": "info"},
                "secrets": {"openai_api_key": {"secret": "canary-secret", "key": "canary-key"}},
                "metadata": {
                    "tagline": "Small models", "difficulty": 3, "docs_url": null, "summary": ["canary-list"],
                    "note": "canary-note", "worker_command": ["canary-command"],
                },
                "database": {"kind": "external", "secret": "canary-database"},
            },
        }))
    };
    world.write("draft", row("draft")).await;
    world.write("prism", row("active")).await;
    let mut process = world.start().await;
    process.look();
    process
        .until("the registry", async |process| {
            process.get("/v1/registry", &[]).await.status() == 200
        })
        .await;
    let document = process.json("/v1/registry").await;
    assert!(!document.to_string().contains("canary"), "{document}");
    let challenges = document["challenges"].as_array().unwrap();
    let slugs: Vec<&Value> = challenges.iter().map(|one| &one["slug"]).collect();
    assert_eq!(slugs, ["aa", "bb", "cc", "prism"]);
    let prism = &challenges[3];
    assert_eq!(
        prism["metadata"],
        json!({"tagline": "Small models", "difficulty": 3, "docs_url": null})
    );
    assert_eq!(prism["env"], json!({"LOG_LEVEL": "info"}));
    assert_eq!(prism["secrets"], json!(["openai_api_key"]));
}

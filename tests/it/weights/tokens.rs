//! The Secret with the tokens of all challenges: it follows their own Secrets, and is all that who asks challenges
//! may read.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::keeper::Keeper;
use crate::support::world::{CANARY, World};

const ALL: &str = "platform-challenge-tokens";
const SMALL: &str = "database: sqlite";

/// Returns the token in each challenge's own Secret.
async fn own(world: &World, slugs: &[&str]) -> BTreeMap<String, String> {
    let mut tokens = BTreeMap::new();
    for slug in slugs {
        let secret = world.secret(&format!("challenge-{slug}-secrets")).await;
        tokens.insert((*slug).to_owned(), secret["challenge_token"].clone());
    }
    tokens
}

async fn rotate(world: &World, slug: &str, token: &str) {
    let edit = json!({"stringData": {"challenge_token": token}});
    let name = format!("challenge-{slug}-secrets");
    world.edit("secrets", &name, edit).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn all_tokens_follow_challenges_that_come_go_and_get_other_tokens() {
    let world = World::new().await;
    world.converge(&[("one", SMALL), ("two", SMALL)]).await;
    assert_eq!(world.secret(ALL).await, own(&world, &["one", "two"]).await);
    world.run(&["diff"]).await.expect(0);

    let draft = format!("{SMALL}\nstatus: draft");
    let stopped = format!("{SMALL}\nstatus: inactive");
    let three = [
        ("one", stopped.as_str()),
        ("three", SMALL),
        ("sketch", &draft),
    ];
    world.converge(&three).await;
    let expected = own(&world, &["one", "three"]).await;
    assert_eq!(world.secret(ALL).await, expected);

    let token = format!("{CANARY}-rotated");
    rotate(&world, "three", &token).await;
    let diff = world.run(&["diff", "--full", "-vv"]).await.expect(1);
    assert!(diff.stdout.contains("data.three"), "{diff}");
    world.run(&["apply", "--yes", "-vv"]).await.expect(0);
    assert_eq!(world.secret(ALL).await["three"], token);
    assert_eq!(world.secret(ALL).await["one"], expected["one"]);

    // What somebody else puts there, takes out, or changes is put right.
    let edit = json!({"stringData": {"stranger": CANARY, "one": CANARY}});
    world.edit("secrets", ALL, edit).await;
    world.run(&["apply", "--yes", "-vv"]).await.expect(0);
    assert_eq!(
        world.secret(ALL).await,
        own(&world, &["one", "three"]).await
    );
    world.delete("secrets", ALL).await;
    world.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(
        world.secret(ALL).await,
        own(&world, &["one", "three"]).await
    );

    world.converge(&[]).await;
    assert!(
        world
            .get("secrets", ALL)
            .await
            .unwrap()
            .get("data")
            .is_none()
    );
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn who_asks_challenges_may_read_that_one_secret() {
    let world = World::new().await;
    world.converge(&[("one", SMALL)]).await;
    let may_account = async |account: &str, verb: &str, resource: &str, name: &str| {
        let user = format!("system:serviceaccount:{}:{account}", world.namespace);
        let group = match resource {
            "leases" => "coordination.k8s.io",
            _ => "",
        };
        let attributes = json!({
            "namespace": world.namespace, "verb": verb, "group": group, "resource": resource, "name": name,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = world.admin.send("POST", path, Some(review)).await.unwrap();
        answer["status"]["allowed"].as_bool().unwrap()
    };
    let may = async |verb: &str, resource: &str, name: &str| {
        may_account("platform-weights", verb, resource, name).await
    };
    assert!(may("get", "secrets", ALL).await && may("watch", "secrets", ALL).await);
    for verb in ["list", "create", "update", "patch", "delete"] {
        assert!(!may(verb, "secrets", ALL).await, "{verb}");
    }
    for name in ["challenge-one-secrets", ""] {
        assert!(!may("get", "secrets", name).await && !may("watch", "secrets", name).await);
    }
    assert!(!may("get", "configmaps", ALL).await && !may("list", "pods", "").await);
    // It takes its turn to make weights, and no other.
    assert!(may("update", "leases", "platform-weights").await);
    for name in ["platform-pass", "platform-leader"] {
        assert!(!may("get", "leases", name).await && !may("update", "leases", name).await);
    }
    assert!(!may("delete", "leases", "platform-weights").await);
    // Who only serves needs nothing.
    for (resource, name) in [
        ("secrets", ALL),
        ("leases", "platform-weights"),
        ("pods", ""),
    ] {
        assert!(
            !may_account("platform-admin", "get", resource, name).await,
            "{resource}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_secret_of_that_name_that_is_not_ours_is_not_written() {
    let world = World::new().await;
    world.put_secret(ALL, "theirs").await;
    world.declare(&world.yaml(&[("one", SMALL)]));
    let apply = world.run(&["apply", "--yes", "--timeout", "30s"]).await;
    assert!(apply.stdout.contains(ALL) && apply.code == 5, "{apply}");
    let theirs = BTreeMap::from([("theirs".to_owned(), CANARY.to_owned())]);
    assert_eq!(world.secret(ALL).await, theirs);
    // Nothing else waits for it.
    assert!(world.get("statefulsets", "challenge-one").await.is_some());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_challenge_without_a_readable_token_stops_no_other() {
    let world = World::new().await;
    world.converge(&[("one", SMALL), ("two", SMALL)]).await;
    let before = world.secret(ALL).await;
    let edit = json!({"data": {"challenge_token": null}});
    world.edit("secrets", "challenge-one-secrets", edit).await;
    rotate(&world, "two", "rotated").await;
    world.run(&["apply", "--yes", "--timeout", "20s"]).await;
    let after = world.secret(ALL).await;
    assert_eq!(after["one"], before["one"]);
    assert_eq!(after["two"], "rotated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn the_controller_sees_to_it_soon() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("one", SMALL)]));
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    let is_current = async |slugs: &[&str]| {
        world.get("secrets", ALL).await.is_some()
            && world.secret(ALL).await == own(&world, slugs).await
    };
    keeper
        .until("the first token", async |_| is_current(&["one"]).await)
        .await;
    world.declare(&world.yaml(&[("one", SMALL), ("two", SMALL)]));
    keeper.until_ready(2).await;
    let both = ["one", "two"];
    keeper
        .until("the second token", async |_| is_current(&both).await)
        .await;
    rotate(&world, "one", &format!("{CANARY}-rotated")).await;
    keeper
        .until("the rotated token", async |_| is_current(&both).await)
        .await;
    world.delete("secrets", ALL).await;
    keeper
        .until("all tokens again", async |_| is_current(&both).await)
        .await;
    world.declare(&world.yaml(&[("two", SMALL)]));
    keeper
        .until("one token less", async |_| is_current(&["two"]).await)
        .await;
    let history = world.run(&["history", "-o", "json"]).await.expect(0);
    let secret = world.secret(ALL).await["two"].clone();
    assert!(!history.stdout.contains(&secret) && !keeper.log().contains(&secret));
    assert_eq!(keeper.terminate().await.0, Some(0));
}

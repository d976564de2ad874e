//! What removal keeps, what brings it back, and the only way to be rid of it.

use serde_json::{Value, json};

use crate::support::world::World;

const SECRET: &str = "challenge-demo-postgres-secret";
const CLAIMS: [&str; 2] = [
    "challenge-data-challenge-demo-0",
    "challenge-demo-postgres-data-challenge-demo-postgres-0",
];

/// Returns the identity of everything that removal keeps; `null` for what is not there.
async fn kept(world: &World) -> Vec<Value> {
    let mut found = Vec::new();
    for (resource, name) in [
        ("secrets", SECRET),
        ("persistentvolumeclaims", CLAIMS[0]),
        ("persistentvolumeclaims", CLAIMS[1]),
    ] {
        let object = world.get(resource, name).await.unwrap_or_default();
        found.push(object["metadata"]["uid"].clone());
    }
    found
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn removal_keeps_data_and_password_and_declaring_again_uses_them() {
    let world = World::new().await;
    world.converge(&[("demo", ""), ("other", "")]).await;
    let (before, password) = (kept(&world).await, world.secret(SECRET).await);
    let other = world.get("pods", "challenge-other-0").await.unwrap()["metadata"]["uid"].clone();
    world.converge(&[("other", "")]).await;
    assert_eq!(kept(&world).await, before);
    let left: Vec<String> = world
        .snapshot()
        .await
        .into_keys()
        .filter(|key| key.contains("challenge-demo"))
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
    let shown = world.run(&["diff"]).await.expect(0);
    assert!(
        shown.stdout.contains("kept: Secret") && shown.stdout.contains("platform purge demo"),
        "{shown}"
    );
    world.converge(&[("demo", ""), ("other", "")]).await;
    assert_eq!(kept(&world).await, before);
    assert_eq!(world.secret(SECRET).await, password, "the same password");
    let pod = world.get("pods", "challenge-other-0").await.unwrap();
    assert_eq!(
        pod["metadata"]["uid"], other,
        "the other challenge is left alone"
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn purge_wants_the_slug_and_deletes_only_what_was_kept() {
    let world = World::new().await;
    world.converge(&[("demo", ""), ("other", "")]).await;
    let before = kept(&world).await;
    let declared = world
        .run_as_operator(&["purge", "demo", "--confirm", "demo"])
        .await
        .expect(2);
    assert!(declared.stderr.contains("is declared"), "{declared}");
    world.declare(&world.yaml(&[("other", "")]));
    let early = world
        .run_as_operator(&["purge", "demo", "--confirm", "demo"])
        .await
        .expect(2);
    assert!(early.stderr.contains("not removed yet"), "{early}");
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    for (arguments, why) in [
        (&["purge", "demo"][..], "nobody is there to type the slug"),
        (&["purge", "demo", "--confirm", "other"], "another name"),
        (&["purge", "demo", "--confirm", "dem"], "another name"),
        (&["purge", "demo", "--confirm", ""], "--confirm"),
    ] {
        let refused = world.run_as_operator(arguments).await.expect(2);
        assert!(refused.stderr.contains(why), "{refused}");
        assert_eq!(kept(&world).await, before, "{arguments:?}");
    }
    let others = world.snapshot().await;
    let purged = world
        .run_as_operator(&["purge", "demo", "--confirm", "demo"])
        .await
        .expect(0);
    assert!(
        purged.stdout.contains(SECRET) && purged.stdout.contains(CLAIMS[1]),
        "{purged}"
    );
    for claim in CLAIMS {
        world.until_gone("persistentvolumeclaims", claim).await;
    }
    let mut left = others;
    left.retain(|key, _| !key.contains("challenge-demo"));
    assert_eq!(world.snapshot().await, left);
    let nothing = world
        .run_as_operator(&["purge", "demo", "--confirm", "demo"])
        .await
        .expect(2);
    assert!(nothing.stderr.contains("no challenge demo is"), "{nothing}");
    assert!(nothing.stderr.contains("did you mean other?"), "{nothing}");
    let history = world.run(&["history"]).await.expect(0);
    assert!(history.stdout.contains("purge"), "{history}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn purge_of_a_declared_challenge_deletes_what_it_no_longer_uses_and_nothing_else() {
    let world = World::new().await;
    world.converge(&[("demo", ""), ("other", "")]).await;
    let before = kept(&world).await;
    let purge = ["purge", "demo", "--confirm", "demo"];
    world.declare(&world.yaml(&[("demo", "database: sqlite"), ("other", "")]));
    let early = world.run_as_operator(&purge).await.expect(2);
    assert!(early.stderr.contains("not applied yet"), "{early}");
    assert_eq!(kept(&world).await, before);
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    assert_eq!(kept(&world).await, before);
    let untyped = world.run_as_operator(&["purge", "demo"]).await.expect(2);
    assert!(
        !untyped.stdout.contains(CLAIMS[0]) && untyped.stdout.contains(CLAIMS[1]),
        "{untyped}"
    );
    world.run_as_operator(&purge).await.expect(0);
    world.until_gone("persistentvolumeclaims", CLAIMS[1]).await;
    let left = [Value::Null, before[1].clone(), Value::Null];
    assert_eq!(kept(&world).await, left);
    world.run(&["diff"]).await.expect(0);
    let again = world.run_as_operator(&purge).await.expect(2);
    assert!(again.stderr.contains("is declared"), "{again}");
    // A database that is wanted again begins anew, with a password of its own.
    world.converge(&[("demo", ""), ("other", "")]).await;
    assert!(world.get("secrets", SECRET).await.is_some());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn purge_without_the_right_to_delete_claims_leaves_the_password() {
    let world = World::new().await;
    world.converge(&[("demo", "")]).await;
    let before = kept(&world).await;
    world.converge(&[]).await;
    let refused = world
        .run(&["purge", "demo", "--confirm", "demo"])
        .await
        .expect(5);
    assert!(
        refused.stderr.contains("not allowed") && refused.stderr.contains("not everything of demo"),
        "{refused}"
    );
    assert_eq!(kept(&world).await, before);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_database_whose_password_is_lost_gets_no_new_one() {
    let world = World::new().await;
    world.converge(&[("demo", "")]).await;
    world.delete("secrets", SECRET).await;
    world.declare(&world.yaml(&[("demo", ""), ("other", "database: sqlite")]));
    let shown = world.run(&["diff"]).await.expect(1);
    assert!(
        shown.stdout.contains("restore the Secret from a backup"),
        "{shown}"
    );
    let refused = world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(5);
    assert!(refused.stderr.contains(SECRET), "{refused}");
    assert!(
        world.get("secrets", SECRET).await.is_none(),
        "no password is invented"
    );
    assert!(
        world.get("pods", "challenge-other-0").await.is_some(),
        "the other one converges"
    );
    // Removed and declared again it is the same refusal, and nothing that would use the database is made.
    world.converge(&[]).await;
    world.declare(&world.yaml(&[("demo", "")]));
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(5);
    assert!(world.get("secrets", SECRET).await.is_none());
    assert!(
        world
            .get("statefulsets", "challenge-demo-postgres")
            .await
            .is_none()
    );
    assert!(world.get("statefulsets", "challenge-demo").await.is_none());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_incomplete_secret_is_refused_and_not_completed() {
    let world = World::new().await;
    world.converge(&[("demo", "")]).await;
    let tokens = "challenge-demo-secrets";
    for (name, key) in [(SECRET, "POSTGRES_PASSWORD"), (tokens, "challenge_token")] {
        let whole = world.get("secrets", name).await.unwrap()["data"].clone();
        let edited = world
            .edit("secrets", name, json!({"data": {key: null}}))
            .await;
        let refused = world
            .run(&["apply", "--yes", "--timeout", "20s"])
            .await
            .expect(5);
        assert!(
            refused.stderr.contains(&format!("lacks {key}")),
            "{refused}"
        );
        let after = world.get("secrets", name).await.unwrap();
        assert_eq!(
            after["metadata"]["resourceVersion"],
            edited["metadata"]["resourceVersion"]
        );
        world.edit("secrets", name, json!({"data": whole})).await;
        world.run(&["diff"]).await.expect(0);
    }
    // Tokens are no key to data: deleted, they are made anew, and the registry follows.
    let old = world.secret(tokens).await;
    world.delete("secrets", tokens).await;
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    assert_ne!(world.secret(tokens).await, old);
    world.run(&["diff"]).await.expect(0);
}

//! The time that `apply --timeout` gives bounds everything that it begins, a write that hangs too.

use std::time::{Duration, Instant};

use sqlx::Connection as _;

use crate::support::proxy::{Fault, Match};
use crate::support::world::{Ran, World};

/// The time given: enough for a busy machine to come to the write that hangs.
const GIVEN: &str = "6s";
/// That, the last look, the start of the program, and a busy machine.
const LONGEST: Duration = Duration::from_secs(45);
/// How long one request may take, in seconds, unless the time given ends it.
const CALL: (&str, &str) = ("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "300");

fn hang(verb: &str, resource: &str) -> (Match, Fault) {
    let matching = Match {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        ..Match::default()
    };
    (matching, Fault::Hang)
}

/// Applies with that time while requests hang, and returns what was said.
async fn apply_in_time(world: &World, hanging: (Match, Fault), more: &[&str]) -> Ran {
    world.proxy.fail(hanging.0, hanging.1);
    let began = Instant::now();
    let arguments = [&["apply", "--yes", "--timeout", GIVEN], more].concat();
    let ran = world.run(&arguments).await;
    assert!(began.elapsed() < LONGEST, "{:?}: {ran}", began.elapsed());
    world.proxy.heal();
    ran
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_write_that_hangs_ends_with_the_time_and_is_told_of() {
    let mut world = World::new().await;
    world.set(CALL.0, CALL.1);
    world.declare(&world.yaml(&[("demo", "")]));
    for more in [&[][..], &["--no-wait"]] {
        let ran = apply_in_time(&world, hang("patch", "networkpolicies"), more).await;
        let ran = ran.expect(5);
        assert!(ran.stderr.contains("not converged in time"), "{ran}");
        let told = "NetworkPolicy challenge-demo: the time was over before the answer came";
        assert!(ran.stderr.contains(told), "{ran}");
        assert!(world.get("statefulsets", "challenge-demo").await.is_none());
    }
    let passes = world.run(&["history", "-o", "json"]).await.expect(0).json();
    let first = passes["passes"][0]["id"].to_string();
    let pass = world.run(&["history", "show", &first]).await.expect(0);
    assert!(pass.stdout.contains("the time was over"), "{pass}");
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    world.run(&["diff"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_password_whose_answer_hangs_is_made_once() {
    let mut world = World::new().await;
    world.set(CALL.0, CALL.1);
    world.declare(&world.yaml(&[("demo", "")]));
    let (matching, _) = hang("post", "secrets");
    let ran = apply_in_time(&world, (matching, Fault::HangAfter), &[]).await;
    ran.expect(5);
    let made = world.secret("challenge-demo-postgres-secret").await;
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    assert_eq!(world.secret("challenge-demo-postgres-secret").await, made);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_cluster_that_falls_silent_ends_with_the_time() {
    let mut world = World::new().await;
    world.set(CALL.0, CALL.1);
    world.converge(&[("demo", "database: sqlite")]).await;
    world.declare(&world.yaml(&[("demo", "database: sqlite\nenv: {A: b}")]));
    world.proxy.take_seen();
    let child = world.start(&["apply", "--yes", "--timeout", GIVEN]);
    let began = Instant::now();
    world.proxy.until_seen("patch").await;
    let (matching, fault) = hang("", "");
    world.proxy.fail(matching, fault);
    let ran = World::finish(child).await;
    assert!(began.elapsed() < LONGEST, "{:?}: {ran}", began.elapsed());
    ran.expect(5);
    world.proxy.heal();
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_cluster_that_is_away_is_not_written_for_and_the_registry_neither() {
    let world = World::new().await;
    let away = || {
        world.proxy.fail(Match::default(), Fault::Answer(503));
    };
    world.declare(&world.yaml(&[("demo", "database: sqlite")]));
    away();
    let refused = world.run(&["apply", "--yes"]).await.expect(4);
    assert!(
        refused.stderr.contains("the cluster could not be read"),
        "{refused}"
    );
    assert!(refused.stderr.contains("nothing was done"), "{refused}");
    assert!(
        !world.path("platform.db").exists(),
        "not even a database is made"
    );
    world.proxy.heal();
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);

    let history = world.run(&["history", "-o", "json"]).await.expect(0).stdout;
    world.declare(&world.yaml(&[("demo", "database: sqlite\nenv: {A: b}"), ("new", "")]));
    away();
    world.run(&["apply", "--yes"]).await.expect(4);
    world.proxy.heal();
    let after = world.run(&["history", "-o", "json"]).await.expect(0).stdout;
    assert_eq!(after, history, "no pass was begun");
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn rows_that_are_unknown_are_told_of_where_nothing_is_declared_too() {
    let world = World::new().await;
    world.converge(&[("demo", "database: sqlite")]).await;
    let before = world.snapshot().await;
    world.declare(&world.yaml(&[]));
    let rows = std::fs::read(world.path("platform.db")).unwrap();
    std::fs::write(world.path("platform.db"), "no database").unwrap();
    let diff = world.run(&["diff"]).await.expect(4);
    assert!(
        diff.stdout
            .contains("the registry's rows could not be read"),
        "{diff}"
    );
    world
        .run(&["apply", "--yes", "--allow-deletes"])
        .await
        .expect(4);
    assert_eq!(world.snapshot().await, before);
    std::fs::write(world.path("platform.db"), rows).unwrap();
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    assert!(world.get("services", "challenge-demo").await.is_none());
}

/// Where what a pass is about to write cannot be kept, it is not written; the next pass does it.
#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_later_pass_that_cannot_begin_is_tried_again() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("first", "database: sqlite")]));
    world.run(&["apply", "--yes"]).await.expect(0);
    let url = format!("sqlite:{}", world.path("platform.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        let statement = sqlx::query(sqlx::AssertSqlSafe(statement));
        statement.execute(&mut database).await.unwrap();
    };
    world.declare(&world.yaml(&[("first", "database: sqlite"), ("demo", "")]));
    // The workload waits for its database, which the next look sees late.
    let child = world.start(&["apply", "--yes", "--timeout", "60s"]);
    world.proxy.until_seen("patch").await;
    let (matching, _) = hang("watch", "statefulsets");
    world.proxy.fail(matching, Fault::Slow(5_000));
    until_made(&world, "challenge-demo-postgres").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rename("open_passes", "away").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(world.get("statefulsets", "challenge-demo").await.is_none());
    world.proxy.heal();
    rename("away", "open_passes").await;
    let ran = World::finish(child).await.expect(0);
    assert!(ran.stderr.contains("a pass could not begin"), "{ran}");
    assert!(world.get("statefulsets", "challenge-demo").await.is_some());
    world.run(&["diff"]).await.expect(0);
}

async fn until_made(world: &World, set: &str) {
    while world.get("statefulsets", set).await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

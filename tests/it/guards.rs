//! What a pass does not do without being told so: many deletes, a jump of a share, a frozen time, a plan
//! that is no longer what was shown, a file that is not what its author meant.

use serde_json::{Value, json};

use platform::spec::{SourceFile, check, parse};

use crate::support::world::World;

const LOOSE: &str = "safety: {max_deleted_percent: 100, max_emission_change_points: 100}";

/// Replaces the loose limits of test declarations.
fn with_safety(yaml: &str, safety: &str) -> String {
    assert!(yaml.contains(LOOSE));
    yaml.replace(LOOSE, &format!("safety: {safety}"))
}

async fn guards(world: &World) -> Vec<String> {
    let plan = world.run(&["diff", "-o", "json"]).await.json();
    let guards = plan["guards"]
        .as_array()
        .unwrap_or_else(|| panic!("{plan}"));
    let flag = |guard: &Value| guard["flag"].as_str().unwrap().to_owned();
    guards.iter().map(flag).collect()
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_file_of_another_branch_deletes_nothing_unless_allowed() {
    let world = World::new().await;
    world
        .converge(&[("one", "database: sqlite"), ("two", "database: sqlite")])
        .await;
    let before = world.snapshot().await;
    world.declare(&with_safety(
        &world.yaml(&[("three", "database: sqlite")]),
        "{}",
    ));
    assert_eq!(
        guards(&world).await,
        ["--allow-deletes", "--allow-emission-change"]
    );
    for arguments in [
        &["apply", "--yes"][..],
        &["apply", "--yes", "--allow-deletes"],
        &["apply", "--yes", "--allow-emission-change"],
    ] {
        let refused = world.run(arguments).await.expect(2);
        assert!(
            refused.stderr.contains("a guard of `safety`") && refused.stderr.contains("--allow-"),
            "{refused}"
        );
        assert_eq!(world.snapshot().await, before);
    }
    world
        .run(&[
            "apply",
            "--yes",
            "--allow-deletes",
            "--allow-emission-change",
            "--timeout",
            "60s",
        ])
        .await
        .expect(0);
    assert!(world.get("services", "challenge-one").await.is_none());
    assert!(
        world
            .get("persistentvolumeclaims", "challenge-data-challenge-one-0")
            .await
            .is_some()
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_jump_of_a_share_and_a_frozen_time_are_refused_unless_allowed() {
    let world = World::new().await;
    world
        .converge(&[("one", "database: sqlite"), ("two", "database: sqlite")])
        .await;
    let yaml = world.yaml(&[("one", "database: sqlite"), ("two", "database: sqlite")]);
    world.declare(&with_safety(&yaml.replace("two: 10", "two: 90"), "{}"));
    let refused = world.run(&["apply", "--yes"]).await.expect(2);
    assert!(
        refused.stderr.contains("--allow-emission-change"),
        "{refused}"
    );
    world
        .run(&["apply", "--yes", "--allow-emission-change"])
        .await
        .expect(0);
    let freeze = "{max_emission_change_points: 100, freeze: [{from: \"2020-01-01T00:00Z\", to: \"2100-01-01T00:00Z\", why: rest}]}";
    world.declare(&with_safety(&yaml, freeze));
    assert_eq!(guards(&world).await, ["--allow-freeze"]);
    let refused = world.run(&["apply", "--yes"]).await.expect(2);
    assert!(refused.stderr.contains("--allow-freeze"), "{refused}");
    world
        .run(&["apply", "--yes", "--allow-freeze"])
        .await
        .expect(0);
    world.run(&["apply", "--yes"]).await.expect(0);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn nobody_there_to_confirm_means_no() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", "database: sqlite")]));
    let refused = world.run(&["apply"]).await.expect(2);
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert!(world.get("services", "challenge-demo").await.is_none());
    assert!(
        !world.path("platform.db").exists(),
        "not even a database is made"
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_only_waits_is_confirmed_and_guarded_as_what_is_done_at_once() {
    let world = World::new().await;
    let never =
        "postgres: {image: \"postgres:never-ready@sha256:".to_owned() + &"b".repeat(64) + "\"}";
    let yaml = world.yaml(&[("demo", &never)]);
    world.declare(&yaml);
    world.run(&["apply", "--yes", "--no-wait"]).await.expect(0);
    let plan = world.run(&["diff", "-o", "json"]).await.expect(1).json();
    let totals = &plan["totals"];
    assert_eq!(
        (&totals["create"], &totals["held"]),
        (&json!(0), &json!(1)),
        "{plan:#}"
    );
    let refused = world.run(&["apply", "--no-wait"]).await.expect(2);
    assert!(refused.stderr.contains("--yes"), "{refused}");
    let freeze = "{freeze: [{from: \"2020-01-01T00:00Z\", to: \"2100-01-01T00:00Z\", why: rest}]}";
    world.declare(&with_safety(&yaml, freeze));
    assert_eq!(guards(&world).await, ["--allow-freeze"]);
    let refused = world.run(&["apply", "--yes"]).await.expect(2);
    assert!(refused.stderr.contains("--allow-freeze"), "{refused}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_saved_plan_is_carried_out_as_shown_or_not_at_all() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", "database: sqlite")]));
    world.run(&["diff", "--save", "first.json"]).await.expect(1);
    world
        .run(&["apply", "--plan", "first.json", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let again = world
        .run(&["apply", "--plan", "first.json", "--yes"])
        .await
        .expect(3);
    assert!(
        again.stderr.contains("changed since the plan was saved"),
        "{again}"
    );

    let changed = world.yaml(&[("demo", "database: sqlite\nenv: {LEVEL: debug}")]);
    world.declare(&changed);
    world
        .run(&["diff", "--save", "second.json"])
        .await
        .expect(1);
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "challenge", "image": "example.org/other:1"}]}}}});
    let edited = world.edit("statefulsets", "challenge-demo", edit).await;
    let stale = world
        .run(&["apply", "--plan", "second.json", "--yes"])
        .await
        .expect(3);
    assert!(
        stale.stderr.contains("the cluster or the database changed"),
        "{stale}"
    );
    let after = world.get("statefulsets", "challenge-demo").await.unwrap();
    assert_eq!(
        after["metadata"]["generation"], edited["metadata"]["generation"],
        "nothing was written"
    );

    world.run(&["diff", "--save", "third.json"]).await.expect(1);
    world.declare(&changed.replace("debug", "info"));
    let stale = world
        .run(&["apply", "--plan", "third.json", "--yes"])
        .await
        .expect(3);
    assert!(stale.stderr.contains("the declaration changed"), "{stale}");
    let after = world.get("statefulsets", "challenge-demo").await.unwrap();
    assert_eq!(
        after["metadata"]["generation"], edited["metadata"]["generation"],
        "nothing was written"
    );

    world.declare(&changed);
    world
        .run(&["apply", "--plan", "third.json", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let text = std::fs::read_to_string(world.path("third.json")).unwrap();
    std::fs::write(world.path("cut.json"), &text[..text.len() / 2]).unwrap();
    world
        .run(&["apply", "--plan", "cut.json", "--yes"])
        .await
        .expect(2);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_file_that_is_empty_cut_or_half_merged_deletes_nothing() {
    let world = World::new().await;
    let yaml = with_safety(
        &world.yaml(&[
            ("one", "database: sqlite"),
            ("two", "database: sqlite\nenv: {A: b}\nstatus: active"),
        ]),
        "{}",
    );
    world.declare(&yaml);
    world
        .run(&["apply", "--yes", "--timeout", "60s"])
        .await
        .expect(0);
    let before = world.snapshot().await;
    let merged = yaml.replace(
        "  two: 10\n",
        "<<<<<<< HEAD\n  two: 10\n=======\n  two: 20\n>>>>>>> other\n",
    );
    for refused in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "---\n...\n",
        "{}\n",
        &merged,
    ] {
        world.declare(refused);
        world.proxy.take_seen();
        let ran = world
            .run(&[
                "apply",
                "--yes",
                "--allow-deletes",
                "--allow-emission-change",
            ])
            .await
            .expect(2);
        assert!(ran.stderr.contains("platform.yaml"), "{ran}");
        assert!(
            world.proxy.take_seen().is_empty(),
            "the cluster is not even asked"
        );
    }
    std::fs::remove_file(world.path("platform.yaml")).unwrap();
    world
        .run(&["apply", "--yes", "--allow-deletes"])
        .await
        .expect(2);
    let mut accepted = 0;
    for length in 0..yaml.len() {
        let cut = &yaml[..length];
        let file = SourceFile::new("platform.yaml", cut.as_bytes().to_vec());
        let is_accepted = parse(&[file]).is_ok_and(|written| check(&written).is_ok());
        if !is_accepted {
            continue;
        }
        world.declare(cut);
        let ran = world.run(&["diff", "-o", "json"]).await;
        let plan = ran.json();
        let deletes = plan["totals"]["delete"].as_u64().unwrap();
        let guards = plan["guards"].as_array().unwrap().len();
        assert!(
            deletes == 0 || guards > 0,
            "cut at {length}: {cut:?}\n{ran}"
        );
        accepted += 1;
    }
    // Line ends inside the last challenge, where what is left is a declaration too.
    assert!(accepted <= 4, "{accepted}");
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_production_policy_holds_whoever_turns_it_on() {
    let world = World::new().await;
    let declared = world.yaml(&[("demo", "resources: {cpu: \"1\", memory: 1Gi}")]);
    let production = declared.replace("environment: development", "environment: production");
    world.declare(&production);
    let sqlite = world.run(&["apply", "--yes"]).await.expect(2);
    assert!(sqlite.stderr.contains("PostgreSQL"), "{sqlite}");
    let unpinned = |text: &str| {
        text.replace(
            &format!("demo:1.0.0@sha256:{}", "a".repeat(64)),
            "demo:1.0.0",
        )
    };
    world.declare(&unpinned(&production));
    let tag = world.run(&["apply", "--yes"]).await.expect(2);
    assert!(tag.stderr.contains("must include a digest"), "{tag}");
    world.declare(&unpinned(&declared));
    for name in [
        "PLATFORM_ENVIRONMENT",
        "PLATFORM_POLICY__ENFORCE_PRODUCTION",
    ] {
        let value = if name.ends_with("PRODUCTION") {
            "true"
        } else {
            "production"
        };
        let tag = world
            .run_with(&["apply", "--yes"], &[(name, value)])
            .await
            .expect(2);
        assert!(
            tag.stderr.contains("must include a digest"),
            "{name}: {tag}"
        );
    }
    assert!(
        world.proxy.take_seen().is_empty(),
        "the cluster is not even asked"
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn another_namespace_needs_a_word_even_where_objects_of_ours_are() {
    let (world, other) = (World::new().await, World::new().await);
    let challenges = [("demo", "database: sqlite")];
    world.converge(&challenges).await;
    other.converge(&challenges).await;
    let before = (world.snapshot().await, other.snapshot().await);
    let home = world.yaml(&challenges);
    world.declare(&home.replace(&world.namespace, &other.namespace));
    let refused = world.run_as_operator(&["apply", "--yes"]).await.expect(2);
    assert!(
        refused.stderr.contains("--allow-empty-cluster"),
        "{refused}"
    );
    let told = format!("in namespace {}", world.namespace);
    assert!(refused.stdout.contains(&told), "{refused}");
    assert_eq!((world.snapshot().await, other.snapshot().await), before);
    world.declare(&home);
    world.run(&["diff"]).await.expect(0);

    world.declare(&home.replace(&world.namespace, &other.namespace));
    let allowed = ["apply", "--yes", "--allow-empty-cluster"];
    world.run_as_operator(&allowed).await.expect(0);
    // From now on that is its place.
    world.run_as_operator(&["diff"]).await.expect(0);
}

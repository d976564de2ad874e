//! The main job with PostgreSQL behind it, as production wants it.

use sqlx::Row as _;
use sqlx::postgres::PgPoolOptions;

use crate::support::postgres::create_database;
use crate::support::world::World;

/// Returns the text of every row of every table.
pub async fn everything(url: &str) -> String {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap();
    let tables =
        sqlx::query("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()");
    let mut text = String::new();
    for table in tables.fetch_all(&pool).await.unwrap() {
        let table: String = table.get(0);
        let rows = format!("SELECT to_jsonb(t)::text FROM \"{table}\" t");
        for row in sqlx::query(sqlx::AssertSqlSafe(rows))
            .fetch_all(&pool)
            .await
            .unwrap()
        {
            text += row.get::<&str, _>(0);
        }
    }
    pool.close().await;
    text
}

#[tokio::test]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn the_first_flow_works_on_postgresql_under_the_production_policy() {
    let world = World::new().await;
    let url = create_database(&world.namespace).await;
    let production = "resources: {cpu: \"1\", memory: 1Gi}";
    let declare = |challenges: &[(&str, &str)]| {
        let yaml = world.yaml(challenges);
        world.declare(&yaml.replace("environment: development", "environment: production"));
    };
    let run = async |arguments: &[&str]| {
        world
            .run_with(arguments, &[("PLATFORM_DATABASE_URL", url.as_str())])
            .await
    };
    declare(&[("demo", production), ("other", production)]);
    run(&["diff"]).await.expect(1);
    run(&["apply", "--yes", "--timeout", "60s"]).await.expect(0);
    world.proxy.take_seen();
    run(&["diff"]).await.expect(0);
    assert!(
        world
            .proxy
            .take_seen()
            .iter()
            .all(|seen| seen.verb == "list")
    );
    run(&["apply", "--yes"]).await.expect(0);
    let password = world.secret("challenge-demo-postgres-secret").await;
    declare(&[("other", production)]);
    run(&["apply", "--yes", "--timeout", "60s"]).await.expect(0);
    declare(&[("demo", production), ("other", production)]);
    run(&["apply", "--yes", "--timeout", "60s"]).await.expect(0);
    assert_eq!(
        world.secret("challenge-demo-postgres-secret").await,
        password
    );
    let status = run(&["status"]).await.expect(0);
    assert!(status.stdout.contains("Converged"), "{status}");
    let history = run(&["history", "-o", "json"]).await.expect(0).json();
    assert!(
        history["passes"].as_array().unwrap().len() >= 3,
        "{history}"
    );
    assert!(!world.path("platform.db").exists());
    let stored = everything(&url).await;
    assert!(stored.contains("challenge-demo"), "{stored}");
    for name in [
        "challenge-demo-postgres-secret",
        "challenge-demo-secrets",
        "challenge-other-secrets",
    ] {
        for (key, value) in world.secret(name).await {
            let is_public = matches!(key.as_str(), "POSTGRES_DB" | "POSTGRES_USER");
            assert!(is_public || !stored.contains(&value), "{key} of {name}");
        }
    }
}

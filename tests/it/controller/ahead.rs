//! What somebody applies by hand before the controller has read it.

use std::time::Duration;

use serde_json::Value;

use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::world::World;

/// Returns a declaration that differs by this value alone.
fn version(world: &World, value: usize) -> String {
    let extra = format!("database: sqlite\nenv: {{VERSION: \"{value}\"}}");
    world.yaml(&[("demo", &extra)])
}

async fn revisions(world: &World) -> Vec<Value> {
    let history = world.run(&["history", "-o", "json"]).await.expect(0).json();
    let passes = history["passes"].as_array().unwrap();
    passes
        .iter()
        .map(|pass| pass["revision"]["digest"].clone())
        .collect()
}

async fn generation(world: &World) -> Value {
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    set["metadata"]["generation"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_commit_that_is_applied_by_hand_is_not_put_back_by_who_has_not_read_it() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "300");
    let repo = Repo::of(&[("platform.yaml", &version(&world, 1))]);
    world.set("PLATFORM_SOURCE", &repo.address());
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    keeper.until_settled(&world).await;
    let before = revisions(&world).await;
    for value in 2..5 {
        let generation_before = generation(&world).await.as_u64().unwrap();
        repo.write("platform.yaml", &version(&world, value));
        repo.commit("the next version");
        let apply = ["apply", "--yes", "--timeout", "60s"];
        world.run(&apply).await.expect(0);
        // It is read within a moment, not after the interval.
        keeper
            .until("the commit that was applied", async |keeper| {
                let (_, ready) = keeper.ready().await;
                let revision = ready["checks"]["source"]["revision"].to_string();
                let head = repo.git(&["rev-parse", "HEAD"]);
                revision.contains(&head.trim()[..7])
            })
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(generation(&world).await, generation_before + 1);
        world.run(&["diff"]).await.expect(0);
    }
    let after = revisions(&world).await;
    let of_first = after.iter().filter(|revision| **revision == before[0]);
    assert_eq!(of_first.count(), before.len(), "{after:#?}");
    assert_eq!(keeper.terminate().await.0, Some(0));
}

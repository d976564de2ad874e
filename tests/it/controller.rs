//! `platform run` on the real API server: it converges, rests, puts right what others change, follows its
//! source, and lives through what fails.

#![expect(clippy::print_stdout, reason = "what was measured is for people")]

mod ahead;
mod away;
mod broken;
mod clock;
mod drift;
mod elsewhere;
mod images;
mod interrupted;
mod pushed;
mod refused;
mod replicas;
mod rest;
mod restarts;
mod seen;
mod sources;
mod storm;
mod told;
mod traced;

use std::time::Duration;

use crate::support::keeper::Keeper;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_first_run_brings_the_example_about_and_ends_when_told_to() {
    let world = World::new().await;
    let example = include_str!("../../examples/platform.yaml");
    let own = format!("namespace: {}", world.namespace);
    world.declare(&example.replace("namespace: platform  ", &own));
    for (name, key) in [("prism-openai", "token")] {
        world.put_secret(name, key).await;
    }
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("readiness", async |keeper| keeper.ready().await.0 == 200)
        .await;
    keeper
        .until("two ready challenges", async |keeper| {
            let ready = keeper
                .metric("platform_challenges{condition=\"ready\"}")
                .await;
            ready == Some(2.0) && keeper.has_tokens(2).await
        })
        .await;
    assert_eq!(keeper.get("/health").await.0, 200);
    keeper.until_settled(&world).await;
    let history = world.run(&["history", "-o", "json"]).await.expect(0);
    assert!(history.stdout.contains("(controller)"), "{history}");
    let (code, took, log) = keeper.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    let left: Vec<_> = std::fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            let expected = [
                "kubeconfig",
                "platform.yaml",
                "platform.db",
                "platform.db.weights-key",
                "keeper.log",
            ];
            !expected.contains(&name.as_str())
        })
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    world.run(&["diff"]).await.expect(0);
}

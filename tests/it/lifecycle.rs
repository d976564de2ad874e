//! A challenge's life as its operator sees it, on the real API server.

use crate::support::world::World;

#[tokio::test]
#[ignore = "needs a cluster"]
async fn applied_declaration_leaves_nothing_to_do() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", "")]));
    world.run(&["diff"]).await.expect(1);
    world.run(&["apply", "--yes"]).await.expect(0);
    world.proxy.take_seen();
    world.run(&["diff"]).await.expect(0);
    let seen = world.proxy.take_seen();
    assert!(
        seen.iter().all(|request| request.verb == "list"),
        "{seen:?}"
    );
}

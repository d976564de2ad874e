//! Over an unchanged world nothing is sent but the watches, however often the source is read.

use std::time::Duration;

use crate::support::keeper::Keeper;
use crate::support::proxy::Seen;
use crate::support::world::{World, is_soak};

/// Returns requests that are neither watches nor the renewal of the lease.
fn others(seen: Vec<Seen>) -> Vec<Seen> {
    seen.into_iter()
        .filter(|seen| seen.verb != "watch" && seen.resource != "leases")
        .collect()
}

async fn rests(challenges: usize) {
    let world = World::new().await;
    let slugs: Vec<String> = (0..challenges).map(|n| format!("rest-{n:03}")).collect();
    let small = "database: sqlite";
    let declared: Vec<(&str, &str)> = slugs.iter().map(|slug| (slug.as_str(), small)).collect();
    let yaml = world.yaml(&declared);
    world.declare(&yaml);
    let mut keeper = Keeper::start(&world, &[]);
    let took = keeper.until_ready(challenges).await;
    println!(
        "{challenges} challenges ready after {took:.1?}, {} KiB",
        keeper.memory()
    );
    keeper
        .until("each one told as ready", async |keeper| {
            let name = "platform_told_total{channel=\"events\",outcome=\"sent\"}";
            let told = keeper.metric(name).await;
            told.is_some_and(|told| told >= challenges as f64)
        })
        .await;
    // What controllers of the cluster still report comes to an end, and so does what is kept of new images.
    let mut looks = None;
    keeper
        .until("no more looks", async |keeper| {
            let before = std::mem::replace(&mut looks, keeper.metric("platform_looks_total").await);
            tokio::time::sleep(Duration::from_secs(6)).await;
            before == looks
        })
        .await;
    world.proxy.take_seen();
    // The same bytes are no revision, and a comment is one with nothing to do.
    world.declare(&yaml);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = keeper.ready().await.1["checks"]["source"]["revision"].clone();
    world.declare(&format!("# no change\n{yaml}"));
    keeper
        .until("the new revision", async |keeper| {
            keeper.ready().await.1["checks"]["source"]["revision"] != before
        })
        .await;
    let rest = if is_soak() { 120 } else { 4 };
    tokio::time::sleep(Duration::from_secs(rest)).await;
    assert_eq!(others(world.proxy.take_seen()), []);
    assert_eq!(keeper.metric("platform_looks_total").await, looks);
    assert_eq!(keeper.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_unchanged_world_costs_no_request() {
    rests(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn an_unchanged_world_of_a_hundred_challenges_costs_no_request() {
    rests(100).await;
}

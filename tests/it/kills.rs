//! The program is killed at each request of a change: the next run continues, and nothing is there twice,
//! half, or locked.

use std::sync::Arc;

use crate::support::chain::{Chain, Possessions, Undisturbed, run_trials};
use crate::support::proxy::Seen;
use crate::support::world::{World, is_soak};

/// Every so many requests in the short form; odd, so that in turn each form of link is hit everywhere.
const STRIDE: usize = 7;

/// After how many requests the program is killed, and in which form of link.
#[derive(Clone, Copy, Debug)]
struct Kill {
    link: usize,
    after: usize,
}

async fn run(chain: &mut Chain, kill: Kill, undisturbed: &Undisturbed) {
    if (chain.link + 1) % 2 != kill.link {
        chain.turn();
        chain.apply("60s").await.expect(0);
    }
    let before = Possessions::of(&chain.world).await;
    let recorded = history(chain).await.0;
    chain.turn();
    let proxy = chain.world.proxy.clone();
    let child = chain.world.start(&["apply", "--yes"]);
    proxy.kill_after(kill.after, child.id());
    let killed = World::finish(child).await;
    // Where a quick look saved requests, it came to its end.
    assert!(matches!(killed.code, -1 | 0), "{kill:?}: {killed}");
    let sent = proxy.take_seen();
    proxy.heal();
    let (passes, has_open) = history(chain).await;
    assert!(
        has_open || passes > recorded || !sent.iter().take(kill.after).any(is_write),
        "{kill:?}: the history does not know of its writes: {sent:#?}"
    );
    let left = Possessions::of(&chain.world).await;
    before.check_kept(&left, &chain.slug(), &kill);
    let diff = chain.world.run(&["diff"]).await;
    assert!(matches!(diff.code, 0 | 1), "{kill:?}: {diff}");
    let healed = chain.apply("60s").await;
    assert_eq!(healed.code, 0, "{kill:?}: {healed}\nafter {diff}");
    let after = Possessions::of(&chain.world).await;
    before.check_kept(&after, &chain.slug(), &kill);
    left.check_passwords(&after, &kill);
    assert_eq!(
        &chain.state().await,
        chain.expected(undisturbed),
        "{kill:?}"
    );
    chain.check_generated(&kill).await;
    chain.world.run(&["diff"]).await.expect(0);
    assert!(!history(chain).await.1, "{kill:?}: a pass stays open");
    chain.world.run(&["history", "verify"]).await.expect(0);
}

/// Returns how many passes are recorded, and whether one was begun that is not.
async fn history(chain: &Chain) -> (usize, bool) {
    let args = ["history", "-o", "json", "--limit", "1000"];
    let history = chain.world.run(&args).await.expect(0).json();
    let passes = history["passes"].as_array().unwrap();
    (passes.len(), history["has_open"] == true)
}

/// Tells whether a request changes what is declared.
fn is_write(seen: &Seen) -> bool {
    let verbs = ["patch", "json-patch", "post", "delete"];
    seen.resource != "leases" && verbs.contains(&seen.verb.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn a_killed_apply_is_continued_by_the_next() {
    let undisturbed = Arc::new(Undisturbed::watch().await);
    let stride = if is_soak() { 1 } else { STRIDE };
    let of_link =
        |link: usize| (0..=undisturbed.counts[link]).map(move |after| Kill { link, after });
    let mut kills: Vec<Kill> = of_link(0).chain(of_link(1)).step_by(stride).collect();
    // Neighbours differ in their form, so that a world seldom has to turn in between.
    kills.sort_by_key(|kill| (kill.after, kill.link));
    run_trials(kills, move |mut chain, kill| {
        let undisturbed = undisturbed.clone();
        async move {
            run(&mut chain, kill, &undisturbed).await;
            chain
        }
    })
    .await;
}

//! The registry database fails in every way a database fails, in the middle of a change: nothing is lost,
//! nothing is deleted that should stay, no password is made anew, whoever runs it is told what to do, and
//! afterwards one apply brings everything about.

mod on_postgres;
mod on_sqlite;
pub mod relay;

use crate::support::chain::{Chain, Possessions, Undisturbed};
use crate::support::world::Ran;

/// What the program has to say to a fault.
struct Answer {
    /// What `diff` ends with.
    diff: i32,
    /// What `apply` may end with.
    apply: &'static [i32],
    /// A part of what both say, where they fail.
    says: &'static str,
}

/// Checks that a run ended as it has to, and said why where that is not well.
fn check(told: &str, ran: &Ran, codes: &[i32], says: &str) {
    assert!(codes.contains(&ran.code), "{told}: {ran}");
    if ran.code > 1 {
        let both = format!("{}{}", ran.stdout, ran.stderr);
        assert!(both.contains(says), "{told}: {says:?} is not said in {ran}");
    }
}

/// Checks that nothing is lost, and that an apply after the fault brings about what is declared.
async fn check_healed(chain: &Chain, before: &Possessions, undisturbed: &Undisturbed, told: &str) {
    let under_fault = Possessions::of(&chain.world).await;
    before.check_kept(&under_fault, &chain.slug(), &told);
    let healed = chain.apply("60s").await;
    assert_eq!(healed.code, 0, "{told}: {healed}");
    let after = Possessions::of(&chain.world).await;
    before.check_kept(&after, &chain.slug(), &told);
    under_fault.check_passwords(&after, &told);
    assert_eq!(&chain.state().await, chain.expected(undisturbed), "{told}");
    chain.check_generated(&told).await;
    chain.world.run(&["diff"]).await.expect(0);
}

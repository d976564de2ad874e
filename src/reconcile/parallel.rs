//! The same work for each of many, shared among the processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::{available_parallelism, scope};

/// What is worth a thread: fewer are done before it has begun.
const LEAST: usize = 64;
/// More threads than this wait for memory more than they work.
const MOST_THREADS: usize = 8;

static THREADS: LazyLock<usize> = LazyLock::new(|| {
    available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
});

/// Does the work on runs of items that together are all of them, and returns what came of each run in their order.
/// Blocks until the last is done; a panic in one of them goes on here.
pub fn in_runs<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    if items.len() <= LEAST {
        return vec![work(items)];
    }
    let mut runs = items.chunks(items.len().div_ceil(*THREADS).max(LEAST));
    let first = runs.next().unwrap_or_default();
    scope(|scope| {
        let work = &work;
        let others: Vec<_> = runs.map(|run| scope.spawn(move || work(run))).collect();
        let mut done = vec![work(first)];
        let ends = others.into_iter().map(|other| other.join());
        done.extend(ends.map(|end| end.unwrap_or_else(|panic| resume_unwind(panic))));
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_comes_in_order() {
        for count in [0, 1, LEAST, LEAST + 1, 1000, 4097] {
            let items: Vec<usize> = (0..count).collect();
            let runs = in_runs(&items, |run| run.iter().map(|n| n * 2).collect::<Vec<_>>());
            let doubled: Vec<usize> = items.iter().map(|n| n * 2).collect();
            assert_eq!(runs.concat(), doubled);
            assert!(runs.len() <= MOST_THREADS);
        }
    }

    #[test]
    #[should_panic(expected = "the last")]
    fn a_panic_of_another_thread_is_not_lost() {
        let items: Vec<usize> = (0..10_000).collect();
        in_runs(&items, |run| assert!(!run.contains(&9_999), "the last"));
    }
}

//! The same work for each of many, shared among the processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::{available_parallelism, scope};

/// More threads than this wait for memory more than they work.
const MOST_THREADS: usize = 8;

/// How many threads this machine has for it.
pub static THREADS: LazyLock<usize> = LazyLock::new(|| {
    available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
});

/// Does the work on runs of items that together are all of them, and returns what came of each run in their order.
/// As few items as `least` are not worth a thread. Blocks until the last is done; a panic in one of them goes on here.
pub fn in_runs<T: Sync, R: Send>(
    items: &[T],
    least: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    in_runs_on(*THREADS, items, least, work)
}

/// As [`in_runs`], on so many threads at most: what comes of it must not depend on the machine, which a test shows.
pub fn in_runs_on<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    least: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let least = least.max(1);
    if items.len() <= least {
        return vec![work(items)];
    }
    let mut runs = items.chunks(items.len().div_ceil(threads.max(1)).max(least));
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
        for (count, least) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (64, 64),
            (65, 64),
            (1000, 1),
            (4097, 64),
        ] {
            let items: Vec<usize> = (0..count).collect();
            let double = |run: &[usize]| run.iter().map(|n| n * 2).collect::<Vec<_>>();
            let runs = in_runs(&items, least, double);
            let doubled: Vec<usize> = items.iter().map(|n| n * 2).collect();
            assert_eq!(runs.concat(), doubled);
            assert!(runs.len() <= MOST_THREADS);
            for threads in [0, 1, 2, 3, 8] {
                let runs = in_runs_on(threads, &items, least, double);
                assert_eq!(runs.concat(), doubled);
                assert!(runs.len() <= threads.max(1));
            }
        }
        let sizes = in_runs_on(8, &[(); 16], 1, <[()]>::len);
        assert_eq!(sizes, [2; 8]);
    }

    #[test]
    #[should_panic(expected = "the last")]
    fn a_panic_of_another_thread_is_not_lost() {
        let items: Vec<usize> = (0..10_000).collect();
        in_runs(&items, 1, |run| assert!(!run.contains(&9_999), "the last"));
    }
}

//! The same work for each of many, shared among the processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{available_parallelism, scope};

/// More threads than this wait for memory more than they work.
const MOST_THREADS: usize = 8;

/// So many runs of each thread: one that other work holds up, or whose items take longer, has less to do.
const RUNS_EACH: usize = 4;

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
    if threads <= 1 || items.len() <= least {
        return vec![work(items)];
    }
    let size = items.len().div_ceil(threads * RUNS_EACH).max(least);
    let runs = Mutex::new(items.chunks(size).enumerate());
    let next = || runs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let some = || {
        let runs = std::iter::from_fn(next);
        runs.map(|(at, run)| (at, work(run))).collect::<Vec<_>>()
    };
    let mut done = scope(|scope| {
        let others = 1..threads.min(items.len().div_ceil(size));
        let others: Vec<_> = others.map(|_| scope.spawn(some)).collect();
        let mut done = some();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{current, yield_now};

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
            assert!(runs.len() <= MOST_THREADS * RUNS_EACH);
            for threads in [0, 1, 2, 3, 8] {
                let runs = in_runs_on(threads, &items, least, double);
                assert_eq!(runs.concat(), doubled);
                assert!(runs.len() <= threads.max(1) * RUNS_EACH);
            }
        }
        let sizes = in_runs_on(2, &[(); 16], 1, <[()]>::len);
        assert_eq!(sizes, [2; 8]);
    }

    #[test]
    fn no_more_threads_work_than_are_allowed() {
        for threads in [1, 2, 3, 8] {
            let worked = in_runs_on(threads, &[(); 4096], 1, |_| current().id());
            let worked: HashSet<_> = worked.into_iter().collect();
            assert!(worked.len() <= threads);
        }
    }

    #[test]
    #[should_panic(expected = "another's")]
    fn a_panic_of_another_thread_is_not_lost() {
        let (here, has_begun) = (current().id(), AtomicBool::new(false));
        in_runs_on(2, &[(); 16], 1, |_| {
            let is_another = current().id() != here;
            has_begun.fetch_or(is_another, Ordering::SeqCst);
            assert!(!is_another, "another's");
            while !has_begun.load(Ordering::SeqCst) {
                yield_now();
            }
        });
    }
}

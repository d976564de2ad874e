//! How many writes may be under way. A write that gets no answer must not hold up others, so the permit of one that
//! takes long is free again; how many of those there may be has a bound of its own. What is long depends on how long
//! answers take: a server that is slow for all is not helped by more writes at once.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Writes to clusters under way at once: what a raw loop of applies uses; more only queues at the API server.
const CONCURRENT_WRITES: usize = 16;
/// Rows under way at once, counted apart, so that a slow database does not hold up objects. The database writes those
/// that come side by side in one transaction.
const CONCURRENT_ROWS: usize = 256;
/// After so long a write may be late: most are answered within milliseconds, and a busy server takes a few hundred.
const LATE: Duration = Duration::from_millis(500);
/// It is late once it takes so many times what answers took of late.
const LATE_TIMES: u64 = 4;
/// However slow the others are, it is late after so long.
const LATEST: Duration = Duration::from_secs(8);
/// Of how many answers the time counts: each moves the average by this part of its distance.
const ANSWERS: u64 = 8;
/// Late writes at once. A server is sent no more than these and those on time, well below what it takes at once by
/// default (200 writes); a challenge has five at most.
const CONCURRENT_LATE: usize = 128;

/// How many writes may be under way; shared by plans that are carried out side by side.
pub struct Permits {
    objects: Semaphore,
    late: Semaphore,
    rows: Semaphore,
    /// What answers took of late, in milliseconds.
    usual: AtomicU64,
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            objects: Semaphore::new(CONCURRENT_WRITES),
            late: Semaphore::new(CONCURRENT_LATE),
            rows: Semaphore::new(CONCURRENT_ROWS),
            usual: AtomicU64::new(0),
        }
    }
}

impl Permits {
    /// Writes a row when it may be.
    pub(super) async fn write_row<T>(&self, write: impl Future<Output = T>) -> T {
        // The semaphores are never closed, so a permit always comes.
        let _permit = self.rows.acquire().await;
        write.await
    }

    /// Writes an object when it may be.
    pub(super) async fn write_object<T>(&self, write: impl Future<Output = T>) -> T {
        let permit = self.objects.acquire().await;
        let began = Instant::now();
        let mut write = pin!(async {
            let written = write.await;
            self.note(began.elapsed());
            written
        });
        if let Ok(written) = tokio::time::timeout(self.late_after(), &mut write).await {
            return written;
        }
        let _late = tokio::select! {
            written = &mut write => return written,
            late = self.late.acquire() => late,
        };
        drop(permit);
        write.await
    }

    fn late_after(&self) -> Duration {
        let usual = self.usual.load(Ordering::Relaxed);
        Duration::from_millis(usual * LATE_TIMES).clamp(LATE, LATEST)
    }

    /// Notes how long an answer took. Of two that come at once one may be lost, which an average can bear.
    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_millis().min(LATEST.as_millis())).unwrap_or_default();
        let usual = self.usual.load(Ordering::Relaxed);
        let moved = (usual * (ANSWERS - 1) + took) / ANSWERS;
        self.usual.store(moved, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::{join_all, pending};

    use super::*;

    /// Tells how long a write that is answered at once waits beside so many that are not.
    async fn wait_beside(hanging: usize) -> Option<Duration> {
        wait_beside_in(&Permits::default(), hanging).await
    }

    async fn wait_beside_in(permits: &Permits, hanging: usize) -> Option<Duration> {
        let began = tokio::time::Instant::now();
        let hang = join_all((0..hanging).map(|_| permits.write_object(pending::<()>())));
        let sound = async {
            // It comes last.
            tokio::task::yield_now().await;
            permits.write_object(std::future::ready(())).await;
            began.elapsed()
        };
        tokio::select! {
            _ = hang => None,
            waited = sound => Some(waited),
            () = tokio::time::sleep(LATE * 100) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_without_an_answer_make_room_for_others_up_to_a_bound() {
        let waited = wait_beside(CONCURRENT_WRITES * 2).await.unwrap();
        assert!(waited < LATE * 3, "{waited:?}");
        let all = CONCURRENT_LATE + CONCURRENT_WRITES;
        assert!(wait_beside(all - 1).await.is_some());
        assert_eq!(wait_beside(all).await, None, "the bound holds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_slow_for_all_is_sent_no_more_at_once_than_a_quick_one() {
        let permits = Permits::default();
        let under_way = AtomicUsize::new(0);
        let write = async |takes: Duration| {
            let beside = under_way.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(takes).await;
            under_way.fetch_sub(1, Ordering::Relaxed);
            beside + 1
        };
        let most = async |takes: Duration| {
            let writes = (0..320).map(|_| permits.write_object(write(takes)));
            join_all(writes).await.into_iter().skip(160).max().unwrap()
        };
        assert_eq!(most(LATE / 50).await, CONCURRENT_WRITES);
        assert_eq!(
            most(LATE * 3).await,
            CONCURRENT_WRITES,
            "once that is known"
        );
        assert_eq!(most(LATE / 50).await, CONCURRENT_WRITES);
        let waited = wait_beside_in(&permits, CONCURRENT_WRITES * 2).await;
        assert!(waited.unwrap() < LATE * 3, "quick again: {waited:?}");
    }
}

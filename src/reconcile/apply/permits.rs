//! How many writes may be under way. A write that gets no answer must not hold up others, so the permit of one that
//! takes long is free again; how many of those there may be has a bound of its own.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Writes to clusters under way at once: what a raw loop of applies uses; more only queues at the API server.
const CONCURRENT_WRITES: usize = 16;
/// Rows under way at once, counted apart, so that a slow database does not hold up objects. The database writes those
/// that come side by side in one transaction.
const CONCURRENT_ROWS: usize = 256;
/// After so long a write is late: most are answered within milliseconds, and a busy server takes a few hundred.
const LATE: Duration = Duration::from_millis(500);
/// Late writes at once. A server that is slow for all is sent no more than these and those on time, well below what
/// it takes at once by default (200 writes); a challenge has five at most.
const CONCURRENT_LATE: usize = 128;

/// How many writes may be under way; shared by plans that are carried out side by side.
pub struct Permits {
    objects: Semaphore,
    late: Semaphore,
    rows: Semaphore,
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            objects: Semaphore::new(CONCURRENT_WRITES),
            late: Semaphore::new(CONCURRENT_LATE),
            rows: Semaphore::new(CONCURRENT_ROWS),
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
        let mut write = pin!(write);
        if let Ok(written) = tokio::time::timeout(LATE, &mut write).await {
            return written;
        }
        let _late = tokio::select! {
            written = &mut write => return written,
            late = self.late.acquire() => late,
        };
        drop(permit);
        write.await
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join_all, pending};

    use super::*;

    /// Tells how long a write that is answered at once waits beside so many that are not.
    async fn wait_beside(hanging: usize) -> Option<Duration> {
        let permits = Permits::default();
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
}

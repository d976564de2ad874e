//! Vectors of the past, each of which may have 16 MiB: few are in memory at a time, and the last one that was asked for
//! stays, so that asking for it again costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::weights::shelf::Served;

/// How many are read from the database and sent at a time, of the eight connections that there are to it.
const READ: usize = 2;

/// Which one it is: its subnet, and when its making began.
pub(super) type Which = (u16, Timestamp);

/// The vectors of the past that are in memory, from their reading until they are sent. Who takes too little of one is
/// cut off by the listener.
pub(super) struct Past {
    room: Arc<Semaphore>,
    last: Mutex<Option<(Which, Served)>>,
}

/// Room for one.
pub(super) struct Room(OwnedSemaphorePermit);

impl Past {
    pub(super) fn new() -> Self {
        Self {
            // The last one stays beside those that are read.
            room: Arc::new(Semaphore::new(READ + 1)),
            last: Mutex::default(),
        }
    }

    /// Returns the last one, if it is the one that is asked for, in the form that is asked for.
    pub(super) fn last(&self, which: Which, takes_gzip: bool) -> Option<Served> {
        let last = self.lock();
        let (_, served) = last.as_ref().filter(|(last, _)| *last == which)?;
        (served.gzip.is_some() || !takes_gzip).then(|| served.clone())
    }

    /// Returns room for another, if there is any.
    pub(super) fn room(&self) -> Option<Room> {
        let permit = self.room.clone().try_acquire_owned();
        permit.ok().map(Room)
    }

    /// Makes one ready to be sent, which takes a while; `None` where that ended by itself. It takes its room until nobody
    /// holds its bytes any more. The work goes on where the client leaves meanwhile, and so the room is with the work.
    pub(super) async fn make(
        &self,
        (room, which): (Room, Which),
        work: impl FnOnce() -> Served + Send + 'static,
    ) -> Option<Served> {
        let work = tokio::task::spawn_blocking(move || within(room, work()));
        let served = work.await.ok()?;
        *self.lock() = Some((which, served.clone()));
        Some(served)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Which, Served)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the same with bytes that hold the room.
fn within(Room(permit): Room, served: Served) -> Served {
    struct Holding {
        bytes: Bytes,
        _permit: Arc<OwnedSemaphorePermit>,
    }
    impl AsRef<[u8]> for Holding {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    let permit = Arc::new(permit);
    let hold = |bytes| {
        let _permit = permit.clone();
        Bytes::from_owner(Holding { bytes, _permit })
    };
    Served {
        body: hold(served.body),
        gzip: served.gzip.map(hold),
        ..served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(second: i64) -> Which {
        (42, Timestamp::from_second(second).unwrap())
    }

    async fn make(past: &Past, second: i64) -> Served {
        let room = past.room().expect("room");
        let made = past.make((room, which(second)), || {
            Served::plain("{}".to_owned(), None)
        });
        made.await.unwrap()
    }

    fn free(past: &Past) -> usize {
        past.room.available_permits()
    }

    #[tokio::test]
    async fn one_has_its_room_until_it_is_sent_and_another_was_asked_for() {
        let past = Past::new();
        let sent = make(&past, 1).await;
        assert_eq!(free(&past), READ);
        let again = past.last(which(1), false).expect("it is kept");
        drop((sent, again));
        assert_eq!(free(&past), READ, "it is kept");
        let slow = make(&past, 2).await;
        assert_eq!(free(&past), READ);
        drop(make(&past, 3).await);
        assert_eq!(free(&past), READ - 1, "one is sent, another kept");
        drop(slow);
        assert_eq!(free(&past), READ);
    }

    #[tokio::test]
    async fn the_last_one_is_at_hand_in_the_form_that_was_made() {
        let past = Past::new();
        assert!(past.last(which(1), false).is_none());
        drop(make(&past, 1).await);
        assert!(past.last(which(1), false).is_some());
        assert!(past.last(which(1), true).is_none(), "it is not compressed");
        assert!(past.last(which(2), false).is_none());
        let room = past.room().unwrap();
        let whole = past.make((room, which(1)), || Served::of("{}".to_owned(), None));
        drop(whole.await);
        for takes_gzip in [true, false] {
            assert!(past.last(which(1), takes_gzip).is_some());
        }
        assert_eq!(free(&past), READ);
    }

    #[tokio::test]
    async fn one_has_its_room_while_it_is_made_though_the_client_has_left() {
        let past = Past::new();
        let (go, told) = std::sync::mpsc::channel::<()>();
        let work = move || {
            told.recv().unwrap();
            Served::plain("{}".to_owned(), None)
        };
        let room = past.room().unwrap();
        let mut making = Box::pin(past.make((room, which(1)), work));
        assert!(futures::poll!(&mut making).is_pending());
        drop(making);
        assert_eq!(free(&past), READ, "it is still made");
        go.send(()).unwrap();
        let all = u32::try_from(READ + 1).unwrap();
        drop(past.room.acquire_many(all).await.unwrap());
    }
}

//! Room in memory for the bodies of many who are asked at once, of whom some may be hostile.
//!
//! The first [`FIRST`] bytes of a body need no room here: that is enough for most, and how many are asked at once is
//! bounded elsewhere. Whoever sends more has room made for all that it may send before another byte is read, so that
//! nobody holds a part of what it needs and waits for others that do the same. Room is given in the order in which it is
//! asked for, for a turn: whoever has not sent everything by then loses it as soon as another waits. So a body that
//! dribbles costs others a turn and not the time of an attempt, and one that is slow is read to its end where nobody
//! waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What every body has without asking: the scores of more hotkeys than a subnet has by default.
pub const FIRST: usize = 512 * 1024;

/// How long room is had while others wait: sixteen mebibytes are sent in a tenth of that within a cluster.
const TURN: Duration = Duration::from_secs(1);

/// The pause after a turn was ended, in which its room becomes free.
const PACE: Duration = Duration::from_millis(50);

/// Room is counted in units of so many bytes.
const UNIT: usize = 1024;

/// Room for the large bodies of all who are asked through one client.
#[derive(Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    /// How many units there are in all.
    all: u32,
    turns: Arc<Turns>,
}

/// The turns of those whose body is being read, the longest first.
#[derive(Debug, Default)]
struct Turns(Mutex<Vec<Arc<Turn>>>);

/// The time in which a body has room.
#[derive(Debug)]
struct Turn {
    ends: Instant,
    /// Told where it has ended and another waits.
    over: Notify,
}

/// Room that a body has until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    turn: Arc<Turn>,
    turns: Arc<Turns>,
    _units: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Makes room for so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        let all = units(bytes);
        Self {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
            turns: Arc::default(),
        }
    }

    /// Returns how many bytes are taken.
    #[cfg(test)]
    pub(in crate::edge) fn taken(&self) -> usize {
        (self.all as usize - self.free.available_permits()) * UNIT
    }

    /// Takes room for so many bytes as soon as there is some; those that have had their turn make some.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        // What is larger than all there is would wait for ever.
        let units = units(bytes).min(self.all);
        let mut asked = std::pin::pin!(self.free.clone().acquire_many_owned(units));
        loop {
            tokio::select! {
                // Where there is room, nobody loses any.
                biased;
                units = &mut asked => return self.turns.begin(units.ok()),
                () = self.turns.end_one() => {}
            }
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, units: Option<OwnedSemaphorePermit>) -> Taken {
        let turn = Arc::new(Turn {
            ends: Instant::now() + TURN,
            over: Notify::new(),
        });
        self.lock().push(turn.clone());
        Taken {
            turn,
            turns: self.clone(),
            _units: units,
        }
    }

    /// Ends the turn that began first, once its time is over.
    async fn end_one(&self) {
        let first = self.lock().first().cloned();
        if let Some(first) = first {
            tokio::time::sleep_until(first.ends).await;
            if self.remove(&first) {
                first.over.notify_one();
            }
        }
        tokio::time::sleep(PACE).await;
    }

    /// Takes a turn out; tells whether it was still there.
    fn remove(&self, turn: &Arc<Turn>) -> bool {
        let mut turns = self.lock();
        let before = turns.len();
        turns.retain(|other| !Arc::ptr_eq(other, turn));
        turns.len() < before
    }
}

impl Taken {
    /// Returns once its turn has ended and another waits.
    pub(super) async fn over(&self) {
        self.turn.over.notified().await;
    }

    /// Tells that everything was read: what is left to be done with the body waits for nobody.
    pub(super) fn settle(&self) {
        self.turns.remove(&self.turn);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Returns how many units so many bytes take; no machine has as many bytes as a number of units can tell.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells whether room comes within so many milliseconds.
    async fn comes(room: &Room, bytes: usize, milliseconds: u64) -> Option<Taken> {
        let limit = Duration::from_millis(milliseconds);
        tokio::time::timeout(limit, room.take(bytes)).await.ok()
    }

    async fn is_over(taken: &Taken) -> bool {
        let over = tokio::time::timeout(Duration::ZERO, taken.over());
        over.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many_bytes_and_it_comes_back() {
        let room = Room::of(10 * UNIT);
        let first = comes(&room, 6 * UNIT, 0).await.unwrap();
        let second = comes(&room, 4 * UNIT - 1, 0).await.unwrap();
        assert_eq!(room.taken(), 10 * UNIT, "a part of a unit is one");
        assert!(comes(&room, 1, 900).await.is_none());
        drop(second);
        assert!(comes(&room, 4 * UNIT, 0).await.is_some());
        drop(first);
        assert!(comes(&room, 100 * UNIT, 0).await.is_some(), "all there is");
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_only_where_another_waits_and_the_longest_first() {
        let room = Room::of(10 * UNIT);
        let first = room.take(5 * UNIT).await;
        tokio::time::sleep(TURN / 2).await;
        let second = room.take(5 * UNIT).await;
        tokio::time::sleep(10 * TURN).await;
        assert!(!is_over(&first).await && !is_over(&second).await);
        assert!(comes(&room, UNIT, 10).await.is_none());
        assert!(is_over(&first).await && !is_over(&second).await);
        drop(first);
        let third = comes(&room, UNIT, 10).await.unwrap();
        assert!(!is_over(&second).await && !is_over(&third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_sent_everything_keeps_its_room() {
        let room = Room::of(UNIT);
        let taken = room.take(UNIT).await;
        taken.settle();
        assert!(comes(&room, UNIT, 60_000).await.is_none());
        assert!(!is_over(&taken).await);
        drop(taken);
        assert!(comes(&room, UNIT, 0).await.is_some());
    }
}

//! Tells notices as Events of the cluster: one of a reason about one thing at a time, few in a minute, and never
//! in the way of a pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::board::Board;
use super::notices::CONVERGED;
use super::sleep_until;
use super::tellers::{Channel, Fate};
use crate::edge::cluster::ClusterError;
use crate::edge::cluster::events::{EventRecord, Events, Regarding};
use crate::model::Slug;
use crate::model::notice::{Notice, Subject};
use crate::reconcile::lease::LEADER;

/// For how long what happens again is the same event.
const SERIES: Duration = Duration::from_secs(600);
/// How often it is told that something happens again and again.
const REPEAT: Duration = Duration::from_secs(10);
/// Calls that may follow each other at once, and how long each takes to be allowed again.
const BURST: u32 = 100;
const REFILL: Duration = Duration::from_millis(200);
/// What the server takes of a note and of the name of a process, in bytes.
const MAX_NOTE: usize = 1024;
const MAX_INSTANCE: usize = 128;

/// Tells notices as Events.
pub struct EventTeller {
    events: Arc<dyn Events>,
    board: Arc<Board>,
    namespace: String,
    instance: String,
    open: BTreeMap<(Option<Slug>, &'static str), Open>,
    tokens: u32,
    refilled: Instant,
    /// Makes names differ that are made in one microsecond.
    made: u64,
    is_refused: bool,
}

/// An event that may happen again.
struct Open {
    record: EventRecord,
    since: Instant,
    count: u32,
    last: Timestamp,
    /// When it was last told, and how often it had happened then.
    told: (Instant, u32),
}

impl EventTeller {
    /// Makes a teller for the events of a namespace; `instance` names this process.
    #[must_use]
    pub fn new(
        events: Arc<dyn Events>,
        board: Arc<Board>,
        namespace: &str,
        instance: &str,
    ) -> Self {
        Self {
            events,
            board,
            namespace: namespace.to_owned(),
            instance: cut(instance, MAX_INSTANCE),
            open: BTreeMap::new(),
            tokens: BURST,
            refilled: Instant::now(),
            made: 0,
            is_refused: false,
        }
    }

    /// Tells what comes until nobody sends any more.
    pub async fn tell(mut self, mut notices: mpsc::Receiver<Notice>) {
        loop {
            let due = self.open.values().filter_map(Open::due).min();
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(notice) => self.take(notice).await,
                    None => return,
                },
                () = sleep_until(due), if due.is_some() => self.repeat().await,
            }
            self.open
                .retain(|_, open| open.since.elapsed() < SERIES || open.due().is_some());
        }
    }

    async fn take(&mut self, notice: Notice) {
        // No object is the better for it, and over an unchanged world nothing is sent.
        if notice.reason == CONVERGED {
            return;
        }
        let key = (notice.about.slug().cloned(), notice.reason);
        if let Some(open) = self.open.get_mut(&key) {
            (open.count, open.last) = (open.count.saturating_add(1), notice.at);
            return;
        }
        let record = self.record(&notice);
        self.allow().await;
        let made = self.events.create_event(&record).await;
        self.note(&made);
        let now = Instant::now();
        self.open.insert(
            key,
            Open {
                record,
                since: now,
                count: 1,
                last: notice.at,
                told: (now, 1),
            },
        );
    }

    /// Tells of those that happened again since they were last told.
    async fn repeat(&mut self) {
        let now = Instant::now();
        let is_due = |open: &Open| open.due().is_some_and(|due| due <= now);
        let due = self.open.iter().filter(|(_, open)| is_due(open));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.allow().await;
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            open.told = (Instant::now(), open.count);
            let told = self
                .events
                .repeat_event(&open.record, open.count, open.last)
                .await;
            if told == Err(ClusterError::NotFound) {
                // The server forgot it; the next time is another event.
                self.open.remove(&key);
            }
            self.note(&told);
        }
    }

    /// Waits until another call is allowed.
    async fn allow(&mut self) {
        let refilled = self.refilled.elapsed().as_millis() / REFILL.as_millis();
        if refilled > 0 {
            let refilled = u32::try_from(refilled).unwrap_or(BURST);
            self.tokens = self.tokens.saturating_add(refilled).min(BURST);
            self.refilled = Instant::now();
        }
        match self.tokens.checked_sub(1) {
            Some(rest) => self.tokens = rest,
            None => {
                tokio::time::sleep(REFILL).await;
                self.refilled = Instant::now();
            }
        }
    }

    /// Counts what came of a call, and says once that none is taken.
    fn note(&mut self, told: &Result<(), ClusterError>) {
        let Err(error) = told else {
            self.is_refused = false;
            self.board.count(Channel::Events, Fate::Sent);
            return;
        };
        self.board.count(Channel::Events, Fate::Failed);
        if !self.is_refused {
            tracing::warn!(%error, "an Event was not taken; what happens is in the log and in `platform status`");
        }
        self.is_refused = true;
    }

    fn record(&mut self, notice: &Notice) -> EventRecord {
        self.made += 1;
        let regarding = match &notice.about {
            Subject::Challenge {
                object: Some((key, uid)),
                ..
            } => Regarding {
                kind: key.kind.as_str().to_owned(),
                api_version: key.kind.api_version().to_owned(),
                name: key.name.clone(),
                uid: uid.clone(),
            },
            // There is no object of its own; the Lease stands for who tells of it.
            Subject::Challenge { object: None, .. } | Subject::Platform => Regarding {
                kind: "Lease".to_owned(),
                api_version: "coordination.k8s.io/v1".to_owned(),
                name: LEADER.to_owned(),
                uid: None,
            },
        };
        let (namespace, note) = match &notice.about {
            Subject::Challenge { slug, object: None } => {
                (&self.namespace, format!("{slug}: {}", notice.note))
            }
            // An event stands where the object does.
            Subject::Challenge {
                object: Some((key, _)),
                ..
            } => (&key.namespace, notice.note.clone()),
            Subject::Platform => (&self.namespace, notice.note.clone()),
        };
        EventRecord {
            namespace: namespace.clone(),
            name: format!(
                "{}.{:x}{:02x}",
                regarding.name,
                notice.at.as_microsecond(),
                self.made % 256
            ),
            regarding,
            reason: notice.reason.to_owned(),
            note: cut(&note, MAX_NOTE),
            is_warning: notice.is_warning(),
            at: notice.at,
            instance: self.instance.clone(),
        }
    }
}

impl Open {
    fn due(&self) -> Option<Instant> {
        let (at, count) = self.told;
        (self.count > count).then(|| at + REPEAT)
    }
}

/// Cuts a text to a number of bytes, between two characters.
fn cut(text: &str, bytes: usize) -> String {
    let end = text.floor_char_boundary(bytes);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::cluster::events::fake::{FakeEvents, Told};
    use crate::model::notice::NoticeClass;

    fn notice(name: &str, reason: &'static str) -> Notice {
        Notice {
            about: Subject::Challenge {
                slug: Slug::parse(name).unwrap(),
                object: None,
            },
            reason,
            class: NoticeClass::Failure,
            note: "é".repeat(2000),
            revision: None,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn start() -> (Arc<FakeEvents>, Arc<Board>, mpsc::Sender<Notice>) {
        let (fake, board) = (Arc::new(FakeEvents::default()), Arc::new(Board::default()));
        let teller = EventTeller::new(fake.clone(), board.clone(), "n", &"i".repeat(300));
        let (send, receive) = mpsc::channel(1000);
        #[expect(clippy::disallowed_methods, reason = "it ends with its sender")]
        drop(tokio::spawn(teller.tell(receive)));
        (fake, board, send)
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_again_is_counted_in_one_event() {
        let (fake, board, send) = start();
        for _ in 0..50 {
            send.send(notice("aa", "Held")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        let told = fake.take();
        assert_eq!(
            told[0],
            Told::Made("platform-leader".to_owned(), "Held".to_owned())
        );
        assert_eq!(told.last(), Some(&Told::Repeated("Held".to_owned(), 50)));
        assert!((4..=7).contains(&told.len()), "{told:?}");
        assert_eq!(
            board.read().told[&(Channel::Events, Fate::Sent)],
            told.len() as u64
        );
        tokio::time::sleep(SERIES).await;
        send.send(notice("bb", "Held")).await.unwrap();
        send.send(notice("aa", "Held")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let made = |told: &Told| matches!(told, Told::Made(..));
        assert_eq!(fake.take().iter().filter(|told| made(told)).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_slowly() {
        let (fake, _, send) = start();
        for number in 0..800 {
            send.send(notice(&format!("c-{number}"), "Stalled"))
                .await
                .unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let told = fake.take().len();
        assert!((390..=410).contains(&told), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_counted_and_ends_nothing() {
        let (fake, board, send) = start();
        fake.fail(Some(ClusterError::Forbidden("events".to_owned())));
        send.send(notice("aa", "Held")).await.unwrap();
        send.send(notice("bb", "Held")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(board.read().told[&(Channel::Events, Fate::Failed)], 2);
        fake.fail(None);
        send.send(notice("cc", "Held")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.take().len(), 1);
    }

    #[test]
    fn what_is_sent_fits_what_the_server_takes() {
        let fake = Arc::new(FakeEvents::default());
        let instance = "i".repeat(300);
        let mut teller = EventTeller::new(fake, Arc::default(), "n", &instance);
        let record = teller.record(&notice("aa", "Held"));
        assert!(record.note.len() <= MAX_NOTE && record.note.starts_with("aa: é"));
        assert_eq!(record.instance.len(), MAX_INSTANCE);
        assert_ne!(record.name, teller.record(&notice("aa", "Held")).name);
    }
}

//! Who is told what happens, each by a queue with an end: one that is slow or away holds up nobody.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::board::Board;
use super::commit_status::Outlook;
use crate::model::notice::Notice;

/// Notices that wait for one teller. More than that are not told, but counted.
const QUEUE: usize = 1024;

/// A way to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Events of the cluster.
    Events,
    /// A webhook.
    Webhook,
    /// The status of a commit at its git host.
    CommitStatus,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Webhook, Self::CommitStatus];

    /// Returns its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Webhook => "webhook",
            Self::CommitStatus => "commit_status",
        }
    }
}

/// What came of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was taken.
    Sent,
    /// It was not taken.
    Failed,
    /// Too much waited already.
    Dropped,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    /// Returns its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The queues of all who are told.
pub struct Tellers {
    board: Arc<Board>,
    queues: Vec<(Channel, mpsc::Sender<Notice>)>,
    outlooks: Option<mpsc::Sender<Outlook>>,
}

impl Tellers {
    /// Makes nobody who is told.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            queues: Vec::new(),
            outlooks: None,
        }
    }

    /// Adds one, and returns where it finds its notices.
    pub fn add(&mut self, channel: Channel) -> mpsc::Receiver<Notice> {
        let (queue, notices) = mpsc::channel(QUEUE);
        self.queues.push((channel, queue));
        notices
    }

    /// Adds the one who is told how it goes with commits, and returns where it finds that.
    pub fn add_outlooks(&mut self) -> mpsc::Receiver<Outlook> {
        let (queue, outlooks) = mpsc::channel(QUEUE);
        self.outlooks = Some(queue);
        outlooks
    }

    /// Tells how it goes with a commit, and waits for nobody.
    pub fn tell_outlook(&self, outlook: Outlook) {
        if let Some(queue) = &self.outlooks
            && queue.try_send(outlook).is_err()
        {
            self.board.count(Channel::CommitStatus, Fate::Dropped);
        }
    }

    /// Tells everyone, and waits for nobody.
    pub fn tell(&self, notice: &Notice) {
        for (channel, queue) in &self.queues {
            if queue.try_send(notice.clone()).is_err() {
                self.board.count(*channel, Fate::Dropped);
            }
        }
    }
}

//! Pushes that git hosts announced: kept once each, so that one that was overheard is not taken twice, by whichever
//! process; and told to all that follow the source.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::DatabaseError;
use super::passes::stamp;
use super::store::{Access, Call, Engine, MAX_ROWS, Store};

/// How long an announcement is remembered: for as long as a host may go on sending it for want of an answer. Not for
/// longer, because what is pushed again later may well be announced by the same bytes: a branch that is moved from A to B, back,
/// and to B again. One that somebody overheard and repeats after that leads to one more reading of the source, which costs
/// a small request; it says nothing of what is read.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// Announced pushes, as the database keeps them.
#[async_trait]
pub trait PushRows: Send + Sync {
    /// Keeps that a push was announced, by the digest of what was sent, and tells whether it is the first of that digest
    /// in ten minutes. The newest 10 000 of those are kept.
    ///
    /// # Errors
    /// The database did not answer; whether it was kept is not known.
    async fn keep_push(&self, digest: &str, now: Timestamp) -> Result<bool, DatabaseError>;

    /// Returns the number of the newest push that is kept; numbers only rise.
    ///
    /// # Errors
    /// The database did not answer.
    async fn newest_push(&self) -> Result<Option<i64>, DatabaseError>;

    /// Returns once a push may have been kept since the last call, by whichever process: a hint, which can be lost or
    /// come for nothing. Meant for one that waits in each process.
    async fn push_told(&self);
}

/// The SQL about them.
pub(super) struct PushStatements {
    /// Digest, the time before which it makes room.
    pub(super) forget: &'static str,
    /// Digest, time; gives the number, or nothing where that digest is there.
    pub(super) insert: &'static str,
    /// The time before which they make room, how many are kept.
    pub(super) prune: &'static str,
    /// No argument; gives the number, where there is one.
    pub(super) newest: &'static str,
}

#[cfg(test)]
impl PushStatements {
    pub(super) fn all(&self) -> [&'static str; 4] {
        let Self {
            forget,
            insert,
            prune,
            newest,
        } = self;
        [forget, insert, prune, newest]
    }
}

pub(super) const SQLITE: PushStatements = PushStatements {
    forget: "delete from pushes where digest = ?1 and at < ?2",
    insert: "
        insert into pushes (digest, at) values (?1, ?2)
        on conflict (digest) do nothing returning cast(number as text)",
    prune: "
        delete from pushes where at < ?1 or number in (
            select number from pushes order by number desc limit -1 offset cast(?2 as integer))",
    newest: "select cast(number as text) from pushes order by number desc limit 1",
};

pub(super) const POSTGRES: PushStatements = PushStatements {
    forget: "delete from pushes where digest = $1::text and at < $2::text::timestamptz",
    // Told once it is committed.
    insert: "
        with kept as (
            insert into pushes (digest, at) values ($1::text, $2::text::timestamptz)
            on conflict (digest) do nothing returning number)
        select number::text from kept, pg_notify('platform_pushes', '')",
    prune: "
        delete from pushes where at < $1::text::timestamptz or number in (
            select number from pushes order by number desc offset $2::text::bigint)",
    newest: "select number::text from pushes order by number desc limit 1",
};

#[async_trait]
impl<E: Engine> PushRows for Store<E> {
    async fn keep_push(&self, digest: &str, now: Timestamp) -> Result<bool, DatabaseError> {
        let all = &self.engine.statements().pushes;
        let oldest = now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let forget = Call::new(all.forget, vec![digest.to_owned(), stamp(oldest)]);
        // What comes again deletes nothing.
        let insert = Call {
            is_guard: true,
            ..Call::new(all.insert, vec![digest.to_owned(), stamp(now)])
        };
        let prune = Call::new(all.prune, vec![stamp(oldest), MAX_ROWS.to_string()]);
        let doing = "keeping an announced push";
        let answers = self
            .run(Access::Write, doing, vec![forget, insert, prune])
            .await?;
        let is_new = answers.get(1).is_some_and(|rows| !rows.is_empty());
        if is_new {
            self.pushed.notify_one();
        }
        Ok(is_new)
    }

    async fn newest_push(&self) -> Result<Option<i64>, DatabaseError> {
        let sql = self.engine.statements().pushes.newest;
        let doing = "reading the newest announced push";
        let rows = self.one(Access::Read, doing, sql, Vec::new()).await?;
        let parse = |text: &String| {
            let number = text.parse().ok();
            number.ok_or_else(|| self.unreadable("a number of table pushes".to_owned()))
        };
        rows.first().map(parse).transpose()
    }

    async fn push_told(&self) {
        tokio::select! {
            () = self.pushed.notified() => {}
            () = self.engine.push_told() => {}
        }
    }
}

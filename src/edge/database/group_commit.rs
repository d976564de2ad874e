//! Group commit: rows that are written side by side go into one transaction, as a disk that is synced for each
//! takes as long for one row as for many.
//!
//! Whoever comes to write while nobody does writes all that wait, those of others too. Who is cut off while at it
//! leaves the others to write theirs again: a row replaces the one before it, so that twice is as good as once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::DatabaseError;
use super::store::{Call, Engine, Store};
use crate::model::FenceToken;

/// Rows of one transaction.
const MOST: usize = 256;

/// Rows that wait to be written.
#[derive(Default)]
pub(super) struct GroupCommit {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
}

struct Waiting {
    token: FenceToken,
    sql: &'static str,
    arguments: Vec<String>,
    written: oneshot::Sender<Result<(), DatabaseError>>,
}

impl Waiting {
    fn call(&self) -> Call {
        Call::new(self.sql, self.arguments.clone())
    }
}

impl GroupCommit {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the first that somebody still waits for, and those behind it that belong to the same turn.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        waiting.retain(|row| !row.written.is_closed());
        let Some(token) = waiting.front().map(|first| first.token) else {
            return Vec::new();
        };
        let alike = waiting.iter().take_while(|row| row.token == token);
        let count = alike.take(MOST).count();
        waiting.drain(..count).collect()
    }
}

impl<E: Engine> Store<E> {
    /// Writes a row in one transaction with others that wait to be written.
    pub(super) async fn write_in_group(
        &self,
        token: FenceToken,
        sql: &'static str,
        arguments: Vec<String>,
    ) -> Result<(), DatabaseError> {
        loop {
            let (written, mut answer) = oneshot::channel();
            self.group.waiting().push_back(Waiting {
                token,
                sql,
                arguments: arguments.clone(),
                written,
            });
            let _turn = tokio::select! {
                biased;
                answer = &mut answer => match answer {
                    Ok(answer) => return answer,
                    Err(_) => continue,
                },
                turn = self.group.turn.lock() => turn,
            };
            loop {
                match answer.try_recv() {
                    Ok(answer) => return answer,
                    Err(TryRecvError::Empty) => self.write_group().await,
                    // Whoever took it was cut off.
                    Err(TryRecvError::Closed) => break,
                }
            }
        }
    }

    /// Writes what waits. Where the database did not like one of the rows, each is written alone: the others must
    /// not suffer for it.
    async fn write_group(&self) {
        let group = self.group.take();
        let Some(token) = group.first().map(|first| first.token) else {
            return;
        };
        let doing = "writing a registry row";
        let calls = group.iter().map(Waiting::call).collect();
        let written = self.write(token, doing, calls).await.map(drop);
        let is_one_of_them = matches!(written, Err(DatabaseError::Failed { .. }));
        let is_group = group.len() > 1;
        for row in group {
            let answer = match is_one_of_them && is_group {
                true => self.write(token, doing, vec![row.call()]).await.map(drop),
                false => written.clone(),
            };
            // Nobody waits for it any more.
            drop(row.written.send(answer));
        }
    }
}

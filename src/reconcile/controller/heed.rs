//! Pushes that a git host announced, to whichever process: each leads to a reading of the source.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::Notify;

use crate::edge::database::Database;

/// How often the database is asked where it told nothing: what it tells can be lost.
const POLL: Duration = Duration::from_secs(2);

/// Hints at a reading for each push that is announced. What was announced before the start is hinted at once: whether it
/// was before the first reading is not known.
pub async fn heed(database: &dyn Database, hint: &Notify) -> Infallible {
    let mut seen = None;
    loop {
        match database.newest_push().await {
            Ok(newest) if newest > seen => {
                seen = newest;
                hint.notify_one();
            }
            Ok(_) => {}
            // A registry that is away shows in every pass.
            Err(error) => tracing::debug!(%error, "announced pushes could not be read"),
        }
        tokio::select! {
            () = database.push_told() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::edge::database::open_and_migrate;
    use crate::model::Secret;

    /// The longest that is waited for what must come.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn each_push_is_hinted_at_whoever_was_told_and_one_from_before_the_start_too() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let url = Secret::new(url);
        let admin = open_and_migrate(&url).await.unwrap();
        admin.keep_push("a", Timestamp::now()).await.unwrap();
        let controller = open_and_migrate(&url).await.unwrap();
        let hint = Notify::new();
        let told = async {
            hint.notified().await;
            admin.keep_push("b", Timestamp::now()).await.unwrap();
            hint.notified().await;
            controller.keep_push("c", Timestamp::now()).await.unwrap();
            hint.notified().await;
        };
        tokio::select! {
            never = heed(controller.as_ref(), &hint) => match never {},
            told = tokio::time::timeout(PATIENCE, told) => told.expect("all are hinted at"),
        }
    }
}

//! Follows a source: reads it when it may have changed, and tells of each revision whether it can be used.
//! The last good one stays when a newer one is bad.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use notify::{RecursiveMode, Watcher as _};
use rand::TryRngCore as _;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::board::Board;
use super::with_causes;
use crate::edge::database::Database;
use crate::model::{CommitId, Revision};
use crate::reconcile::source::{self, GitOrigin, Origin, Snapshot, SourceError};
use crate::spec::{self, Platform, Policy, Problem};

/// How long files are left to settle: an editor writes in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// A declaration that passed every check.
pub struct Declared {
    /// What was read.
    pub snapshot: Snapshot,
    /// What it declares.
    pub platform: Platform,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// What is known of a source.
#[derive(Clone, Default)]
pub struct Followed {
    /// The newest declaration that can be used.
    pub good: Option<Arc<Declared>>,
    /// What is newer and cannot.
    pub bad: Option<Bad>,
    /// When the reading began that brought the newest answer, be it a refusal. Nobody is told of this alone.
    pub read_at: Option<Instant>,
}

/// What cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The revision, where it could be read at all.
    pub revision: Option<Revision>,
    /// Why not, for people.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// Follows a source.
pub struct Follower {
    /// Where it is.
    pub origin: Origin,
    /// The policy it is checked under.
    pub policy: Policy,
    /// Why no declaration that asks for the production policy can be kept here, if so: the database is none for it. The
    /// first one is whoever starts the process to refuse.
    pub unfit: Option<String>,
    /// How often it is read without a hint.
    pub interval: Duration,
    /// Where it is told that the source may have changed.
    pub hint: Arc<Notify>,
    /// Where it is told that the source was read, also where that is no news.
    pub board: Arc<Board>,
    /// The commit applied last, where the check of signatures begins.
    pub last: Option<CommitId>,
    /// Where that is asked for anew when the source was taken back, for that may have been applied by hand.
    pub database: Arc<dyn Database>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// A declaration with what is probably not meant in it, or why it cannot be used.
type Checked = Result<(Platform, Vec<Problem>), String>;

/// What was seen of a git source.
struct Seen {
    /// The commit it stood at when it was read.
    tip: Option<CommitId>,
    /// The newest one that was taken.
    last: Option<CommitId>,
}

impl Follower {
    /// Follows the source for as long as somebody listens.
    pub async fn follow(self, told: watch::Sender<Followed>) {
        let _watcher = self.watch_files();
        let mut seen = Seen {
            tip: None,
            last: self.last.clone(),
        };
        while !told.is_closed() {
            self.look(&mut seen, &told).await;
            tokio::select! {
                () = tokio::time::sleep(jittered(self.interval)) => {}
                () = self.hint.notified() => tokio::time::sleep(SETTLE).await,
                () = told.closed() => {}
            }
        }
    }

    /// Reads the source if it stands elsewhere than at the last look, and tells what came of it.
    async fn look(&self, seen: &mut Seen, told: &watch::Sender<Followed>) {
        let began = Instant::now();
        let read = match &self.origin {
            Origin::Path(path) => read_path(path.clone()).await.map(Some),
            Origin::Git(origin) => self.read_git(origin, seen).await,
        };
        let now = (self.clock)();
        if read.is_ok() {
            self.board.take_reading(now);
        }
        let is_answer = match &read {
            Ok(_) => true,
            Err(error) => !error.is_away(),
        };
        match read {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                self.take(snapshot, now, told);
                seen.take(&told.borrow());
            }
            Err(error) => {
                // The next look reads it again, whatever it stands at.
                seen.tip = None;
                tell_bad(told, None, tell(&error), now);
            }
        }
        if is_answer {
            told.send_if_modified(|followed| {
                followed.read_at = Some(began);
                false
            });
        }
        self.board.take_source(&told.borrow());
    }

    async fn read_git(
        &self,
        origin: &GitOrigin,
        seen: &mut Seen,
    ) -> Result<Option<Snapshot>, SourceError> {
        let tip = origin.find_tip().await?;
        if seen.tip.as_ref() == Some(&tip) {
            return Ok(None);
        }
        let mut read = origin.read(seen.last.as_ref(), &tip).await;
        if let Err(error) = &read
            && error.is_rewound()
            && let Ok(applied) = source::last_applied(self.database.as_ref()).await
            && applied != seen.last
        {
            seen.last = applied;
            read = origin.read(seen.last.as_ref(), &tip).await;
        }
        let snapshot = read?;
        seen.tip = Some(tip);
        Ok(Some(snapshot))
    }

    fn take(&self, snapshot: Snapshot, now: Timestamp, told: &watch::Sender<Followed>) {
        let revision = snapshot.revision.clone();
        let is_known = told
            .borrow()
            .good
            .as_ref()
            .is_some_and(|good| good.snapshot.revision == revision);
        let checked = match is_known {
            true => Ok(None),
            false => self.check(&snapshot, told).map(Some),
        };
        match checked {
            Ok(new) => {
                told.send_if_modified(|followed| {
                    let was_bad = followed.bad.take().is_some();
                    let is_new = new.is_some();
                    if let Some((platform, warnings)) = new {
                        followed.good = Some(Arc::new(Declared {
                            snapshot,
                            platform,
                            warnings,
                        }));
                    }
                    was_bad || is_new
                });
            }
            Err(why) => tell_bad(told, Some(revision), why, now),
        }
    }

    fn check(&self, snapshot: &Snapshot, told: &watch::Sender<Followed>) -> Checked {
        let (platform, warnings) = check(snapshot, self.policy)?;
        match &self.unfit {
            Some(why) if platform.environment.enforces_policy() && told.borrow().good.is_some() => {
                Err(why.clone())
            }
            _ => Ok((platform, warnings)),
        }
    }

    /// Has the file system tell of changes. Where it cannot, the interval does.
    fn watch_files(&self) -> Option<notify::RecommendedWatcher> {
        let Origin::Path(path) = &self.origin else {
            return None;
        };
        let hint = self.hint.clone();
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                hint.notify_one();
            }
        };
        let (directory, mode) = watched(Path::new(path));
        let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
            watcher.watch(&directory, mode)?;
            Ok(watcher)
        });
        let failed = |error: &notify::Error| {
            tracing::warn!(%error, "the file system does not tell of changes; the source is read every so often");
        };
        watcher.inspect_err(failed).ok()
    }
}

impl Seen {
    /// The next check of signatures begins with what was taken.
    fn take(&mut self, followed: &Followed) {
        let good = followed.good.as_ref();
        let commit = good.and_then(|good| good.snapshot.revision.commit.as_ref());
        if let Some(commit) = commit.and_then(|commit| CommitId::parse(&commit.id)) {
            self.last = Some(commit);
        }
    }
}

/// A mounted ConfigMap changes by a link beside the file being swapped, and an editor may replace the file:
/// both happen in the directory that holds it.
fn watched(path: &Path) -> (PathBuf, RecursiveMode) {
    if path.is_dir() {
        return (path.to_owned(), RecursiveMode::Recursive);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    (
        parent.unwrap_or(Path::new(".")).to_owned(),
        RecursiveMode::NonRecursive,
    )
}

async fn read_path(path: String) -> Result<Snapshot, SourceError> {
    let read = tokio::task::spawn_blocking(move || source::read_source(&path));
    // Reading ends in an error, never in a panic.
    read.await
        .unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}

fn check(snapshot: &Snapshot, policy: Policy) -> Checked {
    let checked =
        spec::parse(&snapshot.files).and_then(|written| spec::check_under(&written, policy));
    match checked {
        Ok(checked) => Ok((checked.platform, checked.warnings)),
        Err(problems) => Err(problems.to_string()),
    }
}

fn tell(error: &SourceError) -> String {
    format!("{}; {}", with_causes(error), error.remedy())
}

fn tell_bad(
    told: &watch::Sender<Followed>,
    revision: Option<Revision>,
    why: String,
    now: Timestamp,
) {
    told.send_if_modified(|followed| {
        let is_known = followed
            .bad
            .as_ref()
            .is_some_and(|bad| bad.revision == revision && bad.why == why);
        if !is_known {
            followed.bad = Some(Bad {
                revision,
                why,
                since: now,
            });
        }
        !is_known
    });
}

/// Many that follow one host do not all ask at once.
fn jittered(interval: Duration) -> Duration {
    let dice = rand::rngs::OsRng.try_next_u32().unwrap_or(u32::MAX / 2);
    interval.mul_f64(0.9 + 0.2 * f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::database::open_and_migrate;
    use crate::model::Secret;

    async fn follower(path: &Path) -> Follower {
        let database = path.with_file_name("platform.db");
        let url = format!("sqlite:{}", database.display());
        Follower {
            origin: Origin::Path(path.to_str().unwrap().to_owned()),
            policy: Policy::default(),
            unfit: None,
            interval: Duration::from_secs(60),
            hint: Arc::default(),
            board: Arc::default(),
            last: None,
            database: open_and_migrate(&Secret::new(url)).await.unwrap(),
            clock: Timestamp::now,
        }
    }

    #[tokio::test]
    async fn production_is_refused_where_a_revision_before_it_is_kept_in_a_database_that_is_none_for_it()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("platform.yaml");
        let declare = |environment: &str| {
            let text = format!(
                "api_version: platform.network/v1\nenvironment: {environment}\nemissions: {{}}\nchallenges: {{}}\n"
            );
            std::fs::write(&path, text).unwrap();
        };
        let unfit = Follower {
            unfit: Some("it is SQLite".to_owned()),
            ..follower(&path).await
        };
        let (told, mut followed) = watch::channel(Followed::default());
        let mut seen = Seen {
            tip: None,
            last: None,
        };
        declare("development");
        unfit.look(&mut seen, &told).await;
        let good = followed.borrow_and_update().good.clone().unwrap();
        declare("production");
        unfit.look(&mut seen, &told).await;
        let known = followed.borrow_and_update().clone();
        assert_eq!(known.bad.unwrap().why, "it is SQLite");
        assert!(Arc::ptr_eq(&known.good.unwrap(), &good));
    }

    #[tokio::test]
    async fn each_reading_is_told_and_is_news_only_where_something_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("platform.yaml");
        std::fs::write(&path, include_str!("../../../examples/platform.yaml")).unwrap();
        let follower = follower(&path).await;
        let (told, mut followed) = watch::channel(Followed::default());
        let mut seen = Seen {
            tip: None,
            last: None,
        };
        follower.look(&mut seen, &told).await;
        assert!(followed.borrow_and_update().good.is_some());
        let first = follower.board.read().source_read_at.unwrap();
        follower.look(&mut seen, &told).await;
        assert!(!followed.has_changed().unwrap());
        assert!(follower.board.read().source_read_at.unwrap() > first);
        std::fs::remove_file(&path).unwrap();
        let last = follower.board.read().source_read_at;
        follower.look(&mut seen, &told).await;
        assert!(followed.borrow_and_update().bad.is_some());
        assert!(follower.board.read().bad.is_some());
        assert_eq!(follower.board.read().source_read_at, last);
    }
}

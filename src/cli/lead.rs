//! Whose word counts: a controller that is alive keeps what its source says, so `apply` from another one would be
//! undone. Told by `diff`, refused by `apply`, unless the controller is suspended.

use std::time::Duration;

use super::act::{SUSPENDED, act};
use super::session::{Session, now};
use super::{CliError, Context, turn};
use crate::edge::cluster::ClusterError;
use crate::model::act::{ActKind, Suspension};
use crate::reconcile::Registry;
use crate::reconcile::lease::{Clock, Holder, LEADER, Lease};
use crate::reconcile::render::mask;
use crate::reconcile::source::identify;

/// How long an API server that does not answer is asked again, before something is written.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a controller that is alive means for whoever writes from a source.
#[derive(Debug, PartialEq, Eq)]
pub enum Lead {
    /// None is, or it follows the same source.
    Free,
    /// The controller writes nothing.
    Suspended(Suspension),
    /// It follows another source.
    Other {
        /// The controller.
        leader: Holder,
        /// The source that is not its.
        own: String,
    },
    /// Whether one is, or what it follows, is not known.
    Unknown(String),
}

/// Finds out how the source of a session stands to a controller. The cluster is asked again up to `limit`.
pub async fn find(context: &Context, session: &Session, limit: Duration) -> Lead {
    if let Registry::Ready(database) = &session.edges.registry {
        match database.controller_suspension().await {
            Ok(Some(suspension)) => return Lead::Suspended(suspension),
            Ok(None) => {}
            Err(error) => return Lead::Unknown(error.to_string()),
        }
    }
    let namespace = &session.declaration.platform.namespace;
    let (identity, clock) = (turn::identity(context, "apply"), Clock::of_machine(now));
    let lease = Lease::new(session.leases.clone(), namespace, LEADER, &identity, clock);
    let own = identify(&session.source, &turn::host());
    let is_own = |leader: &Holder| leader.source == own;
    let living = lease.living(limit, &is_own).await;
    judge(living, own)
}

fn judge(living: Result<Option<Holder>, ClusterError>, own: String) -> Lead {
    match living {
        Ok(None) => Lead::Free,
        Ok(Some(leader)) if leader.source == own => Lead::Free,
        Ok(Some(leader)) if leader.source.is_empty() => Lead::Unknown(format!(
            "{} leads, and does not say which source it follows",
            leader.name
        )),
        Ok(Some(leader)) => Lead::Other { leader, own },
        Err(error) => Lead::Unknown(format!("the lease {LEADER} could not be read ({error})")),
    }
}

impl Lead {
    /// Returns what whoever looks at a plan should know.
    pub fn note(&self) -> Option<String> {
        let note = match self {
            Self::Free => return None,
            Self::Suspended(suspension) => format!(
                "the controller is suspended {suspension}; `platform resume --controller` lets it go on"
            ),
            Self::Other { .. } => format!("{}; `apply` from here is refused", self.told()),
            Self::Unknown(_) => self.told(),
        };
        Some(mask::line(&note))
    }

    /// Tells whether a controller has to be suspended before something is written from here.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self, Self::Other { .. } | Self::Unknown(_))
    }

    /// Refuses what a controller would undo.
    ///
    /// # Errors
    /// It follows another source, or that is not known.
    pub fn refuse(&self) -> Result<(), CliError> {
        let error = match self {
            Self::Free | Self::Suspended(_) => return Ok(()),
            Self::Other { .. } => CliError::stale,
            Self::Unknown(_) => CliError::dependency,
        };
        let remedy = match self {
            Self::Other { leader, .. } => format!("commit to {}", leader.source),
            _ => "mend what is named".to_owned(),
        };
        let message = mask::line(&format!("{}; nothing was done", self.told()));
        let hint = format!("{remedy}, or suspend the controller and go on with --take-over");
        Err(error(message).hint(mask::line(&hint)))
    }

    fn told(&self) -> String {
        match self {
            Self::Free | Self::Suspended(_) => String::new(),
            Self::Other { leader, own } => format!(
                "a controller, {}, follows another source: {}, and this is {own}",
                leader.name, leader.source
            ),
            Self::Unknown(why) => {
                format!("whether a controller follows another source is not known: {why}")
            }
        }
    }
}

/// Suspends the controller, durably, and tells how it goes on. The database has to be open for writing.
///
/// # Errors
/// That could not be kept; nothing was done.
pub async fn suspend(context: &Context, session: &Session) -> Result<(), CliError> {
    let Registry::Ready(database) = &session.edges.registry else {
        return Err(CliError::bug("the database is not open for writing"));
    };
    let why = format!(
        "taken over by `apply` from {}",
        identify(&session.source, &turn::host())
    );
    let act = act(context, ActKind::Suspend, None, Some(why));
    database.act(&act).await?;
    context.terminal.note(SUSPENDED);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(source: &str) -> Holder {
        Holder {
            name: "ada (controller) on pod-1 #0badcafe".to_owned(),
            source: source.to_owned(),
        }
    }

    fn refused(living: Result<Option<Holder>, ClusterError>) -> Option<(u8, String)> {
        let error = judge(living, "/srv/platform.yaml on h".to_owned()).refuse();
        let error = error.err()?;
        Some((error.kind().exit() as u8, error.render(false)))
    }

    #[test]
    fn whoever_follows_the_same_source_or_nobody_is_in_nobodys_way() {
        assert_eq!(refused(Ok(None)), None);
        assert_eq!(refused(Ok(Some(leader("/srv/platform.yaml on h")))), None);
    }

    #[test]
    fn another_source_is_named_with_who_follows_it_and_both_remedies() {
        let (exit, told) = refused(Ok(Some(leader("git.example/o/r#main")))).unwrap();
        assert_eq!(exit, 3);
        assert_eq!(
            told,
            "a controller, ada (controller) on pod-1 #0badcafe, follows another source: git.example/o/r#main, \
             and this is /srv/platform.yaml on h; nothing was done\n  hint: commit to git.example/o/r#main, or \
             suspend the controller and go on with --take-over\n"
        );
    }

    #[test]
    fn what_is_not_known_is_no_permission() {
        let (exit, told) = refused(Ok(Some(leader("")))).unwrap();
        assert_eq!(exit, 4, "{told}");
        assert!(told.contains("does not say which source"), "{told}");
        let away = ClusterError::Unreachable("no route".to_owned());
        let (exit, told) = refused(Err(away)).unwrap();
        assert_eq!(exit, 4, "{told}");
        assert!(told.contains("the lease platform-leader"), "{told}");
    }
}

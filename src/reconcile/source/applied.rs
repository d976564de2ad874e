//! Which commit was applied last: where the check of signatures begins.

use crate::edge::database::{Database, DatabaseError};
use crate::model::CommitId;
use crate::model::pass::{PassOutcome, PassSummary};

/// Passes that are looked through for one from git.
const PASSES: u32 = 1_000;

/// Returns the commit that a registry says was applied last: of the newest pass from git that wrote something, or may
/// have, or had nothing to write.
///
/// # Errors
/// It does not say.
pub async fn last_applied(database: &dyn Database) -> Result<Option<CommitId>, DatabaseError> {
    let is_applied = |pass: &&PassSummary| match pass.outcome {
        PassOutcome::Converged
        | PassOutcome::Changed
        | PassOutcome::Partial
        // Something of it may be there, and it was checked before it began.
        | PassOutcome::Interrupted => true,
        PassOutcome::Failed | PassOutcome::Refused => false,
    };
    let commit = |pass: &PassSummary| CommitId::parse(&pass.revision.commit.as_ref()?.id);
    let passes = database.passes(PASSES, None).await?;
    Ok(passes.iter().filter(is_applied).find_map(commit))
}

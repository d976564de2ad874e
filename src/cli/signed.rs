//! Which commit was applied last: where the check of signatures begins.

use crate::model::CommitId;
use crate::model::pass::{PassOutcome, PassSummary};

/// Returns the commit applied last: of the newest pass from git that wrote something, or may have, or
/// had nothing to write.
pub fn last_applied(passes: &[PassSummary]) -> Option<CommitId> {
    let is_applied = |pass: &&PassSummary| match pass.outcome {
        PassOutcome::Converged
        | PassOutcome::Changed
        | PassOutcome::Partial
        // Something of it may be there, and it was checked before it began.
        | PassOutcome::Interrupted => true,
        PassOutcome::Failed | PassOutcome::Refused => false,
    };
    let commit = |pass: &PassSummary| CommitId::parse(&pass.revision.commit.as_ref()?.id);
    passes.iter().filter(is_applied).find_map(commit)
}

//! A saved plan: not the objects, but the digest by which the same plan is known again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CliError;
use super::session::{absolute, read_saved};
use crate::model::Slug;
use crate::reconcile::plan::Plan;
use crate::reconcile::plan::digest::plan_digest;
use crate::reconcile::render::mask;

/// The form's name; another one is refused.
const FORMAT: &str = "platform.network/saved-plan/v1";

/// A saved plan. It holds no object and no secret: `apply --plan` plans again and compares digests, so
/// what is carried out is what was shown, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    format: String,
    /// Where the declaration is.
    pub source: String,
    /// The cluster and the namespace that it is for, as shown.
    pub cluster: String,
    /// The content digest of the declaration's revision.
    pub revision: String,
    /// The digest of the plan.
    pub digest: String,
    /// The challenges it is about; all when empty.
    pub challenges: Vec<Slug>,
}

impl SavedPlan {
    /// Returns what is saved of a plan.
    #[must_use]
    pub fn of(plan: &Plan, source: &str, cluster: &str, only: &[Slug]) -> Self {
        Self {
            format: FORMAT.to_owned(),
            source: absolute(source),
            cluster: cluster.to_owned(),
            revision: plan.revision.digest.clone(),
            digest: plan_digest(plan),
            challenges: only.to_vec(),
        }
    }

    /// Writes it; a file that was cut short is refused by [`Self::read`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| CliError::bug("a saved plan has no JSON form").because(error))?;
        std::fs::write(path, text + "\n").map_err(|error| {
            CliError::dependency(format!("the plan cannot be saved to {}", path.display()))
                .because(error)
                .hint("name a file that can be written with --save")
        })
    }

    /// Reads one.
    ///
    /// # Errors
    /// The file is no saved plan of this version.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = read_saved(path)?;
        let bad = |why: String| {
            CliError::input(format!("{} is no saved plan: {why}", path.display()))
                .hint("make one with `platform diff --save FILE`")
        };
        let saved: Self = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if saved.format != FORMAT {
            return Err(bad(format!("its form is {:?}, not {FORMAT}", saved.format)));
        }
        Ok(saved)
    }

    /// Refuses a plan that is not this one.
    ///
    /// # Errors
    /// The declaration or the world moved since, or this is another cluster: two empty ones have one plan.
    pub fn check(&self, plan: &Plan, cluster: &str) -> Result<(), CliError> {
        if cluster != self.cluster {
            let message = format!(
                "the plan was saved for cluster {}, and this is {cluster}; nothing was done",
                self.cluster
            );
            return Err(CliError::stale(mask::printable(&message))
                .hint("name the cluster that it is for with KUBECONFIG"));
        }
        let what = if plan.revision.digest != self.revision {
            "the declaration changed"
        } else if plan_digest(plan) != self.digest {
            "the cluster or the database changed"
        } else {
            return Ok(());
        };
        Err(
            CliError::stale(format!("{what} since the plan was saved; nothing was done"))
                .hint("look at the new plan with `platform diff --save FILE`"),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Revision;

    #[test]
    fn plan_of_one_cluster_is_not_carried_out_on_another() {
        let plan = Plan {
            revision: Revision {
                digest: "sha256:0".to_owned(),
                commit: None,
            },
            steps: Vec::new(),
            held: Vec::new(),
            unchanged: 0,
            guards: Vec::new(),
            shares: BTreeMap::new(),
            notes: Vec::new(),
        };
        let saved = SavedPlan::of(&plan, "platform.yaml", "staging/platform", &[]);
        assert!(saved.check(&plan, "staging/platform").is_ok());
        let refused = saved.check(&plan, "live/platform").unwrap_err();
        assert_eq!(refused.kind().exit() as u8, 3);
    }
}

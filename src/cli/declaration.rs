//! The declaration as every verb gets it: read, parsed, checked, its problems reported.

use crate::reconcile::source::{self, Snapshot};
use crate::settings::Settings;
use crate::spec::{self, Platform, Policy, Problem, Problems, Severity, SourceFile};

use super::CliError;

/// A checked declaration and where it came from.
pub struct Declaration {
    /// What was read.
    pub snapshot: Snapshot,
    /// What it declares.
    pub platform: Platform,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Reads and checks a declaration.
///
/// # Errors
/// It cannot be read, or has problems, which are all in the error.
pub fn read_from(source: &str, policy: Policy) -> Result<Declaration, CliError> {
    let snapshot = source::read_source(source)?;
    match check(&snapshot.files, policy) {
        Ok((platform, warnings)) => Ok(Declaration {
            snapshot,
            platform,
            warnings,
        }),
        Err(problems) => Err(refused(&snapshot.origin, &problems)),
    }
}

/// Parses and checks files.
///
/// # Errors
/// All their problems.
pub fn check(files: &[SourceFile], policy: Policy) -> Result<(Platform, Vec<Problem>), Problems> {
    let checked = spec::check_under(&spec::parse(files)?, policy)?;
    Ok((checked.platform, checked.warnings))
}

/// Returns the policy that these settings ask for.
#[must_use]
pub fn policy(settings: &Settings) -> Policy {
    match settings.enforces_production() {
        true => Policy::Production,
        false => Policy::AsDeclared,
    }
}

/// Returns the error that lists all problems of a declaration.
#[must_use]
pub fn refused(origin: &str, problems: &Problems) -> CliError {
    CliError::input(format!("{}\n{problems}", count(origin, problems))).hint(HINT)
}

/// Returns the error that only counts the problems, for where they have been shown.
#[must_use]
pub fn counted(origin: &str, problems: &Problems) -> CliError {
    CliError::input(count(origin, problems)).hint(HINT)
}

const HINT: &str = "`platform schema` describes every field";

/// Warnings stand among the problems and are not why a declaration is refused.
fn count(origin: &str, problems: &Problems) -> String {
    let errors = |problem: &&Problem| problem.severity == Severity::Error;
    let count = problems.shown.iter().filter(errors).count() + problems.rest;
    let noun = if count == 1 { "problem" } else { "problems" };
    format!("{origin} is refused for {count} {noun}")
}

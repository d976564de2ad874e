//! The declaration as every verb gets it: read, parsed, checked, its problems reported.

use std::path::PathBuf;
use std::sync::Arc;

use crate::edge::git::{Access, GitAddress, RemoteGit, is_address};
use crate::model::CommitId;
use crate::reconcile::source::{self, GitOrigin, Origin, Snapshot, Trust};
use crate::settings::Settings;
use crate::spec::{self, Platform, Policy, Problem, Problems, Severity, SourceFile};

use super::{CliError, Kind};

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
pub async fn read_from(
    source: &str,
    settings: &Settings,
    last: Option<&CommitId>,
) -> Result<Declaration, CliError> {
    let snapshot = read(source, settings, last).await?;
    match check(&snapshot.files, policy(settings)) {
        Ok((platform, warnings)) => Ok(Declaration {
            snapshot,
            platform,
            warnings,
        }),
        Err(problems) => Err(refused(&snapshot.origin, &problems)),
    }
}

/// Reads a source without looking at what it says. Of a git source whose commits have to be signed, those
/// since `last` are checked; without one the newest.
///
/// # Errors
/// It cannot be read, or a commit is refused.
pub async fn read(
    source: &str,
    settings: &Settings,
    last: Option<&CommitId>,
) -> Result<Snapshot, CliError> {
    match origin(source, settings)? {
        Origin::Path(path) => Ok(source::read_source(&path)?),
        Origin::Git(origin) => {
            let tip = origin.find_tip().await?;
            Ok(origin.read(last, &tip).await?)
        }
    }
}

/// Returns where a source is.
///
/// # Errors
/// It looks like a git address and is none.
pub fn origin(source: &str, settings: &Settings) -> Result<Origin, CliError> {
    if !is_address(source) {
        return Ok(Origin::Path(source.to_owned()));
    }
    let address = GitAddress::parse(source).map_err(|error| {
        let hint = error.remedy();
        CliError::of(Kind::Input, error).hint(hint)
    })?;
    let origin = address.to_string();
    let git = RemoteGit::new(
        PathBuf::from(THIS_PROGRAM),
        address,
        access(settings),
        source::bounds(),
    );
    let trust = settings.git.verifies.then(|| Trust {
        allowed_signers: settings.git.allowed_signers.clone(),
        openpgp_keys: settings.git.openpgp_keys.clone(),
        revoked_keys: settings.git.revoked_keys.clone(),
        allows_rewind: settings.git.allows_rewind,
    });
    Ok(Origin::Git(GitOrigin {
        git: Arc::new(git),
        shown: origin,
        trust,
    }))
}

/// Stays this program when its file is replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

fn access(settings: &Settings) -> Access {
    let git = settings.git.clone();
    Access {
        username: git.username,
        password: git.password,
        password_file: git.password_file,
        ssh_key: git.ssh_key,
        known_hosts: git.known_hosts,
        ca_file: git.ca_file,
        cache: git.cache,
        scratch: git.scratch,
        timeout: git.timeout,
        wants_history: git.verifies,
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

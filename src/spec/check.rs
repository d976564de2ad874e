//! [`Written`] to [`Platform`]: every rule about content, all problems at once. This is the only part
//! that makes a [`Platform`], so whoever holds one need not check again.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::Written;
use super::path::Path;
use super::platform::{Environment, Network, Platform};
use super::problem::{Problem, Problems};
use super::types::{self, File};
use crate::model::{Emission, Slug, TargetId};
use base::Base;
use notes::Notes;

mod base;
mod broker;
mod challenge;
mod cross;
mod env;
mod grammar;
mod image;
mod metadata;
mod notes;
mod placement;
mod proxy;
mod resources;
mod safety;
mod secrets;
mod target;
#[cfg(test)]
mod tests;
mod workload;

/// The version of the form that this program reads.
pub const API_VERSION: &str = "platform.network/v1";
/// The most challenges of one platform: what `performance.md` measures, twice.
pub const MAX_CHALLENGES: usize = 2000;
/// The most targets of one platform.
pub const MAX_TARGETS: usize = 200;

/// A declaration that may be used.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What is declared, every default filled in.
    pub platform: Platform,
    /// What is probably not meant, by place.
    pub warnings: Vec<Problem>,
}

/// Whose word turns the production policy on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The declaration's `environment`.
    #[default]
    AsDeclared,
    /// The settings of the process that reads it, whatever the declaration says.
    Production,
}

/// Checks a declaration under the policy that it declares. Nothing is read but its argument.
///
/// # Errors
/// Everything that is wrong with it, what the parser noted included, sorted by place; warnings too.
pub fn check(written: &Written) -> Result<Checked, Problems> {
    check_under(written, Policy::AsDeclared)
}

/// Checks a declaration under a policy, which can make it stricter than it declares and never laxer.
///
/// # Errors
/// As [`check`].
pub fn check_under(written: &Written, policy: Policy) -> Result<Checked, Problems> {
    let mut notes = Notes::new(written);
    let platform = check_file(&mut notes, written, policy);
    let has_errors = notes.has_errors();
    let problems = Problems::new(notes.problems, notes.dropped);
    match platform {
        Some(platform) if !has_errors => Ok(Checked {
            platform,
            warnings: problems.shown,
        }),
        _ => Err(problems),
    }
}

impl Policy {
    fn over(self, declared: Environment) -> Environment {
        match self {
            Self::Production if !declared.enforces_policy() => Environment::Production,
            Self::Production | Self::AsDeclared => declared,
        }
    }
}

fn check_file(notes: &mut Notes<'_>, written: &Written, policy: Policy) -> Option<Platform> {
    let file = &written.file;
    let root = Path::ROOT;
    check_api_version(notes, &root.key("api_version"), file);
    let environment = check_environment(notes, &root.key("environment"), file);
    let environment = environment.map(|declared| policy.over(declared));
    if let Some(environment) = environment {
        notes.environment = environment;
    }
    secrets::check_passwords(notes, written);
    let namespace = check_namespace(notes, &root.key("namespace"), file.namespace.as_ref());
    let network = check_network(notes, &root.key("network"), file.network.as_ref());
    let base = base::check(notes, file);
    let emissions = check_emissions(notes, written);
    let challenges = check_challenges(notes, file, &base, &emissions);
    let targets = check_targets(notes, file, &base);
    let broker = broker::check(notes, file);
    let safety = safety::check(notes, file.safety.as_ref());
    cross::check(notes, written, &targets);
    Some(Platform {
        environment: environment?,
        namespace,
        network,
        challenges,
        targets,
        broker,
        safety: safety?,
    })
}

fn check_api_version(notes: &mut Notes<'_>, path: &Path<'_>, file: &File) {
    let Some(version) = &file.api_version else {
        return;
    };
    if version != API_VERSION {
        notes.error(
            path,
            "is a version that this program does not read",
            format!("write `api_version: {API_VERSION}`"),
        );
    }
}

fn check_environment(notes: &mut Notes<'_>, path: &Path<'_>, file: &File) -> Option<Environment> {
    match file.environment.as_ref()?.trim().to_lowercase().as_str() {
        "prod" | "production" => Some(Environment::Production),
        "staging" => Some(Environment::Staging),
        "development" => Some(Environment::Development),
        _ => {
            notes.error(
                path,
                "is none of the known words",
                "write `development`, `staging` or `production`",
            );
            None
        }
    }
}

fn check_namespace(notes: &mut Notes<'_>, path: &Path<'_>, name: Option<&String>) -> String {
    let Some(name) = name else {
        return "platform".to_owned();
    };
    if !grammar::is_dns_label(name) {
        notes.error(
            path,
            "is no name of a namespace",
            "1 to 63 lower-case letters, digits and inner hyphens",
        );
    } else if name == "default" || name.starts_with("kube-") {
        notes.error(
            path,
            "is a namespace of Kubernetes itself",
            "give the platform its own, such as `platform`",
        );
    }
    name.clone()
}

fn check_network(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&types::Network>,
) -> Network {
    let written = written.cloned().unwrap_or_default();
    if let Some(name) = &written.name {
        grammar::check_words(notes, &path.key("name"), name, 128);
    }
    let endpoint = written.chain_endpoint.filter(|text| !text.is_empty());
    if let Some(endpoint) = &endpoint {
        grammar::check_url(notes, &path.key("chain_endpoint"), endpoint, &["ws", "wss"]);
    }
    if let Some(file) = &written.metagraph_file {
        grammar::check_words(notes, &path.key("metagraph_file"), file, 4096);
    }
    Network {
        name: written.name.unwrap_or_else(|| "platform".to_owned()),
        netuid: written.netuid.unwrap_or(100),
        chain_endpoint: endpoint,
        burn_uid: written.burn_uid.unwrap_or(0),
        master_uid: written.master_uid.unwrap_or(0),
        version_key: written.version_key.unwrap_or(0),
        metagraph_file: written.metagraph_file,
    }
}

/// Checks the shares. That each names a challenge is asked of what stands in the file, so that a
/// malformed challenge is not also called unknown.
fn check_emissions<'f>(notes: &mut Notes<'_>, written: &'f Written) -> BTreeMap<&'f str, Emission> {
    let root = Path::ROOT;
    let emissions = root.key("emissions");
    let declared: BTreeSet<&str> = written.keys("challenges").collect();
    let mut parsed = BTreeMap::new();
    if written.file.emissions.len() > MAX_CHALLENGES {
        let message = format!("has more than {MAX_CHALLENGES} entries");
        notes.error(&emissions, message, "one share for each challenge");
        return parsed;
    }
    for (slug, text) in &written.file.emissions {
        let path = emissions.key(slug);
        if !declared.contains(slug.as_str()) {
            unknown_challenge(notes, &path, slug, &declared);
        }
        let remedy = "write a number such as 30 or 12.5";
        if let Some(emission) = notes.parsed(&path, Emission::parse(text.0.trim()), remedy) {
            parsed.insert(slug.as_str(), emission);
        }
    }
    parsed
}

fn unknown_challenge(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    slug: &str,
    declared: &BTreeSet<&str>,
) {
    let near = super::parse::nearest(slug, declared.iter().copied());
    let remedy = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it under `challenges`, or delete this share; a file that was cut off lacks its \
                 last challenges"
            .to_owned(),
    };
    notes.error(path, "names a challenge that is not declared", remedy);
}

fn check_challenges(
    notes: &mut Notes<'_>,
    file: &File,
    base: &Base,
    emissions: &BTreeMap<&str, Emission>,
) -> BTreeMap<Slug, super::platform::Challenge> {
    let root = Path::ROOT;
    let path = root.key("challenges");
    let written = file.challenges.iter().flatten();
    if file
        .challenges
        .as_ref()
        .is_some_and(|c| c.len() > MAX_CHALLENGES)
    {
        notes.error(
            &path,
            format!("there are more than {MAX_CHALLENGES} challenges"),
            "split them over several platforms",
        );
        return BTreeMap::new();
    }
    let mut checked = BTreeMap::new();
    for (name, challenge) in written {
        let below = path.key(name);
        let slug = notes.parsed(
            &below,
            Slug::parse(name),
            "rename it: 2 to 40 lower-case letters, digits and single inner hyphens",
        );
        let stand_in = || Slug::parse("unnamed").ok();
        let Some(known) = slug.clone().or_else(stand_in) else {
            continue;
        };
        let emission = emissions.get(name.as_str()).copied();
        let challenge = challenge::check(notes, &below, &known, challenge, base, emission);
        if let (Some(slug), Some(challenge)) = (slug, challenge) {
            checked.insert(slug, challenge);
        }
    }
    checked
}

fn check_targets(
    notes: &mut Notes<'_>,
    file: &File,
    base: &Base,
) -> BTreeMap<TargetId, super::platform::Target> {
    let root = Path::ROOT;
    let path = root.key("targets");
    if file.targets.len() > MAX_TARGETS {
        notes.error(
            &path,
            format!("there are more than {MAX_TARGETS} targets"),
            "split them over several platforms",
        );
        return BTreeMap::new();
    }
    let mut checked = BTreeMap::new();
    for (name, written) in &file.targets {
        let below = path.key(name);
        let id = notes.parsed(&below, TargetId::parse(name), "rename it");
        let stand_in = || TargetId::parse("unnamed").ok();
        let Some(known) = id.clone().or_else(stand_in) else {
            continue;
        };
        let target = target::check(notes, &below, &known, written, base);
        if let (Some(id), Some(target)) = (id, target) {
            checked.insert(id, target);
        }
    }
    checked
}

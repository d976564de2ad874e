//! What two parts of a declaration say about each other.

use std::collections::BTreeMap;

use super::notes::Notes;
use crate::model::{Slug, TargetId, names};
use crate::spec::parse::{Written, nearest};
use crate::spec::path::Path;
use crate::spec::platform::Target;
use crate::spec::types::{Challenge, Status};

/// Checks challenges against shares, targets and one another. It asks what is written, so that another
/// mistake in a challenge does not hide these.
pub(super) fn check(
    notes: &mut Notes<'_>,
    written: &Written,
    targets: &BTreeMap<TargetId, Target>,
) {
    let root = Path::ROOT;
    let path = root.key("challenges");
    for (slug, challenge) in written.file.challenges.iter().flatten() {
        let below = path.key(slug);
        let has_share = written.file.emissions.contains_key(slug);
        if challenge.status == Some(Status::Active) && !has_share {
            check_share(notes, &below, slug);
        }
        let resources = below.key("resources");
        check_placed(notes, &resources.key("target"), written, challenge, targets);
    }
    check_demand(notes, written, targets);
    let slugs = written.file.challenges.iter().flatten();
    check_names(
        notes,
        &path,
        slugs.filter_map(|(slug, _)| Slug::parse(slug).ok()),
    );
}

fn check_share(notes: &mut Notes<'_>, path: &Path<'_>, slug: &str) {
    let root = Path::ROOT;
    if !notes.holds(&root.key("emissions").key(slug)) {
        notes.warn(
            path,
            "is active and has no share",
            "write one under `emissions`; `0` says that this is meant",
        );
    }
}

/// Returns the target that a challenge names, if it is well-formed.
fn target_of(challenge: &Challenge) -> Option<TargetId> {
    let resources = challenge.resources.as_ref()?;
    TargetId::parse(resources.target.as_ref()?).ok()
}

fn check_placed(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Written,
    challenge: &Challenge,
    targets: &BTreeMap<TargetId, Target>,
) {
    let Some(id) = target_of(challenge) else {
        return;
    };
    let root = Path::ROOT;
    match targets.get(&id) {
        Some(target) if !target.enabled || target.draining => notes.warn(
            path,
            "names a target that takes nothing new",
            "enable it or stop draining it; until then the challenge waits",
        ),
        Some(_) => {}
        None if notes.holds(&root.key("targets").key(id.as_str())) => {}
        None => {
            let remedy = match nearest(id.as_str(), written.keys("targets")) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "declare it under `targets`".to_owned(),
            };
            notes.error(path, "names a target that is not declared", remedy);
        }
    }
}

/// Compares the GPUs that active challenges want of a target with what it offers.
fn check_demand(notes: &mut Notes<'_>, written: &Written, targets: &BTreeMap<TargetId, Target>) {
    let root = Path::ROOT;
    let path = root.key("targets");
    let mut demand: BTreeMap<TargetId, u64> = BTreeMap::new();
    let active = |challenge: &&Challenge| challenge.status == Some(Status::Active);
    let challenges = written.file.challenges.iter().flatten().map(|(_, c)| c);
    for challenge in challenges.filter(active) {
        let resources = challenge.resources.as_ref();
        let gpus = resources.and_then(|r| r.gpu_count.as_ref().or(r.gpus.as_ref()));
        let gpus = gpus.and_then(|text| text.0.trim().parse::<u32>().ok());
        if let Some(id) = target_of(challenge) {
            *demand.entry(id).or_default() += u64::from(gpus.unwrap_or(0));
        }
    }
    for (id, wanted) in demand {
        let offered = targets.get(&id).map(|target| u64::from(target.gpu_count));
        if let Some(offered) = offered.filter(|offered| *offered < wanted) {
            notes.error(
                &path.key(id.as_str()).key("gpu_count"),
                format!("is {offered}, and active challenges want {wanted} GPUs there"),
                "raise it if there are more, or give a challenge another target",
            );
        }
    }
}

/// Refuses two challenges that would own one object: names that are cut carry a hash, and another slug
/// may spell out just that.
fn check_names(notes: &mut Notes<'_>, path: &Path<'_>, slugs: impl Iterator<Item = Slug>) {
    let mut owners: BTreeMap<(&str, String), Slug> = BTreeMap::new();
    for slug in slugs {
        let mut other = None;
        for name in derived(&slug) {
            let first = owners.insert(name, slug.clone());
            other = other.or(first.filter(|first| *first != slug));
        }
        if let Some(other) = other {
            notes.error(
                &path.key(slug.as_str()),
                format!("derives the same object name as the challenge `{other}`"),
                "rename one of them",
            );
        }
    }
}

/// Returns every object name derived from a slug, with what kind of thing it names.
fn derived(slug: &Slug) -> [(&'static str, String); 6] {
    [
        ("workload", names::workload(slug)),
        ("workload", names::postgres(slug)),
        ("secret", names::token_secret(slug)),
        ("secret", names::postgres_secret(slug)),
        ("claim", names::data_claim(slug)),
        ("claim", names::postgres_claim(slug)),
    ]
}

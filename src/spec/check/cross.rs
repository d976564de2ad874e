//! What two parts of a declaration say about each other.

use std::collections::BTreeMap;

use super::notes::Notes;
use crate::model::{Slug, TargetId, names};
use crate::spec::parse::{Written, nearest};
use crate::spec::path::Path;
use crate::spec::platform::{Challenge, Status, Target};

/// Checks challenges against shares, targets and one another.
pub(super) fn check(
    notes: &mut Notes<'_>,
    written: &Written,
    challenges: &BTreeMap<Slug, Challenge>,
    targets: &BTreeMap<TargetId, Target>,
) {
    let root = Path::ROOT;
    let path = root.key("challenges");
    for (slug, challenge) in challenges {
        let below = path.key(slug.as_str());
        check_share(notes, &below, slug, challenge);
        let resources = below.key("resources");
        check_placed(notes, &resources.key("target"), written, challenge, targets);
    }
    check_demand(notes, challenges, targets);
    check_names(notes, &path, challenges.keys());
}

fn check_share(notes: &mut Notes<'_>, path: &Path<'_>, slug: &Slug, challenge: &Challenge) {
    let root = Path::ROOT;
    let emissions = root.key("emissions");
    if challenge.status == Status::Active && !notes.holds(&emissions.key(slug.as_str())) {
        notes.warn(
            path,
            "is active and has no share",
            format!("write `emissions: {{{slug}: <share>}}`; `0` says that this is meant"),
        );
    }
}

fn check_placed(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Written,
    challenge: &Challenge,
    targets: &BTreeMap<TargetId, Target>,
) {
    let Some(id) = &challenge.resources.target else {
        return;
    };
    let root = Path::ROOT;
    match targets.get(id) {
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
fn check_demand(
    notes: &mut Notes<'_>,
    challenges: &BTreeMap<Slug, Challenge>,
    targets: &BTreeMap<TargetId, Target>,
) {
    let root = Path::ROOT;
    let path = root.key("targets");
    let mut demand: BTreeMap<&TargetId, u64> = BTreeMap::new();
    for challenge in challenges.values().filter(|c| c.status == Status::Active) {
        if let Some(id) = &challenge.resources.target {
            let gpus = challenge.resources.gpu_count.unwrap_or(0);
            *demand.entry(id).or_default() += u64::from(gpus);
        }
    }
    for (id, wanted) in demand {
        let offered = targets.get(id).map(|target| u64::from(target.gpu_count));
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
fn check_names<'s>(notes: &mut Notes<'_>, path: &Path<'_>, slugs: impl Iterator<Item = &'s Slug>) {
    let mut owners: BTreeMap<(&str, String), &Slug> = BTreeMap::new();
    for slug in slugs {
        let mut other = None;
        for name in derived(slug) {
            if let Some(first) = owners.insert(name, slug).filter(|first| *first != slug) {
                other = Some(first);
            }
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

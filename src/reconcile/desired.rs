//! Every object and registry row, fully decided: `Platform` and `Facts` to `Desired`. Pure.

mod autoscaler;
mod challenge;
mod claim;
mod environment;
#[cfg(test)]
pub mod fixture;
mod manifest;
mod namespace;
mod network;
mod pod;
mod postgres;
mod registry;
mod resolved;
pub mod rollout;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use self::resolved::Resolved;
use self::rollout::Rolled;
use super::resolve::Facts;
use crate::model::act::Suspensions;
use crate::model::rollout::{Rollout, Rollouts};
use crate::model::{ClusterName, Item, Key, Kind, ObjectKey, RowKey, Scope, Slug, names};
use crate::parallel::in_runs;
use crate::spec::Platform;
use crate::spec::platform::{Challenge, Drift, Mode, Status};

/// As few challenges are done before a thread has begun.
const WORTH_A_THREAD: usize = 64;

/// Everything that should be there. Nothing is left to choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// What each key should hold.
    pub items: BTreeMap<Key, Wanted>,
    /// The claims that wanted StatefulSets make, each with its StatefulSet: in use, and nobody's to delete.
    pub claims: BTreeMap<ObjectKey, ObjectKey>,
    /// The declared challenges.
    pub declared: BTreeSet<Slug>,
    /// Challenges that cannot be decided now, and why: nothing of theirs is touched.
    pub withheld: BTreeMap<Slug, String>,
    /// Challenges that somebody suspended: nothing of theirs is touched.
    pub suspended: Suspensions,
    /// Challenges whose objects are shown, not corrected, when somebody else changes them.
    pub report_only: BTreeSet<Slug>,
    /// How the images of challenges that run are rolled out.
    pub rollouts: BTreeMap<Slug, Rolled>,
}

/// What decides beside the declaration: what somebody asked for, and what was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The challenges that somebody suspended.
    pub suspended: Suspensions,
    /// What is known of each challenge's images.
    pub rollouts: Rollouts,
}

impl Standing {
    /// Returns what concerns one challenge.
    #[must_use]
    pub fn of(&self, slug: &Slug) -> Self {
        let Self {
            suspended,
            rollouts,
        } = self;
        let suspended = suspended.get_key_value(slug).into_iter();
        let rollouts = rollouts.get_key_value(slug).into_iter();
        Self {
            suspended: suspended
                .map(|(slug, why)| (slug.clone(), why.clone()))
                .collect(),
            rollouts: rollouts
                .map(|(slug, known)| (slug.clone(), known.clone()))
                .collect(),
        }
    }
}

/// What one key should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The content.
    pub item: Item,
    /// Whether it is made when missing.
    pub presence: Presence,
    /// The objects that must be there and ready before this one is written.
    pub after: Vec<ObjectKey>,
}

/// Whether a missing item is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is made.
    Required,
    /// It is kept right where it exists, and not made: a draft's objects.
    IfPresent,
}

/// Returns a namespace as a pass makes it where it is missing.
#[must_use]
pub fn build_namespace(cluster: &ClusterName, name: &str) -> (ObjectKey, Item) {
    (namespace::key(cluster, name), namespace::namespace(name))
}

/// Returns everything that should be there. The same input gives the same value; a challenge of which
/// something is not known is withheld whole and stops no other.
#[must_use]
pub fn build_desired(platform: &Platform, facts: &Facts) -> Desired {
    build_desired_of(platform, facts, &Standing::default(), &Scope::All)
}

/// As [`build_desired`], with the objects and rows of the challenges in scope only, and what belongs to no
/// challenge where all are, and nothing of those that are suspended. What is declared is told
/// of all, so that nothing is taken for removed.
#[must_use]
pub fn build_desired_of(
    platform: &Platform,
    facts: &Facts,
    standing: &Standing,
    scope: &Scope,
) -> Desired {
    let Standing {
        suspended,
        rollouts,
    } = standing;
    let is_due = |slug: &Slug| scope.contains(slug) && !suspended.contains_key(slug);
    let declared = platform.challenges.iter();
    let due: Vec<_> = declared.filter(|(slug, _)| is_due(slug)).collect();
    let parts = in_runs(&due, WORTH_A_THREAD, |run| {
        let mut part = Desired::default();
        for &(slug, challenge) in run {
            let known = rollouts.get(slug).cloned().unwrap_or_default();
            part.add_due(challenge, (platform, facts), known);
        }
        part
    });
    let parts = parts.into_iter();
    let mut desired = parts.reduce(Desired::and).unwrap_or_default();
    desired.declared = platform.challenges.keys().cloned().collect();
    let in_scope = suspended.iter().filter(|(slug, _)| scope.contains(slug));
    desired.suspended = in_scope
        .map(|(slug, why)| (slug.clone(), why.clone()))
        .collect();
    if *scope == Scope::All {
        desired.add_namespace(&ClusterName::Local, &platform.namespace);
        for (id, target) in &platform.targets {
            desired.add_row(RowKey::Target(id.clone()), registry::target_row(target));
        }
        desired.add_tokens(platform);
    }
    desired
}

impl Desired {
    /// Tells whether nothing of a challenge is touched.
    #[must_use]
    pub fn is_untouched(&self, slug: &Slug) -> bool {
        self.withheld.contains_key(slug) || self.suspended.contains_key(slug)
    }

    /// Where nothing is declared nothing is made; what is there is emptied.
    fn add_tokens(&mut self, platform: &Platform) {
        let tokens = tokens::tokens(platform);
        let presence = match tokens.keys.is_empty() {
            true => Presence::IfPresent,
            false => Presence::Required,
        };
        let key = Key::Object(tokens::key(platform));
        self.items
            .insert(key, wanted(Item::Derived(tokens), presence));
    }

    /// Puts what is wanted of other challenges to this.
    fn and(mut self, mut other: Self) -> Self {
        self.items.append(&mut other.items);
        self.claims.append(&mut other.claims);
        self.withheld.append(&mut other.withheld);
        self.report_only.append(&mut other.report_only);
        self.rollouts.append(&mut other.rollouts);
        self
    }

    fn add_due(&mut self, challenge: &Challenge, declared: (&Platform, &Facts), known: Rollout) {
        let slug = &challenge.slug;
        if challenge.drift == Drift::Report {
            self.report_only.insert(slug.clone());
        }
        if let Err(why) = self.add_declared(challenge, declared, known) {
            self.withheld.insert(slug.clone(), why);
        }
    }

    /// Adds a challenge as it is declared or, where its image was given up, with the one before it.
    fn add_declared(
        &mut self,
        challenge: &Challenge,
        (platform, facts): (&Platform, &Facts),
        known: Rollout,
    ) -> Result<(), String> {
        let resolved = Resolved::new(challenge, platform, facts)?;
        let trial = rollout::trial(&resolved);
        let (before, instead) = rollout::fall_back(challenge, trial.as_ref(), &known).unzip();
        let resolved = match &before {
            Some(before) => Resolved::new(before, platform, facts)?,
            None => resolved,
        };
        if let Some(keys) = self.add_challenge(&resolved) {
            let rolled = rollout::rolled(&resolved, keys, (trial, known), instead);
            self.rollouts.insert(challenge.slug.clone(), rolled);
        }
        Ok(())
    }

    /// Adds everything of a challenge, and returns its workload, if it has one, and the database behind that.
    fn add_challenge(&mut self, resolved: &Resolved<'_>) -> Option<(ObjectKey, Option<ObjectKey>)> {
        let slug = resolved.slug();
        self.add_namespace(&resolved.cluster, resolved.namespace);
        self.add_rows(resolved);
        let secret = names::token_secret(slug);
        self.add(
            resolved,
            Kind::Secret,
            secret,
            challenge::token_secret(resolved),
        );
        let name = names::workload(slug);
        self.add(
            resolved,
            Kind::Service,
            name.clone(),
            challenge::service(resolved),
        );
        self.add(
            resolved,
            Kind::NetworkPolicy,
            name,
            network::challenge(resolved),
        );
        self.add_data_claim(resolved);
        let database = self.add_postgres(resolved);
        let is_active = resolved.challenge.status == Status::Active;
        let workload = is_active.then(|| self.add_workload(resolved, database.as_ref()))?;
        Some((workload, database))
    }

    fn add_rows(&mut self, resolved: &Resolved<'_>) {
        let slug = resolved.slug();
        let row = registry::challenge_row(resolved);
        self.add_row(RowKey::Challenge(slug.clone()), row);
        if let Some(row) = registry::assignment_row(resolved) {
            self.add_row(RowKey::Assignment(slug.clone()), row);
        }
        // It repeats what the token Secret holds, so it is due exactly when that is.
        let tokens = wanted(Item::TokenRow, presence(resolved));
        self.items
            .insert(Key::Row(RowKey::Tokens(slug.clone())), tokens);
    }

    /// A StatefulSet makes its claim itself; beside a Deployment the pass makes it, with the first workload.
    fn add_data_claim(&mut self, resolved: &Resolved<'_>) {
        let slug = resolved.slug();
        let claim = resolved.key(Kind::PersistentVolumeClaim, names::data_claim(slug));
        match resolved.challenge.mode {
            Mode::StatefulSet => {
                let set = resolved.key(Kind::StatefulSet, names::workload(slug));
                self.claims.insert(claim, set);
            }
            Mode::Deployment { .. } => {
                let presence = match resolved.challenge.status {
                    Status::Active => Presence::Required,
                    Status::Draft | Status::Inactive | Status::Disabled => Presence::IfPresent,
                };
                let item = challenge::data_claim(resolved);
                self.items
                    .insert(Key::Object(claim), wanted(item, presence));
            }
        }
    }

    /// Adds the managed Postgres, if there is one, and returns the object that says when it is ready.
    fn add_postgres(&mut self, resolved: &Resolved<'_>) -> Option<ObjectKey> {
        let (declared, image) = resolved.postgres.as_ref()?;
        let slug = resolved.slug();
        let secret = names::postgres_secret(slug);
        self.add(resolved, Kind::Secret, secret, postgres::secret(resolved));
        let name = names::postgres(slug);
        self.add(
            resolved,
            Kind::Service,
            name.clone(),
            postgres::service(resolved),
        );
        self.add(
            resolved,
            Kind::NetworkPolicy,
            name.clone(),
            network::database(resolved),
        );
        let set = resolved.key(Kind::StatefulSet, name);
        let database = Wanted {
            after: vec![
                resolved.key(Kind::Secret, names::postgres_secret(slug)),
                // Where it could not be read or is somebody else's, no pod starts without it.
                resolved.key(Kind::NetworkPolicy, names::postgres(slug)),
            ],
            ..wanted(
                postgres::stateful_set(resolved, declared, image),
                presence(resolved),
            )
        };
        self.items.insert(Key::Object(set.clone()), database);
        let claim = resolved.key(Kind::PersistentVolumeClaim, names::postgres_claim(slug));
        self.claims.insert(claim, set.clone());
        Some(set)
    }

    fn add_workload(&mut self, resolved: &Resolved<'_>, database: Option<&ObjectKey>) -> ObjectKey {
        let kind = match resolved.challenge.mode {
            Mode::StatefulSet => Kind::StatefulSet,
            Mode::Deployment { .. } => Kind::Deployment,
        };
        let workload = (kind, challenge::workload(resolved));
        for (kind, item) in std::iter::once(workload).chain(autoscaler::autoscaler(resolved)) {
            let key = resolved.key(kind, names::workload(resolved.slug()));
            let tokens = resolved.key(Kind::Secret, names::token_secret(resolved.slug()));
            let policy = resolved.key(Kind::NetworkPolicy, names::workload(resolved.slug()));
            let after = [tokens, policy];
            let after = after.into_iter().chain(database.cloned()).collect();
            let waiting = Wanted {
                after,
                ..wanted(item, Presence::Required)
            };
            self.items.insert(Key::Object(key), waiting);
        }
        resolved.key(kind, names::workload(resolved.slug()))
    }

    fn add(&mut self, resolved: &Resolved<'_>, kind: Kind, name: String, item: Item) {
        let key = Key::Object(resolved.key(kind, name));
        self.items.insert(key, wanted(item, presence(resolved)));
    }

    fn add_row(&mut self, key: RowKey, row: Item) {
        self.items
            .insert(Key::Row(key), wanted(row, Presence::Required));
    }

    fn add_namespace(&mut self, cluster: &ClusterName, name: &str) {
        let key = namespace::key(cluster, name);
        let item = namespace::namespace(name);
        self.items
            .insert(Key::Object(key), wanted(item, Presence::Required));
    }
}

/// Tells whether the objects of a challenge that a stop keeps are made when they are missing.
fn presence(resolved: &Resolved<'_>) -> Presence {
    match resolved.challenge.status {
        Status::Draft => Presence::IfPresent,
        Status::Active | Status::Inactive | Status::Disabled => Presence::Required,
    }
}

fn wanted(item: Item, presence: Presence) -> Wanted {
    Wanted {
        item,
        presence,
        after: Vec::new(),
    }
}

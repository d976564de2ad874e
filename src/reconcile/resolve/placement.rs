//! On which cluster each challenge runs. Pure: the declaration and the last assignments decide.
//!
//! What runs stays where it is as long as it may; then those that name a target; then those that only
//! want GPUs. Within each, by slug. So a newcomer never drives out what runs already. A challenge that is
//! stopped comes after those that run, and is not refused for want of room where it is: a refused
//! challenge is left alone, and this one is to be stopped.

use std::collections::BTreeMap;

use super::{Assignments, gpus_of};
use crate::model::{ClusterName, Ineligible, Offer, Slug, TargetId};
use crate::spec::Platform;
use crate::spec::platform::{Challenge, Environment, Reach, Status, Target};

/// How many targets a refusal names; the rest is counted.
const MAX_NAMED: usize = 5;

/// Places every challenge; one that runs here has no entry, nor has a draft that never ran elsewhere.
pub fn place(
    platform: &Platform,
    current: &Assignments,
) -> BTreeMap<Slug, Result<ClusterName, String>> {
    let mut board = Board::new(platform, current);
    for (grows, runs) in [(false, true), (false, false), (true, true), (true, false)] {
        for challenge in platform.challenges.values() {
            if (challenge.status == Status::Active) == runs {
                board.keep(challenge, grows);
            }
        }
    }
    for is_named in [true, false] {
        for challenge in platform.challenges.values() {
            let never_ran =
                challenge.status == Status::Draft && !current.contains_key(&challenge.slug);
            if challenge.resources.target.is_some() == is_named && !never_ran {
                board.choose(challenge);
            }
        }
    }
    board.into_places()
}

/// Who has which GPUs while places are given out.
struct Board<'a> {
    platform: &'a Platform,
    current: &'a Assignments,
    /// Places given out in this pass.
    granted: Assignments,
    /// Places of the last pass that are not decided yet, or whose challenge found no other.
    held: Assignments,
    refused: BTreeMap<Slug, String>,
}

impl<'a> Board<'a> {
    /// Starts with the assignments that still mean something: to a declared target, of a declared
    /// challenge that does not name another one.
    fn new(platform: &'a Platform, current: &'a Assignments) -> Self {
        let holds = |slug: &Slug, target: &TargetId| {
            let named = platform.challenges.get(slug).map(|c| &c.resources.target);
            let is_leaving = named.is_none_or(|named| named.as_ref().is_some_and(|n| n != target));
            platform.targets.contains_key(target) && !is_leaving
        };
        let held = current
            .iter()
            .filter(|(slug, (target, _))| holds(slug, target));
        Self {
            platform,
            current,
            granted: Assignments::new(),
            held: held
                .map(|(slug, place)| (slug.clone(), place.clone()))
                .collect(),
            refused: BTreeMap::new(),
        }
    }

    /// Lets a challenge stay. Those that want no more than before come first and only against one
    /// another, so that a target that shrank keeps as many as fit; one that grows takes nothing from
    /// those that stay.
    fn keep(&mut self, challenge: &Challenge, grows: bool) {
        let Some((target, had)) = self.held.get(&challenge.slug).cloned() else {
            return;
        };
        let wanted = gpus_of(challenge);
        if (wanted > had) != grows {
            return;
        }
        let waiting = if grows {
            self.sum(&self.held, &target, &challenge.slug)
        } else {
            0
        };
        let taken = waiting.saturating_add(self.sum(&self.granted, &target, &challenge.slug));
        let offer = self.offer(&target);
        if offer.is_some_and(|offer| offer.check(wanted, taken).is_ok()) {
            self.grant(challenge, target);
        }
    }

    /// Finds a place for a challenge that has none yet.
    fn choose(&mut self, challenge: &Challenge) {
        if self.granted.contains_key(&challenge.slug) {
            return;
        }
        let found = match &challenge.resources.target {
            Some(target) => self.find_named(challenge, target),
            None => self.find_first(challenge),
        };
        match found {
            Ok(Some(target)) => self.grant(challenge, target),
            Ok(None) => {
                self.held.remove(&challenge.slug);
            }
            Err(why) => match self.place_to_stop(challenge) {
                Some(target) => self.grant(challenge, target),
                None => {
                    self.refused.insert(challenge.slug.clone(), why);
                }
            },
        }
    }

    /// Returns where a challenge that is to be stopped was last, if anything may be sent there.
    fn place_to_stop(&self, challenge: &Challenge) -> Option<TargetId> {
        let (target, _) = self.current.get(&challenge.slug)?;
        let offer = Offer {
            is_draining: false,
            ..self.offer(target)?
        };
        let may_be_asked = offer.check(0, 0).is_ok();
        (challenge.status != Status::Active && may_be_asked).then(|| target.clone())
    }

    fn find_named(
        &self,
        challenge: &Challenge,
        target: &TargetId,
    ) -> Result<Option<TargetId>, String> {
        let Some(offer) = self.offer(target) else {
            return Err(format!(
                "target {target} is not declared; declare it under `targets`"
            ));
        };
        offer
            .check(gpus_of(challenge), self.taken(target, &challenge.slug))
            .map(|()| Some(target.clone()))
            .map_err(|why| format!("target {target} {why}; {}", remedy(why)))
    }

    /// Returns the first target with room, by id; `None`, which is here, for a challenge without GPUs
    /// and where no target is declared.
    fn find_first(&self, challenge: &Challenge) -> Result<Option<TargetId>, String> {
        let wanted = gpus_of(challenge);
        if wanted == 0 || self.platform.targets.is_empty() {
            return Ok(None);
        }
        let mut reasons = Vec::new();
        for (id, target) in &self.platform.targets {
            let offer = offer_of(target, self.platform.environment);
            match offer.check(wanted, self.taken(id, &challenge.slug)) {
                Ok(()) => return Ok(Some(id.clone())),
                Err(why) => reasons.push(format!("{id} {why}")),
            }
        }
        Err(refusal(wanted, &reasons))
    }

    fn grant(&mut self, challenge: &Challenge, target: TargetId) {
        self.held.remove(&challenge.slug);
        self.granted
            .insert(challenge.slug.clone(), (target, gpus_of(challenge)));
    }

    fn offer(&self, target: &TargetId) -> Option<Offer> {
        let declared = self.platform.targets.get(target)?;
        Some(offer_of(declared, self.platform.environment))
    }

    fn taken(&self, target: &TargetId, by_others_than: &Slug) -> u32 {
        let granted = self.sum(&self.granted, target, by_others_than);
        granted.saturating_add(self.sum(&self.held, target, by_others_than))
    }

    fn sum(&self, places: &Assignments, target: &TargetId, except: &Slug) -> u32 {
        places
            .iter()
            .filter(|(slug, (id, _))| id == target && *slug != except)
            .fold(0, |sum, (_, (_, gpus))| u32::saturating_add(sum, *gpus))
    }

    fn into_places(self) -> BTreeMap<Slug, Result<ClusterName, String>> {
        let granted = self.granted.into_iter();
        let granted = granted.map(|(slug, (id, _))| (slug, Ok(ClusterName::Target(id))));
        let refused = self.refused.into_iter().map(|(slug, why)| (slug, Err(why)));
        granted.chain(refused).collect()
    }
}

/// Reads off a declared target what decides. Under the production policy only connections that are
/// checked are trusted; one target that is not is passed over, and stops nothing else.
fn offer_of(target: &Target, environment: Environment) -> Offer {
    let is_checked = target.verify_tls
        && match &target.reach {
            Reach::Direct { .. } => true,
            Reach::Agent { agent_url, .. } => agent_url.starts_with("https://"),
        };
    Offer {
        is_enabled: target.enabled,
        is_draining: target.draining,
        is_trusted: is_checked || !environment.enforces_policy(),
        gpus: target.gpu_count,
    }
}

fn remedy(why: Ineligible) -> &'static str {
    match why {
        Ineligible::Disabled => "enable it or name another",
        Ineligible::Draining => "name another, or none",
        Ineligible::Untrusted => "correct the target or name another",
        Ineligible::Full { .. } => "ask for fewer, free some or name another",
    }
}

fn refusal(wanted: u32, reasons: &[String]) -> String {
    let (named, rest) = reasons.split_at(reasons.len().min(MAX_NAMED));
    let mut named = named.join("; ");
    if !rest.is_empty() {
        named = format!("{named}; and {} more", rest.len());
    }
    format!("no target takes {wanted} GPUs: {named}; free some, or declare another target")
}

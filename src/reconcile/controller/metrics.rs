//! How things stand as metrics. Pure.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::board::Standing;
use super::tellers::{Channel, Fate};
use crate::model::condition::{ConditionType, Truth};
use crate::model::health::{Fitness, Known};
use crate::reconcile::status::Condition;
use crate::vitals::{add_number, add_seconds};

/// Every word for how a challenge is.
const FITNESS: [&str; 5] = ["fit", "no_answer", "unwell", "mismatched", "unknown"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InCondition {
    condition: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InStatus {
    r#type: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTelling {
    channel: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithAction {
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfChallenge {
    slug: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithFitness {
    fitness: &'static str,
}

/// Adds how the controller is. Labels have few values: conditions, actions, and the challenges that are there.
pub(super) fn add(registry: &mut Registry, standing: &Standing, objects: usize, now: Timestamp) {
    add_source(registry, standing, now);
    add_challenges(registry, standing);
    add_health(registry, standing, now);
    add_done(registry, standing);
    add_told(registry, standing);
    if let Some(since) = standing.surveyed_at {
        let help = "Time since everything was surveyed";
        add_seconds(registry, "survey_age", help, age(since, now));
    }
    for (name, help, value) in [
        (
            "watched_objects",
            "Objects that are kept in memory",
            objects as u64,
        ),
        (
            "revision_guarded",
            "Whether a guard of `safety` holds a newer revision",
            u64::from(!standing.guards.is_empty()),
        ),
        (
            "controller_suspended",
            "Whether the controller is suspended and writes nothing",
            u64::from(standing.suspended.is_some()),
        ),
        (
            "survey_blind",
            "Whether not everything could be seen",
            u64::from(standing.blindness.is_some()),
        ),
    ] {
        add_number(registry, name, help, value);
    }
}

/// Adds how the source is, which every role follows.
pub(super) fn add_source(registry: &mut Registry, standing: &Standing, now: Timestamp) {
    if let Some(since) = standing.source_read_at {
        let help = "Time since the source was read to the end";
        add_seconds(registry, "source_age", help, age(since, now));
    }
    let help = "Whether a newer revision of the source cannot be used";
    add_number(
        registry,
        "source_refused",
        help,
        u64::from(standing.bad.is_some()),
    );
}

fn age(since: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(since).as_secs_f64()
}

fn add_challenges(registry: &mut Registry, standing: &Standing) {
    let counts = standing.conditions();
    let challenges = Family::<InCondition, Gauge<u64, AtomicU64>>::default();
    for condition in Condition::ALL {
        let count = counts.get(&condition).copied().unwrap_or(0);
        challenges
            .get_or_create(&InCondition {
                condition: condition.as_str(),
            })
            .set(count as u64);
    }
    registry.register("challenges", "Challenges by condition", challenges);
    add_conditions(registry, standing);
    let ready = Family::<OfChallenge, Gauge<u64, AtomicU64>>::default();
    for (slug, stands) in &standing.challenges {
        let is_ready = stands.status.condition == Condition::Ready;
        ready
            .get_or_create(&OfChallenge {
                slug: slug.to_string(),
            })
            .set(u64::from(is_ready));
    }
    registry.register(
        "challenge_ready",
        "Whether a challenge is as declared and ready",
        ready,
    );
}

/// Adds how challenges are by their own account; one of which that is not known has no value of its own.
fn add_health(registry: &mut Registry, standing: &Standing, now: Timestamp) {
    let fit = Family::<OfChallenge, Gauge<u64, AtomicU64>>::default();
    let counts = Family::<WithFitness, Gauge<u64, AtomicU64>>::default();
    for fitness in FITNESS {
        counts.get_or_create(&WithFitness { fitness }).set(0);
    }
    for (slug, stands) in &standing.challenges {
        let Some(known) = stands.status.health(standing.health.get(slug), now) else {
            continue;
        };
        let fitness = known.as_str();
        counts.get_or_create(&WithFitness { fitness }).inc();
        if let Known::Found(health) = known {
            let slug = slug.to_string();
            let is_fit = health.fitness == Fitness::Fit;
            fit.get_or_create(&OfChallenge { slug })
                .set(u64::from(is_fit));
        }
    }
    let help =
        "Whether a challenge was found fit when it was last asked for its health and version";
    registry.register("challenge_fit", help, fit);
    let help = "Active challenges by how they were found when they were last asked";
    registry.register("challenge_fitness", help, counts);
}

fn add_conditions(registry: &mut Registry, standing: &Standing) {
    let conditions = Family::<InStatus, Gauge<u64, AtomicU64>>::default();
    for of in ConditionType::ALL {
        for status in Truth::ALL {
            let count = standing.conditions.get(&(of, status)).copied();
            let labels = InStatus {
                r#type: of.as_str(),
                status: status.as_str(),
            };
            conditions.get_or_create(&labels).set(count.unwrap_or(0));
        }
    }
    registry.register(
        "challenge_conditions",
        "Challenges by type and status of their conditions",
        conditions,
    );
}

fn add_told(registry: &mut Registry, standing: &Standing) {
    let told = Family::<OfTelling, Counter>::default();
    for channel in Channel::ALL {
        for fate in Fate::ALL {
            let count = standing.told.get(&(channel, fate)).copied();
            let labels = OfTelling {
                channel: channel.as_str(),
                outcome: fate.as_str(),
            };
            told.get_or_create(&labels).inc_by(count.unwrap_or(0));
        }
    }
    let help = "What was told to others since the start, and what came of it";
    registry.register("told", help, told);
}

fn add_done(registry: &mut Registry, standing: &Standing) {
    let done = &standing.done;
    let steps = Family::<WithAction, Counter>::default();
    for (action, count) in [
        ("create", done.created),
        ("update", done.updated),
        ("delete", done.deleted),
        ("failed", done.failed),
    ] {
        steps.get_or_create(&WithAction { action }).inc_by(count);
    }
    registry.register("steps", "Steps carried out since the start", steps);
    let looks = Counter::<u64>::default();
    looks.inc_by(done.looks);
    registry.register("looks", "Looks at single challenges since the start", looks);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::vitals;

    fn render(standing: &Standing) -> String {
        let standing = standing.clone();
        vitals::render(&[Arc::new(move |registry| {
            add(registry, &standing, 0, Timestamp::UNIX_EPOCH);
        })])
    }

    #[test]
    fn an_unknown_fitness_is_counted_and_all_words_are_there() {
        let text = render(&Standing::default());
        for fitness in FITNESS {
            let line = format!("platform_challenge_fitness{{fitness=\"{fitness}\"}} 0");
            assert!(text.lines().any(|other| other == line), "{text}");
        }
    }

    #[test]
    fn conditions_are_counted_by_type_and_status() {
        let mut standing = Standing::default();
        let stalled = (ConditionType::Stalled, Truth::True);
        standing.conditions.insert(stalled, 3);
        let text = render(&standing);
        for line in [
            "platform_challenge_conditions{type=\"Stalled\",status=\"True\"} 3",
            "platform_challenge_conditions{type=\"Ready\",status=\"Unknown\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{text}");
        }
    }
}

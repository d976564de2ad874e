//! Weights as metrics: what is served, and what came of making it. Pure.
//!
//! Labels have few values: the challenges that take part, and categories.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::shelf::{Latest, Stock};
use super::tally::{Counts, Made};
use crate::model::clock::Moment;
use crate::model::snapshot::Outage;
use crate::vitals::{add_number, add_seconds};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRound {
    slug: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfChallenge {
    slug: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithReason {
    reason: &'static str,
}

/// Adds what is on the shelf, and what was counted.
pub fn add(registry: &mut Registry, stock: &Stock, counts: &Counts, now: Moment) {
    add_served(registry, stock, now);
    add_outage(registry, stock);
    add_epochs(registry, counts);
    add_rounds(registry, counts);
}

fn add_served(registry: &mut Registry, stock: &Stock, now: Moment) {
    let is_served = matches!(stock.latest(now), Latest::Good(_));
    for (name, help, value) in [
        (
            "weights_served",
            "Whether a vector is served that may be used",
            is_served,
        ),
        (
            "weights_signed",
            "Whether vectors are signed",
            stock.is_signed,
        ),
        (
            "weights_database_away",
            "Whether the last reading of the database failed",
            stock.is_database_away,
        ),
    ] {
        add_number(registry, name, help, u64::from(value));
    }
    let age = |since: Timestamp| now.wall.duration_since(since).as_secs_f64();
    if let Some(copies) = &stock.weights {
        let help = "Time since the making of the newest vector began";
        add_seconds(
            registry,
            "weights_age",
            help,
            age(copies.summary.computed_at),
        );
        let help =
            "Time until the newest vector may be used no more; below zero once that has come";
        add_seconds(
            registry,
            "weights_expiry",
            help,
            -age(copies.summary.expires_at),
        );
    }
    if let Some(read_at) = stock.metagraph_read_at {
        let help = "Time since it was read who is registered; of the process that makes weights";
        add_seconds(registry, "metagraph_age", help, age(read_at));
    }
}

fn add_outage(registry: &mut Registry, stock: &Stock) {
    let outages = Family::<WithReason, Gauge<u64, AtomicU64>>::default();
    for outage in Outage::ALL {
        let reason = outage.as_str();
        outages
            .get_or_create(&WithReason { reason })
            .set(u64::from(stock.outage == Some(outage)));
    }
    registry.register("weights_outage", "Why no newer vector is made", outages);
}

fn add_epochs(registry: &mut Registry, counts: &Counts) {
    let epochs = Family::<WithOutcome, Counter>::default();
    for made in Made::ALL {
        let count = counts.epochs.get(&made).copied().unwrap_or(0);
        let outcome = made.as_str();
        epochs.get_or_create(&WithOutcome { outcome }).inc_by(count);
    }
    let help = "Epochs of this process since its start, by what came of them";
    registry.register("weights_epochs", help, epochs);
}

fn add_rounds(registry: &mut Registry, counts: &Counts) {
    let rounds = Family::<OfRound, Counter>::default();
    let times = Family::<OfChallenge, Gauge<f64, AtomicU64>>::default();
    for (slug, of_challenge) in &counts.challenges {
        let slug = slug.to_string();
        for (outcome, count) in &of_challenge.outcomes {
            let labels = OfRound {
                slug: slug.clone(),
                outcome,
            };
            rounds.get_or_create(&labels).inc_by(*count);
        }
        if let Some(took) = of_challenge.took {
            let seconds = Duration::as_secs_f64(&took);
            times.get_or_create(&OfChallenge { slug }).set(seconds);
        }
    }
    let help = "Rounds in which a challenge was asked for its scores, by what came of it";
    registry.register("weights_rounds", help, rounds);
    let help = "How long the last round took for a challenge, with all attempts";
    registry.register_with_unit("weights_round", help, Unit::Seconds, times);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::model::Slug;
    use crate::vitals;
    use crate::weights::shelf::Shelf;
    use crate::weights::tally::Rounds;

    #[test]
    fn what_was_counted_is_told_and_every_category_is_there() {
        let rounds = Rounds {
            outcomes: BTreeMap::from([("ok", 4), ("timeout", 1)]),
            took: Some(Duration::from_millis(250)),
        };
        let counts = Counts {
            epochs: BTreeMap::from([(Made::Published, 5)]),
            challenges: BTreeMap::from([(Slug::parse("one").unwrap(), rounds)]),
        };
        let shelf = Shelf::default();
        shelf.change(|stock| {
            stock.outage = Some(Outage::Challenges);
            stock.is_signed = true;
        });
        let stock = shelf.stock();
        let now = Moment {
            wall: Timestamp::UNIX_EPOCH,
            steady: Duration::ZERO,
        };
        let text = vitals::render(&[Arc::new(move |registry| {
            add(registry, &stock, &counts, now);
        })]);
        for line in [
            "platform_weights_served 0",
            "platform_weights_signed 1",
            "platform_weights_outage{reason=\"challenges\"} 1",
            "platform_weights_outage{reason=\"metagraph\"} 0",
            "platform_weights_epochs_total{outcome=\"published\"} 5",
            "platform_weights_epochs_total{outcome=\"failed\"} 0",
            "platform_weights_rounds_total{slug=\"one\",outcome=\"timeout\"} 1",
            "platform_weights_round_seconds{slug=\"one\"} 0.25",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        assert!(!text.contains("platform_weights_age"), "there is no vector");
    }
}

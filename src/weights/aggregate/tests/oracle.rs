//! Any input, against exact fractions, and in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use num_bigint::BigUint;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::*;
use crate::weights::publish::snapshot;
use crate::weights::{Published, Subnet};

/// Hotkeys by number, with scores.
type Pairs = Vec<(usize, f64)>;

/// What is fed in: challenges, who is registered in order of UID, the rules.
#[derive(Clone, Debug)]
struct Input {
    challenges: Vec<(u32, Option<Pairs>)>,
    registered: Vec<usize>,
    rules: Rules,
}

/// How many hotkeys there are in the largest inputs.
const MANY: usize = 256;

/// The scores of one challenge above zero, in units of the smallest double.
struct Shares {
    /// Those of registered hotkeys.
    inside: Vec<(u16, BigUint)>,
    /// The sum of all others.
    outside: BigUint,
    /// What each is divided by.
    whole: BigUint,
}

/// An exact fraction.
struct Fraction {
    above: BigUint,
    below: BigUint,
}

fn score() -> impl Strategy<Value = f64> {
    let special = vec![
        0.0,
        -0.0,
        -1.0,
        1.0,
        3.0,
        0.1,
        5e-324,
        1e-310,
        1e-300,
        1e300,
        1e308,
        f64::MAX,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![
        select(special),
        (0_u64..0x7ff0_0000_0000_0000).prop_map(f64::from_bits),
        0.0..1.0,
    ]
}

/// Nearly always few challenges with few hotkeys, which meet each other the most; one in fifty has up
/// to a hundred with hundreds, for exact fractions of those take long.
fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        49 => input_of(0..5, 8),
        1 => input_of(5..101, MANY),
    ]
}

fn input_of(challenges: Range<usize>, hotkeys: usize) -> impl Strategy<Value = Input> {
    let scores = prop::collection::vec((0..hotkeys, score()), 0..10);
    let emission = prop_oneof![0_u32..3, 0_u32..=99_999_999];
    let challenge = (emission, prop::option::weighted(0.85, scores));
    let unassigned = select(vec![
        Unassigned::Spread,
        Unassigned::WithinChallenge,
        Unassigned::Burn,
    ]);
    (
        prop::collection::vec(challenge, challenges),
        prop::collection::vec(0..hotkeys, 0..hotkeys),
        0_u16..3,
        unassigned,
    )
        .prop_map(|(challenges, registered, burn_uid, unassigned)| Input {
            challenges,
            registered,
            rules: Rules {
                burn_uid,
                unassigned,
            },
        })
}

fn hotkey(number: usize) -> String {
    format!("hotkey-{}", number * 7 % MANY)
}

impl Input {
    fn answers(&self) -> Vec<Answer> {
        let numbered = self.challenges.iter().enumerate();
        numbered
            .map(|(number, (emission, scores))| {
                let named = |scores: &Pairs| {
                    scores
                        .iter()
                        .map(|(h, score)| (hotkey(*h), *score))
                        .collect()
                };
                let (whole, part) = (emission / 10_000, emission % 10_000);
                Answer {
                    slug: Slug::parse(&format!("challenge-{number}")).unwrap(),
                    emission: Emission::parse(&format!("{whole}.{part:04}")).unwrap(),
                    outcome: scores.as_ref().map(named).ok_or(Failure::Timeout),
                }
            })
            .collect()
    }

    fn metagraph(&self) -> Metagraph {
        Metagraph::of(self.registered.iter().map(|number| hotkey(*number)))
    }

    fn uid(&self, number: usize) -> Option<u16> {
        let uid = self.registered.iter().rposition(|other| *other == number);
        uid.map(|uid| u16::try_from(uid).unwrap())
    }

    /// Returns each UID's exact part of what was given, by schoolbook fractions; none where all is to be burnt.
    fn expected(&self) -> BTreeMap<u16, Fraction> {
        let answered = self.challenges.iter();
        let answered = answered.filter_map(|(emission, scores)| Some((emission, scores.as_ref()?)));
        let shares: Vec<(u32, Shares)> = answered
            .map(|(emission, scores)| (*emission, self.shares(scores)))
            .collect();
        // All in units of one part of the product of what the challenges divide by.
        let wholes = shares.iter().map(|(_, shares)| &shares.whole);
        let common: BigUint = wholes.filter(|whole| **whole != BigUint::ZERO).product();
        let (mut given, mut rest) = (BTreeMap::<u16, BigUint>::new(), BigUint::ZERO);
        for (emission, shares) in shares {
            if shares.whole == BigUint::ZERO {
                rest += emission * &common;
                continue;
            }
            let unit = emission * (&common / shares.whole);
            rest += shares.outside * &unit;
            for (uid, units) in shares.inside {
                *given.entry(uid).or_default() += units * &unit;
            }
        }
        given.retain(|_, part| *part != BigUint::ZERO);
        if !given.is_empty() && self.rules.unassigned == Unassigned::Burn {
            given.insert(self.rules.burn_uid, rest);
        }
        let below: BigUint = given.values().sum();
        let part = |(uid, above)| {
            let below = below.clone();
            (uid, Fraction { above, below })
        };
        given.into_iter().map(part).collect()
    }

    fn shares(&self, scores: &Pairs) -> Shares {
        let last: BTreeMap<usize, f64> = scores.iter().copied().collect();
        let (mut inside, mut outside) = (Vec::new(), BigUint::ZERO);
        for (number, score) in last {
            if !score.is_finite() || score <= 0.0 {
                continue;
            }
            match self.uid(number).filter(|uid| *uid != self.rules.burn_uid) {
                Some(uid) => inside.push((uid, units(score))),
                None => outside += units(score),
            }
        }
        let sum: BigUint = inside.iter().map(|(_, units)| units).sum();
        let whole = match self.rules.unassigned {
            Unassigned::WithinChallenge => sum,
            Unassigned::Spread | Unassigned::Burn => sum + &outside,
        };
        Shares {
            inside,
            outside,
            whole,
        }
    }
}

/// A score in units of the smallest double.
fn units(score: f64) -> BigUint {
    let bits = score.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match bits >> 52 {
        0 => fraction.into(),
        exponent => BigUint::from(fraction | 1 << 52) << (exponent - 1),
    }
}

impl Fraction {
    /// Tells whether no double is nearer to it, but by what 2⁻⁶⁰ of it may change.
    fn is_nearest(&self, double: f64) -> bool {
        // |double − self| ≤ half a unit in the last place, all times 2¹⁰⁷⁵ and the divisor.
        let scaled = (units(double) << 1_u8) * &self.below;
        let exact = &self.above << 1075_u16;
        let apart = match scaled > exact {
            true => &scaled - &exact,
            false => &exact - &scaled,
        };
        let last_place = match double.to_bits() >> 52 {
            0 => BigUint::from(1_u8),
            exponent => BigUint::from(1_u8) << (exponent - 1),
        };
        apart <= last_place * &self.below + (exact >> 60_u8)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_weight_is_the_double_nearest_to_the_exact_result(input in input()) {
        let (vector, _) = aggregate(&input.answers(), &input.metagraph(), input.rules);
        let mut expected = input.expected();
        prop_assert_eq!(vector.is_burn, expected.is_empty());
        if vector.is_burn {
            prop_assert_eq!(vector, Vector::burn(input.rules.burn_uid));
            return Ok(());
        }
        for (uid, weight) in vector.uids.iter().zip(&vector.weights) {
            let exact = expected.remove(uid).expect("a UID that is due nothing");
            prop_assert!(*weight > 0.0 && exact.is_nearest(*weight), "{uid}: {weight}");
        }
        for (uid, exact) in expected {
            prop_assert!(exact.is_nearest(0.0), "{uid} is due something");
        }
        let sum: f64 = vector.weights.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let ascending: BTreeSet<_> = vector.uids.iter().collect();
        prop_assert!(ascending.into_iter().eq(&vector.uids));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_order_of_what_comes_in_changes_no_bit(input in input(), swaps: Vec<(Index, Index)>) {
        let answers = input.answers();
        let mut shuffled = answers.clone();
        for (one, other) in &swaps {
            if !shuffled.is_empty() {
                let count = shuffled.len();
                shuffled.swap(one.index(count), other.index(count));
            }
            for answer in &mut shuffled {
                answer.outcome = answer.outcome.as_ref().map_err(Clone::clone).map(|scores| {
                    let mut pairs: Vec<_> = scores.iter().collect();
                    pairs.extend(scores.dropped().iter().map(|(hotkey, ())| (hotkey, f64::NAN)));
                    if !pairs.is_empty() {
                        let count = pairs.len();
                        pairs.swap(one.index(count), other.index(count));
                    }
                    pairs.into_iter().collect()
                });
            }
        }
        let bits = |answers: &[Answer]| {
            let (vector, explanation) = aggregate(answers, &input.metagraph(), input.rules);
            let weights: Vec<u64> = vector.weights.iter().map(|weight| weight.to_bits()).collect();
            (vector, weights, explanation)
        };
        prop_assert_eq!(bits(&answers), bits(&shuffled));
    }
}

/// Of so many challenges with so many hotkeys each, whose scores are of all magnitudes.
fn large(challenges: usize, scores: u64) -> (Vec<Answer>, Metagraph) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let answers = (0..challenges).map(|number| Answer {
        slug: Slug::parse(&format!("challenge-{number}")).unwrap(),
        emission: Emission::parse(&format!("{}.{:04}", next() % 100, next() % 10_000)).unwrap(),
        outcome: Ok((0..scores)
            .map(|_| {
                (
                    format!("hotkey-{}", next() % (scores * 3)),
                    f64::from_bits(next() >> 2),
                )
            })
            .collect()),
    });
    (
        answers.collect(),
        Metagraph::of((0..scores * 2).map(|number| format!("hotkey-{number}"))),
    )
}

#[test]
fn a_thousand_shuffles_give_the_same_bits_and_so_do_many_at_once() {
    let (answers, metagraph) = large(30, 100);
    let first = aggregate(&answers, &metagraph, Rules::default());
    assert!(first.0.uids.len() > 100);
    for threads in [1, 2, 8] {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (answers, metagraph, first) = (&answers, &metagraph, &first);
                scope.spawn(move || {
                    let mut turned = answers.clone();
                    for step in 0..1 + 333 / threads {
                        let count = turned.len();
                        turned.swap(step * 31 % count, (thread * 17 + step * 7) % count);
                        turned.rotate_left(thread + 1);
                        let again = aggregate(&turned, metagraph, Rules::default());
                        assert!(again == *first);
                    }
                });
            }
        });
    }
}

#[test]
fn any_number_of_threads_that_share_the_scores_gives_the_same_bytes() {
    let (mut answers, metagraph) = large(16, 10_000);
    answers[3].outcome = Err(Failure::Timeout);
    let scores = answers
        .iter()
        .filter_map(|answer| answer.outcome.as_ref().ok());
    let count: usize = scores.map(Scores::len).sum();
    assert!(count > 7 * WORTH_A_THREAD, "{count} are shared by few");
    let kept = |threads| {
        let (vector, explanation) = aggregate_on(threads, &answers, &metagraph, Rules::default());
        let published = Published {
            subnet: Subnet::default(),
            vector,
            explanation,
            answers: answers.clone(),
            computed_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            metagraph_updated_at: Timestamp::UNIX_EPOCH,
        };
        let snapshot = snapshot(&published, &metagraph, Rules::default(), String::new()).unwrap();
        (
            published.vector,
            published.explanation,
            json!(snapshot).to_string(),
        )
    };
    let first = kept(1);
    assert!(first.0.uids.len() > 1000);
    for threads in [2, 3, 8] {
        assert!(kept(threads) == first, "{threads} threads");
    }
}

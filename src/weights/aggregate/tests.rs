//! Examples with known results; beside them any input, against exact fractions and in any order.

mod oracle;

use proptest::prelude::*;

use super::*;
use crate::model::{Emission, Slug};
use crate::weights::Failure;

fn answer(slug: &str, emission: &str, scores: &[(&str, f64)]) -> Answer {
    Answer {
        slug: Slug::parse(slug).unwrap(),
        emission: Emission::parse(emission).unwrap(),
        outcome: Ok(scores.iter().copied().collect()),
    }
}

fn failed(slug: &str, emission: &str) -> Answer {
    Answer {
        outcome: Err(Failure::Timeout),
        ..answer(slug, emission, &[])
    }
}

/// The UIDs are 0 for the owner, and then as listed.
fn metagraph(hotkeys: &[&str]) -> Metagraph {
    Metagraph::of(["owner"].iter().chain(hotkeys))
}

fn vector(answers: &[Answer], hotkeys: &[&str], unassigned: Unassigned) -> Vector {
    let rules = Rules {
        unassigned,
        ..Rules::default()
    };
    aggregate(answers, &metagraph(hotkeys), rules).0
}

fn spread(answers: &[Answer], hotkeys: &[&str]) -> (Vec<u16>, Vec<f64>) {
    let vector = vector(answers, hotkeys, Unassigned::Spread);
    (vector.uids, vector.weights)
}

/// The example of the contract with challenges.
fn example() -> [Answer; 2] {
    [
        answer("aa", "40", &[("hk1", 1.0), ("missing", 3.0)]),
        answer("bb", "60", &[("hk2", 2.0)]),
    ]
}

#[test]
fn a_share_that_nobody_registered_has_earned_is_spread_over_all() {
    let vector = vector(&example(), &["hk1", "hk2"], Unassigned::Spread);
    assert_eq!(vector.uids, [1, 2]);
    assert_eq!(vector.weights, [1.0 / 7.0, 6.0 / 7.0]);
    let hotkeys: Vec<_> = vector.hotkey_weights.iter().collect();
    assert_eq!(hotkeys, [("hk1", 0.1), ("hk2", 0.6)]);
    assert!(!vector.is_burn);
}

#[test]
fn it_stays_within_its_challenge_where_that_is_wanted() {
    let vector = vector(&example(), &["hk1", "hk2"], Unassigned::WithinChallenge);
    assert_eq!((vector.uids, vector.weights), (vec![1, 2], vec![0.4, 0.6]));
}

#[test]
fn it_is_burnt_where_that_is_wanted() {
    let vector = vector(&example(), &["hk1", "hk2"], Unassigned::Burn);
    assert_eq!(vector.uids, [0, 1, 2]);
    assert_eq!(vector.weights, [0.3, 0.1, 0.6]);
    assert_eq!(vector.hotkey_weights.len(), 2);
}

#[test]
fn the_explanation_says_what_became_of_each_share() {
    let mut answers = example().to_vec();
    answers[0] = answer(
        "aa",
        "40",
        &[
            ("hk1", 1.0),
            ("missing", 2.0),
            ("owner", 1.0),
            ("zero", 0.0),
            ("nan", f64::NAN),
        ],
    );
    answers.push(failed("cc", "900"));
    let (_, explanation) = aggregate(&answers, &metagraph(&["hk1", "hk2"]), Rules::default());
    let [aa, bb, cc] = &explanation.challenges[..] else {
        panic!("{explanation:?}");
    };
    assert_eq!((aa.share, aa.assigned, aa.earning), (0.4, 0.1, 1));
    let dropped = Dropped {
        not_finite: 1,
        not_positive: 1,
        unregistered: 1,
        burn: 1,
    };
    assert_eq!(aa.dropped, dropped);
    assert_eq!((bb.share, bb.assigned, bb.earning), (0.6, 0.6, 1));
    assert_eq!((&cc.failure, cc.share), (&Some(Failure::Timeout), 0.0));

    let accounts = explain(&answers, &metagraph(&["hk1", "hk2"]), Rules::default());
    let parts: Vec<_> = accounts
        .iter()
        .map(|(hotkey, account)| (hotkey.as_str(), account.uid, account.parts[0].1))
        .collect();
    assert_eq!(
        parts,
        [
            ("hk1", Some(1), Part::Earned(0.1)),
            ("hk2", Some(2), Part::Earned(0.6)),
            ("missing", None, Part::Unregistered),
            ("nan", None, Part::NotFinite),
            ("owner", Some(0), Part::Burn),
            ("zero", None, Part::NotPositive),
        ]
    );
}

#[test]
fn a_hotkey_of_several_challenges_has_the_sum() {
    let answers = [
        answer("aa", "1", &[("hk1", 1.0)]),
        answer("bb", "1", &[("hk1", 5.0), ("hk2", 5.0)]),
    ];
    assert_eq!(
        spread(&answers, &["hk1", "hk2"]),
        (vec![1, 2], vec![0.75, 0.25])
    );
}

#[test]
fn a_challenge_without_scores_keeps_its_share_and_a_failed_one_does_not() {
    let one = answer("aa", "50", &[("hk1", 1.0)]);
    let share = |other: Answer| {
        let answers = [one.clone(), other];
        let vector = vector(&answers, &["hk1"], Unassigned::Burn);
        (vector.uids, vector.weights)
    };
    assert_eq!(share(answer("bb", "50", &[])), (vec![0, 1], vec![0.5, 0.5]));
    assert_eq!(share(failed("bb", "50")), (vec![1], vec![1.0]));
}

#[test]
fn with_nothing_to_give_everything_goes_to_the_burn_uid() {
    let burn = |answers: &[Answer]| {
        for unassigned in [
            Unassigned::Spread,
            Unassigned::WithinChallenge,
            Unassigned::Burn,
        ] {
            let rules = Rules {
                burn_uid: 7,
                unassigned,
            };
            let (vector, _) = aggregate(answers, &metagraph(&["hk1"]), rules);
            assert_eq!(vector, Vector::burn(7), "{answers:?}");
        }
    };
    burn(&[]);
    burn(&[failed("aa", "1")]);
    burn(&[answer("aa", "1", &[])]);
    burn(&[answer("aa", "1", &[("hk1", 0.0), ("hk2", 1.0)])]);
    burn(&[answer("aa", "0", &[("hk1", 1.0)])]);
}

#[test]
fn the_hotkey_of_the_burn_uid_gets_nothing() {
    let answers = [answer("aa", "1", &[("owner", 9.0), ("hk1", 1.0)])];
    assert_eq!(spread(&answers, &["hk1"]), (vec![1], vec![1.0]));
    let only = [answer("aa", "1", &[("owner", 9.0)])];
    assert_eq!(spread(&only, &["hk1"]), (vec![0], vec![1.0]));
}

#[test]
fn neither_the_largest_nor_the_smallest_scores_are_lost() {
    let largest = [answer("aa", "1", &[("hk1", f64::MAX), ("hk2", f64::MAX)])];
    assert_eq!(spread(&largest, &["hk1", "hk2"]).1, [0.5, 0.5]);
    let smallest = [answer("aa", "1", &[("hk1", 5e-324), ("hk2", 1.5e-323)])];
    assert_eq!(spread(&smallest, &["hk1", "hk2"]).1, [0.25, 0.75]);
    // What is left of a share may be 2⁻²⁰⁹⁸ of it.
    let both = [answer(
        "aa",
        "1",
        &[("gone", f64::MAX), ("hk1", 5e-324), ("hk2", 5e-324)],
    )];
    assert_eq!(spread(&both, &["hk1", "hk2"]).1, [0.5, 0.5]);
    // Beside others it is less than the smallest double, so nothing.
    let beside = [answer("aa", "1", &[("hk1", f64::MAX), ("hk2", 5e-324)])];
    assert_eq!(spread(&beside, &["hk1", "hk2"]), (vec![1], vec![1.0]));
}

#[test]
fn doubles_are_taken_and_given_back_exactly() {
    let numbers = [
        5e-324,
        f64::MIN_POSITIVE,
        2.225_073_858_507_201e-308,
        1.0,
        0.1,
        f64::MAX,
    ];
    for number in numbers {
        assert_eq!(Wide::of(number).to_f64(), number);
        let whole = Wide::of(number).times(Wide::of(number).reciprocal());
        assert_eq!(whole.to_f64(), 1.0, "{number}");
    }
    for none in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Wide::of(none).is_zero());
    }
    // Halfway between two doubles: to the even one.
    let half = Wide::of(1.0).plus(Wide::of(f64::EPSILON / 2.0));
    assert_eq!(half.to_f64(), 1.0);
    assert_eq!(
        half.plus(Wide::of(f64::EPSILON)).to_f64(),
        1.0 + 2.0 * f64::EPSILON
    );
    let smallest = |factor: f64| Wide::of(5e-324).times(Wide::of(factor)).to_f64();
    assert_eq!(
        [smallest(0.5), smallest(0.75), smallest(1.5)],
        [0.0, 5e-324, 1e-323]
    );
}

proptest! {
    #[test]
    fn a_double_is_multiplied_as_any_other_number(a: f64, b: f64, c: f64) {
        let wide = Wide::of(a.abs()).times(Wide::of(b.abs()).reciprocal());
        prop_assert_eq!(wide.times_double(c), wide.times(Wide::of(c)));
        prop_assert_eq!(wide.times_double(c.abs()), wide.times(Wide::of(c.abs())));
    }

    #[test]
    fn operations_are_those_of_doubles_where_these_are_exact(a in 0_u32.., b in 0_u32..) {
        let (a, b) = (f64::from(a), f64::from(b));
        prop_assert_eq!(Wide::of(a).plus(Wide::of(b)).to_f64(), a + b);
        prop_assert_eq!(Wide::of(a).times(Wide::of(b)).to_f64(), a * b);
        if b > 0.0 {
            // Not exact, but the nearest double to what is 2⁻¹²⁶ near.
            prop_assert_eq!(Wide::of(a).times(Wide::of(b).reciprocal()).to_f64(), a / b);
        }
    }
}

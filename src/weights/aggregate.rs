//! What the challenges' scores come to: one vector, and why. No clock, no order of arrival, no float sums.
//!
//! A challenge shares its part of the emission among its hotkeys in proportion to their scores; what a hotkey
//! gets from all challenges adds up, and what is left once those are gone that are not registered is made to
//! come to one. Challenges are taken in the order of their slugs and hotkeys in that of their bytes, so the
//! result follows from the set of inputs alone. [`wide`] says how exactly it is computed.

mod explain;
mod kept;
#[cfg(test)]
mod tests;
mod wide;

use super::{
    Answer, Contribution, Dropped, Explanation, Metagraph, Rules, Scores, Unassigned, Vector,
};
use crate::model::sorted::{Cursor, Sorted};
use crate::parallel::{THREADS, in_runs_on};
use wide::Wide;

pub use explain::{Account, Part, explain};
pub use kept::{Kept, Untold, explain_kept};

/// So many scores take longer to count than a thread takes to begin.
const WORTH_A_THREAD: usize = 16_384;

/// Returns what answers come to among who is registered. Of each slug there is one answer.
///
/// It knows no outage: with nothing to give everything goes to the burn UID, whatever the reason.
#[must_use]
pub fn aggregate(answers: &[Answer], metagraph: &Metagraph, rules: Rules) -> (Vector, Explanation) {
    aggregate_on(*THREADS, answers, metagraph, rules)
}

fn aggregate_on(
    threads: usize,
    answers: &[Answer],
    metagraph: &Metagraph,
    rules: Rules,
) -> (Vector, Explanation) {
    let mut ordered: Vec<&Answer> = answers.iter().collect();
    ordered.sort_by_key(|answer| &answer.slug);
    let count = |answer: &&Answer| {
        let scores = answer.outcome.as_ref().ok();
        scores.map(|scores| Count::of(scores, metagraph, rules))
    };
    let scores = ordered.iter().filter_map(|one| one.outcome.as_ref().ok());
    let each = scores.map(Scores::len).sum::<usize>() / ordered.len().max(1);
    let least = WORTH_A_THREAD / each.max(1);
    let counts = in_runs_on(threads, &ordered, least, |run| {
        run.iter().map(count).collect::<Vec<_>>()
    });
    let counts: Vec<Option<Count>> = counts.into_iter().flatten().collect();
    let share = |(answer, count)| Share::of(answer, count, rules);
    let counted = ordered.iter().copied().zip(&counts);
    let shares: Vec<Share<'_>> = counted.map(share).collect();
    let earned = earned(threads, &shares, metagraph.uids.len());
    let mut pot = Pot::new(answers, metagraph, rules);
    let explanation = Explanation {
        challenges: shares.iter().map(|share| pot.give(share)).collect(),
    };
    (pot.vector(&earned), explanation)
}

/// What there is to share, and what has been.
struct Pot<'a> {
    metagraph: &'a Metagraph,
    rules: Rules,
    /// What one ten-thousandth of emission is of the whole.
    unit: Wide,
    /// What nobody registered has earned, in ten-thousandths of emission.
    unassigned: Wide,
}

/// What one challenge has to give away.
struct Share<'a> {
    answer: &'a Answer,
    /// Its scores as they count; none where it gave none.
    count: Option<&'a Count>,
    /// All of it, in ten-thousandths of emission.
    emission: Wide,
    /// What a score of one gets of that.
    rate: Wide,
}

/// What a score counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    NotPositive,
    Unregistered,
    Burn,
    /// Of the registered hotkey at this place.
    Counts(usize),
}

/// The scores of one challenge as they count.
struct Count {
    /// Those of registered hotkeys, with their places.
    counting: Vec<(usize, f64)>,
    /// Their sum.
    assigned: Wide,
    /// The sum of those above zero of everybody else.
    unassigned: Wide,
    dropped: Dropped,
}

impl<'a> Pot<'a> {
    fn new(answers: &[Answer], metagraph: &'a Metagraph, rules: Rules) -> Self {
        let given = answers.iter().filter(|answer| answer.outcome.is_ok());
        let whole = given.map(|answer| u64::from(answer.emission.ten_thousandths()));
        Self {
            metagraph,
            rules,
            unit: Wide::whole(whole.sum()).reciprocal(),
            unassigned: Wide::ZERO,
        }
    }

    /// Gives away what a challenge has to give.
    fn give(&mut self, share: &Share<'_>) -> Contribution {
        let answer = share.answer;
        let Some(count) = share.count else {
            let failure = answer.outcome.as_ref().err().cloned();
            return Contribution::none(answer.slug.clone(), failure);
        };
        let rest = match count.is_empty() {
            true => share.emission,
            false => count.unassigned.times(share.rate),
        };
        self.unassigned = self.unassigned.plus(rest);
        Contribution {
            slug: answer.slug.clone(),
            failure: None,
            share: share.emission.times(self.unit).to_f64(),
            assigned: count.assigned.times(share.rate).times(self.unit).to_f64(),
            earning: count.counting.len(),
            dropped: count.dropped,
        }
    }

    /// Makes what was given come to one.
    fn vector(self, earned: &[Wide]) -> Vector {
        let hotkeys = self.metagraph.uids.iter().zip(earned);
        let mut given: Vec<(u16, Wide)> = hotkeys
            .clone()
            .map(|((_, uid), earned)| (uid, *earned))
            .filter(|(_, earned)| !earned.is_zero())
            .collect();
        if given.is_empty() {
            return Vector::burn(self.rules.burn_uid);
        }
        if self.rules.unassigned == Unassigned::Burn {
            given.push((self.rules.burn_uid, self.unassigned));
        }
        // Each UID stands once: the hotkey of the burn UID has earned nothing.
        given.sort_unstable_by_key(|(uid, _)| *uid);
        let total = given
            .iter()
            .fold(Wide::ZERO, |sum, (_, part)| sum.plus(*part));
        let whole = total.reciprocal();
        let weights = given
            .iter()
            .map(|(uid, part)| (*uid, part.times(whole).to_f64()));
        let (uids, weights) = weights.filter(|(_, weight)| *weight > 0.0).unzip();
        let parts = hotkeys.map(|((hotkey, _), earned)| (hotkey, earned.times(self.unit).to_f64()));
        Vector {
            uids,
            weights,
            hotkey_weights: parts.filter(|(_, part)| *part > 0.0).collect(),
            is_burn: false,
        }
    }
}

impl<'a> Share<'a> {
    fn of(answer: &'a Answer, count: &'a Option<Count>, rules: Rules) -> Self {
        let emission = Wide::whole(answer.emission.ten_thousandths().into());
        let count = count.as_ref();
        let divisor = count.map_or(Wide::ZERO, |count| count.divisor(rules));
        Self {
            answer,
            count,
            emission,
            rate: emission.times(divisor.reciprocal()),
        }
    }

    /// Returns the scores that count of the hotkeys from a place on.
    fn scores_from(&self, place: usize) -> &'a [(usize, f64)] {
        let scores = self.count.map_or(&[][..], |count| &count.counting);
        &scores[scores.partition_point(|(other, _)| *other < place)..]
    }
}

/// Returns what each of so many registered hotkeys has earned, in their byte order, in ten-thousandths of emission.
/// Shared among threads by hotkey: what each has from the challenges is added in the order of slugs.
fn earned(threads: usize, shares: &[Share<'_>], hotkeys: usize) -> Vec<Wide> {
    let scores: usize = shares.iter().map(|share| share.scores_from(0).len()).sum();
    let least = WORTH_A_THREAD * hotkeys / scores.max(1);
    let places: Vec<usize> = (0..hotkeys).collect();
    let of_some = |places: &[usize]| {
        let first = places.first().copied().unwrap_or_default();
        let mut earned = vec![Wide::ZERO; places.len()];
        for share in shares {
            for (place, score) in share.scores_from(first) {
                let Some(sum) = earned.get_mut(place - first) else {
                    break;
                };
                *sum = sum.plus(share.rate.times_double(*score));
            }
        }
        earned
    };
    in_runs_on(threads, &places, least, of_some).concat()
}

impl Count {
    fn of(scores: &Scores, metagraph: &Metagraph, rules: Rules) -> Self {
        let mut count = Self {
            counting: Vec::with_capacity(scores.len().min(metagraph.uids.len())),
            assigned: Wide::ZERO,
            unassigned: Wide::ZERO,
            dropped: Dropped::default(),
        };
        count.dropped.not_finite = scores.dropped().len();
        let mut registered = metagraph.uids.cursor();
        for (hotkey, score) in scores.iter() {
            let (number, dropped) = (Wide::of(score), &mut count.dropped);
            match fate(hotkey, number, &mut registered, rules) {
                Fate::NotPositive => dropped.not_positive += 1,
                Fate::Unregistered => dropped.unregistered += 1,
                Fate::Burn => dropped.burn += 1,
                Fate::Counts(place) => {
                    count.counting.push((place, score));
                    count.assigned = count.assigned.plus(number);
                    continue;
                }
            }
            count.unassigned = count.unassigned.plus(number);
        }
        count
    }

    /// Returns what each score is divided by.
    fn divisor(&self, rules: Rules) -> Wide {
        match rules.unassigned {
            Unassigned::WithinChallenge => self.assigned,
            Unassigned::Spread | Unassigned::Burn => self.assigned.plus(self.unassigned),
        }
    }

    /// Tells whether no score is above zero.
    fn is_empty(&self) -> bool {
        self.assigned.is_zero() && self.unassigned.is_zero()
    }
}

fn fate(hotkey: &str, score: Wide, registered: &mut Cursor<'_, u16>, rules: Rules) -> Fate {
    if score.is_zero() {
        return Fate::NotPositive;
    }
    match registered.find(hotkey) {
        None => Fate::Unregistered,
        Some((_, uid)) if uid == rules.burn_uid => Fate::Burn,
        Some((place, _)) => Fate::Counts(place),
    }
}

impl Contribution {
    fn none(slug: crate::model::Slug, failure: Option<super::Failure>) -> Self {
        Self {
            slug,
            failure,
            share: 0.0,
            assigned: 0.0,
            earning: 0,
            dropped: Dropped::default(),
        }
    }
}

impl Vector {
    /// Returns the vector that gives everything to one UID.
    #[must_use]
    pub fn burn(uid: u16) -> Self {
        Self {
            uids: vec![uid],
            weights: vec![1.0],
            hotkey_weights: Sorted::default(),
            is_burn: true,
        }
    }
}

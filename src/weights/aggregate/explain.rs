//! What became of each score, for who asks why a hotkey has what it has.

use std::collections::BTreeMap;

use super::{Count, Fate, Pot, fate};
use crate::model::Slug;
use crate::weights::aggregate::wide::Wide;
use crate::weights::{Answer, Metagraph, Rules, Scores};

/// What one hotkey has from each challenge that names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its UID, if it is registered and that is known.
    pub uid: Option<u16>,
    /// What it has from each challenge, in the order of slugs.
    pub parts: Vec<(Slug, Part)>,
}

/// What became of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// It earned this much of all there was.
    Earned(f64),
    /// It is null, not a number, infinite, or beyond the range of doubles.
    NotFinite,
    /// It is zero or below.
    NotPositive,
    /// The hotkey is not registered.
    Unregistered,
    /// The hotkey is the burn UID's.
    Burn,
    /// Nothing, and of a kept vector it is not known which of the reasons holds.
    Untold,
}

/// Returns what became of every score, by hotkey. As large as all scores together.
#[must_use]
pub fn explain(
    answers: &[Answer],
    metagraph: &Metagraph,
    rules: Rules,
) -> BTreeMap<String, Account> {
    let mut ordered: Vec<&Answer> = answers.iter().collect();
    ordered.sort_by_key(|answer| &answer.slug);
    let unit = Pot::new(answers, metagraph, rules).unit;
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for answer in ordered {
        let Ok(scores) = &answer.outcome else {
            continue;
        };
        let emission = Wide::whole(answer.emission.ten_thousandths().into()).times(unit);
        for (hotkey, part) in parts(scores, emission, metagraph, rules) {
            let account = accounts
                .entry(hotkey.to_owned())
                .or_insert_with(|| Account {
                    uid: metagraph.uids.get(hotkey),
                    parts: Vec::new(),
                });
            account.parts.push((answer.slug.clone(), part));
        }
    }
    accounts
}

fn parts<'a>(
    scores: &'a Scores,
    emission: Wide,
    metagraph: &'a Metagraph,
    rules: Rules,
) -> impl Iterator<Item = (&'a str, Part)> {
    let count = Count::of(scores, metagraph, rules);
    let rate = emission.times(count.divisor(rules).reciprocal());
    let mut registered = metagraph.uids.cursor();
    let counted = scores.iter().map(move |(hotkey, score)| {
        let part = match fate(hotkey, Wide::of(score), &mut registered, rules) {
            Fate::NotPositive => Part::NotPositive,
            Fate::Unregistered => Part::Unregistered,
            Fate::Burn => Part::Burn,
            Fate::Counts(_) => Part::Earned(rate.times_double(score).to_f64()),
        };
        (hotkey, part)
    });
    let dropped = scores.dropped().iter();
    counted.chain(dropped.map(|(hotkey, ())| (hotkey, Part::NotFinite)))
}

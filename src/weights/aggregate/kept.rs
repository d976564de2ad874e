//! What a kept vector still tells of each score. What it does not tell is named and never guessed.
//!
//! A document has the scores and what each hotkey earned in all. It has neither who else was registered nor the rules,
//! and it may lack scores that had no room. Even so, a challenge's registered hotkeys have what its explanation says it
//! assigned, in proportion to their scores, whatever the rules were.

use std::collections::BTreeMap;

use super::explain::{Account, Part};
use super::wide::Wide;
use crate::model::Slug;
use crate::model::sorted::Sorted;
use crate::weights::document::Document;
use crate::weights::{Contribution, Explanation};

/// What a kept vector tells of each hotkey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// What became of each score, by hotkey; all who earned something are among them.
    pub accounts: BTreeMap<String, Account>,
    /// What is not told, in the order of slugs.
    pub untold: Vec<(Slug, Untold)>,
}

/// What is not told of one challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Its scores: they had no room in the document.
    Scores,
    /// What its share came to.
    Share,
    /// Of which hotkeys so many entries were that are no finite numbers.
    NotFinite(usize),
}

/// Returns what became of every score that a kept vector has.
#[must_use]
pub fn explain_kept(document: &Document, explanation: &Explanation) -> Kept {
    let uids = uids(document);
    let earning = document.hotkey_weights.iter();
    let account = |hotkey| Account {
        uid: uids.get(hotkey).copied(),
        parts: Vec::new(),
    };
    let mut kept = Kept {
        accounts: earning
            .map(|(hotkey, _)| (hotkey.to_owned(), account(hotkey)))
            .collect(),
        untold: Vec::new(),
    };
    for source in document.source_challenges.iter().filter(|one| one.ok) {
        let mut explained = explanation.challenges.iter();
        let explained = explained.find(|one| one.slug == source.slug);
        let (scores, explained) = match (&source.weights, explained) {
            (Some(scores), Some(explained)) => (scores, explained),
            (None, _) => {
                kept.untold.push((source.slug.clone(), Untold::Scores));
                continue;
            }
            (Some(_), None) => {
                kept.untold.push((source.slug.clone(), Untold::Share));
                continue;
            }
        };
        for (hotkey, part) in parts(scores, explained, &document.hotkey_weights) {
            let account = kept.accounts.entry(hotkey.to_owned()).or_default();
            account.parts.push((source.slug.clone(), part));
        }
        if explained.dropped.not_finite > 0 {
            let untold = Untold::NotFinite(explained.dropped.not_finite);
            kept.untold.push((source.slug.clone(), untold));
        }
    }
    kept
}

/// Returns what became of each score of a challenge, by what the hotkeys earned in all.
fn parts<'a>(
    scores: &'a Sorted<f64>,
    explained: &Contribution,
    earned: &'a Sorted<f64>,
) -> impl Iterator<Item = (&'a str, Part)> {
    let above = scores.iter().filter(|(_, score)| *score > 0.0);
    let (counting, others): (Vec<_>, Vec<_>) =
        above.partition(|(hotkey, _)| earned.get(hotkey).is_some());
    let sum = counting
        .iter()
        .fold(Wide::ZERO, |sum, (_, score)| sum.plus(Wide::of(*score)));
    let rate = Wide::of(explained.assigned).times(sum.reciprocal());
    // It is counted why entries were dropped, not of whom: all who earned nothing are of one kind, or nobody knows.
    let dropped = (explained.dropped.unregistered, explained.dropped.burn);
    let other = match dropped {
        (unregistered, 0) if unregistered == others.len() => Part::Unregistered,
        (0, burn) if burn == others.len() => Part::Burn,
        (0, 0) => Part::Earned(0.0),
        _ => Part::Untold,
    };
    scores.iter().map(move |(hotkey, score)| {
        let part = match earned.get(hotkey) {
            _ if score <= 0.0 => Part::NotPositive,
            Some(_) => Part::Earned(rate.times_double(score).to_f64()),
            None => other,
        };
        (hotkey, part)
    })
}

/// Returns the UIDs that follow from the weights: those of hotkeys whose weight nobody else has. The largest weight is
/// of whoever earned the most. Where a part is burnt there is one UID more, which could be any, so nobody's follows.
fn uids(document: &Document) -> BTreeMap<&str, u16> {
    let mut hotkeys: Vec<(&str, f64)> = document.hotkey_weights.iter().collect();
    let uids = document.uids.iter().copied();
    let mut uids: Vec<(u16, f64)> = uids.zip(document.weights.iter().copied()).collect();
    if hotkeys.len() != uids.len() {
        return BTreeMap::new();
    }
    hotkeys.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    uids.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let places = 0..uids.len();
    let followed = places.filter(|at| is_alone(&hotkeys, *at) && is_alone(&uids, *at));
    followed.map(|at| (hotkeys[at].0, uids[at].0)).collect()
}

/// Tells whether a number in an ascending list differs from those beside it.
fn is_alone<T>(ascending: &[(T, f64)], at: usize) -> bool {
    let differs = |other: Option<&(T, f64)>| other.is_none_or(|(_, one)| *one != ascending[at].1);
    differs(at.checked_sub(1).and_then(|before| ascending.get(before)))
        && differs(ascending.get(at + 1))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::Emission;
    use crate::weights::aggregate::{aggregate, explain};
    use crate::weights::{Answer, Failure, Metagraph, Published, Rules, Subnet, Unassigned};

    fn answer(slug: &str, emission: &str, scores: &[(&str, f64)]) -> Answer {
        Answer {
            slug: Slug::parse(slug).unwrap(),
            emission: Emission::parse(emission).unwrap(),
            outcome: Ok(scores.iter().copied().collect()),
        }
    }

    /// Returns what a vector of these tells once it was kept, in a document of at most so many bytes, and what was
    /// known when it was made.
    fn told(answers: &[Answer], rules: Rules, most: usize) -> (Kept, BTreeMap<String, Account>) {
        let metagraph = Metagraph::of(["owner", "hk1", "hk2", "hk3"]);
        let (vector, explanation) = aggregate(answers, &metagraph, rules);
        let published = Published {
            subnet: Subnet::default(),
            vector,
            explanation,
            answers: answers.to_vec(),
            computed_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            metagraph_updated_at: Timestamp::UNIX_EPOCH,
        };
        let document = Document::of(&published, most);
        let kept = explain_kept(&document, &published.explanation);
        (kept, explain(answers, &metagraph, rules))
    }

    fn answers() -> [Answer; 4] {
        [
            answer("aa", "40", &[("hk1", 1.0), ("hk2", 0.0), ("missing", 3.0)]),
            answer(
                "bb",
                "60",
                &[("hk2", 1e308), ("hk3", 1.5e308), ("hk1", -1.0)],
            ),
            answer("cc", "20", &[("hk2", 7.0), ("owner", 1.0)]),
            Answer {
                outcome: Err(Failure::Timeout),
                ..answer("dd", "900", &[])
            },
        ]
    }

    #[test]
    fn a_kept_vector_tells_of_every_score_what_was_known_when_it_was_made() {
        for unassigned in [Unassigned::Spread, Unassigned::WithinChallenge] {
            let rules = Rules {
                unassigned,
                ..Rules::default()
            };
            let (kept, known) = told(&answers(), rules, usize::MAX);
            assert_eq!(kept.untold, []);
            assert!(kept.accounts.keys().eq(known.keys()));
            for (hotkey, account) in &known {
                let found = &kept.accounts[hotkey];
                // That the burn UID is the owner's is not kept.
                let uid = account.uid.filter(|uid| *uid != rules.burn_uid);
                assert_eq!(found.uid, uid, "{hotkey}");
                for (part, known) in found.parts.iter().zip(&account.parts) {
                    let is_same = match (part.1, known.1) {
                        (Part::Earned(one), Part::Earned(other)) => (one - other).abs() < 1e-15,
                        (one, other) => one == other,
                    };
                    assert!(is_same && part.0 == known.0, "{hotkey}: {part:?} {known:?}");
                }
                assert_eq!(found.parts.len(), account.parts.len(), "{hotkey}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_named_and_not_guessed() {
        let mixed = [
            ("hk1", 1.0),
            ("hk2", 1.0),
            ("owner", 1.0),
            ("gone", 1.0),
            ("odd", f64::NAN),
        ];
        let many: Vec<(String, f64)> = (0..100).map(|n| (format!("far-{n}"), 1.0)).collect();
        let large = Answer {
            outcome: Ok(many.into_iter().chain([("hk3".to_owned(), 1.0)]).collect()),
            ..answer("large", "50", &[])
        };
        let answers = [large, answer("mixed", "50", &mixed)];
        let (kept, _) = told(&answers, Rules::default(), 1000);
        let slug = |slug| Slug::parse(slug).unwrap();
        assert_eq!(
            kept.untold,
            [
                (slug("large"), Untold::Scores),
                (slug("mixed"), Untold::NotFinite(1))
            ]
        );
        let parts: Vec<_> = kept
            .accounts
            .iter()
            .map(|(hotkey, account)| (hotkey.as_str(), account.uid, &account.parts[..]))
            .collect();
        let of_mixed = |part| [(slug("mixed"), part)];
        assert_eq!(
            parts,
            [
                ("gone", None, &of_mixed(Part::Untold)[..]),
                ("hk1", None, &of_mixed(Part::Earned(0.125))[..]),
                ("hk2", None, &of_mixed(Part::Earned(0.125))[..]),
                ("hk3", Some(3), &[][..]),
                ("owner", None, &of_mixed(Part::Untold)[..]),
            ],
            "alike weights are of either UID"
        );
    }

    #[test]
    fn where_a_part_is_burnt_no_uid_follows_from_the_weights() {
        let rules = Rules {
            unassigned: Unassigned::Burn,
            ..Rules::default()
        };
        let (kept, _) = told(&answers(), rules, usize::MAX);
        assert!(kept.accounts.values().all(|account| account.uid.is_none()));
        let (kept, _) = told(&[answer("aa", "1", &[("gone", 1.0)])], rules, usize::MAX);
        let parts = &kept.accounts["gone"].parts;
        assert_eq!(parts[0].1, Part::Unregistered);
    }

    #[test]
    fn an_explanation_that_lacks_a_challenge_leaves_its_share_untold() {
        let (slug, scores) = (Slug::parse("aa").unwrap(), [("hk1", 1.0)]);
        let source = serde_json::json!({
            "slug": slug, "emission_percent": 1.0, "weights": BTreeMap::from(scores), "ok": true, "error": null,
        });
        let document = serde_json::json!({
            "netuid": 1, "chain_endpoint": "", "uids": [1], "weights": [1.0], "hotkey_weights": {"hk1": 1.0},
            "computed_at": "2030-01-01T12:00:00Z", "expires_at": "2030-01-01T12:12:00Z",
            "source_challenges": [source], "metagraph_updated_at": "2030-01-01T12:00:00Z",
        });
        let document = serde_json::from_value(document).unwrap();
        let kept = explain_kept(&document, &Explanation::default());
        assert_eq!(kept.untold, [(slug, Untold::Share)]);
        assert_eq!(kept.accounts["hk1"].uid, Some(1));
    }
}

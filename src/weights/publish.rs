//! Whether a vector is published, and with what beside it.
//!
//! An outage never burns: where no challenge answers, or nobody knows who is registered, no vector is made, and
//! the last good one is served until it expires.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::document::Document;
use super::{Answer, Metagraph, Published, Rules, Vector};
pub use crate::model::snapshot::Outage;
use crate::model::snapshot::{Snapshot, SnapshotSummary};

/// How long a vector may be used. Two epochs, so that one that is missed leaves none without weights.
pub const GOOD_FOR: SignedDuration = SignedDuration::from_secs(720);

/// The largest document that is kept and served. Scores that have no room in it are left out: they are the challenges'
/// to tell, and a hundred of them could send more than a gigabyte.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// Tells whether what came in can be made a vector of.
///
/// # Errors
/// It is an outage.
pub fn judge_metagraph(metagraph: Option<&Metagraph>) -> Result<&Metagraph, Outage> {
    let known = metagraph.filter(|metagraph| !metagraph.is_empty());
    known.ok_or(Outage::Metagraph)
}

/// Tells whether a vector may be published. That nobody has earned anything is taken for true only where every
/// challenge said so.
///
/// # Errors
/// It comes of an outage.
pub fn judge(answers: &[Answer], vector: &Vector) -> Result<(), Outage> {
    let has_failed = answers.iter().any(|answer| answer.outcome.is_err());
    match has_failed && vector.is_burn {
        true => Err(Outage::Challenges),
        false => Ok(()),
    }
}

/// Returns the digest of all that a vector follows from, whatever order it came in.
#[must_use]
pub fn digest_inputs(answers: &[Answer], metagraph: &Metagraph, rules: Rules) -> String {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    take(&json!(rules).to_string());
    take(&metagraph.uids.len().to_string());
    for (hotkey, uid) in metagraph.uids.iter() {
        take(hotkey);
        take(&uid.to_string());
    }
    let ordered: BTreeMap<_, _> = answers
        .iter()
        .map(|answer| (&answer.slug, answer))
        .collect();
    for (slug, answer) in ordered {
        take(slug.as_str());
        take(&answer.emission.to_string());
        match &answer.outcome {
            Err(failure) => take(&failure.to_string()),
            Ok(scores) => {
                take(&scores.len().to_string());
                for (hotkey, score) in scores.iter() {
                    take(hotkey);
                    take(&score.to_bits().to_string());
                }
            }
        }
    }
    hex::encode(hash.finalize())
}

/// Returns a vector as it is kept, with a document of at most [`MAX_DOCUMENT`].
///
/// # Errors
/// Never, as long as all its numbers are finite.
pub fn snapshot(
    published: &Published,
    metagraph: &Metagraph,
    rules: Rules,
    revision: String,
) -> serde_json::Result<Snapshot> {
    Ok(Snapshot {
        summary: SnapshotSummary {
            netuid: published.subnet.netuid,
            computed_at: published.computed_at,
            expires_at: published.expires_at,
            revision,
            metagraph_block: metagraph.block,
            metagraph_updated_at: published.metagraph_updated_at,
            inputs_digest: digest_inputs(&published.answers, metagraph, rules),
        },
        document: Document::of(published, MAX_DOCUMENT).to_json()?,
        explanation: json!(published.explanation),
    })
}

/// Returns when a vector is too old to be used.
#[must_use]
pub fn expiry(computed_at: Timestamp) -> Timestamp {
    computed_at
        .saturating_add(GOOD_FOR)
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Emission, Slug};
    use crate::weights::aggregate::aggregate;
    use crate::weights::{Explanation, Failure, Scores, Subnet};

    fn answer(slug: &str, outcome: Result<&[(&str, f64)], Failure>) -> Answer {
        Answer {
            slug: Slug::parse(slug).unwrap(),
            emission: Emission::parse("50").unwrap(),
            outcome: outcome.map(|scores| scores.iter().copied().collect()),
        }
    }

    /// Returns the UIDs of what is published, or why nothing is.
    fn published(answers: &[Answer]) -> Result<Vec<u16>, Outage> {
        let metagraph = Metagraph::of(["owner", "hk1"]);
        let metagraph = judge_metagraph(Some(&metagraph))?;
        let (vector, _) = aggregate(answers, metagraph, Rules::default());
        judge(answers, &vector).map(|()| vector.uids)
    }

    #[test]
    fn without_active_challenges_everything_is_burnt() {
        assert_eq!(published(&[]), Ok(vec![0]));
    }

    #[test]
    fn it_is_burnt_where_every_challenge_says_that_nobody_earned_anything() {
        let nothing = answer("aa", Ok(&[]));
        let others = answer("bb", Ok(&[("gone", 1.0), ("hk1", 0.0)]));
        assert_eq!(published(&[nothing, others]), Ok(vec![0]));
    }

    #[test]
    fn where_some_failed_the_rest_decides() {
        let good = answer("aa", Ok(&[("hk1", 1.0)]));
        let failed = answer("bb", Err(Failure::Timeout));
        assert_eq!(published(&[good, failed]), Ok(vec![1]));
    }

    #[test]
    fn where_some_failed_and_the_rest_has_nothing_it_is_an_outage() {
        let nothing = answer("aa", Ok(&[("gone", 1.0)]));
        let failed = answer("bb", Err(Failure::Http(500)));
        assert_eq!(published(&[nothing, failed]), Err(Outage::Challenges));
    }

    #[test]
    fn where_all_failed_it_is_an_outage() {
        let failed = answer("bb", Err(Failure::InvalidPayload));
        let refused = published(&[failed]).unwrap_err();
        assert_eq!(refused.to_string(), "no challenge provided weights");
    }

    #[test]
    fn without_a_metagraph_it_is_an_outage_whatever_the_challenges_say() {
        for none in [None, Some(&Metagraph::default())] {
            let refused = judge_metagraph(none).unwrap_err();
            assert_eq!(refused.to_string(), "metagraph unavailable");
        }
    }

    #[test]
    fn the_digest_follows_from_every_input_and_not_from_their_order() {
        let answers = [
            answer("aa", Ok(&[("hk1", 1.0), ("hk2", 2.0)])),
            answer("bb", Err(Failure::Timeout)),
        ];
        let metagraph = Metagraph::of(["owner", "hk1"]);
        let digest = |answers: &[Answer], metagraph: &Metagraph| {
            digest_inputs(answers, metagraph, Rules::default())
        };
        let first = digest(&answers, &metagraph);
        let [one, other] = answers.clone();
        assert_eq!(digest(&[other.clone(), one.clone()], &metagraph), first);
        let changes = [
            digest(std::slice::from_ref(&one), &metagraph),
            digest(
                &[one.clone(), answer("bb", Err(Failure::Transport))],
                &metagraph,
            ),
            digest(
                &[answer("aa", Ok(&[("hk1", 1.0), ("hk2", 2.5)])), other],
                &metagraph,
            ),
            digest(&answers, &Metagraph::of(["hk1", "owner"])),
        ];
        for changed in changes {
            assert_ne!(changed, first);
        }
    }

    #[test]
    fn scores_that_have_no_room_are_left_out_of_the_document_and_no_others() {
        let wide: Scores = (0..300_000).map(|n| (format!("{n:060}"), 1.0)).collect();
        let metagraph = Metagraph::of(["owner"]);
        let published = Published {
            subnet: Subnet::default(),
            vector: Vector::burn(0),
            explanation: Explanation::default(),
            answers: vec![
                Answer {
                    outcome: Ok(wide),
                    ..answer("aa", Ok(&[]))
                },
                answer("bb", Ok(&[("hk1", 1.0)])),
            ],
            computed_at: Timestamp::UNIX_EPOCH,
            expires_at: expiry(Timestamp::UNIX_EPOCH),
            metagraph_updated_at: Timestamp::UNIX_EPOCH,
        };
        let revision = "c0ffee".to_owned();
        let kept = snapshot(&published, &metagraph, Rules::default(), revision).unwrap();
        let document: serde_json::Value = serde_json::from_str(&kept.document).unwrap();
        let of =
            |slug: &str| json!({"slug": slug, "emission_percent": 50.0, "ok": true, "error": null});
        let (mut aa, mut bb) = (of("aa"), of("bb"));
        aa["weights_left_out"] = json!(true);
        bb["weights"] = json!({"hk1": 1.0});
        assert_eq!(document["source_challenges"], json!([aa, bb]));
    }
}

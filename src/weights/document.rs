//! The weights document: what validators fetch, member by member in this order.
//!
//! It has a largest size, and the challenges' scores share what is left of that. The smallest go first: whoever needs no
//! more than an equal part has it, however much another sends.

use std::io;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Failure, Published, Scores};
use crate::model::sorted::Sorted;
use crate::model::{Emission, Slug};

/// A weight vector, with what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Weights")]
pub struct Document {
    /// The subnet.
    pub netuid: u16,
    /// The chain's address; empty where none is set.
    pub chain_endpoint: String,
    /// The UIDs, ascending.
    pub uids: Vec<u16>,
    /// The weight of each UID, a part of one, in the order of `uids`; together one.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub weights: Vec<f64>,
    /// What each hotkey has earned, a part of one, before the weights are made to come to one.
    #[schemars(with = "std::collections::BTreeMap<String, f64>")]
    pub hotkey_weights: Sorted<f64>,
    /// When its making began; UTC.
    pub computed_at: Timestamp,
    /// When it is too old to be used: 720 seconds later; UTC.
    pub expires_at: Timestamp,
    /// What the challenges answered, in the order of slugs.
    pub source_challenges: Vec<Source>,
    /// When the registered hotkeys were read; UTC.
    pub metagraph_updated_at: Timestamp,
}

/// What one challenge answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WeightsSource")]
pub struct Source {
    /// The challenge.
    #[schemars(with = "String", length(min = 2, max = 40))]
    pub slug: Slug,
    /// Its relative share; shares need not come to 100.
    #[schemars(range(min = 0.0))]
    pub emission_percent: f64,
    /// Its scores by hotkey as it sent them, in any unit of its own, but for what is no finite number. Left out where
    /// nobody wants them, or where they have no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "std::collections::BTreeMap<String, f64>")]
    pub weights: Option<Sorted<f64>>,
    /// That its scores had no room in this document, when that is so. They count in the vector all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weights_left_out: bool,
    /// Whether it answered.
    pub ok: bool,
    /// Why not: a category such as `timeout` or `http 500`.
    #[schemars(with = "Option<String>")]
    pub error: Option<Failure>,
}

impl Document {
    /// Makes the document of a vector, of at most so many bytes, as far as leaving scores out can bring that about.
    #[must_use]
    pub fn of(published: &Published, most: usize) -> Self {
        let vector = &published.vector;
        let mut document = Self {
            netuid: published.subnet.netuid,
            chain_endpoint: published.subnet.chain_endpoint.clone(),
            uids: vector.uids.clone(),
            weights: vector.weights.clone(),
            hotkey_weights: vector.hotkey_weights.clone(),
            computed_at: published.computed_at,
            expires_at: published.expires_at,
            source_challenges: published.answers.iter().map(Source::of).collect(),
            metagraph_updated_at: published.metagraph_updated_at,
        };
        let room = most.saturating_sub(size(&document, usize::MAX).unwrap_or(usize::MAX));
        let scores = published.answers.iter().enumerate();
        let scores = scores.filter_map(|(at, answer)| Some((at, answer.outcome.as_ref().ok()?)));
        for (at, scores) in fitting(scores, room) {
            document.source_challenges[at].tell(scores);
        }
        document
    }

    /// Returns it without the challenges' scores.
    #[must_use]
    pub fn brief(mut self) -> Self {
        for source in &mut self.source_challenges {
            source.weights = None;
        }
        self
    }

    /// Returns its bytes.
    ///
    /// # Errors
    /// Never, as long as all its numbers are finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl Source {
    /// Makes it without scores.
    fn of(answer: &Answer) -> Self {
        let failure = answer.outcome.as_ref().err();
        Self {
            slug: answer.slug.clone(),
            emission_percent: number(answer.emission),
            weights: failure.map(|_| Sorted::default()),
            weights_left_out: failure.is_none(),
            ok: failure.is_none(),
            error: failure.cloned(),
        }
    }

    /// Puts its scores in.
    fn tell(&mut self, scores: &Scores) {
        self.weights = Some(scores.scores.clone());
        self.weights_left_out = false;
    }
}

/// Returns those scores that have room together, the smallest first and alike ones in their order.
fn fitting<'a>(
    scores: impl Iterator<Item = (usize, &'a Scores)>,
    room: usize,
) -> Vec<(usize, &'a Scores)> {
    let sized = scores.filter_map(|(at, scores)| Some((size(&scores.scores, room)?, at, scores)));
    let mut sized: Vec<_> = sized.collect();
    sized.sort_by_key(|(size, at, _)| (*size, *at));
    let mut left = room;
    let fit = sized.into_iter().map_while(|(size, at, scores)| {
        left = left.checked_sub(size)?;
        Some((at, scores))
    });
    fit.collect()
}

/// Returns how many bytes of JSON a value takes; `None` where that is more than these.
fn size(value: &impl Serialize, most: usize) -> Option<usize> {
    let mut counted = Counted { bytes: 0, most };
    serde_json::to_writer(&mut counted, value).ok()?;
    Some(counted.bytes)
}

/// Counts bytes up to a number.
struct Counted {
    bytes: usize,
    most: usize,
}

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        match self.bytes > self.most {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the nearest double, which is written as the decimal it came from.
fn number(emission: Emission) -> f64 {
    f64::from(emission.ten_thousandths()) / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Explanation, Subnet, Vector};

    fn published() -> Published {
        let answer = |slug: &str, outcome| Answer {
            slug: Slug::parse(slug).unwrap(),
            emission: Emission::parse("12.3").unwrap(),
            outcome,
        };
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        Published {
            subnet: Subnet {
                netuid: 42,
                chain_endpoint: "wss://chain.example:9944".to_owned(),
            },
            vector: Vector {
                uids: vec![9],
                weights: vec![1.0],
                hotkey_weights: [("miner-hotkey", 1.0)].into_iter().collect(),
                is_burn: false,
            },
            explanation: Explanation::default(),
            answers: vec![
                answer(
                    "good",
                    Ok([("b", 0.1), ("a", -2.0), ("c", f64::NAN)]
                        .into_iter()
                        .collect()),
                ),
                answer("slow", Err(Failure::Timeout)),
            ],
            computed_at: time("2030-01-01T12:00:00Z"),
            expires_at: time("2030-01-01T12:12:00Z"),
            metagraph_updated_at: time("2030-01-01T11:58:00.5Z"),
        }
    }

    const WHOLE: &str = concat!(
        r#"{"netuid":42,"chain_endpoint":"wss://chain.example:9944","uids":[9],"weights":[1.0],"#,
        r#""hotkey_weights":{"miner-hotkey":1.0},"computed_at":"2030-01-01T12:00:00Z","#,
        r#""expires_at":"2030-01-01T12:12:00Z","source_challenges":[{"slug":"good","emission_percent":12.3,"#,
        r#""weights":{"a":-2.0,"b":0.1},"ok":true,"error":null},{"slug":"slow","emission_percent":12.3,"#,
        r#""weights":{},"ok":false,"error":"timeout"}],"metagraph_updated_at":"2030-01-01T11:58:00.5Z"}"#
    );

    #[test]
    fn the_document_is_the_contracts_and_reads_back_to_the_same_bytes() {
        let document = Document::of(&published(), usize::MAX);
        assert_eq!(document.to_json().unwrap(), WHOLE);
        let read: Document = serde_json::from_str(WHOLE).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn it_can_leave_the_scores_out() {
        let brief = Document::of(&published(), usize::MAX)
            .brief()
            .to_json()
            .unwrap();
        let expected = WHOLE
            .replace(r#""weights":{"a":-2.0,"b":0.1},"#, "")
            .replace(r#""weights":{},"#, "");
        assert_eq!(brief, expected);
    }

    /// Returns which challenges tell their scores in a document of at most so many bytes, of challenges with so many
    /// scores each.
    fn told(counts: &[usize], most: usize) -> Vec<bool> {
        let answer = |(at, count): (usize, &usize)| Answer {
            slug: Slug::parse(&format!("slug-{at}")).unwrap(),
            emission: Emission::parse("1").unwrap(),
            outcome: Ok((0..*count).map(|n| (format!("{n:010}"), 1.0)).collect()),
        };
        let published = Published {
            answers: counts.iter().enumerate().map(answer).collect(),
            ..published()
        };
        let document = Document::of(&published, most);
        let json = document.to_json().unwrap();
        let is_told = |source: &Source| {
            assert_eq!(source.weights.is_none(), source.weights_left_out);
            source.weights.is_some()
        };
        let told: Vec<bool> = document.source_challenges.iter().map(is_told).collect();
        assert!(json.len() <= most || !told.contains(&true));
        assert_eq!(
            json.contains(r#""weights_left_out":true"#),
            told.contains(&false)
        );
        let read: Document = serde_json::from_str(&json).unwrap();
        assert_eq!(read, document);
        told
    }

    #[test]
    fn one_that_sends_too_much_costs_its_own_scores_only() {
        assert_eq!(told(&[10, 10_000, 20], 20_000), [true, false, true]);
        assert_eq!(told(&[10_000, 10_000, 1], 20_000), [false, false, true]);
        assert_eq!(told(&[10, 100, 20], 20_000), [true; 3]);
    }

    #[test]
    fn who_needs_no_more_than_an_equal_part_has_it_whatever_others_send() {
        // Each score takes seventeen bytes, and each challenge about a hundred besides.
        let (most, part) = (100 * 1000, 1000 - 120);
        for others in [0, part / 17, 100, 1000, 5000] {
            let mut counts = vec![others; 100];
            counts[50] = part / 17 - 10;
            assert!(told(&counts, most)[50], "{others}");
        }
    }

    #[test]
    fn what_others_leave_is_had_by_the_smallest_and_alike_ones_in_their_order() {
        assert_eq!(told(&[600, 500, 400, 1], 18_000), [false, true, true, true]);
        assert_eq!(told(&[600, 600, 400, 1], 18_500), [true, false, true, true]);
        assert_eq!(told(&[1, 2], 10), [false, false]);
    }
}

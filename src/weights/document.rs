//! The weights document: what validators fetch, member by member in this order.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Failure, Published};
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
    /// nobody wants them, or where they are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "std::collections::BTreeMap<String, f64>")]
    pub weights: Option<Sorted<f64>>,
    /// Whether it answered.
    pub ok: bool,
    /// Why not: a category such as `timeout` or `http 500`.
    #[schemars(with = "Option<String>")]
    pub error: Option<Failure>,
}

impl Document {
    /// Makes the document of a vector.
    #[must_use]
    pub fn of(published: &Published) -> Self {
        let vector = &published.vector;
        Self {
            netuid: published.subnet.netuid,
            chain_endpoint: published.subnet.chain_endpoint.clone(),
            uids: vector.uids.clone(),
            weights: vector.weights.clone(),
            hotkey_weights: vector.hotkey_weights.clone(),
            computed_at: published.computed_at,
            expires_at: published.expires_at,
            source_challenges: published.answers.iter().map(Source::of).collect(),
            metagraph_updated_at: published.metagraph_updated_at,
        }
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
    fn of(answer: &Answer) -> Self {
        let scores = answer.outcome.as_ref();
        Self {
            slug: answer.slug.clone(),
            emission_percent: number(answer.emission),
            weights: Some(
                scores.map_or_else(|_| Sorted::default(), |scores| scores.scores.clone()),
            ),
            ok: answer.outcome.is_ok(),
            error: answer.outcome.as_ref().err().cloned(),
        }
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
        let document = Document::of(&published());
        assert_eq!(document.to_json().unwrap(), WHOLE);
        let read: Document = serde_json::from_str(WHOLE).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn it_can_leave_the_scores_out() {
        let brief = Document::of(&published()).brief().to_json().unwrap();
        let expected = WHOLE
            .replace(r#""weights":{"a":-2.0,"b":0.1},"#, "")
            .replace(r#""weights":{},"#, "");
        assert_eq!(brief, expected);
    }
}

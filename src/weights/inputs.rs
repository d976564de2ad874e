//! What a vector is made of, as a file: the same computation without chain and challenges.
//!
//! `{"hotkeys":[…],"challenges":[{"slug","emission_percent","ok":true,"weights":{…}}]}`; the position of a
//! hotkey is its UID. A challenge of a weights document is one of this file, so a published vector can be
//! computed anew.

use std::collections::BTreeSet;

use thiserror::Error;

use super::json::{Fault, Reader};
use super::scores::read_scores;
use super::{Answer, Failure, Metagraph, Rules, Scores, Unassigned};
use crate::model::{Emission, Slug};

/// What a vector is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// What the challenges answered.
    pub answers: Vec<Answer>,
    /// Who is registered.
    pub metagraph: Metagraph,
    /// What applies to all.
    pub rules: Rules,
}

/// Why a file holds no inputs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputsError {
    /// Not JSON, or not of the form that is due.
    #[error("at byte {at}: {expected} is expected")]
    Form {
        /// The byte, counted from zero.
        at: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// A member that is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A challenge that stands twice.
    #[error("the challenge {0} stands twice")]
    Twice(Slug),
}

/// Reads inputs. Members that are not known are refused: one that is misspelt would be left out silently.
///
/// # Errors
/// Says where the file is not as it should be.
pub fn parse_inputs(bytes: &[u8]) -> Result<Inputs, InputsError> {
    let mut inputs = Inputs::default();
    let (mut hotkeys, mut answers) = (None, None);
    let mut reader = Reader::new(bytes).map_err(form)?;
    let read = reader.object(|reader, name| {
        match &*name {
            "hotkeys" => hotkeys = Some(read_hotkeys(reader)?),
            "challenges" => answers = Some(read_challenges(reader)?),
            "burn_uid" => inputs.rules.burn_uid = read_uid(reader)?,
            "unassigned_share" => inputs.rules.unassigned = read_unassigned(reader)?,
            _ => {
                return Err(reader
                    .fault("a member named hotkeys, challenges, burn_uid or unassigned_share"));
            }
        }
        Ok(())
    });
    read.and_then(|()| reader.end()).map_err(form)?;
    inputs.metagraph = Metagraph::of(hotkeys.ok_or(InputsError::Missing("hotkeys"))?);
    inputs.answers = answers.ok_or(InputsError::Missing("challenges"))?;
    let mut seen = BTreeSet::new();
    let twice = inputs
        .answers
        .iter()
        .find(|answer| !seen.insert(&answer.slug));
    match twice {
        Some(answer) => Err(InputsError::Twice(answer.slug.clone())),
        None => Ok(inputs),
    }
}

fn read_hotkeys(reader: &mut Reader<'_>) -> Result<Vec<String>, Fault> {
    let mut hotkeys = Vec::new();
    reader.array(|reader| {
        if hotkeys.len() == Metagraph::MAX {
            return Err(reader.fault("no more than 65536 hotkeys"));
        }
        hotkeys.push(reader.string()?.into_owned());
        Ok(())
    })?;
    Ok(hotkeys)
}

fn read_challenges(reader: &mut Reader<'_>) -> Result<Vec<Answer>, Fault> {
    let mut answers = Vec::new();
    reader.array(|reader| {
        answers.push(read_challenge(reader)?);
        Ok(())
    })?;
    Ok(answers)
}

fn read_challenge(reader: &mut Reader<'_>) -> Result<Answer, Fault> {
    let (mut slug, mut emission, mut scores) = (None, None, Scores::default());
    let (mut is_ok, mut failure) = (true, None);
    reader.object(|reader, name| {
        match &*name {
            "slug" => slug = Some(read_slug(reader)?),
            "emission_percent" => emission = Some(read_emission(reader)?),
            "weights" => scores = read_scores(reader)?,
            // What is computed without them would be another vector.
            "weights_left_out" => return Err(reader.fault("a challenge with its scores")),
            "ok" => is_ok = reader.flag()?,
            "error" if reader.peek() == Some(b'"') => {
                failure = Some(Failure::parse(&reader.string()?));
            }
            "error" => reader.skip()?,
            _ => {
                let expected = "a member named slug, emission_percent, weights, ok or error";
                return Err(reader.fault(expected));
            }
        }
        Ok(())
    })?;
    let failed = || failure.unwrap_or_else(|| Failure::Other("failed".to_owned()));
    Ok(Answer {
        slug: slug.ok_or_else(|| reader.fault("a challenge with `slug`"))?,
        emission: emission.ok_or_else(|| reader.fault("a challenge with `emission_percent`"))?,
        outcome: match is_ok {
            true => Ok(scores),
            false => Err(failed()),
        },
    })
}

fn read_slug(reader: &mut Reader<'_>) -> Result<Slug, Fault> {
    let wrong = reader.fault("a slug");
    Slug::parse(&reader.string()?).map_err(|_| wrong)
}

/// A decimal is taken as it is written, as a number or as a text: a double would not be exact. `100.0` is how
/// a weights document has it.
fn read_emission(reader: &mut Reader<'_>) -> Result<Emission, Fault> {
    let wrong = reader.fault("a decimal from 0 to 9999.9999");
    let emission = match reader.peek() {
        Some(b'"') => Emission::parse(&reader.string()?),
        _ => Emission::parse(reader.literal()?),
    };
    emission.map_err(|_| wrong)
}

fn read_uid(reader: &mut Reader<'_>) -> Result<u16, Fault> {
    let wrong = reader.fault("a UID, 0 to 65535");
    reader.literal()?.parse().map_err(|_| wrong)
}

fn read_unassigned(reader: &mut Reader<'_>) -> Result<Unassigned, Fault> {
    let wrong = reader.fault("spread, within_challenge or burn");
    Unassigned::parse(&reader.string()?).ok_or(wrong)
}

fn form(fault: Fault) -> InputsError {
    InputsError::Form {
        at: fault.at,
        expected: fault.expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::aggregate::aggregate;

    const EXAMPLE: &str = r#"{
        "hotkeys": ["owner", "hk1", "hk2"],
        "challenges": [
            {"slug": "aa", "emission_percent": "40.0000", "ok": true, "weights": {"hk1": 1, "missing": 3}},
            {"slug": "bb", "emission_percent": 60.0, "weights": {"hk2": 2, "hk3": NaN}, "error": null},
            {"slug": "cc", "emission_percent": 7, "ok": false, "error": "timeout", "weights": {}}
        ],
        "unassigned_share": "spread"
    }"#;

    #[test]
    fn the_example_of_the_contract_gives_its_vector() {
        let inputs = parse_inputs(EXAMPLE.as_bytes()).unwrap();
        let (vector, _) = aggregate(&inputs.answers, &inputs.metagraph, inputs.rules);
        assert_eq!(
            (vector.uids, vector.weights),
            (vec![1, 2], vec![1.0 / 7.0, 6.0 / 7.0])
        );
        assert_eq!(inputs.answers[2].outcome, Err(Failure::Timeout));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused_with_its_place() {
        let refused = |from: &str, to: &str| {
            let text = EXAMPLE.replacen(from, to, 1);
            parse_inputs(text.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(
            refused("hotkeys", "hotkey"),
            "at byte 20: a member named hotkeys, challenges, burn_uid or unassigned_share is expected"
        );
        assert!(refused("40.0000", "40.00001").contains("a decimal"));
        assert!(refused("60.0", "6e1").contains("a decimal"));
        assert!(refused("\"bb\"", "\"B\"").contains("a slug"));
        assert!(refused("\"spread\"", "\"all\"").contains("spread, within_challenge or burn"));
        assert_eq!(refused("\"bb\"", "\"aa\""), "the challenge aa stands twice");
        assert!(refused("\"slug\": \"aa\",", "").contains("a challenge with `slug`"));
        let left_out = refused("\"ok\": true", "\"weights_left_out\": true");
        assert!(left_out.contains("a challenge with its scores"));
        let missing = parse_inputs(b"{\"challenges\": []}").unwrap_err();
        assert_eq!(missing, InputsError::Missing("hotkeys"));
    }
}

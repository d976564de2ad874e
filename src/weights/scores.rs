//! One challenge's answer to `get_weights`: bytes to [`Scores`].
//!
//! Lenient where a challenge's arithmetic went wrong for one hotkey: null, `NaN`, infinities and numbers beyond
//! the range of doubles cost that hotkey its score and nobody else's. Strict in all else: an answer for another
//! challenge, a text where a number is due, or bytes that are no JSON make the whole answer a failure.

use jiff::Timestamp;
use thiserror::Error;

use super::json::{Fault, Reader};
use super::{Failure, Scores};
use crate::model::Slug;
use crate::model::sorted::Sorted;

/// The most hotkeys of one answer, four times what a subnet can have.
pub const MAX_SCORES: usize = 262_144;

/// What a challenge answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Its scores.
    pub scores: Scores,
    /// When it made them, if it says so.
    pub computed_at: Option<Timestamp>,
}

/// Why an answer holds no scores. No text quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// Not JSON, or not of the form that is due.
    #[error("at byte {at}: {expected} is expected")]
    Form {
        /// The byte, counted from zero.
        at: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// It does not say whose scores it has.
    #[error("`challenge_slug` is missing")]
    NoSlug,
    /// It has another challenge's scores.
    #[error("`challenge_slug` names another challenge")]
    WrongSlug,
    /// More hotkeys than [`MAX_SCORES`].
    #[error("it scores more than {MAX_SCORES} hotkeys")]
    TooMany,
}

impl ReplyError {
    /// Returns the category that everybody may read.
    #[must_use]
    pub fn failure(self) -> Failure {
        match self {
            Self::WrongSlug => Failure::WrongSlug,
            Self::TooMany => Failure::TooLarge,
            Self::Form { .. } | Self::NoSlug => Failure::InvalidPayload,
        }
    }
}

/// Reads what a challenge answered. Members that are not known are ignored; of one that stands twice the last
/// counts.
///
/// # Errors
/// Says where the answer is not as it should be.
pub fn parse_reply(body: &[u8], slug: &Slug) -> Result<Reply, ReplyError> {
    let mut reply = Reply::default();
    let mut is_ours = None;
    let mut reader = Reader::new(body).map_err(form)?;
    let read = reader.object(|reader, name| {
        match &*name {
            "challenge_slug" => is_ours = Some(reader.string()? == slug.as_str()),
            "weights" => reply.scores = read_scores(reader)?,
            "computed_at" if reader.peek() == Some(b'"') => {
                reply.computed_at = reader.string()?.parse().ok();
            }
            _ => reader.skip()?,
        }
        Ok(())
    });
    read.and_then(|()| reader.end()).map_err(form)?;
    match is_ours {
        Some(true) => Ok(reply),
        Some(false) => Err(ReplyError::WrongSlug),
        None => Err(ReplyError::NoSlug),
    }
}

/// What is said of a map with more than [`MAX_SCORES`] entries.
const FEWER: &str = "fewer hotkeys";

/// Reads a map of hotkeys to numbers.
pub(super) fn read_scores(reader: &mut Reader<'_>) -> Result<Scores, Fault> {
    // An entry takes about seventy bytes, most of them its hotkey.
    let count = (reader.left() / 64).min(MAX_SCORES);
    let mut scores = Vec::with_capacity(count);
    reader.object(|reader, hotkey| {
        if scores.len() == MAX_SCORES {
            return Err(reader.fault(FEWER));
        }
        scores.push((hotkey, reader.number()?));
        Ok(())
    })?;
    Ok(Sorted::of(&scores).into())
}

fn form(fault: Fault) -> ReplyError {
    match fault.expected {
        FEWER => ReplyError::TooMany,
        expected => ReplyError::Form {
            at: fault.at,
            expected,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Vec<(String, f64)>, ReplyError> {
        let reply = parse_reply(body.as_bytes(), &Slug::parse("prism").unwrap())?;
        let scores = reply.scores.iter();
        Ok(scores
            .map(|(hotkey, score)| (hotkey.to_owned(), score))
            .collect())
    }

    fn parse_weights(weights: &str) -> Result<Vec<(String, f64)>, ReplyError> {
        parse(&format!(
            "{{\"challenge_slug\":\"prism\",\"weights\":{weights}}}"
        ))
    }

    fn failure(body: &str) -> Failure {
        parse(body).unwrap_err().failure()
    }

    #[test]
    fn a_number_that_is_not_finite_costs_its_hotkey_alone() {
        for token in ["null", "NaN", "Infinity", "-Infinity", "1e999", "-1e999"] {
            let scores = parse_weights(&format!("{{\"a\":1,\"b\":{token}}}")).unwrap();
            assert_eq!(scores, [("a".to_owned(), 1.0)], "{token}");
        }
        let digits = "9".repeat(400);
        assert_eq!(parse_weights(&format!("{{\"a\":{digits}}}")), Ok(vec![]));
    }

    #[test]
    fn zeros_and_negative_numbers_are_scores_as_they_were_sent() {
        let scores = parse_weights("{\"a\":0,\"b\":-2.5,\"c\":1e-320}").unwrap();
        let numbers: Vec<f64> = scores.into_iter().map(|(_, score)| score).collect();
        assert_eq!(numbers, [0.0, -2.5, 1e-320]);
    }

    #[test]
    fn anything_but_a_number_fails_the_challenge() {
        for value in [
            "\"1\"", "true", "false", "[1]", "{}", "", "1 2", "nan", "0x1",
        ] {
            let refused = parse_weights(&format!("{{\"a\":1,\"b\":{value}}}")).unwrap_err();
            assert_eq!(refused.failure(), Failure::InvalidPayload, "{value}");
        }
        for weights in ["null", "[]", "\"\"", "1"] {
            assert!(parse_weights(weights).is_err(), "{weights}");
        }
    }

    #[test]
    fn the_last_of_a_key_counts() {
        let scores = parse_weights("{\"a\":1,\"b\":2,\"\\u0061\":3}").unwrap();
        assert_eq!(scores, [("a".to_owned(), 3.0), ("b".to_owned(), 2.0)]);
        assert_eq!(parse_weights("{\"a\":1,\"a\":null}"), Ok(vec![]));
        let twice = "{\"weights\":{\"a\":1},\"challenge_slug\":\"prism\",\"weights\":{\"b\":2}}";
        assert_eq!(parse(twice).unwrap(), [("b".to_owned(), 2.0)]);
    }

    #[test]
    fn the_slug_must_be_there_and_the_challenges_own() {
        assert_eq!(parse("{\"challenge_slug\":\"prism\"}"), Ok(vec![]));
        assert_eq!(
            failure("{\"challenge_slug\":\"other\"}"),
            Failure::WrongSlug
        );
        for body in [
            "{}",
            "{\"challenge_slug\":null}",
            "[]",
            "null",
            "",
            "{\"weights\":{}}",
        ] {
            assert_eq!(failure(body), Failure::InvalidPayload, "{body}");
        }
    }

    #[test]
    fn what_is_not_used_is_ignored() {
        let body = "{\"epoch\":null,\"metadata\":{\"x\":[NaN,{\"y\":\"z\"}]},\"more\":true,\
            \"computed_at\":\"2030-01-01T12:00:00Z\",\"challenge_slug\":\"prism\"}";
        let reply = parse_reply(body.as_bytes(), &Slug::parse("prism").unwrap()).unwrap();
        assert_eq!(
            reply.computed_at.unwrap().to_string(),
            "2030-01-01T12:00:00Z"
        );
        let odd = "{\"computed_at\":[1],\"challenge_slug\":\"prism\"}";
        assert_eq!(parse(odd), Ok(vec![]));
        let odd = "{\"computed_at\":\"today\",\"challenge_slug\":\"prism\"}";
        assert_eq!(parse(odd), Ok(vec![]));
    }

    #[test]
    fn a_hundred_thousand_hotkeys_are_taken_and_a_flood_is_not() {
        let of = |count: usize| {
            let entries: Vec<String> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
            parse_weights(&format!("{{{}}}", entries.join(",")))
        };
        assert_eq!(of(100_000).unwrap().len(), 100_000);
        let refused = of(MAX_SCORES + 1).unwrap_err();
        assert_eq!(
            (refused, refused.failure()),
            (ReplyError::TooMany, Failure::TooLarge)
        );
    }

    #[test]
    fn a_refusal_says_where_and_quotes_nothing() {
        let refused = parse_weights("{\"hotkey\":\"secret\"}").unwrap_err();
        assert_eq!(refused.to_string(), "at byte 46: a number is expected");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[{}\\[\\]\",:0-9eE.\\\\naNIu \\-]{0,64}") {
            let slug = Slug::parse("prism").unwrap();
            drop(parse_reply(&bytes, &slug));
            drop(parse_reply(text.as_bytes(), &slug));
            drop(parse_weights(&text));
        }

        #[test]
        fn scores_are_read_as_they_were_written(pairs: std::collections::BTreeMap<String, f64>) {
            let finite: serde_json::Map<_, _> = pairs
                .iter()
                .filter_map(|(hotkey, score)| Some((hotkey.clone(), serde_json::Number::from_f64(*score)?.into())))
                .collect();
            let written = serde_json::to_string(&finite).unwrap();
            let expected: Vec<_> = pairs.into_iter().filter(|(_, score)| score.is_finite()).collect();
            prop_assert_eq!(parse_weights(&written).unwrap(), expected);
        }
    }
}

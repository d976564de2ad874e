//! Kubernetes quantities: checked once, compared by value.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest text read as a quantity. An `i128` of thousandths has 39 digits; the rest is room for
/// sign, point, zeros and suffix.
const MAX_TEXT: usize = 64;

/// Powers of ten beyond this cannot fit an `i128`, whatever stands before them.
const MAX_POWER: u32 = 38;

/// A quantity as the API server accepts it (`2`, `500m`, `4Gi`), positive, with its text kept as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(String);

/// The text is no positive quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a quantity is a positive number with an optional suffix such as m, k, M, G, Ki, Mi or Gi")]
pub struct QuantityError;

impl Quantity {
    /// Parses a positive quantity of at most 32 characters.
    ///
    /// # Errors
    /// The text has another form, is zero or negative, or beyond what can be counted in thousandths.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.len() > 32 || thousandths(text).ok_or(QuantityError)? <= 0 {
            return Err(QuantityError);
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses an amount of memory: as [`Self::parse`], and lower-case `g`, `m`, `k` mean `Gi`, `Mi`, `Ki`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_memory(text: &str) -> Result<Self, QuantityError> {
        let binary = ["g", "m", "k"].into_iter().find_map(|unit| {
            let number = text.strip_suffix(unit)?;
            Some(format!("{number}{}i", unit.to_ascii_uppercase()))
        });
        Self::parse(binary.as_deref().unwrap_or(text))
    }

    /// Returns the quantity as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;

    fn try_from(text: String) -> Result<Self, QuantityError> {
        Self::parse(&text)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

/// Returns a quantity's value in thousandths, rounded away from zero as the API server rounds.
///
/// Reads every suffix that the API knows (`n u m k M G T P E`, `Ki` … `Ei`, `e` or `E` with an exponent);
/// `None` when the text is no quantity, or too large to count.
#[must_use]
pub fn thousandths(text: &str) -> Option<i128> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let (is_negative, unsigned) = split_sign(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (digits, places) = parse_number(number)?;
    let unit = parse_suffix(suffix)?;
    let power = unit.ten.checked_add(3)?.checked_sub(places)?;
    let magnitude = scale(digits.checked_mul(unit.factor)?, power)?;
    Some(if is_negative { -magnitude } else { magnitude })
}

/// What a suffix multiplies by: `factor` × 10^`ten`.
struct Unit {
    factor: i128,
    ten: i32,
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits without the point, and how many stood behind it.
fn parse_number(text: &str) -> Option<(i128, i32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Trailing zeros say nothing, and would make a long but small number overflow.
    let fraction = fraction.trim_end_matches('0');
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    Some((digits, i32::try_from(fraction.len()).ok()?))
}

fn parse_suffix(suffix: &str) -> Option<Unit> {
    let decimal = |ten| Some(Unit { factor: 1, ten });
    let binary = |shift: u32| {
        Some(Unit {
            factor: 1 << shift,
            ten: 0,
        })
    };
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => decimal(parse_exponent(suffix)?),
    }
}

fn parse_exponent(suffix: &str) -> Option<i32> {
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let (_, digits) = split_sign(exponent);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| exponent.parse().ok()).flatten()
}

/// Returns `digits` × 10^`power`, rounded up.
fn scale(digits: i128, power: i32) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let distance = power.unsigned_abs();
    if power < 0 {
        return Some(divide_up(digits, distance));
    }
    digits.checked_mul(10_i128.checked_pow(distance)?)
}

fn divide_up(digits: i128, power: u32) -> i128 {
    if power > MAX_POWER {
        return 1;
    }
    let divisor = 10_i128.pow(power);
    let rest = i128::from(digits % divisor != 0);
    digits / divisor + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_suffix_has_its_factor() {
        let powers = [
            ("k", 6),
            ("M", 9),
            ("G", 12),
            ("T", 15),
            ("P", 18),
            ("E", 21),
        ];
        for (suffix, power) in powers {
            assert_eq!(thousandths(&format!("1{suffix}")), Some(10_i128.pow(power)));
        }
        for (index, suffix) in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter().enumerate() {
            let shift = 10 * (index + 1);
            assert_eq!(thousandths(&format!("1{suffix}")), Some(1000 << shift));
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "", "-", "+", ".", "m", "Gi", "1e", "1x", "1 ", " 1", "1.2.3", "1..", "--1", "+-1",
            "1Kib", "1e1.5", "1e+", "1K", "0x1", "١", "1é", "1ki", "NaN", "inf",
        ] {
            assert_eq!(thousandths(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_large_to_count_is_none() {
        for text in [
            "1e40",
            "1e2147483647",
            "1e99999999999",
            "999999999999999999999999999999999999999",
            "9999999999999999999999Ei",
        ] {
            assert_eq!(thousandths(text), None, "{text}");
        }
        assert_eq!(thousandths(&"0".repeat(65)), None);
        assert_eq!(thousandths("0.1e-2147483648"), Some(1));
        assert_eq!(
            thousandths("0.00001e-2147483648"),
            None,
            "the exponent itself overflows"
        );
        assert_eq!(thousandths("1e-99"), Some(1));
        assert_eq!(thousandths("0e99"), Some(0));
    }

    #[test]
    fn memory_in_lower_case_is_binary() {
        assert_eq!(Quantity::parse_memory("4g").unwrap().as_str(), "4Gi");
        assert_eq!(Quantity::parse_memory("512m").unwrap().as_str(), "512Mi");
        assert_eq!(Quantity::parse_memory("4G").unwrap().as_str(), "4G");
        assert_eq!(Quantity::parse("0"), Err(QuantityError));
        assert_eq!(Quantity::parse("-1"), Err(QuantityError));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,70}") {
            prop_assert!(thousandths(&text).is_none_or(|_| text.len() <= MAX_TEXT));
        }

        #[test]
        fn near_quantities_are_read_without_panic(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}([eE][-+]?[0-9]{0,12}|[numkMGTPEKi]{0,2})") {
            prop_assert!(thousandths(&text).is_none_or(|_| text.len() <= MAX_TEXT));
        }

        #[test]
        fn an_amount_is_the_same_in_every_unit(amount in 0_i64..1_000_000_000) {
            let milli = i128::from(amount);
            prop_assert_eq!(thousandths(&format!("{amount}m")), Some(milli));
            prop_assert_eq!(thousandths(&format!("{}.{:03}", amount / 1000, amount % 1000)), Some(milli));
            prop_assert_eq!(thousandths(&format!("{amount}e-3")), Some(milli));
            prop_assert_eq!(thousandths(&format!("{amount}000u")), Some(milli));
        }

        #[test]
        fn parts_of_a_thousandth_round_away_from_zero(amount in 0_i64..1_000_000, part in 1_i64..1000) {
            let text = format!("{}u", amount * 1000 + part);
            prop_assert_eq!(thousandths(&text), Some(i128::from(amount) + 1));
            prop_assert_eq!(thousandths(&format!("-{text}")), Some(-i128::from(amount) - 1));
        }
    }
}

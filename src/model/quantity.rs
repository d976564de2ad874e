//! Kubernetes quantities: checked once, compared by value.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

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

/// Returns a quantity's value in thousandths, rounded up as the API server rounds; `None` when the text
/// is no quantity or too large to count.
#[must_use]
pub fn thousandths(text: &str) -> Option<i128> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') || number.len() > 40 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (numerator, denominator) = scale(suffix)?;
    let divisor =
        denominator.checked_mul(10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let scaled = digits.checked_mul(numerator)?.checked_mul(1000)?;
    let up = scaled / divisor + i128::from(!negative && scaled % divisor != 0);
    Some(if negative { -up } else { up })
}

/// Returns what a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return exponent(suffix),
    })
}

fn exponent(suffix: &str) -> Option<(i128, i128)> {
    let power = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = power.parse().ok()?;
    let factor = 10i128.checked_pow(power.unsigned_abs())?;
    Some(if power < 0 { (1, factor) } else { (factor, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_agree() {
        for (a, b) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("4096Mi", "4Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000000000", "1G"),
            ("0.0005", "1m"),
            ("01", "+1"),
            ("1e3", "1k"),
            ("1E-3", "1m"),
            ("2000000n", "2m"),
        ] {
            assert_eq!(thousandths(a), thousandths(b), "{a} {b}");
        }
        assert_eq!(thousandths("-1"), Some(-1000));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for bad in [
            "", "m", ".", "1.2.3", "1 Gi", "1g", "0x1", "1e", "e3", "1e999", "--1", "1Zi", "é",
        ] {
            assert_eq!(thousandths(bad), None, "{bad:?}");
        }
        assert_eq!(thousandths(&"9".repeat(60)), None);
    }

    #[test]
    fn memory_in_lower_case_is_binary() {
        assert_eq!(Quantity::parse_memory("4g").unwrap().as_str(), "4Gi");
        assert_eq!(Quantity::parse_memory("512m").unwrap().as_str(), "512Mi");
        assert_eq!(Quantity::parse_memory("4G").unwrap().as_str(), "4G");
        assert_eq!(Quantity::parse("0"), Err(QuantityError));
        assert_eq!(Quantity::parse("-1"), Err(QuantityError));
    }
}

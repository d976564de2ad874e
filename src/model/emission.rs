//! Emissions: exact decimals, and the share each one is of the whole.

use std::fmt;

use thiserror::Error;

/// A relative share as declared: 0 to 9999.9999, at most four decimals, held exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Emission(u32);

/// Why a text is no emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EmissionError {
    /// Not a plain decimal number.
    #[error("an emission is a plain decimal such as 30 or 12.5")]
    NotDecimal,
    /// Below zero or above the largest value the registry can hold.
    #[error("an emission is between 0 and 9999.9999")]
    OutOfRange,
    /// More than four decimals.
    #[error("an emission has at most four decimals")]
    TooPrecise,
}

impl Emission {
    /// Parses a decimal text such as `30`, `12.5` or `0.0001`.
    ///
    /// # Errors
    /// The text is no plain decimal, outside 0 to 9999.9999, or has over four decimals.
    pub fn parse(text: &str) -> Result<Self, EmissionError> {
        if text.starts_with('-') {
            return Err(EmissionError::OutOfRange);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(EmissionError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 4 {
            return Err(EmissionError::TooPrecise);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > 4 {
            return Err(EmissionError::OutOfRange);
        }
        let number = format!("{whole:0>1}{fraction:0<4}");
        number
            .parse()
            .map(Self)
            .map_err(|_| EmissionError::NotDecimal)
    }

    /// Returns the value in ten-thousandths, 0 to 99 999 999.
    #[must_use]
    pub fn ten_thousandths(self) -> u32 {
        self.0
    }

    /// Tells whether the emission is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Emission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:04}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// What part of the whole an emission is: an exact fraction, shown in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    /// Returns the share of `part` in `whole`, the sum of the emissions that count; zero of nothing.
    #[must_use]
    pub fn of(part: Emission, whole: impl IntoIterator<Item = Emission>) -> Self {
        Self::of_whole(part, whole.into_iter().map(|e| u64::from(e.0)).sum())
    }

    /// As [`Self::of`], for many shares of one whole, whose sum in ten-thousandths is taken once.
    #[must_use]
    pub fn of_whole(part: Emission, whole: u64) -> Self {
        Self {
            part: u64::from(part.0),
            whole,
        }
    }

    /// Returns the share in hundredths of a percent point, rounded half up (6667 is 66.67 %).
    #[must_use]
    pub fn basis_points(self) -> u32 {
        if self.whole == 0 {
            return 0;
        }
        let rounded = (self.part * 20_000 + self.whole) / (2 * self.whole);
        u32::try_from(rounded).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = self.basis_points();
        write!(f, "{}.{:02} %", points / 100, points % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_bounded() {
        for (text, shown) in [
            ("0", "0"),
            ("30", "30"),
            ("30.0000", "30"),
            ("12.5", "12.5"),
            ("0.0001", "0.0001"),
            ("0009999.9999", "9999.9999"),
        ] {
            assert_eq!(Emission::parse(text).unwrap().to_string(), shown);
        }
        for (bad, why) in [
            ("-1", EmissionError::OutOfRange),
            ("10000", EmissionError::OutOfRange),
            ("0.00001", EmissionError::TooPrecise),
            ("1e3", EmissionError::NotDecimal),
            ("", EmissionError::NotDecimal),
            (".5", EmissionError::NotDecimal),
            ("1.", EmissionError::NotDecimal),
            ("+1", EmissionError::NotDecimal),
            ("NaN", EmissionError::NotDecimal),
        ] {
            assert_eq!(Emission::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn share_is_rounded_half_up_to_hundredths() {
        let emission = |text| Emission::parse(text).unwrap();
        let all = [emission("30"), emission("15")];
        assert_eq!(Share::of(all[0], all).to_string(), "66.67 %");
        assert_eq!(Share::of(all[1], all).to_string(), "33.33 %");
        assert_eq!(Share::of(emission("1"), []).to_string(), "0.00 %");
    }
}

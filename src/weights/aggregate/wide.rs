//! Positive numbers of 128 significant bits whose exponent has no end that scores could reach.
//!
//! A double does not do: the smallest divided by the largest is 2⁻²⁰⁹⁸, and it may be all that is left once
//! hotkeys that are not registered are gone. All is whole-number arithmetic, so each operation is the same on
//! every machine. It rounds towards zero, by less than 2⁻¹²⁶ of the result; everything is positive, nothing
//! cancels, so the sum of `n` numbers is wrong by less than `n` times that.

/// `mantissa × 2^exponent`. The mantissa's highest bit is set, but of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide {
    mantissa: u128,
    exponent: i32,
}

/// Bits of a double's fraction.
const FRACTION: u32 = 52;
/// What a double's exponent is stored with, for a mantissa that is a whole number.
const BIAS: i32 = 1023 + FRACTION.cast_signed();

impl Wide {
    /// Below all else, and far enough from where exponents end that sums of two can be had.
    pub(super) const ZERO: Self = Self {
        mantissa: 0,
        exponent: i32::MIN / 4,
    };

    /// Takes a finite double, exactly; what is not above zero is zero.
    pub(super) fn of(number: f64) -> Self {
        if number <= 0.0 || !number.is_finite() {
            return Self::ZERO;
        }
        let bits = number.to_bits();
        let fraction = bits & ((1 << FRACTION) - 1);
        match (bits >> FRACTION) as i32 {
            0 => Self::normal(fraction.into(), 1 - BIAS),
            // As `normal` would have it, whose shift is known here.
            biased => Self {
                mantissa: u128::from(fraction | 1 << FRACTION) << (127 - FRACTION),
                exponent: biased - BIAS - (127 - FRACTION).cast_signed(),
            },
        }
    }

    /// Takes a whole number, exactly.
    pub(super) fn whole(number: u64) -> Self {
        Self::normal(number.into(), 0)
    }

    pub(super) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(super) fn plus(self, other: Self) -> Self {
        // Nothing here depends on which of them is larger but what is chosen, so no branch is guessed wrong.
        let (large, small) = match self.exponent >= other.exponent {
            true => (self, other),
            false => (other, self),
        };
        let apart = large.exponent.abs_diff(small.exponent);
        let small = small.mantissa.unbounded_shr(apart);
        let (sum, is_beyond) = large.mantissa.overflowing_add(small);
        let beyond = u32::from(is_beyond);
        Self {
            mantissa: sum >> beyond | u128::from(is_beyond) << 127,
            exponent: large.exponent + beyond.cast_signed(),
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let halves = |number: u128| (number >> 64, number & u128::from(u64::MAX));
        let ((a, b), (c, d)) = (halves(self.mantissa), halves(other.mantissa));
        // The upper 128 of 256 bits; what the lower halves alone come to only carries.
        let low = |number: u128| number & u128::from(u64::MAX);
        let high = |number: u128| number >> 64;
        let middle = low(a * d) + low(b * c) + high(b * d);
        let upper = a * c + high(a * d) + high(b * c) + high(middle);
        Self::product(upper, self.exponent + other.exponent + 128)
    }

    /// As [`Self::times`] what a double is, whose lower half is empty: two multiplications instead of four.
    pub(super) fn times_double(self, number: f64) -> Self {
        let factor = Self::of(number);
        let factor_high = factor.mantissa >> 64;
        let low = (self.mantissa & u128::from(u64::MAX)) * factor_high;
        let upper = (self.mantissa >> 64) * factor_high + (low >> 64);
        Self::product(upper, self.exponent + factor.exponent + 128)
    }

    /// Returns one divided by it; zero of zero.
    pub(super) fn reciprocal(self) -> Self {
        let exponent = -254 - self.exponent;
        match self.mantissa {
            0 => Self::ZERO,
            mantissa if mantissa.is_power_of_two() => Self { mantissa, exponent },
            divisor => Self {
                mantissa: quotient(divisor),
                exponent: exponent - 1,
            },
        }
    }

    /// Returns the nearest double, of two the even one; zero where all doubles are larger.
    pub(super) fn to_f64(self) -> f64 {
        if self.is_zero() {
            return 0.0;
        }
        // The exponent of the highest bit.
        let high = self.exponent + 127;
        if high > f64::MAX_EXP - 1 {
            return f64::INFINITY;
        }
        let below = (f64::MIN_EXP - 1 - high).max(0).unsigned_abs();
        let whole = rounded(self.mantissa, 127 - FRACTION + below);
        // A mantissa that was rounded up to the next power of two carries into the exponent, as it should.
        let biased = u64::from((high - f64::MIN_EXP + 1).max(0).unsigned_abs());
        f64::from_bits((biased << FRACTION) + whole)
    }

    /// As [`Self::normal`] what the upper half of a product of mantissas is: its highest bit or the next is set, but of
    /// zero.
    fn product(upper: u128, exponent: i32) -> Self {
        if upper == 0 {
            return Self::ZERO;
        }
        let below = u32::from(upper >> 127 == 0);
        Self {
            mantissa: upper << below,
            exponent: exponent - below.cast_signed(),
        }
    }

    fn normal(mantissa: u128, exponent: i32) -> Self {
        match mantissa.leading_zeros() {
            128 => Self::ZERO,
            zeros => Self {
                mantissa: mantissa << zeros,
                exponent: exponent - zeros.cast_signed(),
            },
        }
    }
}

/// Returns 2²⁵⁵ divided by a number between 2¹²⁷ and 2¹²⁸, both not reached, bit by bit.
fn quotient(divisor: u128) -> u128 {
    let mut rest = 1_u128 << 127;
    (0..128).fold(0, |quotient, _| {
        let is_beyond = rest >> 127 == 1;
        rest <<= 1;
        let fits = is_beyond || rest >= divisor;
        if fits {
            rest = rest.wrapping_sub(divisor);
        }
        quotient << 1 | u128::from(fits)
    })
}

/// Returns a number shifted to the right, rounded to the nearest, of two the even one.
fn rounded(number: u128, shift: u32) -> u64 {
    if shift > 128 {
        return 0;
    }
    let whole = number.checked_shr(shift).unwrap_or(0);
    let rest = number << (128 - shift);
    let half = 1_u128 << 127;
    let is_up = rest > half || (rest == half && whole & 1 == 1);
    (whole as u64) + u64::from(is_up)
}

//! Which turn of writing a write belongs to: what a database compares, so that a writer whose turn is over
//! changes nothing however late it comes.

use std::fmt;

/// The number of one turn of writing. Each turn that is taken has a higher one than all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceToken(i64);

impl FenceToken {
    /// What a database holds that nobody has taken a turn on.
    pub const UNTAKEN: Self = Self(0);

    /// Returns the token of this number.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// Tells whether this turn came directly after the other: nobody wrote between the two.
    #[must_use]
    pub fn follows(self, before: Self) -> bool {
        before.0.checked_add(1) == Some(self.0)
    }
}

impl fmt::Display for FenceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

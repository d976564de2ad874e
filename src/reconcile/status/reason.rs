//! Why a challenge is not as declared: a word for programs and a text for people.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Condition;

/// One reason. Written out it is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What sort of reason it is.
    pub word: Word,
    /// The reason for people; parts of it may come from outside.
    pub text: String,
}

/// What sort of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Steps are to be carried out.
    Applying,
    /// Steps that delete are to be carried out.
    Deleting,
    /// Something is there and not ready.
    NotReady,
    /// It gave no answer to how it is or what it is.
    NoAnswer,
    /// It says that it is not well.
    Unwell,
    /// It says that it is something else than what is declared.
    Mismatched,
    /// Something waits for something else.
    Waiting,
    /// There was something to do, and no turn to write.
    NoTurn,
    /// Somebody suspended it.
    Suspended,
    /// A name is taken by what is not ours.
    Foreign,
    /// It would be refused, or must not be done.
    Refused,
    /// The whole challenge is withheld.
    Withheld,
    /// An earlier image runs, because the declared one did not become ready.
    RolledBack,
    /// Somebody else changed it, and that is only reported.
    Drifted,
    /// Something could not be read.
    NotRead,
    /// Removal keeps it.
    Kept,
}

impl Word {
    /// Returns the word in camel case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "Applying",
            Self::Deleting => "Deleting",
            Self::NotReady => "NotReady",
            Self::NoAnswer => "NoAnswer",
            Self::Unwell => "Unwell",
            Self::Mismatched => "Mismatched",
            Self::Waiting => "Waiting",
            Self::NoTurn => "NoTurn",
            Self::Suspended => "Suspended",
            Self::Foreign => "Foreign",
            Self::Refused => "Refused",
            Self::Withheld => "Withheld",
            Self::RolledBack => "RolledBack",
            Self::Drifted => "Drifted",
            Self::NotRead => "NotRead",
            Self::Kept => "Kept",
        }
    }

    /// Returns how a challenge is that has such a reason and no worse one.
    #[must_use]
    pub fn condition(self) -> Condition {
        match self {
            Self::Applying | Self::Deleting | Self::NotReady | Self::Waiting | Self::NoTurn => {
                Condition::Progressing
            }
            // Pods that have just become ready need a moment; what stays so is stalled in the end.
            Self::NoAnswer | Self::Unwell | Self::Mismatched => Condition::Progressing,
            Self::Suspended => Condition::Suspended,
            Self::Foreign | Self::Refused | Self::Withheld | Self::RolledBack | Self::Drifted => {
                Condition::Held
            }
            Self::NotRead => Condition::Unknown,
            Self::Kept => Condition::Removed,
        }
    }

    /// Tells whether it is what the challenge answered when it was asked how it is.
    #[must_use]
    pub fn is_of_health(self) -> bool {
        matches!(self, Self::NoAnswer | Self::Unwell | Self::Mismatched)
    }
}

impl Reason {
    /// Makes a reason.
    #[must_use]
    pub fn new(word: Word, text: impl Into<String>) -> Self {
        Self {
            word,
            text: text.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

//! Notices: what happened to a challenge or to the platform, as it is told to people.

use jiff::Timestamp;

use super::{ObjectKey, Slug};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub about: Subject,
    /// What happened, as one word in camel case.
    pub reason: &'static str,
    /// What it means for who looks after it.
    pub class: NoticeClass,
    /// The same for people: one short line without anything secret.
    pub note: String,
    /// The commit, or the digest of the content, that it was found for.
    pub revision: Option<String>,
    /// When it was found out.
    pub at: Timestamp,
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One challenge.
    Challenge {
        /// Which one.
        slug: Slug,
        /// The object that stands for it, and its identity where it is there.
        object: Option<(ObjectKey, Option<String>)>,
    },
    /// The platform as a whole.
    Platform,
}

impl Subject {
    /// Returns the challenge, if it is about one.
    #[must_use]
    pub fn slug(&self) -> Option<&Slug> {
        match self {
            Self::Challenge { slug, .. } => Some(slug),
            Self::Platform => None,
        }
    }
}

/// What a notice means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeClass {
    /// Something goes its way.
    Progress,
    /// Something came to a good end.
    Success,
    /// Somebody has to see to something.
    Failure,
    /// Somebody else changed what is declared.
    Drift,
}

impl Notice {
    /// Tells whether somebody should look at it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        let puts_right = matches!(self.reason, "DriftCorrected" | "DriftGone");
        match self.class {
            NoticeClass::Failure => true,
            NoticeClass::Drift => !puts_right,
            NoticeClass::Progress | NoticeClass::Success => false,
        }
    }
}

/// The form in which a git host takes the status of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostForm {
    /// GitHub, and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea, and Forgejo.
    Gitea,
}

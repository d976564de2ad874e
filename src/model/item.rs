//! Items: what a key should hold, fully decided.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectKey, Slug, document::Document};

/// Which part of a challenge an object is; the value of the label `platform.component`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Service, workload and pods.
    Challenge,
    /// The token Secret.
    ChallengeSecret,
    /// The built-in autoscaler.
    ChallengeHpa,
    /// KEDA's autoscaler.
    #[serde(rename = "challenge-scaledobject")]
    ChallengeScaledObject,
    /// The challenge's NetworkPolicy.
    ChallengeNetwork,
    /// The `/data` claim.
    ChallengeData,
    /// Postgres Service, StatefulSet and pods.
    ChallengePostgres,
    /// The Postgres Secret.
    ChallengePostgresSecret,
    /// The Postgres claim.
    ChallengePostgresData,
    /// The Postgres NetworkPolicy.
    ChallengePostgresNetwork,
    /// The Secret with the tokens of all challenges.
    ChallengeTokens,
}

impl Component {
    /// All components that a pass owns. Others (the broker's, an installer's) carry the same `managed-by`.
    pub const ALL: [Self; 11] = [
        Self::Challenge,
        Self::ChallengeSecret,
        Self::ChallengeHpa,
        Self::ChallengeScaledObject,
        Self::ChallengeNetwork,
        Self::ChallengeData,
        Self::ChallengePostgres,
        Self::ChallengePostgresSecret,
        Self::ChallengePostgresData,
        Self::ChallengePostgresNetwork,
        Self::ChallengeTokens,
    ];

    /// Returns the label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::ChallengeSecret => "challenge-secret",
            Self::ChallengeHpa => "challenge-hpa",
            Self::ChallengeScaledObject => "challenge-scaledobject",
            Self::ChallengeNetwork => "challenge-network",
            Self::ChallengeData => "challenge-data",
            Self::ChallengePostgres => "challenge-postgres",
            Self::ChallengePostgresSecret => "challenge-postgres-secret",
            Self::ChallengePostgresData => "challenge-postgres-data",
            Self::ChallengePostgresNetwork => "challenge-postgres-network",
            Self::ChallengeTokens => "challenge-tokens",
        }
    }

    /// Returns the component with this label value.
    #[must_use]
    pub fn from_label(value: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|component| component.as_str() == value)
    }

    /// Tells whether removal keeps such an object: it holds data, or the key to data.
    #[must_use]
    pub fn keeps_data(self) -> bool {
        matches!(
            self,
            Self::ChallengeData | Self::ChallengePostgresSecret | Self::ChallengePostgresData
        )
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose an object is: what its labels must say before anything writes to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ownership {
    /// The challenge; none for what is made of all of them.
    pub slug: Option<Slug>,
    /// The part of it.
    pub component: Component,
}

/// An object as it is to be applied: complete, free of null and empty lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Whose it is; a `Namespace` is nobody's.
    pub ownership: Option<Ownership>,
    /// The manifest that server-side apply sends.
    pub manifest: Document,
}

/// A Secret whose values are made when it is created and never written again.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Whose it is.
    pub ownership: Ownership,
    /// The manifest without `data`.
    pub manifest: Document,
    /// How its values are made.
    pub recipe: Recipe,
}

/// How the values of a generated Secret are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// `challenge_token` and `docker_broker_token`: 32 random bytes each, URL-safe text.
    Tokens,
    /// `POSTGRES_DB`, `POSTGRES_USER`, `POSTGRES_PASSWORD` and `CHALLENGE_DATABASE_URL`.
    Postgres {
        /// The Service that the URL names.
        host: String,
        /// The claim with the data: while it exists without a complete Secret, no password may be made,
        /// for the data knows another.
        claim: String,
    },
}

impl Recipe {
    /// Returns the keys a Secret must hold to count as complete.
    #[must_use]
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Tokens => &["challenge_token", "docker_broker_token"],
            Self::Postgres { .. } => &[
                "CHALLENGE_DATABASE_URL",
                "POSTGRES_DB",
                "POSTGRES_PASSWORD",
                "POSTGRES_USER",
            ],
        }
    }
}

/// A Secret that repeats one value of each of other Secrets, under the slug of the challenge that it belongs to,
/// and holds nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Whose it is.
    pub ownership: Ownership,
    /// The manifest without `data`.
    pub manifest: Document,
    /// The keys it has in the end. What is there under them stays unless it is copied anew.
    pub keys: BTreeSet<Slug>,
    /// What is copied.
    pub copies: BTreeMap<Slug, Copied>,
}

/// A value that is copied from a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The Secret.
    pub from: ObjectKey,
    /// The value's SHA-256 as it was seen; none while it is not known, or not made yet.
    pub hash: Option<String>,
}

/// A registry row as a JSON object: one member per column, none of them secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(pub Value);

/// What a key should hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An object that server-side apply keeps as it is here.
    Object(Object),
    /// A Secret that is created once.
    Generated(Generated),
    /// A Secret that repeats values of others.
    Derived(Derived),
    /// An object that is created once and never changed: a claim, whose size and class cannot be changed in
    /// place, and a `Namespace`, which belongs to whoever made it.
    CreateOnly(Object),
    /// A registry row.
    Row(Row),
    /// The registry row that holds hash and hint of the tokens in this challenge's Secret, known once that exists.
    TokenRow,
}

impl Item {
    /// Returns the manifest of an object of any sort, to send, to compare or to show.
    #[must_use]
    pub fn manifest(&self) -> Option<Value> {
        match self {
            Self::Object(object) | Self::CreateOnly(object) => Some(object.manifest.to_value()),
            Self::Generated(generated) => Some(generated.manifest.to_value()),
            Self::Derived(derived) => Some(derived.manifest.to_value()),
            Self::Row(_) | Self::TokenRow => None,
        }
    }

    /// Returns the challenge whose object it is, if it is one challenge's.
    #[must_use]
    pub fn slug(&self) -> Option<&Slug> {
        self.ownership()?.slug.as_ref()
    }

    /// Returns whose object it is.
    #[must_use]
    pub fn ownership(&self) -> Option<&Ownership> {
        match self {
            Self::Object(object) | Self::CreateOnly(object) => object.ownership.as_ref(),
            Self::Generated(generated) => Some(&generated.ownership),
            Self::Derived(derived) => Some(&derived.ownership),
            Self::Row(_) | Self::TokenRow => None,
        }
    }
}

impl Derived {
    /// The key of the values that are copied.
    pub const COPIED: &str = "challenge_token";

    /// Returns where the value of a challenge is in the Secret.
    #[must_use]
    pub fn path(slug: &Slug) -> String {
        format!("data.{slug}")
    }

    /// Tells whether all that is left to do waits for values that are not made yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.copies.is_empty() && self.copies.values().all(|copied| copied.hash.is_none())
    }
}

//! Keys: what a plan is about. A key names an object on a named cluster or a row of the registry.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Slug, TargetId};

/// Which cluster an object is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterName {
    /// The cluster that the platform itself runs on.
    Local,
    /// The cluster of a declared target.
    Target(TargetId),
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Target(id) => id.fmt(f),
        }
    }
}

/// The kinds of objects that a pass may write or keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Made when missing, never deleted.
    Namespace,
    /// Generated credentials; created once, never rewritten.
    Secret,
    /// `/data` in Deployment mode, and the claims that StatefulSets make.
    PersistentVolumeClaim,
    /// Who may talk to a challenge and to its database.
    NetworkPolicy,
    /// The stable address of a challenge and of its database.
    Service,
    /// A challenge in the default mode, and every managed Postgres.
    StatefulSet,
    /// A challenge in Deployment mode.
    Deployment,
    /// The built-in autoscaler.
    HorizontalPodAutoscaler,
    /// KEDA's autoscaler.
    ScaledObject,
}

impl Kind {
    /// All kinds, in the order in which a reader meets them.
    pub const ALL: [Self; 9] = [
        Self::Namespace,
        Self::Secret,
        Self::PersistentVolumeClaim,
        Self::NetworkPolicy,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::ScaledObject,
    ];

    /// Returns the kind's name as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.resource().0
    }

    /// Returns `group/version`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        self.resource().1
    }

    /// Returns the plural used in request paths.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.resource().2
    }

    fn resource(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("Namespace", "v1", "namespaces"),
            Self::Secret => ("Secret", "v1", "secrets"),
            Self::PersistentVolumeClaim => {
                ("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
            }
            Self::NetworkPolicy => ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
            Self::Service => ("Service", "v1", "services"),
            Self::StatefulSet => ("StatefulSet", "apps/v1", "statefulsets"),
            Self::Deployment => ("Deployment", "apps/v1", "deployments"),
            Self::HorizontalPodAutoscaler => (
                "HorizontalPodAutoscaler",
                "autoscaling/v2",
                "horizontalpodautoscalers",
            ),
            Self::ScaledObject => ("ScaledObject", "keda.sh/v1alpha1", "scaledobjects"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object on a named cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The kind; its group and version follow from it.
    pub kind: Kind,
    /// The namespace; empty for a `Namespace`.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// A row of the registry in the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKey {
    /// A declared target.
    Target(TargetId),
    /// A declared challenge.
    Challenge(Slug),
    /// Hashes and hints of a challenge's tokens.
    Tokens(Slug),
    /// Which target a challenge runs on.
    Assignment(Slug),
}

impl RowKey {
    /// Returns the table, as people are shown it.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::Challenge(_) => "registry",
            Self::Tokens(_) => "tokens",
            Self::Assignment(_) => "assignment",
        }
    }

    /// Returns the slug or target id that names the row.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Target(id) => id.as_str(),
            Self::Challenge(slug) | Self::Tokens(slug) | Self::Assignment(slug) => slug.as_str(),
        }
    }

    /// Returns the challenge that the row belongs to, if it is not a target's.
    #[must_use]
    pub fn slug(&self) -> Option<&Slug> {
        match self {
            Self::Target(_) => None,
            Self::Challenge(slug) | Self::Tokens(slug) | Self::Assignment(slug) => Some(slug),
        }
    }
}

/// What one step of a plan is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A row of the registry.
    Row(RowKey),
    /// An object on a cluster.
    Object(ObjectKey),
}

impl Key {
    /// Returns the object's key, if it is one.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object(key) => Some(key),
            Self::Row(_) => None,
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        match &self.cluster {
            ClusterName::Local => Ok(()),
            ClusterName::Target(id) => write!(f, " on {id}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => key.fmt(f),
            Self::Row(row) => write!(f, "{} {}", row.table(), row.id()),
        }
    }
}

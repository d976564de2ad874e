//! Which challenges a look is about, and the labels by which their objects are found.

use std::collections::BTreeSet;

use super::{Component, FIELD_MANAGER, Slug};

/// Slugs that a label selector names at most: a request line has a bound, and beyond this many one list of
/// everything is the smaller question.
const MAX_NAMED: usize = 50;

/// The challenges that a look is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them, and what belongs to none.
    #[default]
    All,
    /// These, and nothing else.
    Only(BTreeSet<Slug>),
}

impl Scope {
    /// Tells whether a challenge is in it.
    #[must_use]
    pub fn contains(&self, slug: &Slug) -> bool {
        match self {
            Self::All => true,
            Self::Only(slugs) => slugs.contains(slug),
        }
    }

    /// Returns the label selector of everything that a pass owns in this scope, or more: of very many
    /// challenges it names none. The broker's and an installer's objects carry the same `managed-by` and
    /// other components.
    #[must_use]
    pub fn selector(&self) -> String {
        let components: Vec<&str> = Component::ALL
            .iter()
            .map(|component| component.as_str())
            .collect();
        let ours = format!(
            "app.kubernetes.io/managed-by={FIELD_MANAGER},platform.component in ({})",
            components.join(",")
        );
        match self {
            Self::Only(slugs) if (1..=MAX_NAMED).contains(&slugs.len()) => {
                let slugs: Vec<&str> = slugs.iter().map(Slug::as_str).collect();
                format!("{ours},platform.challenge.slug in ({})", slugs.join(","))
            }
            Self::All | Self::Only(_) => ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_scope_names_its_challenges_and_a_wide_one_does_not() {
        let slugs = |count: usize| {
            let slug = |n| Slug::parse(&format!("c-{n}")).unwrap();
            Scope::Only((0..count).map(slug).collect())
        };
        assert!(
            slugs(2)
                .selector()
                .ends_with(",platform.challenge.slug in (c-0,c-1)")
        );
        assert_eq!(slugs(51).selector(), Scope::All.selector());
        assert!(slugs(2).contains(&Slug::parse("c-1").unwrap()));
        assert!(!slugs(1).contains(&Slug::parse("c-1").unwrap()));
        assert!(Scope::All.contains(&Slug::parse("c-1").unwrap()));
    }
}

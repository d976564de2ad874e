//! What people ask a running controller for: to look at once, and what is suspended.
//!
//! It comes through the database, which every replica and every command line reaches. PostgreSQL tells of it at
//! once; it is asked for every few seconds all the same, one small question, so that what was not told costs
//! nothing but those seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::look::WentBy;
use crate::model::act::{ActKind, ActRecord, Suspension, Suspensions};
use crate::model::rollout::FailedImage;
use crate::model::{FenceToken, Slug};

/// How often the database is asked.
pub(super) const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// How long what was told gathers before the database is asked.
pub(super) const GATHER_TOLD: Duration = Duration::from_millis(20);

/// What the database said.
pub(super) struct Asked {
    pub(super) suspended: Suspensions,
    /// Why nothing at all is to be written, if so.
    pub(super) controller: Option<Suspension>,
    pub(super) given_up: GivenUp,
    pub(super) acts: Vec<ActRecord>,
    /// The token of whoever wrote last.
    pub(super) fence: FenceToken,
}

/// The images that are not tried again.
pub(super) type GivenUp = BTreeMap<Slug, FailedImage>;

/// Acts that were taken up and have not ended. Pure.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Of one challenge, before and during its look.
    due: BTreeMap<Slug, BTreeSet<i64>>,
    looking: BTreeMap<Slug, BTreeSet<i64>>,
    /// Of all, before and during the survey.
    survey_due: BTreeSet<i64>,
    surveying: BTreeSet<i64>,
    /// Whether the next survey resolves tags anew.
    resolves: bool,
    /// Whether the one that was begun last does, until one came to its end.
    is_resolving: bool,
    suspended: Suspensions,
    given_up: GivenUp,
    /// Whether what holds is known: a look that began before that went by something else.
    is_informed: bool,
}

/// What follows from what was asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Challenges to look at now.
    pub(super) looks: BTreeSet<Slug>,
    /// Whether everything is surveyed now.
    pub(super) survey: bool,
}

impl Asks {
    /// Takes what a survey found to hold: whoever has work by that is looked at already.
    pub(super) fn inform(&mut self, suspended: &Suspensions, given_up: GivenUp) {
        (self.suspended, self.given_up) = (suspended.clone(), given_up);
        self.is_informed = true;
    }

    /// Takes what the database said and returns what follows from it.
    pub(super) fn take(&mut self, asked: Asked) -> Due {
        let mut due = Due::default();
        let Asked {
            suspended,
            given_up,
            acts,
            controller: _,
            fence: _,
        } = asked;
        // Before the first survey there is nothing to look at.
        if self.is_informed {
            due.looks.extend(changed(&self.suspended, &suspended));
            due.looks.extend(changed(&self.given_up, &given_up));
        }
        if self.is_informed {
            (self.suspended, self.given_up) = (suspended, given_up);
        }
        for act in acts {
            if self.has(act.id) {
                continue;
            }
            match (act.slug, act.kind) {
                (Some(slug), ActKind::Reconcile) => {
                    self.due.entry(slug.clone()).or_default().insert(act.id);
                    due.looks.insert(slug);
                }
                (_, kind) => {
                    self.resolves |= kind == ActKind::Resolve;
                    self.survey_due.insert(act.id);
                    due.survey = true;
                }
            }
        }
        due
    }

    fn has(&self, id: i64) -> bool {
        let of_one = self.due.values().chain(self.looking.values());
        let all = [&self.survey_due, &self.surveying];
        of_one.chain(all).any(|ids| ids.contains(&id))
    }

    /// Tells that looks begin; a look that was under way already answers no act.
    pub(super) fn begin_looks(&mut self, slugs: &BTreeSet<Slug>) {
        for slug in slugs {
            if let Some(ids) = self.due.remove(slug) {
                self.looking.insert(slug.clone(), ids);
            }
        }
    }

    /// Tells that a look ended, and returns the acts that end with it. What it went by may be newer than the last
    /// answer and gone by the next, and would then be no change between the two.
    pub(super) fn end_look(&mut self, slug: &Slug, went_by: Option<&WentBy>) -> BTreeSet<i64> {
        if let Some(went_by) = went_by.filter(|_| self.is_informed) {
            set(&mut self.suspended, slug, went_by.suspension.as_ref());
            if let Some(given_up) = &went_by.given_up {
                set(&mut self.given_up, slug, given_up.as_ref());
            }
        }
        self.looking.remove(slug).unwrap_or_default()
    }

    /// Tells that a survey begins, and returns whether it resolves tags anew. One that came to nothing kept nothing of
    /// what it resolved, so the next one does it again.
    pub(super) fn begin_survey(&mut self) -> bool {
        self.surveying.append(&mut self.survey_due);
        self.is_resolving |= std::mem::take(&mut self.resolves);
        self.is_resolving
    }

    /// Tells that a survey came to its end, and returns the acts that end with it.
    pub(super) fn end_survey(&mut self) -> BTreeSet<i64> {
        self.is_resolving = false;
        std::mem::take(&mut self.surveying)
    }
}

fn set<T: Clone>(known: &mut BTreeMap<Slug, T>, slug: &Slug, value: Option<&T>) {
    match value {
        Some(value) => known.insert(slug.clone(), value.clone()),
        None => known.remove(slug),
    };
}

/// Returns the challenges of which something else holds than before.
fn changed<'a, T: PartialEq>(
    before: &'a BTreeMap<Slug, T>,
    now: &'a BTreeMap<Slug, T>,
) -> impl Iterator<Item = Slug> + use<'a, T> {
    let is_changed = |slug: &&Slug| before.get(*slug) != now.get(*slug);
    let slugs = before.keys().chain(now.keys());
    slugs.filter(is_changed).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn act(id: i64, kind: ActKind, name: Option<&str>) -> ActRecord {
        ActRecord {
            id,
            kind,
            slug: name.map(slug),
            why: None,
            actor: "ada".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            outcome: None,
            ended_at: None,
        }
    }

    fn suspension() -> Suspension {
        Suspension {
            why: "why".to_owned(),
            actor: "ada".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn asked(suspended: &[&str], acts: Vec<ActRecord>) -> Asked {
        let suspended = suspended.iter().map(|name| (slug(name), suspension()));
        Asked {
            suspended: suspended.collect(),
            given_up: GivenUp::new(),
            controller: None,
            acts,
            fence: FenceToken::UNTAKEN,
        }
    }

    fn informed() -> Asks {
        let mut asks = Asks::default();
        asks.inform(&Suspensions::new(), GivenUp::new());
        asks
    }

    #[test]
    fn who_is_suspended_or_resumed_is_looked_at_once() {
        let mut asks = informed();
        let due = asks.take(asked(&["demo"], Vec::new()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo")]));
        assert_eq!(asks.take(asked(&["demo"], Vec::new())), Due::default());
        let due = asks.take(asked(&["other"], Vec::new()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo"), slug("other")]));
        assert!(!due.survey);
    }

    #[test]
    fn what_changes_after_the_first_survey_is_noticed_by_the_first_answer() {
        let mut asks = Asks::default();
        let due = asks.take(asked(&["demo"], Vec::new()));
        assert_eq!(due, Due::default(), "nothing is kept yet");
        let surveyed = asked(&["demo"], Vec::new());
        asks.inform(&surveyed.suspended, GivenUp::new());
        let due = asks.take(asked(&[], Vec::new()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo")]));
    }

    #[test]
    fn who_is_resumed_before_the_next_answer_is_looked_at_if_a_look_found_it_suspended() {
        let mut asks = informed();
        let went_by = WentBy {
            suspension: Some(suspension()),
            given_up: None,
        };
        asks.end_look(&slug("demo"), Some(&went_by));
        let due = asks.take(asked(&[], Vec::new()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo")]));
        assert_eq!(asks.take(asked(&[], Vec::new())), Due::default());
    }

    #[test]
    fn a_challenge_whose_image_is_tried_again_is_looked_at() {
        let mut asks = informed();
        let failed = FailedImage {
            image: crate::model::ImageRef::parse("o/demo:2").unwrap(),
            declared: String::new(),
            revision: String::new(),
            seconds: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let given_up = Asked {
            given_up: GivenUp::from([(slug("demo"), failed)]),
            ..asked(&[], Vec::new())
        };
        asks.take(given_up);
        let due = asks.take(asked(&[], Vec::new()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo")]));
    }

    #[test]
    fn an_act_is_taken_up_once_and_ends_with_the_look_that_began_after_it() {
        let mut asks = Asks::default();
        let acts = || vec![act(7, ActKind::Reconcile, Some("demo"))];
        let due = asks.take(asked(&[], acts()));
        assert_eq!(due.looks, BTreeSet::from([slug("demo")]));
        assert_eq!(
            asks.end_look(&slug("demo"), None),
            BTreeSet::new(),
            "before it"
        );
        asks.begin_looks(&BTreeSet::from([slug("demo")]));
        assert_eq!(asks.take(asked(&[], acts())), Due::default());
        assert_eq!(asks.end_look(&slug("demo"), None), BTreeSet::from([7]));
        let due = asks.take(asked(&[], acts()));
        assert_eq!(due.looks.len(), 1, "its end was not kept");
    }

    #[test]
    fn tags_are_resolved_anew_by_one_survey_that_comes_to_its_end() {
        let mut asks = Asks::default();
        let acts = vec![
            act(1, ActKind::Reconcile, None),
            act(2, ActKind::Resolve, Some("demo")),
        ];
        let due = asks.take(asked(&[], acts));
        assert!(due.survey && due.looks.is_empty());
        assert!(asks.begin_survey());
        assert!(asks.begin_survey(), "the first saw not everything");
        let late = vec![act(3, ActKind::Resolve, None)];
        asks.take(asked(&[], late));
        assert_eq!(asks.end_survey(), BTreeSet::from([1, 2]));
        assert!(asks.begin_survey(), "asked for during a survey");
        assert_eq!(asks.end_survey(), BTreeSet::from([3]));
        assert!(!asks.begin_survey());
    }
}

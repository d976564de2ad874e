//! Who takes part in an epoch. The registry's rows say who does: they are what was applied. The declaration says who
//! ought to: a challenge that it has active, and that the registry does not have so yet, has failed before it is asked.
//! Otherwise rows that are still to be written would look like challenges that do not exist, and their share would be
//! burnt while an apply is under way.
//!
//! A row that is active and no longer declared so is asked all the same: it is being taken back, suspended or held by a
//! guard, and takes part until a pass has changed it.

use std::collections::BTreeMap;

use super::{Answer, Failure};
use crate::model::{Emission, Row, RowKey, Slug};

/// A challenge that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The challenge.
    pub slug: Slug,
    /// Its relative share.
    pub emission: Emission,
    /// Where it is reached.
    pub base: String,
}

/// Who takes part in an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    /// Those that are asked.
    pub asked: Vec<Asked>,
    /// Those that cannot be, each with why.
    pub failed: Vec<Answer>,
}

impl Roster {
    /// Returns who takes part, by the registry's rows and the challenges that are declared active.
    #[must_use]
    pub fn of(rows: &BTreeMap<RowKey, Row>, declared: &BTreeMap<Slug, Emission>) -> Self {
        let mut roster = Self::default();
        let mut missing = declared.clone();
        for (key, row) in rows {
            let RowKey::Challenge(slug) = key else {
                continue;
            };
            if row.0["status"] != "active" {
                continue;
            }
            let declared = missing.remove(slug);
            match read(slug, row) {
                Some(asked) => roster.asked.push(asked),
                None => roster.fail(slug, declared.unwrap_or_default(), Failure::InvalidRecord),
            }
        }
        for (slug, emission) in &missing {
            roster.fail(slug, *emission, Failure::NotRegistered);
        }
        roster
    }

    fn fail(&mut self, slug: &Slug, emission: Emission, failure: Failure) {
        self.failed.push(Answer {
            slug: slug.clone(),
            emission,
            outcome: Err(failure),
        });
    }
}

fn read(slug: &Slug, row: &Row) -> Option<Asked> {
    Some(Asked {
        slug: slug.clone(),
        emission: Emission::parse(row.0["emission_percent"].as_str()?).ok()?,
        base: row.0["internal_base_url"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::TargetId;

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn row(status: &str, emission: Value) -> Row {
        Row(json!({
            "status": status, "emission_percent": emission, "internal_base_url": "http://challenge:8000",
        }))
    }

    fn rows(challenges: &[(&str, Row)]) -> BTreeMap<RowKey, Row> {
        let target = RowKey::Target(TargetId::parse("gpu").unwrap());
        let challenges = challenges.iter();
        let mut rows: BTreeMap<RowKey, Row> = challenges
            .map(|(name, row)| (RowKey::Challenge(slug(name)), row.clone()))
            .collect();
        rows.insert(target, Row(json!({"status": "active"})));
        rows
    }

    /// Returns who is asked, and who has failed with why.
    fn roster(challenges: &[(&str, Row)], declared: &[&str]) -> (Vec<String>, Vec<String>) {
        let emission = Emission::parse("30").unwrap();
        let declared = declared.iter().map(|name| (slug(name), emission)).collect();
        let Roster { asked, failed } = Roster::of(&rows(challenges), &declared);
        let failed = failed.iter().map(|answer| {
            let why = answer.outcome.as_ref().unwrap_err();
            format!("{} {}: {why}", answer.slug, answer.emission)
        });
        let asked = asked.iter().map(|asked| asked.slug.to_string());
        (asked.collect(), failed.collect())
    }

    #[test]
    fn who_is_declared_and_has_no_row_yet_has_failed() {
        let (asked, failed) = roster(&[("bb", row("active", json!("5")))], &["aa", "bb"]);
        assert_eq!(
            (asked, failed),
            (
                vec!["bb".to_owned()],
                vec!["aa 30: not registered".to_owned()]
            )
        );
        let (asked, failed) = roster(&[], &["aa"]);
        assert_eq!((asked.len(), failed.len()), (0, 1));
    }

    #[test]
    fn who_is_declared_active_and_not_registered_so_yet_has_failed() {
        let (asked, failed) = roster(&[("aa", row("inactive", json!("5")))], &["aa"]);
        assert_eq!(
            (asked, failed),
            (vec![], vec!["aa 30: not registered".to_owned()])
        );
    }

    #[test]
    fn who_is_registered_takes_part_until_a_pass_has_changed_that() {
        let (asked, failed) = roster(&[("aa", row("active", json!("5")))], &[]);
        assert_eq!((asked, failed), (vec!["aa".to_owned()], vec![]));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_a_failure_and_not_an_absence() {
        for declared in [&["aa"][..], &[]] {
            for emission in [json!("x"), json!(5), Value::Null] {
                let (asked, failed) = roster(&[("aa", row("active", emission))], declared);
                assert!(asked.is_empty());
                assert!(failed[0].ends_with("invalid record"), "{failed:?}");
            }
        }
    }

    #[test]
    fn where_nothing_is_declared_active_nobody_has_failed() {
        let draft = row("draft", json!("5"));
        assert_eq!(roster(&[("aa", draft)], &[]), (vec![], vec![]));
    }
}

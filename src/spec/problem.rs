//! What is wrong with a declaration, where, and what would be right. No problem holds a value of the
//! file: it could be a secret in the wrong place. Keys and checked names are shown.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

/// How many problems are shown; the rest is counted.
pub const SHOWN: usize = 200;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file's name as its reader gave it.
    pub file: Arc<str>,
    /// The line, counted from one.
    pub line: u32,
    /// The column in characters, counted from one.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The declaration is refused.
    Error,
    /// The declaration is accepted, and probably not what its author meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Which value, empty for the file as a whole.
    pub path: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.place, self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, " ({})", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a declaration is refused: its problems by place, at most [`SHOWN`], warnings among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
pub struct Problems {
    /// The first problems.
    pub shown: Vec<Problem>,
    /// How many more there are.
    pub rest: usize,
}

impl Problems {
    /// Sorts problems by place and keeps the first ones, errors before warnings when not all fit.
    #[must_use]
    pub fn new(mut found: Vec<Problem>, dropped: usize) -> Self {
        let rest = dropped + found.len().saturating_sub(SHOWN);
        if found.len() > SHOWN {
            found.sort_by(|a, b| {
                let rank = |p: &Problem| p.severity == Severity::Warning;
                (rank(a), &a.place).cmp(&(rank(b), &b.place))
            });
            found.truncate(SHOWN);
        }
        found.sort_by(|a, b| (&a.place, &a.path, &a.message).cmp(&(&b.place, &b.path, &b.message)));
        Self { shown: found, rest }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.shown.iter().enumerate() {
            let line_break = if position == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        if self.rest > 0 {
            write!(f, "\n… and {} more", self.rest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, severity: Severity) -> Problem {
        Problem {
            place: Place {
                file: "platform.yaml".into(),
                line,
                column: 3,
            },
            path: "challenges.prism.image".to_owned(),
            severity,
            message: "has no tag".to_owned(),
            remedy: "add one".to_owned(),
        }
    }

    #[test]
    fn problem_reads_as_one_line_with_place_path_and_remedy() {
        assert_eq!(
            problem(7, Severity::Error).to_string(),
            "platform.yaml:7:3: error: challenges.prism.image: has no tag (add one)"
        );
    }

    #[test]
    fn only_the_first_problems_are_shown_and_errors_come_before_warnings() {
        let mut found: Vec<Problem> = (0..SHOWN)
            .map(|line| problem(u32::try_from(line).unwrap(), Severity::Warning))
            .collect();
        found.push(problem(9999, Severity::Error));
        let problems = Problems::new(found, 3);
        assert_eq!((problems.shown.len(), problems.rest), (SHOWN, 4));
        assert_eq!(problems.shown[SHOWN - 1].place.line, 9999);
        assert!(problems.to_string().ends_with("… and 4 more"));
    }
}

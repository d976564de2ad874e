//! Where checks note what they find, and what several of them ask.

use crate::spec::parse::{KEPT, Written};
use crate::spec::path::Path;
use crate::spec::platform::Environment;
use crate::spec::problem::{Place, Problem, Severity};

/// The problems found so far.
pub(super) struct Notes<'w> {
    written: &'w Written,
    /// Which policy applies.
    pub environment: Environment,
    pub problems: Vec<Problem>,
    pub dropped: usize,
}

impl<'w> Notes<'w> {
    /// Begins with what the parser noted.
    pub fn new(written: &'w Written) -> Self {
        Self {
            written,
            environment: Environment::Development,
            problems: written.noted.clone(),
            dropped: written.dropped,
        }
    }

    /// Tells whether the production policy is on.
    pub fn is_production(&self) -> bool {
        self.environment.enforces_policy()
    }

    /// Tells whether anything stands at a path, well-formed or not.
    pub fn holds(&self, path: &Path<'_>) -> bool {
        self.written.holds(path)
    }

    /// Notes what makes the declaration unusable.
    pub fn error(
        &mut self,
        path: &Path<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.note(Severity::Error, path, message.into(), remedy.into());
    }

    /// Notes what is probably not meant.
    pub fn warn(&mut self, path: &Path<'_>, message: impl Into<String>, remedy: impl Into<String>) {
        self.note(Severity::Warning, path, message.into(), remedy.into());
    }

    /// Notes that a field is not written, unless something malformed stands there, which was noted.
    pub fn missing(
        &mut self,
        path: &Path<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if !self.holds(path) {
            self.error(path, message, remedy);
        }
    }

    /// Notes an error and returns nothing, or returns what a parser made.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        path: &Path<'_>,
        result: Result<T, E>,
        remedy: &str,
    ) -> Option<T> {
        result
            .map_err(|error| self.error(path, format!("is refused: {error}"), remedy))
            .ok()
    }

    /// Tells whether an error was noted.
    pub fn has_errors(&self) -> bool {
        self.dropped > 0 || self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// Notes an error whose place is known.
    pub fn error_at(&mut self, place: Place, path: String, message: &str, remedy: &str) {
        if self.is_full(Severity::Error) {
            return;
        }
        self.problems.push(Problem {
            place,
            path,
            severity: Severity::Error,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    fn note(&mut self, severity: Severity, path: &Path<'_>, message: String, remedy: String) {
        if self.is_full(severity) {
            return;
        }
        self.problems.push(Problem {
            place: self.written.place(path),
            path: path.to_string(),
            severity,
            message,
            remedy,
        });
    }

    /// Tells whether no more problems are kept, and counts one more error then. Finding a place takes
    /// time, so this is asked first.
    fn is_full(&mut self, severity: Severity) -> bool {
        let is_full = self.problems.len() >= KEPT;
        self.dropped += usize::from(is_full && severity == Severity::Error);
        is_full
    }
}

//! Errors sorted into kinds, exit codes and hints. The library's errors become these here and nowhere else.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::edge::files::FileError;
use crate::reconcile::source::SourceError;
use crate::settings::SettingsError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `diff`: nothing to change.
    Done = 0,
    /// For `diff`: there are changes, or keys that wait or were refused.
    Changes = 1,
    /// The input is at fault: usage, `platform.yaml`, policy, a guard of `safety`.
    Input = 2,
    /// The world moved since the plan was saved.
    Stale = 3,
    /// A dependency failed or refused; for `diff` also: something could not be read.
    Dependency = 4,
    /// Not converged in time, or some keys failed; the rest was done.
    NotConverged = 5,
    /// A bug.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whoever wrote the input.
    Input,
    /// Whoever planned too long ago.
    Stale,
    /// Whoever runs cluster, database, file system or network.
    Dependency,
    /// Whoever looks after what did not converge.
    NotConverged,
    /// Whoever develops this program.
    Bug,
}

impl Kind {
    /// Returns the exit code.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Input => Exit::Input,
            Self::Stale => Exit::Stale,
            Self::Dependency => Exit::Dependency,
            Self::NotConverged => Exit::NotConverged,
            Self::Bug => Exit::Bug,
        }
    }
}

/// An error as people meet it: what was attempted, what went wrong, what to do.
#[derive(Debug)]
pub struct CliError {
    kind: Kind,
    message: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CliError {
    /// Makes an error of a kind; the message says what was attempted, or what is wrong.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: Some(message.into()),
            hint: None,
            source: None,
        }
    }

    /// Makes an error of a kind out of one that says by itself what was attempted.
    #[must_use]
    pub fn of(kind: Kind, error: impl Error + Send + Sync + 'static) -> Self {
        Self {
            kind,
            message: None,
            hint: None,
            source: Some(Box::new(error)),
        }
    }

    /// The input is at fault.
    #[must_use]
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// The world moved.
    #[must_use]
    pub fn stale(message: impl Into<String>) -> Self {
        Self::new(Kind::Stale, message)
    }

    /// A dependency failed or refused.
    #[must_use]
    pub fn dependency(message: impl Into<String>) -> Self {
        Self::new(Kind::Dependency, message)
    }

    /// Not everything was done.
    #[must_use]
    pub fn not_converged(message: impl Into<String>) -> Self {
        Self::new(Kind::NotConverged, message)
    }

    /// The program is at fault.
    #[must_use]
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what went wrong; the first cause is always shown, those behind it when verbose.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the text for standard error, ending in a line break: two levels of the chain, which say what
    /// was attempted and what went wrong, those behind them when verbose, and what to do.
    #[must_use]
    pub fn render(&self, is_verbose: bool) -> String {
        let mut chain: Vec<String> = self.message.iter().cloned().collect();
        let mut cause: Option<&dyn Error> = self.source.as_ref().map(|e| e.as_ref() as &dyn Error);
        while let Some(deeper) = cause {
            chain.push(deeper.to_string());
            cause = deeper.source();
        }
        let shown = chain.len().min(2);
        let mut text = chain[..shown].join(": ");
        for deeper in chain[shown..].iter().filter(|_| is_verbose) {
            append(&mut text, format_args!("\n  caused by: {deeper}"));
        }
        if let Some(hint) = &self.hint {
            append(&mut text, format_args!("\n  hint: {hint}"));
        }
        text.push('\n');
        text
    }
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more)
        .expect("writing to a String does not fail");
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let hint = match &error {
            SettingsError::File { .. } => "name a readable YAML file with --config",
            SettingsError::Unset { .. } => "set the variable, or take it out of the file",
            SettingsError::NotPostgres { .. } | SettingsError::NoDatabase(_) => {
                "set PLATFORM_DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME"
            }
            _ => "`platform settings` shows what is in effect, and where it comes from",
        };
        Self::of(Kind::Input, error).hint(hint)
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let kind = match &error {
            SourceError::Git { source, .. } if !source.is_input() => Kind::Dependency,
            SourceError::List { .. }
            | SourceError::File {
                source: FileError::Io(_),
                ..
            } => Kind::Dependency,
            _ => Kind::Input,
        };
        let hint = error.remedy();
        let told = match error {
            // Which commit, and what is wrong with it, is what people look for.
            SourceError::Distrust { source, .. } => Self::of(kind, source),
            error => Self::of(kind, error),
        };
        told.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_was_attempted_what_went_wrong_and_what_to_do() {
        let io = std::io::Error::other("disk on fire");
        let error = CliError::from(SettingsError::File {
            path: "s.yaml".into(),
            source: FileError::Io(io),
        });
        assert_eq!(
            error.render(false),
            "cannot read the settings file s.yaml: the file system refused\n  \
             hint: name a readable YAML file with --config\n"
        );
        let verbose = error.render(true);
        assert!(verbose.contains("\n  caused by: disk on fire\n"));
        assert_eq!(error.kind().exit() as u8, 2);
    }
}

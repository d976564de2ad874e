//! Where results and progress go: results to standard output, all else to standard error. The only
//! code of this package that writes to either.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use clap::ValueEnum;

use super::error::CliError;
use crate::reconcile::render::Palette;

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Standard output and standard error.
#[derive(Debug)]
pub struct Terminal {
    is_coloured: bool,
    is_error_coloured: bool,
    is_verbose: bool,
}

impl Terminal {
    /// Decides about colours once.
    #[must_use]
    pub fn new(color: Color, no_color: bool, is_verbose: bool) -> Self {
        let decide = |is_terminal| match color {
            Color::Auto => is_terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        Self {
            is_coloured: decide(io::stdout().is_terminal()),
            is_error_coloured: decide(io::stderr().is_terminal()),
            is_verbose,
        }
    }

    /// Tells whether results may hold colours.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        self.is_coloured
    }

    /// Returns how labels in results are marked.
    #[must_use]
    pub fn palette(&self) -> Palette {
        match self.is_coloured {
            true => Palette::Ansi,
            false => Palette::Plain,
        }
    }

    /// Asks a question on standard error and returns the line typed, trimmed; `None` where nobody can answer.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() {
            return None;
        }
        write_error(question);
        let mut line = String::new();
        // An answer is a word; what is longer is none.
        let read = io::stdin().lock().take(1024).read_line(&mut line);
        read.ok().map(|_| line.trim().to_owned())
    }

    /// Tells whether progress may be drawn.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Writes a result. A reader that has gone away, such as `head`, wants no more and is no error.
    ///
    /// # Errors
    /// Standard output cannot be written, for example on a full disk.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::dependency(
                "the result cannot be written to standard output",
            )
            .because(error)),
            _ => Ok(()),
        }
    }

    /// Writes a value as JSON, with a line break behind it.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::bug("the result has no JSON form").because(error))?;
        self.print(&(text + "\n"))
    }

    /// Writes a remark to standard error.
    pub fn note(&self, text: &str) {
        write_error(&format!("{text}\n"));
    }

    /// Writes a warning to standard error.
    pub fn warn(&self, text: &str) {
        let label = self.label("33", "warning");
        write_error(&format!("{label}: {text}\n"));
    }

    /// Writes an error to standard error.
    pub fn error(&self, error: &CliError) {
        let label = self.label("31", "error");
        write_error(&format!("{label}: {}", error.render(self.is_verbose)));
    }

    fn label(&self, color: &str, word: &str) -> String {
        match self.is_error_coloured {
            true => format!("\u{1b}[1;{color}m{word}\u{1b}[0m"),
            false => word.to_owned(),
        }
    }
}

/// When standard error is gone too there is nobody left to tell.
pub(super) fn write_error(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

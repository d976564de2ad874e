//! The only place of these commands that prints.
//!
//! Progress goes to stderr, so that the stdout of a command run under
//! `cargo xtask cluster` stays its own; what a verb is asked for goes to stdout.

use std::fmt::Display;

/// Prints one line of progress.
#[expect(clippy::print_stderr, reason = "the one door for progress")]
pub fn progress(line: impl Display) {
    eprintln!("{line}");
}

/// Prints one line of a result.
#[expect(clippy::print_stdout, reason = "the one door for results")]
pub fn print(line: impl Display) {
    println!("{line}");
}

//! `platform git-worker`: the process that reads git repositories for another one of this program.

use std::io::Read;

use super::{CliError, Exit, Terminal};
use crate::edge::git::worker;

/// A question is some paths and names; more is none.
const MAX_QUESTION: u64 = 1024 * 1024;

/// Reads a question from standard input and prints the answer. Runs without the other threads of this
/// program, so that its limits are the worker's alone.
pub(super) fn run(terminal: &Terminal) -> Result<Exit, CliError> {
    let mut question = Vec::new();
    std::io::stdin()
        .take(MAX_QUESTION)
        .read_to_end(&mut question)
        .map_err(|error| CliError::input("no question can be read").because(error))?;
    let answer = worker::answer(&question)
        .map_err(|error| CliError::input(format!("the question has no answer: {error}")))?;
    terminal.print(&String::from_utf8_lossy(&answer))?;
    Ok(Exit::Done)
}

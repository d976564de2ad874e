//! Git as a source: real repositories over real transports, what is refused, and servers that misbehave.

mod hostile;
mod servers;
mod signed;
mod transports;

use crate::support::git::Repo;

/// A declaration that passes the check.
const GOOD: &str = include_str!("../../examples/platform.yaml");

/// Returns a repository whose one commit declares something.
fn declared() -> Repo {
    Repo::of(&[("platform.yaml", GOOD)])
}

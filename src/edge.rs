//! The outside: one file per system, one small trait each. No other code names these crates.

pub mod chain;
pub mod challenge;
pub mod cluster;
pub mod database;
pub mod files;
pub mod git;
pub mod hooks;
pub mod http;
pub mod images;
pub mod listener;
pub mod master;
pub mod traces;

/// What this program says of itself to whoever it calls.
const USER_AGENT: &str = concat!("platform/", env!("CARGO_PKG_VERSION"));

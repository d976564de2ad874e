//! `platform.yaml`: as written, as checked, as schema. Pure: bytes go in, a [`Platform`] or every
//! [`Problem`] with its place comes out.

pub mod check;
pub mod outline;
pub mod parse;
pub mod path;
pub mod platform;
pub mod problem;
pub mod reference;
pub mod schema;
pub mod types;
mod yaml;

pub use check::{Checked, Policy, check, check_under};
pub use parse::{SourceFile, Written, parse};
pub use platform::Platform;
pub use problem::{Place, Problem, Problems, Severity};
pub use reference::reference;
pub use schema::schema;

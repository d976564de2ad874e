//! The plan as text: for people, for machines, and for a pull request. Pure: `Plan` to text, no clock, no
//! terminal. Whatever came from a file, a cluster or a database passes [`mask`] on its way out.

mod consequence;
mod group;
pub mod json;
mod markdown;
pub mod mask;
mod page;
mod palette;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod whole;
mod words;

use std::collections::BTreeMap;

use crate::model::Slug;

pub use self::{
    group::{Totals, is_quiet},
    json::{plan_schema, render_json},
    markdown::render_markdown,
    palette::{Label, Palette},
    text::render_text,
    words::{flag, guards_hold, reason, shared_reasons},
};

/// Where a plan comes from and where it goes, as shown above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The source as the caller named it; a password in an address is masked.
    pub source: String,
    /// The cluster and the namespace.
    pub cluster: String,
    /// The database; a password in its address is masked.
    pub database: String,
    /// For how long a challenge has been held, in words such as `2 m`, where that is known.
    pub held_for: BTreeMap<Slug, String>,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How labels are marked.
    pub palette: Palette,
    /// Whether whole objects are shown, not only what changes in them.
    pub is_full: bool,
}

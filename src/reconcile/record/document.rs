//! The history for machines: documented shapes with a version, and their schema. Pure.
//!
//! Members, outcomes and counts may be added under the same version; none is renamed or removed.

use schemars::{JsonSchema, schema_for};
use serde::Serialize;

use crate::model::pass::{PassRecord, PassSummary};

/// What `platform history -o json` and `platform history show N -o json` print.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Document {
    /// Passes, newest first.
    Passes {
        /// The version of this shape: 1.
        version: u32,
        /// The passes without what came of each key.
        passes: Vec<PassSummary>,
        /// Whether a pass was begun that is not recorded: it is under way, or never ended.
        has_open: bool,
    },
    /// One pass.
    Pass {
        /// The version of this shape: 1.
        version: u32,
        /// The pass with what came of each key.
        pass: Box<PassRecord>,
    },
}

/// Returns the JSON Schema of [`Document`], indented, with a final line break.
#[must_use]
pub fn history_schema() -> String {
    let schema = schema_for!(Document);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

//! What others do to objects of ours, on the real API server: one test per case, and a random walk.
//!
//! Each goes through the library as the program does: `platform.yaml` to desired objects, the comparison
//! against what the server lists, the plan, and its writes under the chart's Role.

mod drift;
mod earlier;
mod held;
pub mod pass;
mod refusal;
mod walk;

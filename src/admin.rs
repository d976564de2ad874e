//! What the operator and the public may see of the platform, and how it is described; and what a git host tells.

pub mod openapi;
pub mod pushes;
pub mod refusal;
pub mod registry;
pub mod webhook;

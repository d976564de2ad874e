//! What the operator and the public may see of the platform, and how it is described.

pub mod openapi;
pub mod registry;

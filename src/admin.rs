//! What the operator and the public may see of the platform.

pub mod registry;

//! The reconciler.

pub mod model;

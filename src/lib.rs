//! The reconciler.

pub mod reconcile;

//! The reconciler.

pub mod edge;
pub mod model;
pub mod reconcile;
pub mod spec;

pub mod settings;

pub mod cli;

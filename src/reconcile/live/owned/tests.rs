//! The comparison, case by case and as properties.

mod cases;
mod closed;
mod properties;
mod world;

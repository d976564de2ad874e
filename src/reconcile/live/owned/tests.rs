//! The comparison, case by case and as properties.

mod captured;
mod cases;
mod closed;
mod properties;
mod repairs;
mod world;

//! What is there now.

pub mod owned;

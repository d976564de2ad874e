//! One pass, from a source to a status.

pub mod live;

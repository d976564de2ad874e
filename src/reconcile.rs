//! One pass, from a source to a status.

pub mod desired;
pub mod edit;
pub mod live;
pub mod plan;
pub mod resolve;
pub mod source;

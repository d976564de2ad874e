//! `platform.yaml`: as written, as checked, as schema.

pub mod outline;
pub mod platform;

pub use platform::Platform;

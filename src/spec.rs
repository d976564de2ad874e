//! `platform.yaml`: as written, as checked, as schema.

pub mod platform;

pub use platform::Platform;

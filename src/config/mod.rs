//! config.

pub mod secret;

pub use secret::Secret;

//! The first words by which this program knows that it was started by itself, and as what.

/// The child side of a launch.
pub const EXEC: &str = "__exec";

/// The subreaper above a contained unit.
pub const GUARD: &str = "__guard";

/// The work of a boot step, which the words after it name.
pub const STEP: &str = "__step";

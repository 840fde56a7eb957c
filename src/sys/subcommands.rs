//! The internal subcommands, with which only this program itself starts this program.

/// The child side of a launch.
pub const EXEC: &str = "__exec";

/// The subreaper above a contained unit.
pub const GUARD: &str = "__guard";

/// The work of a boot step; the arguments after it name the step.
pub const STEP: &str = "__step";

/// Questions to the library of a GPU's driver; the arguments after it name the library.
pub const PROBE: &str = "__probe";

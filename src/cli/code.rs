//! Exit codes, which scripts can rely on.

/// The command failed.
pub const FAILED: i32 = 1;
/// The program to run cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// The program was not found.
pub const NOT_FOUND: i32 = 127;
/// The daemon does not run, or does not answer.
pub const NOT_RUNNING: i32 = 3;
/// The command line is wrong.
pub const USAGE: i32 = 64;
/// The configuration is wrong.
pub const CONFIG: i32 = 78;

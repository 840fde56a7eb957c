//! Errors of the system in words.

use std::io;

use nix::errno::Errno;

/// The system's message for an error, without its number.
pub fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}

//! Reports what a step could not do, on standard error, which is the unit's log.

use std::fmt::Display;

/// Reports a failure that does not end the step.
pub(super) fn tell(what: impl Display, result: Result<(), impl Display>) {
    if let Err(error) = result {
        eprintln!("{what}: {error}");
    }
}

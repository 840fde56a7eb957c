//! Reports what a step could not do, on standard error, which is the unit's log.

use std::io;
use std::path::Path;

/// Reports a failure at `path` that does not end the step.
pub(super) fn tell(path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("{}: {error}", path.display());
    }
}

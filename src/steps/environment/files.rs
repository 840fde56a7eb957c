//! The files of the environment: where they are, and how they are written.

use std::fs;
use std::io;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use crate::config::places::USER_VARIABLES;
use crate::sys::replace::replace_with;

/// More than a person writes by hand. Bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// The paths of all files.
pub(in crate::steps) struct Places {
    /// The folder of system settings, `/etc`.
    pub(super) etc: PathBuf,
    /// The folder with the time zones.
    pub(super) zones: PathBuf,
    /// The daemon's run folder: files for shells that are valid for this boot.
    pub(super) run: PathBuf,
    /// The variables that we wrote last.
    pub(super) written: PathBuf,
    /// The variables that were in `/etc/environment` when the daemon first started here.
    pub(super) noted: PathBuf,
    /// The variables of the desktop's user.
    pub(super) user: PathBuf,
    /// The script that shells run.
    pub(super) script: PathBuf,
}

impl Places {
    pub(in crate::steps) fn new(run: &Path, state: &Path, config: &Path) -> Self {
        Self {
            etc: "/etc".into(),
            zones: "/usr/share/zoneinfo".into(),
            run: run.to_owned(),
            written: state.join("environment-written"),
            noted: state.join("environment-found"),
            user: USER_VARIABLES.into(),
            script: config.join("files/shell.sh"),
        }
    }

    pub(super) fn machine(&self) -> PathBuf {
        self.etc.join("environment")
    }
}

/// Writes a file atomically. A file that is correct already is not changed.
pub(super) fn replace(file: &Path, content: &[u8], mode: u32, gid: Option<u32>) -> io::Result<()> {
    let Err(error) = replace_with(file, content, mode, |out| fchown(out, None, gid)) else {
        return Ok(());
    };
    // A bind-mounted file can be written, but not replaced.
    if error.kind() == io::ErrorKind::ResourceBusy { fs::write(file, content) } else { Err(error) }
}

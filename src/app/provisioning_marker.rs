//! The provisioning marker: a file by which scripts of the older images see that the machine is still being set up.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::observe::SETUP_SCRIPTS;
use crate::supervise::{UnitState, UnitStatus};
use crate::sys::error::unless_missing;

/// The marker file, and whether it exists.
pub(super) struct ProvisioningMarker {
    file: Option<PathBuf>,
    exists: bool,
}

impl ProvisioningMarker {
    /// Starts without the file. `run_dir` is the daemon's own folder; the file is beside that folder.
    pub(super) fn begin(run_dir: &Path) -> Self {
        let file = run_dir.parent().filter(|_| Uid::effective().is_root());
        let file = file.map(|folder| folder.join("container_config"));
        if let Some(file) = &file {
            // A file of an earlier boot may be left: the folder may live as long as the container.
            remove(file);
        }
        Self { file, exists: false }
    }

    /// Whether users' scripts still set up the machine.
    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// Creates or removes the file, depending on the states of `units`.
    pub(super) fn update(&mut self, units: &[UnitStatus]) {
        let pending = |unit: &UnitStatus| {
            SETUP_SCRIPTS.contains(&unit.name.as_str())
                && [UnitState::Waiting, UnitState::Starting].contains(&unit.state)
        };
        let wanted = units.iter().any(pending);
        if std::mem::replace(&mut self.exists, wanted) == wanted {
            return;
        }
        let Some(file) = &self.file else { return };
        if !wanted {
            remove(file);
        } else if let Err(error) = File::create(file) {
            tracing::warn!("{}: {error}", file.display());
        }
    }
}

fn remove(file: &Path) {
    if let Err(error) = fs::remove_file(file).or_else(unless_missing) {
        tracing::warn!("{}: {error}", file.display());
    }
}

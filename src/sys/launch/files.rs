//! Creates the folders and files that a service needs before it starts. The process that becomes the service creates
//! them as the service's user: root never changes the owner of a file, and never follows a link that the user made.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::failure::{Failure, at};
use super::orders::{NewFile, Orders};
use crate::sys::error::unless_missing;
use crate::sys::replace::replace;

/// Creates the folders and writes the files.
pub(super) fn make(orders: &Orders) -> Result<(), Failure> {
    for folder in &orders.folders {
        at(&format!("making {}", folder.display()), private_folder(folder))?;
    }
    if let Some(folder) = &orders.private_tmp {
        at(&format!("emptying {}", folder.display()), empty(folder))?;
    }
    for file in &orders.files {
        at(&format!("writing {}", file.path.display()), write(file))?;
    }
    Ok(())
}

/// Creates a folder and its missing parents, for the owner alone (mode 0700).
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Creates an empty folder in place of an existing one. Links are removed, not followed.
fn empty(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder).or_else(unless_missing)?;
    private_folder(folder)
}

/// Writes a file atomically; at no time can another user read more than the mode allows.
fn write(file: &NewFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        private_folder(folder)?;
    }
    replace(&file.path, file.content.as_bytes(), file.mode)
}

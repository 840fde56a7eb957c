//! What a service needs in the file system before it starts, made by the process that becomes it, as its user: nothing
//! is ever given away, and no link of that user's making leads root anywhere.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{Failure, NewFile, Orders, at};
use crate::sys::replace::replace;

/// Makes the folders and writes the files.
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

/// Makes a folder, and those above it, for the owner alone.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a folder that has nothing in it. Links are removed, not followed.
fn empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_folder(folder)
}

/// Writes a file whole or not at all; nobody else can ever read more of it than its mode allows.
fn write(file: &NewFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        private_folder(folder)?;
    }
    replace(&file.path, &file.content, file.mode)
}

//! Folders and files that a service finds at its start, made by its own user in the process that becomes it: so they are
//! that user's, and a volume that does not answer costs this service and nobody else.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Failure, NewFile, Orders, at};

/// Makes all of them.
pub(super) fn make(orders: &Orders) -> Result<(), Failure> {
    for folder in &orders.folders {
        at(&format!("making {}", folder.display()), private_folder(folder))?;
    }
    for file in &orders.files {
        at(&format!("writing {}", file.path.display()), write(file))?;
    }
    Ok(())
}

fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file whole or not at all; nobody else can ever read more of it than its mode allows.
fn write(file: &NewFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        private_folder(folder)?;
    }
    let mut name = file.path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    out.write_all(&file.content)?;
    out.set_permissions(Permissions::from_mode(file.mode))?;
    fs::rename(&new, &file.path)
}

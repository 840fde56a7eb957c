//! Unfinished copies in the workspace: their names, and their removal.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::sys::read;

/// The name of `path` until its copy is complete.
pub(in crate::steps) fn unfinished(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

/// Removes unfinished copies that will not be continued. The lock must be held.
pub(in crate::steps) fn sweep(folder: &Path, ending: &str, wanted: &[OsString]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.as_bytes().strip_prefix(b".").and_then(|name| name.strip_suffix(ending.as_bytes()));
        if of.is_some_and(|of| !wanted.iter().any(|wanted| wanted == OsStr::from_bytes(of))) {
            remove(&entry.path());
        }
    }
}

/// Removes a file or folder, if it exists; a failure is reported.
pub(in crate::steps) fn remove(path: &Path) {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => remove_folder(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    if let Err(error) = result {
        eprintln!("removing {}: {error}", path.display());
    }
}

/// Removes a folder with its content. A container may have no capability to change folders of other users
/// (`CAP_DAC_OVERRIDE`), but one to take them over.
pub(in crate::steps) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            take_over(folder)?;
            fs::remove_dir_all(folder)
        }
        done => done,
    }
}

/// Makes the user of this process the owner of a folder and of all folders in it, the outer one first: from then on its
/// former owner cannot put a link in place of an inner one.
fn take_over(folder: &Path) -> io::Result<()> {
    lchown(folder, Some(geteuid().as_raw()), None)?;
    for name in read::names(folder) {
        let path = folder.join(name);
        if fs::symlink_metadata(&path)?.is_dir() {
            take_over(&path)?;
        }
    }
    Ok(())
}

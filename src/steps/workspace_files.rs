//! Copies the files that an image brings for the workspace, `/opt/workspace-internal`: each entry is copied if nothing
//! of its name exists in the workspace. It is copied under a hidden name and then renamed, so that an entry is always
//! complete; one container at a time.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::config::service::step::WorkspaceFiles;
use crate::sys::read;

use super::workspace::copy::Copy;
use super::workspace::leftover::{remove, sweep, unfinished};
use super::workspace::lock::Lock;
use super::workspace::room::Room;
use super::workspace::volume::Volume;

/// The folder of the image with these files.
pub(super) const BROUGHT: &str = "/opt/workspace-internal";

/// In the workspace: the lock file of the copying container, and the name suffix of an unfinished copy.
const LOCK: &str = ".desktopd-files.lock";
const UNFINISHED: &str = ".desktopd-new";

/// Copies what is missing.
pub(super) fn run(brought: &Path, step: &WorkspaceFiles) -> Result<(), String> {
    // Most images bring nothing; then the volume is not accessed at all.
    if read::names(brought).is_empty() {
        return Ok(());
    }
    let volume = Volume::of(&step.workspace)?;
    if missing(brought, &volume.path).is_empty() {
        return Ok(());
    }
    let access = volume.try_out()?;
    let kind = volume.kind.as_deref().unwrap_or_default();
    let lock = Lock::take(&volume.path.join(LOCK), kind, step.wait)?;
    // Another container may have copied meanwhile, or may have died halfway.
    let names = missing(brought, &volume.path);
    sweep(&volume.path, UNFINISHED, &names);
    let mut failed = Vec::new();
    for name in names {
        let (from, to) = (brought.join(&name), volume.path.join(&name));
        let new = unfinished(&to, UNFINISHED);
        let copied = Room::enter(new.clone(), &name, access).map_err(|error| volume.trouble(&error));
        let copied = copied.and_then(|room| {
            let inside = room.inside();
            let copy = Copy { from: &from, to: &inside, keep: false, access, room: Some(&room) };
            copy.run(|| lock.held())?;
            match room.place(&to) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(volume.trouble(&error)),
                _ => Ok(()),
            }
        });
        match copied {
            Ok(()) => println!("{} is there now", to.display()),
            Err(why) => failed.push(why),
        }
        // After a successful copy the private folder was removed already.
        remove(&new);
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// The entries that the image brings and the workspace lacks.
fn missing(brought: &Path, workspace: &Path) -> Vec<OsString> {
    let mut names = read::names(brought);
    names.retain(|name| fs::symlink_metadata(workspace.join(name)).is_err());
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::step::WorkspaceKeys;

    #[test]
    fn existing_entries_are_left_alone_and_missing_entries_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (brought, workspace) = (dir.path().join("brought"), dir.path().join("work"));
        fs::create_dir_all(brought.join("examples/deep")).unwrap();
        fs::write(brought.join("examples/deep/file"), "ours").unwrap();
        fs::create_dir_all(brought.join("notes")).unwrap();
        fs::write(brought.join("notes/file"), "ours").unwrap();
        fs::write(brought.join("read me\n.txt"), "ours").unwrap();
        fs::create_dir_all(workspace.join("notes")).unwrap();
        fs::write(workspace.join("notes/mine"), "mine").unwrap();
        // Links that another user put there to have other files replaced.
        let theirs = dir.path().join("theirs");
        fs::create_dir_all(theirs.join("kept")).unwrap();
        std::os::unix::fs::symlink(&theirs, workspace.join(".read me\n.txt.desktopd-new")).unwrap();
        std::os::unix::fs::symlink(&theirs, workspace.join(".examples.desktopd-new")).unwrap();
        // From a container that died; this image does not bring the entry.
        fs::create_dir_all(workspace.join(".gone.desktopd-new")).unwrap();
        let keys = WorkspaceKeys { folder: workspace.clone(), ..WorkspaceKeys::default() };
        let step = WorkspaceFiles { workspace: keys, ..WorkspaceFiles::default() };
        for _ in 0..2 {
            run(&brought, &step).unwrap();
            assert_eq!(fs::read_to_string(workspace.join("examples/deep/file")).unwrap(), "ours");
            assert_eq!(fs::read_to_string(workspace.join("read me\n.txt")).unwrap(), "ours");
            assert_eq!(fs::read_dir(workspace.join("notes")).unwrap().count(), 1);
            let mut names: Vec<_> =
                fs::read_dir(&workspace).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, [LOCK, "examples", "notes", "read me\n.txt"]);
            assert!(theirs.join("kept").exists() && fs::read_dir(&theirs).unwrap().count() == 1);
        }
        run(&dir.path().join("nothing"), &step).unwrap();
    }
}

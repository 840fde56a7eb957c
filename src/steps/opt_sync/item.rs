//! One folder that moves from the container to the volume, and its state. The state is derived from the files that
//! exist, so that a run that was killed at any moment is continued by the next run:
//!
//! ```text
//! place     on the volume                      next step
//! folder    nothing                            copy to a hidden name, flush, write the marker, rename
//! folder    a copy without marker              continue the copy
//! folder    a copy with marker                 replace the folder by a link
//! neither   a copy with marker                 rename the link that is beside the place
//! link      a copy with marker                 nothing
//! ```
//!
//! Folder and link are exchanged in one step where the file system can do that. Overlays cannot do that with folders of
//! the image (`EXDEV`): there the folder is removed first, and for a moment only the link beside it exists.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::steps::workspace::copy::{Copy, MARKER};
use crate::steps::workspace::leftover::{remove, remove_folder, unfinished};
use crate::steps::workspace::lock::Lock;
use crate::steps::workspace::room::{self, Room};
use crate::steps::workspace::volume::Access;
use crate::sys::error::unless_missing;
use crate::sys::{mounts, read};

/// In the workspace: the name suffix of an unfinished copy.
pub(super) const UNFINISHED: &str = ".desktopd-sync";

/// The name suffix of the link, and after the exchange of the folder, while it is beside its place.
pub(super) const ASIDE: &str = ".desktopd-moved";

/// A folder to move to the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The path in the container.
    pub source: PathBuf,
    /// The path on the volume.
    pub target: PathBuf,
}

/// The state of the move, from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MoveState {
    /// Nothing to do.
    Done,
    /// The complete folder is on the volume, but not linked yet.
    ToLink,
    /// The folder is not on the volume, or only a part of it.
    ToCopy,
}

impl Item {
    /// Determines the state. The error says why the folder is not moved.
    pub fn state(&self, workspace: &Path) -> Result<MoveState, String> {
        let (source, target) = (self.source.display(), self.target.display());
        let complete = self.target.join(MARKER).is_file();
        let interrupted = fs::read_link(self.aside()).is_ok_and(|to| to == self.target);
        let found = fs::symlink_metadata(&self.source);
        match found {
            Ok(found) if found.is_symlink() => match fs::read_link(&self.source) {
                Ok(to) if to == self.target && !complete => Err(format!(
                    "{source} was moved to {target}, and there is no finished copy: mount the volume that has it, \
                         or start a new container"
                )),
                _ => Ok(MoveState::Done),
            },
            // A folder around this one was moved already.
            Ok(_) if fs::canonicalize(&self.source).ok().is_some_and(|path| path.starts_with(workspace)) => {
                Ok(MoveState::Done)
            }
            Ok(found) if !found.is_dir() => Err(format!("{source} is not a folder: it stays where it is")),
            Ok(_) if workspace.starts_with(&self.source) => {
                Err(format!("{source} has the workspace in it: it stays where it is"))
            }
            Ok(_) if mounts::any_below(&self.source) => {
                Err(format!("something is mounted in {source}: it stays where it is"))
            }
            Ok(_) if complete => self.check_version().map(|()| MoveState::ToLink),
            Err(_) if complete && interrupted => Ok(MoveState::ToLink),
            _ if interrupted => Err(format!(
                "{source} was being replaced by a link to {target}, where there is no finished copy any more: mount \
                 the volume that has it, or start a new container"
            )),
            Ok(_) if !room::is_inside(workspace, &self.target) => Err(format!(
                "{target} is not in the workspace, where a link on the way leads elsewhere: {source} stays where it is"
            )),
            Ok(_) => match fs::symlink_metadata(&self.target) {
                Ok(there) if !there.is_dir() => {
                    Err(format!("{target} is not a folder: move it away for {source} to be moved there"))
                }
                _ => Ok(MoveState::ToCopy),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(MoveState::Done),
            Err(error) => Err(format!("{source}: {error}")),
        }
    }

    /// Prints a message that explains why nothing is done.
    pub fn remark(&self) {
        let source = self.source.display();
        match fs::read_link(&self.source) {
            Ok(to) if to != self.target => println!("{source} is a link to {}: it stays one", to.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => println!("there is no {source}"),
            _ => {}
        }
    }

    /// A Python environment works only with the Python that created it, and the volume may have an environment of
    /// another image.
    fn check_version(&self) -> Result<(), String> {
        let (ours, theirs) = (python(&self.source), python(&self.target));
        match (&ours, &theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(format!(
                "{} is an environment of Python {theirs}, and this image has Python {ours}: {} stays in use. To have it \
                 on the volume, move the other one away",
                self.target.display(),
                self.source.display()
            )),
            _ => Ok(()),
        }
    }

    /// Copies the folder to the volume; where folders can be renamed, a partial copy is never visible under the final
    /// name. The lock must be held.
    pub fn copy(&self, access: Access, lock: &Lock, renames: bool) -> Result<(), String> {
        // A folder without a marker is the user's, or an unfinished copy of an older image: existing files in it are
        // not changed.
        let keep = self.target.is_dir() || !renames;
        let trouble = |error: io::Error| format!("{}: {error}", self.target.display());
        access.folder(self.target.parent().unwrap_or(&self.target)).map_err(trouble)?;
        let name = self.target.file_name().unwrap_or_default();
        let room = (!keep).then(|| Room::enter(unfinished(&self.target, UNFINISHED), name, access));
        let room = room.transpose().map_err(trouble)?;
        let new = room.as_ref().map_or_else(|| self.target.clone(), Room::inside);
        if !new.join(MARKER).is_file() {
            println!("moving {} to {}", self.source.display(), self.target.display());
            let copy = Copy { from: &self.source, to: &new, keep, access, room: room.as_ref() };
            let copied = copy.run(|| lock.held());
            if !lock.held() {
                return Err(format!("{}: another container took over", self.target.display()));
            }
            if let Err(why) = copied {
                if let Some(room) = room {
                    room.clear();
                }
                return Err(format!("{why}; {} stays in use", self.source.display()));
            }
            let marker = new.join(MARKER);
            access.file(&marker, "1\n").and_then(|()| read::sync(&marker)).map_err(trouble)?;
        }
        if let Some(room) = room {
            room.place(&self.target).map_err(trouble)?;
        }
        for folder in [Some(self.target.as_path()), self.target.parent()].into_iter().flatten() {
            // Not all file systems can flush folders, and the files in them are on the disk by now.
            let _ = read::sync(folder);
        }
        Ok(())
    }

    /// Replaces the folder by a link to the volume, where the copy is complete.
    pub fn link(&self) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("replacing {} by a link to {}: {error}", self.source.display(), self.target.display())
        };
        let aside = self.aside();
        if fs::read_link(&aside).ok().as_ref() != Some(&self.target) {
            remove(&aside);
            symlink(&self.target, &aside).map_err(failed)?;
        }
        match renameat_with(CWD, &aside, CWD, &self.source, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOENT) => {
                remove_folder(&self.source).or_else(unless_missing).map_err(failed)?;
                fs::rename(&aside, &self.source).map_err(failed)?;
            }
            Err(error) => {
                remove(&aside);
                return Err(failed(error.into()));
            }
        }
        println!("{} is {} now", self.source.display(), self.target.display());
        self.tidy();
        Ok(())
    }

    /// Removes the original folder after the link has replaced it.
    pub fn tidy(&self) {
        if self.source.is_symlink() {
            remove(&self.aside());
        }
    }

    fn aside(&self) -> PathBuf {
        unfinished(&self.source, ASIDE)
    }
}

/// The Python version of an environment, major and minor part.
fn python(environment: &Path) -> Option<String> {
    let text = room::text(&environment.join("pyvenv.cfg")).ok()?;
    let version = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["version", "version_info"].contains(&key.trim()).then(|| value.trim())
    })?;
    Some(version.split('.').take(2).collect::<Vec<_>>().join("."))
}

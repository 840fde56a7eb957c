//! One folder that moves from the container to the volume, and how far it has come. That is read off what is there,
//! so that whoever was killed at any moment is followed by somebody who knows how to go on:
//!
//! ```text
//! folder    nothing on the volume              copy to a hidden name, flush, mark, rename
//! folder    a copy without its mark            go on with it
//! folder    a marked copy                      replace the folder by a link
//! neither   a marked copy, link kept beside    the same, from where it ended
//! link      a marked copy                      nothing
//! ```
//!
//! Folder and link change places at once where the file system can do that. Overlays cannot with folders of the image
//! (`EXDEV`): there the folder is removed first, and for that moment the link is beside it only.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::UNFINISHED;
use crate::facts::workspace::has_mounts;
use crate::steps::workspace::copy::{Copy, MARKER};
use crate::steps::workspace::lock::Lock;
use crate::steps::workspace::room::{self, Room};
use crate::steps::workspace::volume::Access;
use crate::steps::workspace_files::{remove, unfinished};
use crate::sys::read;

/// What the link, and after the exchange the folder, is called beside its place.
pub(super) const ASIDE: &str = ".desktopd-moved";

/// A folder that is to be on the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it is in the container.
    pub source: PathBuf,
    /// Where it belongs on the volume.
    pub target: PathBuf,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// There is nothing to do.
    Done,
    /// It is not on the volume, or not all of it.
    Here,
    /// All of it is on the volume, and not used from there yet.
    There,
}

impl Item {
    /// Looks. The error says why it stays where it is.
    pub fn stand(&self, workspace: &Path) -> Result<Stand, String> {
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
                Ok(to) if to != self.target => {
                    println!("{source} is a link to {}: it stays one", to.display());
                    Ok(Stand::Done)
                }
                _ => Ok(Stand::Done),
            },
            // A folder around it has moved already.
            Ok(_) if fs::canonicalize(&self.source).ok().is_some_and(|path| path.starts_with(workspace)) => {
                Ok(Stand::Done)
            }
            Ok(found) if !found.is_dir() => Err(format!("{source} is not a folder: it stays where it is")),
            Ok(_) if workspace.starts_with(&self.source) => {
                Err(format!("{source} has the workspace in it: it stays where it is"))
            }
            Ok(_) if has_mounts(&self.source) => {
                Err(format!("something is mounted in {source}: it stays where it is"))
            }
            Ok(_) if complete => self.check_version().map(|()| Stand::There),
            Err(_) if complete && interrupted => Ok(Stand::There),
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
                _ => Ok(Stand::Here),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stand::Done),
            Err(error) => Err(format!("{source}: {error}")),
        }
    }

    /// What people may wonder about where nothing is to be done.
    pub fn remark(&self) {
        let source = self.source.display();
        match fs::read_link(&self.source) {
            Ok(to) if to != self.target => println!("{source} is a link to {}: it stays one", to.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => println!("there is no {source}"),
            _ => {}
        }
    }

    /// A Python environment works with the Python that made it, and a volume may have one of another image.
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

    /// Copies it to the volume, all of it or, where folders can be renamed there, nothing that anybody sees. The lock is
    /// held.
    pub fn copy(&self, access: Access, lock: &Lock, renames: bool) -> Result<(), String> {
        // What is there without a mark is somebody's, or an unfinished copy of an older image: nothing in it changes.
        let keep = self.target.is_dir() || !renames;
        let trouble = |error: io::Error| format!("{}: {error}", self.target.display());
        access.folder(self.target.parent().unwrap_or(&self.target)).map_err(trouble)?;
        let name = self.target.file_name().unwrap_or_default();
        let room =
            if keep { None } else { Some(Room::enter(self.unfinished(), name, access).map_err(trouble)?) };
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
            access.file(&marker, "1\n").and_then(|()| flush(&marker)).map_err(trouble)?;
        }
        if let Some(room) = room {
            room.place(&self.target).map_err(trouble)?;
        }
        for folder in [Some(self.target.as_path()), self.target.parent()].into_iter().flatten() {
            // Not all file systems do that with folders, and what is in them is safe by now.
            let _ = flush(folder);
        }
        Ok(())
    }

    /// Puts a link to the volume in its place. The copy there is finished.
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
                match fs::remove_dir_all(&self.source) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
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

    /// Removes the original that is a link by now.
    pub fn tidy(&self) {
        if self.source.is_symlink() {
            remove(&self.aside());
        }
    }

    /// What its copy is called until it is whole.
    fn unfinished(&self) -> PathBuf {
        unfinished(&self.target, UNFINISHED)
    }

    fn aside(&self) -> PathBuf {
        unfinished(&self.source, ASIDE)
    }
}

/// Waits until it is on the disk.
fn flush(path: &Path) -> io::Result<()> {
    read::sync(path)
}

/// The version of Python that an environment was made with, without its last part.
fn python(environment: &Path) -> Option<String> {
    let text = room::text(&environment.join("pyvenv.cfg")).ok()?;
    let version = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["version", "version_info"].contains(&key.trim()).then(|| value.trim())
    })?;
    Some(version.split('.').take(2).collect::<Vec<_>>().join("."))
}

//! Reads the files in which users and hooks leave variables: the edits of the system's file, the `.env` of the
//! workspace, and the environment that hooks left. They are read when a plan is made, never before the portal answers,
//! and with a time limit, because a volume may be dead.
//!
//! The daemon writes the system's file itself, and notes its content before the first of our scripts runs:
//! [`Baseline`] tells edits by both.

use std::cell::LazyCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::take;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use rustix::fs::FlockOperation;

use super::names::{
    OF_BASH, OF_SHELL, OF_UNIT, OF_USER, is_one_of, is_own_secret, is_startup, is_unchosen, row,
};
use super::sources::{Layer, Origin};
use super::table::Flag;
use crate::sys::env_file::{self, Baseline, Raw, of_entries};
use crate::sys::error::unless_missing;
use crate::sys::launch::written_by;
use crate::sys::replace::replace;
use crate::sys::{read, with_timeout};

/// The paths of the files, without that of the workspace's file.
#[derive(Clone, Debug)]
pub struct Files {
    /// The system's file, which users edit.
    pub system: PathBuf,
    /// The copy of what the daemon last wrote there.
    pub written: PathBuf,
    /// The content of the system's file when the daemon first started on this instance.
    pub found: PathBuf,
    /// The environment that hooks left.
    pub hooks: PathBuf,
}

/// Reads the edits of the system's file, and the environment in which hooks ended. `start` are the variables that were
/// set before any file was read.
pub(super) fn system(files: &Files, start: impl FnOnce() -> Raw) -> (Layer, Baseline, Option<Raw>) {
    let mut layer = edits(files);
    let wanted = files.clone();
    let found = answer(move || {
        let Files { system, written, found, hooks } = &wanted;
        let _lock = written.parent().map(|state| env_file::lock(state, FlockOperation::LockShared));
        Ok((contents(system), Baseline::read(written, found), contents(hooks)))
    });
    let (system, baseline, hooks) =
        found.unwrap_or_else(|error| (Err(error), Baseline::default(), Ok(Vec::new())));
    match system {
        Ok(bytes) => parse(&mut layer, &bytes),
        Err(error) => layer.report("", error.to_string()),
    }
    let start = LazyCell::new(start);
    layer.set.retain(|name, value| baseline.is_edit(name, Some(&*value), || start.contains_key(name)));
    let hooks = hooks.ok().map(|bytes| of_entries(&bytes)).filter(|left| !left.is_empty());
    (layer, baseline, hooks)
}

/// A layer for edits of the system's file.
fn edits(files: &Files) -> Layer {
    Layer { edits: true, ..Layer::new(Origin::File(files.system.clone())) }
}

/// Reads the workspace's file: only the variables of the table, because other programs may use the file too, and only
/// if no user except root and the workspace's owner can write the file. `root` says that root provisions the machine.
pub(super) fn workspace(folder: &Path, root: bool) -> Layer {
    let (folder, path) = (folder.to_owned(), folder.join(".env"));
    let mut layer = Layer::new(Origin::File(path.clone()));
    let found = answer(move || {
        let owner = fs::metadata(folder)?;
        written_by(&path, owner.uid(), owner.gid())
    });
    match found {
        Ok(bytes) => parse(&mut layer, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => layer.report("", error.to_string()),
    }
    for (name, value) in take(&mut layer.set) {
        let Some(variable) = name.to_str().and_then(row) else { continue };
        if variable.is(Flag::NotInWorkspace) || (root && variable.is(Flag::NotInWorkspaceOfRoot)) {
            let message = "it is not taken from here: set it with the container, or in /etc/environment";
            layer.report(name.to_string_lossy(), message);
        } else {
            layer.set.insert(name, value);
        }
    }
    layer
}

/// Notes the content of the system's file, unless that was done before on this instance or the daemon has written the
/// file. Call this before anything runs that may change the file.
pub fn note(files: &Files) -> io::Result<()> {
    if files.found.exists() || files.written.exists() {
        return Ok(());
    }
    let system = files.system.clone();
    let bytes = answer(move || contents(&system))?;
    let noted: Raw = env_file::parse(&bytes).variables.into_iter().collect();
    replace(&files.found, &env_file::entries(&noted), 0o600)
}

/// The users' edits of the start-up variables since the daemon first started on this instance. Older values do not
/// count: an image that was made from another instance has the password of that instance in the file.
pub(super) fn startup(files: &Files) -> Layer {
    let mut layer = edits(files);
    let wanted = files.clone();
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let found = answer(move || {
        let bytes = written_by(&wanted.system, uid, gid)?;
        Ok((bytes, Baseline::read(&wanted.written, &wanted.found)))
    });
    match found {
        Ok((bytes, Baseline { written, noted })) => {
            let known: Vec<Raw> = written.into_iter().chain(noted).collect();
            let same =
                |name: &OsString, value: &OsString| known.iter().any(|known| known.get(name) == Some(value));
            layer.set = env_file::parse(&bytes).variables.into_iter().collect();
            // Without a noted content it is unknown which values are new.
            layer.set.retain(|name, value| !known.is_empty() && is_startup(name) && !same(name, &*value));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            layer.report(
                "",
                format!("{error}; its values for the login and the gateway's ports do not count"),
            );
        }
        // Other errors are reported when the whole file is read.
        Err(_) => {}
    }
    layer
}

/// The changes that hooks made to the environment `before` that they were given. `usual` is the further environment of
/// every unit.
pub(super) fn left_by_hooks(before: &Raw, after: &Raw, usual: &Raw) -> Layer {
    let own =
        |name: &OsStr| name == "LD_PRELOAD" || is_one_of(name, &[&OF_SHELL, &OF_BASH, &OF_USER, &OF_UNIT]);
    let mut layer = Layer::new(Origin::Hook);
    let given =
        |name: &OsString, value: &OsString| [before, usual].iter().any(|env| env.get(name) == Some(value));
    // A hook sets DISPLAY on purpose; the other variables of the lists come from its shell.
    let set = after.iter().filter(|(name, value)| !given(name, value) && (!own(name) || *name == "DISPLAY"));
    layer.set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    let gone = before.iter().filter(|(name, value)| !value.is_empty() && !after.contains_key(*name));
    let gone = gone
        .map(|(name, _)| name)
        .filter(|name| env_file::is_name(name) && !own(name) && !name.to_str().is_some_and(is_own_secret));
    layer.gone = gone.cloned().collect();
    layer
}

/// Adds the variables of a file's text to its layer.
fn parse(layer: &mut Layer, bytes: &[u8]) {
    let parsed = env_file::parse(bytes);
    parsed.told.into_iter().for_each(|told| layer.report("", told));
    layer.set.extend(parsed.variables.into_iter().filter(|(name, value)| !is_unchosen(name, value)));
}

/// The content of a file; empty if it does not exist.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    read::bytes(path, read::BY_HAND).or_else(unless_missing)
}

/// The result of a look at files on a volume that may not answer.
fn answer<T: Send + 'static>(look: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    with_timeout(look).unwrap_or_else(|| Err(io::Error::other("it does not answer")))
}

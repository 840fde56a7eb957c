//! Reads the files in which users and hooks leave variables: the edits of the system's file, the `.env` of the
//! workspace, and the environment that hooks left. They are read when a plan is made, never before the portal answers,
//! and with a time limit, because a volume may be dead.
//!
//! The content of the system's file before the first of our scripts runs is noted once: it comes from the image, and
//! variables that were given to the container win over it. Values that scripts write there before the daemon writes the
//! file are edits, and stay.
//!
//! The daemon writes the system's file itself and keeps a copy of what it wrote: any difference from the copy is an
//! edit of a user. The copy must therefore contain the values as they would be without the edits; otherwise the daemon
//! would take an edit for its own value the next time.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use super::Raw;
use super::layers::{Layer, Origin};
use super::names::row;
use super::unchosen::is_unchosen;
use crate::config::problem::Problem;
use crate::sys::error::unless_missing;
use crate::sys::launch::written_by;
use crate::sys::replace::replace;
use crate::sys::{env_file, read, with_timeout};

/// Variables that decide what root runs, which user becomes root, or where this file is. They are not taken from the
/// workspace, because any program of the user can write there, in this container and in others with the same volume.
const NOT_FROM_THE_WORKSPACE: [&str; 10] = [
    "BOOT_SCRIPT",
    "DESKTOPD_CONFIG",
    "HOTFIX_SCRIPT",
    "OPT_SYNC",
    "PROVISIONING_USER",
    "PUBLIC_KEY",
    "SSH_PUBKEY",
    "SSH_PUBLIC_KEY",
    "USER_NAME",
    "WORKSPACE",
];

/// A further such variable if root runs the script.
const PROVISIONING: &str = "PROVISIONING_SCRIPT";

/// Variables that each shell or unit sets for itself, so a difference is not a change by a hook.
const OF_THE_PROCESS: [&str; 22] = [
    "BASHOPTS",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "LD_PRELOAD",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LOGNAME",
    "NOTIFY_SOCKET",
    "OLDPWD",
    "PULSE_SERVER",
    "PWD",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "TERM",
    "USER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "_",
];

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

/// The content of the files.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The edits of the system's file, then the workspace's file.
    pub(super) layers: Vec<Layer>,
    /// The environment in which hooks ended, if any ran.
    pub(super) hooks: Option<Raw>,
    /// The content of the system's file when the daemon first started here.
    pub(super) noted: Raw,
    pub(super) told: Vec<Problem>,
}

/// Reads all files except that of the workspace. `start` contains the variables that were set before any file was read.
pub(super) fn system(files: &Files, start: &Raw) -> Found {
    let mut found = Found::default();
    let wanted = files.clone();
    let found_now = with_timeout(move || {
        let Files { system, written, found, hooks } = &wanted;
        (contents(system), contents(written), contents(found), contents(hooks))
    });
    let Some((system, written, noted, hooks)) = found_now else {
        found.told.push(Problem::new(files.system.display().to_string(), "", "it does not answer"));
        return found;
    };
    let of = |bytes: io::Result<Option<Vec<u8>>>| bytes.ok().flatten().map(|bytes| entries(&bytes));
    let (written, noted) = (of(written), of(noted));
    match system {
        Ok(Some(bytes)) => {
            let parsed = parsed(&files.system, &bytes, &mut found.told);
            let set = edits(parsed, written.as_ref(), noted.as_ref(), start);
            let origin = Origin::File(files.system.clone());
            found.layers.push(Layer { edits: true, ..Layer::new(origin, set) });
        }
        Ok(None) => {}
        Err(error) => {
            found.told.push(Problem::new(files.system.display().to_string(), "", error.to_string()));
        }
    }
    found.noted = noted.unwrap_or_default();
    found.hooks = hooks.ok().flatten().map(|bytes| entries(&bytes)).filter(|left| !left.is_empty());
    found
}

/// Reads the workspace's file: only the variables of the table, because other programs may use the file too, and only
/// if no user except root and the workspace's owner can write the file. `root` says that root provisions the machine.
pub(super) fn workspace(folder: &Path, root: bool, found: &mut Found) {
    let path = folder.join(".env");
    let wanted = path.clone();
    let place = path.display().to_string();
    let look = move || {
        let owner = fs::metadata(wanted.parent().unwrap_or(&wanted))?;
        written_by(&wanted, owner.uid(), owner.gid())
    };
    let bytes = match with_timeout(look) {
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => return,
        Some(Err(error)) => return found.told.push(Problem::new(place, "", error.to_string())),
        None => return found.told.push(Problem::new(place, "", "it does not answer")),
    };
    let mut set = Raw::new();
    for (name, value) in parsed(&path, &bytes, &mut found.told) {
        let Some(variable) = name.to_str().and_then(row) else { continue };
        let first = variable.names[0];
        if NOT_FROM_THE_WORKSPACE.contains(&first) || (root && first == PROVISIONING) {
            let message = "it is not taken from here: set it with the container, or in /etc/environment";
            found.told.push(Problem::new(&*place, name.to_string_lossy(), message));
        } else {
            set.insert(name, value);
        }
    }
    found.layers.push(Layer::new(Origin::File(path), set));
}

/// The users' edits of the system's file. Before the daemon has written the file, the `noted` values come from the
/// image, and variables that were given to the container win over them.
fn edits(
    file: impl IntoIterator<Item = (OsString, OsString)>,
    written: Option<&Raw>,
    noted: Option<&Raw>,
    start: &Raw,
) -> Raw {
    let mut edits: Raw = file.into_iter().collect();
    match written {
        Some(written) => edits.retain(|name, value| written.get(name) != Some(value)),
        None => edits.retain(|name, value| {
            !start.contains_key(name) || noted.is_some_and(|noted| noted.get(name) != Some(value))
        }),
    }
    edits
}

/// Notes the content of the system's file, unless that was done before on this instance or the daemon has written the
/// file. Call this before anything runs that may change the file.
pub fn note(files: &Files) -> io::Result<()> {
    if files.found.exists() || files.written.exists() {
        return Ok(());
    }
    let system = files.system.clone();
    let read = with_timeout(move || contents(&system));
    let bytes = read.unwrap_or_else(|| Err(io::Error::other("it does not answer")))?.unwrap_or_default();
    let noted = env_file::parse(&bytes).variables;
    let noted: Raw = noted.into_iter().filter(|(name, _)| !name.is_empty()).collect();
    replace(&files.found, &env_file::entries(&noted), 0o600)
}

/// The users' edits of the start-up variables since the daemon first started on this instance. Older values do not
/// count: an image that was made from another instance has the password of that instance in the file.
pub(super) fn startup(files: &Files, is_startup: impl Fn(&OsString) -> bool) -> io::Result<Raw> {
    let wanted = files.clone();
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let read = with_timeout(move || {
        let noted = [contents(&wanted.written), contents(&wanted.found)];
        (written_by(&wanted.system, uid, gid), noted)
    });
    let (system, noted) = read.ok_or_else(|| io::Error::other("it does not answer"))?;
    let system = match system {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Raw::new()),
        system => env_file::parse(&system?).variables,
    };
    let noted: Vec<Raw> =
        noted.into_iter().filter_map(|bytes| bytes.ok().flatten()).map(|bytes| entries(&bytes)).collect();
    let mut set: Raw = system.into_iter().collect();
    let same = |name: &OsString, value: &OsString| noted.iter().any(|noted| noted.get(name) == Some(value));
    // Without a noted content it is unknown which values are new.
    set.retain(|name, value| !noted.is_empty() && is_startup(name) && !same(name, value));
    Ok(set)
}

/// The changes that hooks made to the environment `before` that they were given. `usual` is the further environment of
/// every unit.
pub(super) fn left_by_hooks(before: &Raw, after: &Raw, usual: &BTreeMap<String, String>) -> Layer {
    let own = |name: &OsStr| name.to_str().is_some_and(|name| OF_THE_PROCESS.contains(&name));
    let given = |name: &OsStr, value: &OsStr| {
        before.get(name).is_some_and(|before| before == value)
            || name.to_str().and_then(|name| usual.get(name)).is_some_and(|usual| usual.as_str() == value)
    };
    let kept = |name: &OsStr| name.to_str().is_none_or(|name| row(name).is_none_or(|row| !row.secret));
    let set = after.iter().filter(|(name, value)| {
        // A hook sets DISPLAY on purpose; the other variables of the list come from its shell.
        !given(name, value) && (!own(name) || *name == "DISPLAY")
    });
    let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    let gone = before.iter().filter(|(name, value)| {
        !value.is_empty() && !after.contains_key(*name) && env_file::is_name(name) && !own(name) && kept(name)
    });
    let gone = gone.map(|(name, _)| name.clone()).collect();
    Layer { gone, ..Layer::new(Origin::Hook, set) }
}

/// Parses `NAME=value`, each followed by a NUL.
fn entries(bytes: &[u8]) -> Raw {
    let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let (name, value) = (&entry[..at], &entry[at + 1..]);
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
    });
    entries.collect()
}

fn parsed(path: &Path, bytes: &[u8], told: &mut Vec<Problem>) -> Vec<(OsString, OsString)> {
    let parsed = env_file::parse(bytes);
    told.extend(parsed.told.into_iter().map(|message| Problem::new(path.display().to_string(), "", message)));
    let chosen = |(name, value): &(OsString, OsString)| !name.is_empty() && !is_unchosen(name, value);
    parsed.variables.into_iter().filter(chosen).collect()
}

/// The content of a file; `None` if it does not exist.
fn contents(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read::bytes(path, read::BY_HAND).map(Some).or_else(unless_missing)
}

//! What people keep in files of variables, read by the process that becomes the service and at each of its starts: an
//! edit is taken up by a restart, and a volume that does not answer holds up nobody else.
//!
//! A file says something only where nobody but root, the service's own user and its group can have written it. What the
//! plan fixes for the service stays. What is wrong with a file is told in the service's log; a file that is missing is
//! nothing wrong.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use serde::{Deserialize, Serialize};

use super::Orders;
use crate::sys::env_file::{of_entries, parse_with};
use crate::sys::read as file;

/// How long a volume may take to give a file.
const PATIENCE: Duration = Duration::from_secs(2);

/// A longer file is no list of variables. Bytes.
const LONGEST: u64 = 1 << 20;

/// How many mistakes are told one by one.
const TOLD: usize = 3;

/// Files with variables that people write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFiles {
    /// The machine's own.
    pub machine: PathBuf,
    /// What we wrote into it: only what differs from that counts.
    pub written: PathBuf,
    /// What it said when the daemon first started here, for the time before we wrote it.
    pub noted: PathBuf,
    /// The one of the service's own user, if there is one.
    pub user: Option<PathBuf>,
    /// The one in the workspace, if that is read.
    pub workspace: Option<PathBuf>,
    /// Variables that no file can change.
    pub fixed: Vec<String>,
}

/// Who may have written a file that counts, beside root.
#[derive(Clone, Copy)]
struct Who {
    uid: u32,
    gid: u32,
}

impl Who {
    fn of(orders: &Orders) -> Self {
        match &orders.identity {
            Some(identity) => Self { uid: identity.uid, gid: identity.gid },
            None => Self { uid: geteuid().as_raw(), gid: getegid().as_raw() },
        }
    }

    /// Whether nobody else can have written what this is of.
    fn alone_writes(self, found: &Metadata) -> bool {
        let group = found.mode() & 0o020 == 0 || found.gid() == self.gid || found.gid() == 0;
        [0, self.uid].contains(&found.uid()) && group && found.mode() & 0o002 == 0
    }
}

/// What people changed in the machine's file. To be asked for before the process becomes its user, who may not know
/// what we wrote.
pub(super) fn edits(orders: &Orders) -> Vec<(OsString, OsString)> {
    let Some(files) = &orders.env_files else { return Vec::new() };
    let mut variables = taken(&files.machine, read(&files.machine, Who::of(orders)), orders);
    let of = |path: &Path| -> Option<BTreeMap<OsString, OsString>> {
        file::bytes(path, LONGEST).ok().map(|bytes| of_entries(&bytes).into_iter().collect())
    };
    if let Some(written) = of(&files.written) {
        variables.retain(|(name, value)| written.get(name) != Some(value));
    } else {
        // Before the first time that we wrote it, what was noted is the image's, and says less than whoever started the
        // container.
        let noted = of(&files.noted);
        let given = |name: &OsString| orders.env.iter().any(|(own, _)| own == name.as_bytes());
        variables.retain(|(name, value)| {
            !given(name) || noted.as_ref().is_some_and(|noted| noted.get(name) != Some(value))
        });
    }
    variables
}

/// What stands in the workspace's file, and over it in the user's own.
pub(super) fn of_people(orders: &Orders) -> Vec<(OsString, OsString)> {
    let Some(files) = &orders.env_files else { return Vec::new() };
    [&files.workspace, &files.user].into_iter().flatten().flat_map(|path| late(path, orders)).collect()
}

/// What stands in a file that may be on a volume.
fn late(path: &Path, orders: &Orders) -> Vec<(OsString, OsString)> {
    let (sender, found) = mpsc::sync_channel(1);
    let (file, who) = (path.to_owned(), Who::of(orders));
    let look = move || {
        // Nobody listens any more when it took too long.
        let _ = sender.try_send(read(&file, who));
    };
    // A thread that hangs in a dead volume ends with the exec.
    let looking = std::thread::Builder::new().stack_size(64 * 1024).spawn(look);
    let late = |_| io::Error::other("it does not answer");
    let found = looking.and_then(|_| found.recv_timeout(PATIENCE).map_err(late)?);
    taken(path, found, orders)
}

/// What is in a file that nobody but root, this user and this group can have written.
pub fn written_by(path: &Path, uid: u32, gid: u32) -> io::Result<Vec<u8>> {
    read(path, Who { uid, gid })
}

/// What is in a file that counts.
fn read(path: &Path, who: Who) -> io::Result<Vec<u8>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().unwrap_or_default();
    // Opening a pipe must not wait for somebody at its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&folder, name, flags, Mode::empty())?);
    let found = file.metadata()?;
    file::regular(&found)?;
    // A link can lead to a file that its maker cannot read.
    let named = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (named.st_dev, named.st_ino) != (found.dev(), found.ino()) && found.uid() != who.uid {
        let why = format!("it is a link to a file of user {}, not of user {}", found.uid(), who.uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    // In a folder of somebody else's, a file of root's may be one that was moved there.
    if !who.alone_writes(&found) || (who.uid == 0 && !who.alone_writes(&File::from(folder).metadata()?)) {
        let why = format!("somebody other than root and user {} can write it", who.uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    file::all(file, LONGEST)
}

/// The variables of a file as far as they may be changed.
fn taken(path: &Path, read: io::Result<Vec<u8>>, orders: &Orders) -> Vec<(OsString, OsString)> {
    let tell = |what: &str| {
        if !orders.quiet {
            crate::sys::print::error(&format!("desktopd: {}: {what}", path.display()));
        }
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                tell(&format!("{error}; it starts without what stands there"));
            }
            return Vec::new();
        }
    };
    let env = |name: &OsStr| {
        let found = orders.env.iter().find(|(own, _)| own.as_slice() == name.as_bytes());
        found.map(|(_, value)| OsString::from_vec(value.clone()))
    };
    let parsed = parse_with(&bytes, env);
    for mistake in parsed.told.iter().take(TOLD) {
        tell(mistake);
    }
    if parsed.told.len() > TOLD {
        tell(&format!("and {} more lines like that", parsed.told.len() - TOLD));
    }
    let fixed = orders.env_files.iter().flat_map(|files| &files.fixed);
    let fixed: Vec<&str> = fixed.map(String::as_str).collect();
    let mut variables = parsed.variables;
    variables.retain(|(name, _)| name.to_str().is_none_or(|name| !fixed.contains(&name)));
    variables
}

#[cfg(test)]
mod tests;

//! Reads the variables that users keep in files. The process that becomes the service reads them at each start: a
//! restart takes up an edit, and a volume that does not answer delays only this service.
//!
//! A file counts only if no user except root, the service's own user and its group can write it. A file cannot change
//! the variables that the plan fixes for the service. Problems with a file are reported in the service's log; a missing
//! file is not a problem.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{getegid, geteuid};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, openat, statat};

use super::orders::Orders;
use crate::sys::env_file::{Baseline, lock, parse_with};
use crate::sys::{read as file, with_timeout};

/// How many mistakes are reported one by one.
const TOLD: usize = 3;

/// The user and the group that may write a file, beside root.
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

    /// Whether no other user can write the file.
    fn alone_writes(self, found: &Metadata) -> bool {
        let group = found.mode() & 0o020 == 0 || found.gid() == self.gid || found.gid() == 0;
        [0, self.uid].contains(&found.uid()) && group && found.mode() & 0o002 == 0
    }
}

/// The variables that users changed in the system's file. Call this before the process changes to the service's user,
/// who may not read what the daemon wrote.
pub(super) fn edits(orders: &Orders) -> Vec<(OsString, OsString)> {
    let Some(files) = &orders.env_files else { return Vec::new() };
    // A step that changes the files may hang; then the service starts without the lock.
    let state = files.written.parent().map(Path::to_owned);
    let _lock = state.and_then(|state| with_timeout(move || lock(&state, FlockOperation::LockShared)));
    let baseline = Baseline::read(&files.written, &files.noted);
    let mut variables = taken(&files.machine, read(&files.machine, Who::of(orders)), orders);
    variables.retain(|(name, value)| baseline.is_edit(name, Some(value), || orders.env.contains_key(name)));
    variables
}

/// The variables of the workspace's file, then those of the user's own file, which win.
pub(super) fn of_people(orders: &Orders) -> Vec<(OsString, OsString)> {
    let Some(files) = &orders.env_files else { return Vec::new() };
    [&files.workspace, &files.user].into_iter().flatten().flat_map(|path| late(path, orders)).collect()
}

/// The variables of a file that may be on a volume that does not answer.
fn late(path: &Path, orders: &Orders) -> Vec<(OsString, OsString)> {
    let (file, who) = (path.to_owned(), Who::of(orders));
    // A thread that hangs on a dead volume ends with the exec.
    let found = with_timeout(move || read(&file, who));
    taken(path, found.unwrap_or_else(|| Err(io::Error::other("it does not answer"))), orders)
}

/// The content of a file that no user except root, this user and this group can write.
pub fn written_by(path: &Path, uid: u32, gid: u32) -> io::Result<Vec<u8>> {
    read(path, Who { uid, gid })
}

/// Reads a file and checks who can write it.
fn read(path: &Path, who: Who) -> io::Result<Vec<u8>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().unwrap_or_default();
    // Opening a FIFO must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&folder, name, flags, Mode::empty())?);
    let found = file.metadata()?;
    file::regular(&found)?;
    // A link can lead to a file that the creator of the link cannot read.
    let named = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (named.st_dev, named.st_ino) != (found.dev(), found.ino()) && found.uid() != who.uid {
        let why = format!("it is a link to a file of user {}, not of user {}", found.uid(), who.uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    // In a folder that another user can write, that user may have moved a file of root's there.
    if !who.alone_writes(&found) || (who.uid == 0 && !who.alone_writes(&File::from(folder).metadata()?)) {
        let why = format!("a user other than root and user {} can write it", who.uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    file::all(file, file::BY_HAND)
}

/// The variables of a file, without those that no file can change.
fn taken(path: &Path, read: io::Result<Vec<u8>>, orders: &Orders) -> Vec<(OsString, OsString)> {
    let tell = |what: &str| orders.warn(&format!("{}: {what}", path.display()));
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                tell(&format!("{error}; the service starts without this file's variables"));
            }
            return Vec::new();
        }
    };
    let parsed = parse_with(&bytes, |name: &OsStr| orders.env.get(name).cloned());
    for mistake in parsed.told.iter().take(TOLD) {
        tell(mistake);
    }
    if parsed.told.len() > TOLD {
        tell(&format!("and {} more lines like that", parsed.told.len() - TOLD));
    }
    let is_fixed = |name: &OsString| {
        orders.env_files.iter().flat_map(|files| &files.fixed).any(|fixed| name == fixed.as_str())
    };
    parsed.variables.into_iter().filter(|(name, _)| !is_fixed(name)).collect()
}

#[cfg(test)]
mod tests;

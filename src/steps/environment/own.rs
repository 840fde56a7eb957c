//! The variables of the desktop's user: a file owned by that user in a folder owned by root, so that the user cannot
//! replace the file by a link. The user's shells and services read the file; no program of root reads it, because the
//! user could then run commands as root.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use rustix::fs::{FlockOperation, flock};

use super::files::LONGEST;
use crate::sys::env_file::{parse, rewrite};
use crate::sys::read;

/// Creates the file if it is missing, and gives it to its user.
pub(super) fn make(file: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.is_dir()) {
        DirBuilder::new().mode(0o755).create(folder)?;
    }
    let mut new = OpenOptions::new();
    new.write(true).create(true).truncate(false).mode(0o600).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let opened = new.open(file)?;
    let found = opened.metadata()?;
    if found.is_file() && (found.uid(), found.gid()) != (uid, gid) {
        fchown(&opened, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// The owner of the file, if it exists.
pub fn owner(file: &Path) -> Option<u32> {
    fs::symlink_metadata(file).ok().filter(fs::Metadata::is_file).map(|found| found.uid())
}

/// Stores variables in the file, in place: the user may write the file, but not the folder.
pub fn store(file: &Path, variables: &[(OsString, OsString)]) -> io::Result<()> {
    let mut opened =
        OpenOptions::new().read(true).write(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(file)?;
    let found = opened.metadata()?;
    if !found.is_file() || found.len() > LONGEST {
        return Err(io::Error::other("it is not a file of at most 1 MiB"));
    }
    lock(&opened);
    let bytes = read::all(&opened, LONGEST)?;
    let wanted: BTreeMap<&OsStr, Option<OsString>> =
        variables.iter().map(|(name, value)| (name.as_os_str(), Some(value.clone()))).collect();
    let text = rewrite(&bytes, &parse(&bytes), &wanted);
    opened.rewind()?;
    opened.write_all(&text)?;
    opened.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    opened.sync_all()
}

/// Makes concurrent writers wait for each other. Root does not wait: the user could hold the lock for ever.
fn lock(file: &File) {
    let root = nix::unistd::geteuid().is_root();
    let operation =
        if root { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::LockExclusive };
    // If the lock cannot be taken, the file is written all the same.
    let _ = flock(file, operation);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    #[test]
    fn variables_are_stored_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("user/environment");
        let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        assert_eq!(owner(&file), None);
        make(&file, ids.0, ids.1).unwrap();
        make(&file, ids.0, ids.1).unwrap();
        assert_eq!((owner(&file), fs::metadata(&file).unwrap().mode() & 0o777), (Some(ids.0), 0o600));
        let inode = fs::metadata(&file).unwrap().ino();
        store(&file, &variables(&[("A", "a long value with blanks"), ("B", "it's")])).unwrap();
        store(&file, &variables(&[("A", "x")])).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "A=x\nB=\"it's\"\n");
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "its user cannot write the folder");
    }

    #[test]
    fn a_link_or_a_pipe_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("environment"), dir.path().join("other"));
        fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        make(&file, 4321, 4321).unwrap_err();
        store(&file, &variables(&[("A", "x")])).unwrap_err();
        assert_eq!((owner(&file), fs::read_to_string(&other).unwrap()), (None, String::new()));
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        store(&file, &variables(&[("A", "x")])).unwrap_err();
    }
}

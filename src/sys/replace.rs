//! Replaces files atomically: a concurrent reader sees the old file or the new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces `path` with a file of this content and mode.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, content, mode, |_| Ok(()))
}

/// Like [`replace`]. `finish` completes the new file before the rename, for example sets its owner or syncs it to the
/// disk. Until then only its creator can read the file.
pub fn replace_with(
    path: &Path,
    content: &[u8],
    mode: u32,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // In the same folder, so that a rename works, and with an ending that no program looks for.
    let mut new = OsString::from(path);
    new.push(".new");
    remove(new.as_ref())?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = out.write_all(content).and_then(|()| finish(&out));
    let whole = written.and_then(|()| out.set_permissions(Permissions::from_mode(mode)));
    whole.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        // The new file is of no use then.
        let _ = fs::remove_file(&new);
    })
}

/// Removes a file, if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // A file that a crash left behind is no obstacle.
        fs::write(dir.path().join("file.new"), "half").unwrap();
        replace(&path, b"one", 0o640).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"one".to_vec(), 0o640));
        replace_with(&path, b"two", 0o600, |_| Err(io::Error::other("full"))).unwrap_err();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"one".to_vec(), 0o640));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A link is replaced, not followed.
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        replace(&dir.path().join("link"), b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }
}

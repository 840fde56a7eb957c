//! Safe file access for root in folders that other users can write to. A name there may become a link to anything
//! before it is used. So files are opened without following links, and copies are made in a private folder that no
//! other user can enter.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};

use super::leftover::remove;
use super::volume::Access;
use crate::sys::read;

/// More than any file that is read here contains. Bytes.
const ENOUGH: u64 = 64 << 10;

/// Opens a regular file itself: no link is followed, pipes, devices and files with a second hard link are refused.
pub(in crate::steps) fn open(file: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(file).map_err(|error| {
        let link = error.raw_os_error() == Some(nix::libc::ELOOP);
        if link { io::Error::other("it is a link, and links are not followed: remove it") } else { error }
    })?;
    let found = opened.metadata()?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(io::Error::other("it is not a file of its own: remove it"));
    }
    Ok(opened)
}

/// The beginning of such a file.
pub(in crate::steps) fn text(file: &Path) -> io::Result<String> {
    let opened = open(file, OpenOptions::new().read(true))?;
    Ok(String::from_utf8_lossy(&read::all(opened.take(ENOUGH), ENOUGH)?).into_owned())
}

/// Whether `path`, or its nearest existing parent, is in `folder` after all links are resolved.
pub(in crate::steps) fn is_inside(folder: &Path, path: &Path) -> bool {
    let there = path.ancestors().find(|path| fs::symlink_metadata(path).is_ok());
    let real = |path: &Path| fs::canonicalize(path).ok();
    there.and_then(real).zip(real(folder)).is_some_and(|(there, folder)| there.starts_with(folder))
}

/// A private folder in which a copy is made before it gets its final name.
#[derive(Debug)]
pub(in crate::steps) struct Room {
    path: PathBuf,
    name: OsString,
    folder: OwnedFd,
}

impl Room {
    /// The private folder at `path`, for a copy that will be called `name`. An existing folder is reused, with what a
    /// killed process left in it, unless other users could have written to it.
    pub fn enter(path: PathBuf, name: &OsStr, access: Access) -> io::Result<Self> {
        let folder = Self::look(&path, access).or_else(|_| {
            remove(&path);
            DirBuilder::new().mode(0o700).create(&path)?;
            Self::look(&path, access)
        })?;
        Ok(Self { path, name: name.to_owned(), folder })
    }

    fn look(path: &Path, access: Access) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty())?;
        let found = File::from(folder.try_clone()?).metadata()?;
        let others = access.owners && found.uid() != Uid::effective().as_raw()
            || access.modes && found.mode() & 0o077 != 0;
        if others { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(folder) }
    }

    /// The path of the folder for programs that this process starts; it stays valid if another user moves the folder.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    /// The path of the copy in it.
    pub fn inside(&self) -> PathBuf {
        self.folder().join(&self.name)
    }

    /// The same path as other processes see it.
    pub fn shown(&self) -> PathBuf {
        self.path.join(&self.name)
    }

    /// Moves the copy to its final place, where nothing may exist yet, and removes the private folder.
    pub fn place(self, to: &Path) -> io::Result<()> {
        match renameat_with(&self.folder, &*self.name, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can rename and check in one step.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
                if fs::symlink_metadata(to).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                rustix::fs::renameat(&self.folder, &*self.name, CWD, to)?;
            }
            result => result?,
        }
        remove(&self.path);
        Ok(())
    }

    /// Gives up the copy and removes the folder.
    pub fn clear(self) {
        remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_file_itself_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        assert_eq!(text(&at("file")).unwrap(), "text");
        symlink("file", at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        for name in ["link", "pipe", ".", "missing"] {
            assert!(text(&at(name)).is_err(), "{name}");
        }
        symlink("new", at("dangling")).unwrap();
        assert!(open(&at("dangling"), OpenOptions::new().append(true).create(true)).is_err());
        assert!(!at("new").exists());
        fs::hard_link(at("file"), at("same")).unwrap();
        assert!(text(&at("same")).is_err());
    }

    #[test]
    fn a_link_that_leads_out_of_the_folder_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("work/in")).unwrap();
        symlink(dir.path(), at("work/out")).unwrap();
        symlink("nowhere", at("work/dangling")).unwrap();
        symlink("in", at("work/link")).unwrap();
        for (path, expected) in [
            ("work/new/er", true),
            ("work/in/new", true),
            ("work/link/new", true),
            ("work/out/new", false),
            ("work/out", false),
            ("work/dangling/new", false),
        ] {
            assert_eq!(is_inside(&at("work"), &at(path)), expected, "{path}");
        }
    }

    #[test]
    fn private_folder_is_reused_only_if_no_other_user_could_enter_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join(".room"), dir.path().join("target"));
        let access = Access { root: true, owners: true, modes: true, owner: (1000, 1000) };
        let enter = || Room::enter(path.clone(), "name".as_ref(), access).unwrap();
        fs::create_dir(&target).unwrap();
        symlink(&target, &path).unwrap();
        fs::write(enter().inside(), "mine").unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "a link that stood there is not followed");
        assert_eq!(fs::read_to_string(enter().inside()).unwrap(), "mine", "what was begun is gone on with");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!enter().inside().exists(), "others could have been there");
        fs::write(enter().inside(), "mine").unwrap();
        let taken = enter().place(&target).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        enter().place(&dir.path().join("new")).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "mine");
    }
}

//! File owners and permissions in the workspace: who is to own new files, and what the file system allows. This is
//! tested by trying, because the type of a file system does not tell: the same type is mounted with and without owners,
//! and a server may map root to an unprivileged user.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, setegid, seteuid};

use crate::config::service::step::WorkspaceKeys;
use crate::facts::Workspace;

/// The owner of the workspace if neither variables nor the volume name one.
const PERSON: u32 = 1000;

/// The workspace, examined without writing to it.
#[derive(Debug)]
pub(in crate::steps) struct Volume {
    /// Its path.
    pub path: PathBuf,
    /// The type of its file system, if it outlives the container.
    pub kind: Option<String>,
    /// The current owner, if the workspace exists.
    pub found: Option<(u32, u32)>,
    /// The owner of the files that we make there.
    pub owner: (u32, u32),
}

impl Volume {
    /// Examines the workspace. The error says why it cannot be used, and what to do.
    pub fn of(WorkspaceKeys { folder, mounted, uid, gid }: &WorkspaceKeys) -> Result<Self, String> {
        let Workspace { path, volume, owner, trouble, read_only } =
            Workspace::probe(folder, mounted.eq_ignore_ascii_case("force"));
        match trouble {
            Some(trouble) if !read_only => Err(trouble),
            _ => Ok(Self {
                owner: owner_to_be(volume.as_ref().and(owner), (*uid, *gid)),
                path,
                kind: volume,
                found: owner,
            }),
        }
    }

    /// Tests what is possible there, as root or, where a server does not trust root, as the owner.
    pub fn try_out(&self) -> Result<Access, String> {
        let access = self.attempt().or_else(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied || !self.become_owner() {
                return Err(error);
            }
            self.attempt().map(|access| Access { root: false, owners: false, ..access })
        });
        access.map_err(|error| self.trouble(&error))
    }

    /// Makes this process run as the workspace's owner, until [`be_root`].
    fn become_owner(&self) -> bool {
        let (uid, gid) = self.found.filter(|found| found.0 != 0).unwrap_or(self.owner);
        Uid::effective().is_root() && become_user(uid, gid).is_ok()
    }

    fn attempt(&self) -> io::Result<Access> {
        // Other containers test at the same time and may have the same pids, so the name is random.
        let file = self.path.join(format!(".desktopd-probe-{:016x}", rand::random::<u64>()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        // Some file systems report success although nothing changed.
        let mut owners = lchown(&file, Some(self.owner.0), Some(self.owner.1)).is_ok();
        let mut modes = made.set_permissions(Permissions::from_mode(0o751)).is_ok();
        if let Ok(now) = made.metadata() {
            owners &= (now.uid(), now.gid()) == self.owner;
            modes &= now.mode() & 0o777 == 0o751;
        }
        fs::remove_file(&file)?;
        Ok(Access { root: true, owners, modes, owner: self.owner })
    }

    /// The error, and what to do about it.
    pub fn trouble(&self, error: &io::Error) -> String {
        let what_helps = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; remove something from that volume, or take a larger one"
            }
            io::ErrorKind::ReadOnlyFilesystem => "; mount a volume there, without `:ro`",
            io::ErrorKind::PermissionDenied => {
                "; neither root nor its owner may write there: see to its permissions where it comes from"
            }
            _ => "",
        };
        format!("the workspace {}: {error}{what_helps}", self.path.display())
    }
}

/// The owner of files made in a volume: the owner of `volume`, unless that is root.
fn owner_to_be(volume: Option<(u32, u32)>, asked: (Option<u32>, Option<u32>)) -> (u32, u32) {
    let of = |asked: Option<u32>, found: Option<u32>| {
        asked.or(found.filter(|found| *found != 0)).unwrap_or(PERSON)
    };
    (of(asked.0, volume.map(|ids| ids.0)), of(asked.1, volume.map(|ids| ids.1)))
}

/// Makes this process, which is root's, run as another user, until [`be_root`].
pub(in crate::steps) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    Ok(setegid(Gid::from_raw(gid)).and_then(|()| seteuid(Uid::from_raw(uid)))?)
}

/// Makes this process root again, if it was.
pub(in crate::steps) fn be_root() {
    // Has no effect in a process that was not root.
    let _ = seteuid(Uid::from_raw(0)).and_then(|()| setegid(Gid::from_raw(0)));
}

/// What is possible in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::steps) struct Access {
    /// Whether root may write there; if not, this process runs as the owner now.
    pub root: bool,
    /// Whether files can be given to `owner`.
    pub owners: bool,
    /// Whether files keep the permissions that are set.
    pub modes: bool,
    /// The owner of the files made there.
    pub owner: (u32, u32),
}

impl Access {
    /// Creates a folder that belongs to the owner, with its parents. An existing folder is left as it is.
    pub fn folder(&self, path: &Path) -> io::Result<()> {
        if let Some(above) = path.parent().filter(|above| !above.exists()) {
            self.folder(above)?;
        }
        match DirBuilder::new().mode(0o775).create(path) {
            Ok(()) => self.give(path),
            Err(_) if path.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Replaces `path` with a new file of the owner, atomically: no process sees half of it.
    pub fn file(&self, path: &Path, text: &str) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The random name cannot be guessed, so no other user can have put a link there.
        let new = path.with_file_name(format!(".{name}.desktopd-{:016x}", rand::random::<u64>()));
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o664).open(&new)?;
        let mut write = || {
            made.write_all(text.as_bytes())?;
            if self.owners {
                fchown(&made, Some(self.owner.0), Some(self.owner.1))?;
            }
            fs::rename(&new, path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&new)))
    }

    /// Gives `path` to the owner, if the file system keeps owners.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        if self.owners { lchown(path, Some(self.owner.0), Some(self.owner.1)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_of_a_volume_is_kept_unless_it_is_root() {
        for (volume, asked, expected) in [
            (None, (None, None), (1000, 1000)),
            (None, (Some(7), None), (7, 1000)),
            (Some((0, 0)), (None, None), (1000, 1000)),
            (Some((0, 0)), (Some(7), Some(8)), (7, 8)),
            (Some((4321, 4322)), (None, None), (4321, 4322)),
            (Some((4321, 0)), (None, None), (4321, 1000)),
            (Some((4321, 4322)), (Some(7), None), (7, 4322)),
        ] {
            assert_eq!(owner_to_be(volume, asked), expected, "{volume:?} {asked:?}");
        }
    }

    #[test]
    fn new_files_and_folders_belong_to_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        let ids = if uid == 0 { (4321, 4322) } else { (uid, gid) };
        let folder = dir.path().to_owned();
        let keys = WorkspaceKeys { folder, uid: Some(ids.0), gid: Some(ids.1), ..WorkspaceKeys::default() };
        let volume = Volume::of(&keys).unwrap();
        let access = volume.try_out().unwrap();
        assert!(access.root && access.owners && access.modes, "{access:?}");
        access.folder(&dir.path().join("a/b")).unwrap();
        access.file(&dir.path().join("a/b/c"), "text").unwrap();
        for name in ["a", "a/b", "a/b/c"] {
            let found = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), ids, "{name}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
    }
}

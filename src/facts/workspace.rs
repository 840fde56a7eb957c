//! The user's work folder: whether it is on a volume, and its owner.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::with_timeout;
use crate::sys::mounts::{self, Mount};

/// The facts about the workspace that can be found without writing there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    /// Its path, with links resolved as far as it exists.
    pub path: PathBuf,
    /// The type of the file system that is mounted there or above, if any: the content of a volume outlives the
    /// container.
    pub volume: Option<String>,
    /// The user and group of its owner, if it exists.
    pub owner: Option<(u32, u32)>,
    /// Why the workspace cannot be written, as far as known, with a remedy.
    pub trouble: Option<String>,
    /// Whether its content can still be read.
    pub read_only: bool,
}

impl Workspace {
    /// Probes `folder`, which always counts as a volume if `forced`. A volume that does not answer is reported as
    /// trouble.
    pub fn probe(folder: &Path, forced: bool) -> Self {
        let mounts = mounts::all();
        // The mounts are known without access to the volume.
        let unanswered = Self {
            path: folder.to_owned(),
            volume: volume(&mounts, folder, forced),
            owner: None,
            read_only: false,
            trouble: Some(format!(
                "the workspace {} does not answer: see to the server of that volume, or mount another one",
                folder.display()
            )),
        };
        let folder = folder.to_owned();
        with_timeout(move || Self::look(&folder, &mounts, forced)).unwrap_or(unanswered)
    }

    /// Whether the content of the workspace outlives the container.
    pub fn is_mounted(&self) -> bool {
        self.volume.is_some()
    }

    fn look(folder: &Path, mounts: &[Mount], forced: bool) -> Self {
        let path = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let volume = volume(mounts, &path, forced);
        let (owner, mut trouble) = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => (Some((found.uid(), found.gid())), None),
            Ok(_) => (
                None,
                Some("it is not a folder; move it away, or name another place in WORKSPACE".to_owned()),
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let read_only =
            owner.is_some() && statvfs(&path).is_ok_and(|place| place.flags().contains(FsFlags::ST_RDONLY));
        if read_only {
            trouble = Some(
                "it is on a read-only file system; mount it without `:ro` to keep work there".to_owned(),
            );
        }
        let trouble = trouble.map(|trouble| format!("the workspace {}: {trouble}", path.display()));
        Self { path, volume, owner, trouble, read_only }
    }
}

/// Whether a file system is mounted at `folder` or anywhere below it: such a folder cannot be moved.
pub fn has_mounts(folder: &Path) -> bool {
    mounts::all().iter().any(|mount| mount.at.starts_with(folder))
}

/// The type of the file system of `path`, if it is not the container's own.
fn volume(mounts: &[Mount], path: &Path, forced: bool) -> Option<String> {
    let mount = mounts::of(mounts, path)?;
    (forced || mount.at != Path::new("/")).then(|| mount.kind.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_found_in_the_list_of_mounts() {
        let mounts = mounts::parse(
            "1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 /w /workspace rw,relatime shared:1 - ext4 /dev/vda rw\n",
        );
        for (path, forced, expected) in [
            ("/workspace", false, Some("ext4")),
            ("/workspace/sub", false, Some("ext4")),
            ("/workspaces", false, None),
            ("/", false, None),
            ("/work", false, None),
            ("/work", true, Some("overlay")),
        ] {
            assert_eq!(volume(&mounts, Path::new(path), forced).as_deref(), expected, "{path}");
        }
        assert_eq!(volume(&[], Path::new("/work"), true), None);
        assert!(has_mounts(Path::new("/proc")) && !has_mounts(Path::new("/etc/no/such")));
    }

    #[test]
    fn the_owner_of_the_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let found = Workspace::probe(dir.path(), false);
        let owner = fs::metadata(dir.path()).unwrap();
        assert_eq!(found.owner, Some((owner.uid(), owner.gid())));
        assert_eq!(found.trouble, None);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Workspace::probe(&file, false).trouble.unwrap().contains("not a folder"));
        let missing = Workspace::probe(&dir.path().join("missing"), false);
        assert_eq!((missing.owner, missing.trouble), (None, None));
    }
}

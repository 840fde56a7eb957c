//! The kernel's list of mounts.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::read;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted, as a path in its file system.
    pub from: String,
    /// Where it is mounted.
    pub place: PathBuf,
    /// The type of the file system.
    pub kind: String,
}

/// All mounts. Of several at the same place, the last one is the topmost.
pub fn mounts() -> Vec<Mount> {
    parse(&read::kernel_text("/proc/self/mountinfo"))
}

/// Parses the kernel's list.
pub fn parse(list: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (mount, of_file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (from, place) = (fields.next()?.to_owned(), unescaped(fields.next()?).into());
        Some(Mount { from, place, kind: of_file_system.split(' ').next()?.to_owned() })
    };
    list.lines().filter_map(mount).collect()
}

/// The mount that has `path`.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.place));
    above.max_by_key(|mount| mount.place.components().count())
}

/// Whether `path` is on another file system than the container's own.
pub fn is_on_volume(mounts: &[Mount], path: &Path) -> bool {
    mount_of(mounts, path).is_some_and(|mount| mount.place != Path::new("/"))
}

/// Whether this very path is a mount point.
pub fn is_mounted(path: &Path) -> bool {
    mounts().iter().any(|mount| mount.place == path)
}

/// Whether a file system is mounted at `folder` or anywhere below it: such a folder cannot be moved.
pub fn has_mounts(folder: &Path) -> bool {
    mounts().iter().any(|mount| mount.place.starts_with(folder))
}

/// Whether `path` exists on a file system that cannot be written.
pub fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|place| place.flags().contains(FsFlags::ST_RDONLY))
}

/// Decodes blanks, line ends and backslashes, which the list contains as three octal digits.
fn unescaped(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.into_iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_path_is_the_topmost_one() {
        let mounts = parse(
            "1 0 0:1 / / rw - overlay overlay rw\n\
             2 1 8:1 /w /workspace rw,relatime shared:1 - ext4 /dev/vda rw\n\
             3 1 0:5 / /my\\040work\\134040 rw - nfs4 host:/x rw\n\
             4 2 0:6 / /workspace rw - tmpfs tmpfs rw\nnothing\n",
        );
        for (path, kind, volume) in [
            ("/workspace", "tmpfs", true),
            ("/my work\\040", "nfs4", true),
            ("/workspace/sub", "tmpfs", true),
            ("/workspaces", "overlay", false),
            ("/", "overlay", false),
        ] {
            assert_eq!(
                mount_of(&mounts, path.as_ref()).map(|mount| mount.kind.as_str()),
                Some(kind),
                "{path}"
            );
            assert_eq!(is_on_volume(&mounts, path.as_ref()), volume, "{path}");
        }
        assert_eq!((mounts.len(), mounts[1].from.as_str()), (4, "/w"));
        assert_eq!(mount_of(&[], Path::new("/work")), None);
        assert!(has_mounts(Path::new("/proc")) && !has_mounts(Path::new("/etc/no/such")));
        assert!(is_mounted(Path::new("/proc")) && !is_mounted(Path::new("/proc/1")));
    }
}

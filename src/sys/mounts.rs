//! The mounts that this process sees, from the kernel's list.

use std::path::{Path, PathBuf};

use super::read;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder or file of the file system that is mounted.
    pub from: String,
    /// The mount point.
    pub at: PathBuf,
    /// The type of the file system.
    pub kind: String,
}

/// All mounts. The last one at a mount point is the topmost.
pub fn all() -> Vec<Mount> {
    parse(&read::kernel_text("/proc/self/mountinfo"))
}

/// The mount that `path` is on.
pub fn of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.components().count())
}

/// Whether `path` is on a file system other than the container's own.
pub fn is_on_volume(mounts: &[Mount], path: &Path) -> bool {
    of(mounts, path).is_some_and(|mount| mount.at.parent().is_some())
}

/// Reads the kernel's list.
pub fn parse(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        Some(Mount {
            from: unescaped(fields.next()?),
            at: unescaped(fields.next()?).into(),
            kind: line.split_once(" - ")?.1.split(' ').next()?.to_owned(),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// Decodes the characters that the list contains as three octal digits.
fn unescaped(text: &str) -> String {
    let signs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")];
    signs.iter().fold(text.to_owned(), |text, (digits, sign)| text.replace(digits, sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_of_a_path_is_found() {
        let mounts = parse(
            "1 0 0:1 / / rw - overlay overlay rw\n\
             2 1 8:1 /w /workspace rw,relatime shared:1 - ext4 /dev/vda rw\n\
             3 1 0:5 / /my\\040work\\134040 rw - nfs4 host:/x rw\n\
             4 2 0:6 / /workspace rw - tmpfs tmpfs rw\nrubbish\n",
        );
        for (path, expected) in [
            ("/workspace/sub", "tmpfs"),
            ("/my work\\040/a", "nfs4"),
            ("/workspaces", "overlay"),
            ("/", "overlay"),
        ] {
            assert_eq!(of(&mounts, Path::new(path)).unwrap().kind, expected, "{path}");
            assert_eq!(is_on_volume(&mounts, Path::new(path)), expected != "overlay", "{path}");
        }
        assert_eq!((mounts.len(), mounts[1].from.as_str()), (4, "/w"));
        assert_eq!(of(&[], Path::new("/work")), None);
        assert!(all().iter().any(|mount| mount.at == Path::new("/proc")));
    }
}

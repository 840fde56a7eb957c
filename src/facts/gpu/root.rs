//! Files below the root of a machine: `/`, or a folder that has the files of another machine.
//!
//! Invariant: a symbolic link never leads out of the root, so that a copy of another machine is never completed by files
//! of this one.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::read;

/// The limit of a file that the kernel or a tool generates for one device, in bytes.
const SMALL: u64 = 64 << 10;

/// The limit of a list of the whole machine, in bytes: sockets.
const LARGE: u64 = 4 << 20;

/// How many symbolic links are followed, as in the kernel.
const LINKS: usize = 40;

/// The root of a machine. All paths are absolute ones of that machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'a>(&'a Path);

impl<'a> Root<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self(path)
    }

    /// Whether this is the machine that desktopd runs on: only there nodes can be opened, and the kernel be asked.
    pub(super) fn is_own(self) -> bool {
        self.0 == Path::new("/")
    }

    /// Why the folder is no machine, if so.
    pub(super) fn refusal(self) -> Option<String> {
        let shown = self.0.display();
        if let Err(error) = fs::metadata(self.0) {
            return Some(format!("{shown} cannot be read: {error}"));
        }
        let parts = ["/sys", "/proc", "/dev", "/etc", "/usr"];
        parts.iter().all(|part| !self.is_folder(part)).then(|| {
            format!(
                "{shown} is not the root of a machine: it has none of the folders sys, proc, dev, etc and usr; give \
                 --root a folder that has them"
            )
        })
    }

    /// Where a path of the machine is for this process; `None` if nothing is there.
    pub(super) fn place(self, path: &str) -> Option<PathBuf> {
        if self.is_own() {
            return Path::new(path).exists().then(|| PathBuf::from(path));
        }
        Some(self.0.join(&self.resolve(path)?[1..]))
    }

    pub(super) fn exists(self, path: &str) -> bool {
        self.place(path).is_some()
    }

    pub(super) fn is_folder(self, path: &str) -> bool {
        self.place(path).is_some_and(|place| place.is_dir())
    }

    /// Whether a node or a file is at the path; a folder is neither.
    pub(super) fn is_node(self, path: &str) -> bool {
        self.place(path).is_some_and(|place| !place.is_dir())
    }

    /// The path with all symbolic links followed, as the machine would follow them; `None` if nothing is there.
    pub(super) fn resolve(self, path: &str) -> Option<String> {
        if self.is_own() {
            return fs::canonicalize(path).ok()?.into_os_string().into_string().ok();
        }
        let mut left: VecDeque<String> = parts(path).map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            let place = self.0.join(at.join("/"));
            if !fs::symlink_metadata(&place).ok()?.is_symlink() {
                continue;
            }
            links += 1;
            if links > LINKS {
                return None;
            }
            let target = fs::read_link(&place).ok()?.into_os_string().into_string().ok()?;
            at.pop();
            if target.starts_with('/') {
                at.clear();
            }
            for part in parts(&target).rev() {
                left.push_front(part.to_owned());
            }
        }
        Some(format!("/{}", at.join("/")))
    }

    /// The last part of a link's target, which in sysfs is a name: the driver of `device/driver`.
    pub(super) fn link(self, path: &str) -> Option<String> {
        let (folder, name) = path.rsplit_once('/')?;
        let place = self.place(folder)?.join(name);
        Some(fs::read_link(place).ok()?.file_name()?.to_str()?.to_owned())
    }

    /// The beginning of a small file; empty if the file cannot be read.
    pub(super) fn text(self, path: &str) -> String {
        self.beginning(path, SMALL)
    }

    /// The beginning of a list of the whole machine.
    pub(super) fn list(self, path: &str) -> String {
        self.beginning(path, LARGE)
    }

    fn beginning(self, path: &str, limit: u64) -> String {
        // On this machine the kernel follows links, without a look of its own for each file.
        let place = if self.is_own() { Some(PathBuf::from(path)) } else { self.place(path) };
        let bytes = place.and_then(|place| read::beginning(&place, limit).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The number in a file of sysfs such as `vendor`: hexadecimal with `0x`.
    pub(super) fn hex(self, path: &str) -> Option<u32> {
        u32::from_str_radix(self.text(path).trim().strip_prefix("0x")?, 16).ok()
    }

    /// The sorted names in a folder that `wanted` accepts, and whether there may be more than `most`.
    pub(super) fn names(self, path: &str, most: usize, wanted: impl Fn(&str) -> bool) -> (Vec<String>, bool) {
        self.place(path).map(|place| read::names_where(&place, most, wanted)).unwrap_or_default()
    }
}

/// The parts of a path without empty ones and single dots.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// The number after `prefix` in a name such as `card1`, in the form that the kernel prints.
pub(super) fn number(name: &str, prefix: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_below_the_root_and_never_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "0x10de\n").unwrap();
        for (link, target) in [
            ("absolute", "/a/b"),
            ("relative", "a/../a/./b"),
            ("out", "../../../../../../../../etc/passwd"),
            ("circle", "circle"),
            ("chain", "absolute"),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
        }
        let root = Root::new(dir.path());
        for link in ["/absolute", "/relative", "/chain", "/a/b"] {
            assert_eq!(root.resolve(&format!("{link}/file")).as_deref(), Some("/a/b/file"), "{link}");
            assert_eq!(root.hex(&format!("{link}/file")), Some(0x10de), "{link}");
        }
        assert_eq!((root.resolve("/out"), root.resolve("/circle")), (None, None));
        assert_eq!(root.link("/relative").as_deref(), Some("b"));
        assert!(root.is_node("/a/b/file") && !root.is_node("/a/b") && !root.exists("/nothing"));
        assert!(!root.is_own() && Root::new(Path::new("/")).exists("/proc"));
        assert!(root.refusal().unwrap().contains("is not the root of a machine"));
    }

    #[test]
    fn only_numbers_in_the_kernels_form_count() {
        for (name, expected) in
            [("card0", Some(0)), ("card12", Some(12)), ("card", None), ("card01", None), ("card+1", None)]
        {
            assert_eq!(number(name, "card"), expected, "{name}");
        }
    }
}

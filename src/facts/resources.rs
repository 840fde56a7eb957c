//! What this machine gives to a desktop: memory, space on disks, processes, and whether the workspace can be written.
//! For `desktopd doctor` only: no plan depends on these.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::sys::{read, with_timeout};

/// Control groups of version 1 write a number of this size where there is no limit. Bytes.
const NO_LIMIT: u64 = 1 << 60;

/// A limit of the container's control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    Of(u64),
    /// There is none.
    None,
    /// The files of the control group are not visible here.
    Unknown,
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user can still write, in bytes.
    pub free: u64,
    /// How many files can still be made; `None` for a file system without such a limit.
    pub files: Option<u64>,
}

/// A folder whose file system has to have space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The folder.
    pub path: PathBuf,
    /// The space there, or why it is not known.
    pub space: Result<Space, String>,
}

/// What this machine gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The size of `/dev/shm`, in bytes, if it is known.
    pub shm: Option<u64>,
    /// The limit of memory, in bytes.
    pub memory: Limit,
    /// The memory of the whole machine, in bytes, if the kernel shows it.
    pub machine_memory: Option<u64>,
    /// The limit of processes and threads.
    pub tasks: Limit,
    /// The container's own file system, and that of the workspace if it is another.
    pub disks: Vec<Disk>,
    /// Whether this process may write into the workspace; `None` if the workspace does not exist or does not answer.
    pub writable: Option<bool>,
}

impl Resources {
    /// Looks at this machine. A disk that does not answer costs at most the time limit of [`with_timeout`].
    pub fn look(shm: Option<u64>, workspace: &Path) -> Self {
        let silent = |folder: &Path| Err(format!("{} does not answer", folder.display()));
        let (root, folder) = (Path::new("/"), workspace.to_owned());
        let own =
            Disk { path: root.into(), space: with_timeout(|| space(root)).unwrap_or_else(|| silent(root)) };
        let (work, writable) = with_timeout(move || (space(&folder), writable(&folder)))
            .unwrap_or_else(|| (silent(workspace), None));
        let work = Disk { path: workspace.into(), space: work };
        // Equal numbers are one file system.
        let disks = if own.space == work.space { vec![own] } else { vec![own, work] };
        let groups = Path::new("/sys/fs/cgroup");
        Self {
            shm,
            memory: limit(groups, &["memory.max", "memory/memory.limit_in_bytes"]),
            machine_memory: total(&read::kernel_text("/proc/meminfo")),
            tasks: limit(groups, &["pids.max", "pids/pids.max"]),
            disks,
            writable,
        }
    }
}

/// The limit that the first of these files has.
fn limit(groups: &Path, files: &[&str]) -> Limit {
    let texts = files.iter().map(|file| read::kernel_text(groups.join(file)));
    let Some(text) = texts.into_iter().find(|text| !text.is_empty()) else { return Limit::Unknown };
    match text.trim() {
        "max" => Limit::None,
        text => text
            .parse()
            .map_or(Limit::Unknown, |limit| if limit < NO_LIMIT { Limit::Of(limit) } else { Limit::None }),
    }
}

/// The memory in `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The space of the file system of `path`, or of the nearest folder above that exists.
fn space(path: &Path) -> Result<Space, String> {
    let folder = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let place = statvfs(folder).map_err(|error| format!("{}: {}", path.display(), error.desc()))?;
    let files = (place.files() > 0).then(|| place.files_available());
    Ok(Space { free: place.blocks_available().saturating_mul(place.fragment_size()), files })
}

fn writable(folder: &Path) -> Option<bool> {
    folder.exists().then(|| access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_the_files_of_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let files = ["memory.max", "memory/memory.limit_in_bytes"];
        assert_eq!(limit(root.path(), &files), Limit::Unknown);
        std::fs::create_dir(root.path().join("memory")).unwrap();
        for (file, text, expected) in [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n", Limit::None),
            ("memory/memory.limit_in_bytes", "536870912\n", Limit::Of(512 << 20)),
            ("memory.max", "max\n", Limit::None),
            ("memory.max", "1048576\n", Limit::Of(1 << 20)),
            ("memory.max", "rubbish\n", Limit::Unknown),
        ] {
            std::fs::write(root.path().join(file), text).unwrap();
            assert_eq!(limit(root.path(), &files), expected, "{file}: {text}");
        }
    }

    #[test]
    fn folder_that_does_not_exist_has_the_space_of_the_folder_above() {
        let dir = tempfile::tempdir().unwrap();
        assert!(space(&dir.path().join("no/such")).unwrap().free > 0);
        assert_eq!((writable(dir.path()), writable(&dir.path().join("no"))), (Some(true), None));
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total(""), None);
    }
}

//! Where the kernel counts what this container uses: the control group of this process, in either version.
//!
//! In a container, the folder of a controller usually is the container's own group. On a machine without such a view, as
//! in a test, `/proc/self/cgroup` names the group below it.

use std::path::{Path, PathBuf};

use crate::sys::read;

/// The folders of the control group. Each is `None` where the controller cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// The group of version 2.
    pub(super) unified: Option<PathBuf>,
    /// Those of version 1.
    pub(super) memory: Option<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
    pub(super) block: Option<PathBuf>,
}

impl Groups {
    /// Looks for the groups of the machine below `root`.
    pub(super) fn find(root: &Path) -> Self {
        let (own, top) = (read::kernel_text(root.join("proc/self/cgroup")), root.join("sys/fs/cgroup"));
        let unified = named(&own, str::is_empty)
            .map(|path| below(&top, path))
            .filter(|folder| folder.join("cgroup.controllers").exists());
        let old = |controller: &str, folders: &[&str]| {
            let path = named(&own, |of| of.split(',').any(|one| one == controller)).unwrap_or("/");
            let top = folders.iter().map(|folder| top.join(folder)).find(|folder| folder.is_dir())?;
            Some(below(&top, path))
        };
        // With both versions at once, version 1 has the controllers.
        let memory = old("memory", &["memory"]);
        Self {
            unified: unified.filter(|_| memory.is_none()),
            memory,
            cpu: old("cpuacct", &["cpuacct", "cpu,cpuacct"]),
            block: old("blkio", &["blkio"]),
        }
    }
}

/// The path in a line of `/proc/self/cgroup` such as `4:memory:/docker/0123`.
fn named(text: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        wanted(controllers).then_some(path)
    })
}

/// The group at `path` below `top`; `top` itself where the path names a group of the host, which cannot be seen here.
fn below(top: &Path, path: &str) -> PathBuf {
    let inside = !path.split('/').any(|part| part == "..");
    let folder = top.join(path.trim_start_matches('/'));
    if inside && folder.is_dir() { folder } else { top.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(own: &str, folders: &[&str]) -> [Option<String>; 4] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        fs::write(dir.path().join("proc/self/cgroup"), own).unwrap();
        for folder in folders {
            let folder = dir.path().join("sys/fs/cgroup").join(folder);
            fs::create_dir_all(&folder).unwrap();
            if own.starts_with("0::") {
                fs::write(folder.join("cgroup.controllers"), "cpu io memory pids\n").unwrap();
            }
        }
        let Groups { unified, memory, cpu, block } = Groups::find(dir.path());
        let top = dir.path().join("sys/fs/cgroup");
        [unified, memory, cpu, block].map(|folder| {
            folder.map(|folder| folder.strip_prefix(&top).unwrap().to_str().unwrap().to_owned())
        })
    }

    #[test]
    fn the_own_group_is_found_in_either_version() {
        let docker = "9:memory:/docker/01\n8:cpu,cpuacct:/docker/01\n2:blkio:/docker/01\n0::/docker/01\n";
        let all = |names: [&str; 4]| names.map(|name| (name != "-").then(|| name.to_owned()));
        for (own, folders, expected) in [
            // Docker shows the container's own group at the top.
            (docker, &["memory", "cpu,cpuacct", "blkio"][..], ["-", "memory", "cpu,cpuacct", "blkio"]),
            // On the host itself, or with the host's view.
            (docker, &["memory/docker/01", "blkio"], ["-", "memory/docker/01", "-", "blkio"]),
            ("4:memory:/\n3:cpuacct:/\n0::/\n", &["memory", "cpuacct"], ["-", "memory", "cpuacct", "-"]),
            ("0::/\n", &[""], ["", "-", "-", "-"]),
            (
                "0::/system.slice/a.scope\n",
                &["system.slice/a.scope"],
                ["system.slice/a.scope", "-", "-", "-"],
            ),
            // Kubernetes with the host's names and the container's own view.
            ("0::/../../kubepods/pod1\n", &[""], ["", "-", "-", "-"]),
            ("", &[], ["-", "-", "-", "-"]),
        ] {
            assert_eq!(found(own, folders), all(expected), "{own} {folders:?}");
        }
    }
}

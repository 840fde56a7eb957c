//! Checks of what the machine gives: shared memory, memory, disks, processes and threads, the workspace. Pure.

use crate::facts::Workspace;
use crate::facts::resources::{Disk, Limit, Resources, Space};
use crate::plan::DESKTOP_TASKS;

use super::check::{Check, Outcome};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a browser puts into shared memory. Bytes.
const SHM: u64 = GIB;

/// What a desktop with a browser needs, and the least that a desktop starts with. Bytes.
const MEMORY: (u64, u64) = (2 * GIB, GIB);

/// The free space below which programs soon fail, and below which they fail now. Bytes.
const DISK: (u64, u64) = (GIB, 64 * MIB);

/// The number of files that a desktop makes at its first start.
const FILES: u64 = 10_000;

/// All of them.
pub(super) fn checks(resources: &Resources, workspace: &Workspace) -> Vec<Check> {
    let mut checks = vec![shm(resources.shm), memory(resources), tasks(resources.tasks)];
    checks.extend(resources.disks.iter().map(disk));
    checks.push(work(workspace, resources.writable));
    checks
}

fn shm(size: Option<u64>) -> Check {
    const NAME: &str = "shared memory";
    const REMEDY: &str = "docker run --shm-size=1g …, or shm_size: 1g in the compose file";
    match size {
        None => Check::bad(NAME, Outcome::Unknown, "the size of /dev/shm is not known", REMEDY),
        Some(size) if size < SHM => {
            let what = format!("/dev/shm has {}, and web browsers crash with less than 1 GiB", amount(size));
            Check::bad(NAME, Outcome::Warning, what, REMEDY)
        }
        Some(size) => Check::ok(NAME, format!("/dev/shm has {}", amount(size))),
    }
}

fn memory(resources: &Resources) -> Check {
    const NAME: &str = "memory";
    let machine = resources.machine_memory;
    let (size, whose) = match (resources.memory, machine) {
        (Limit::Of(limit), machine) if machine.is_none_or(|machine| limit <= machine) => (limit, "container"),
        (_, Some(machine)) => (machine, "machine"),
        _ => {
            let what = "neither a limit of memory nor the machine's memory is visible here";
            return Check::bad(NAME, Outcome::Unknown, what, "docker stats C");
        }
    };
    let what = format!("the {whose} has {} of memory", amount(size));
    let remedy = if whose == "container" {
        "docker update --memory 4g --memory-swap 4g C"
    } else {
        "choose a machine with more memory"
    };
    if size < MEMORY.1 {
        let what = format!("{what}, and a desktop needs at least {}", amount(MEMORY.1));
        Check::bad(NAME, Outcome::Problem, what, remedy)
    } else if size < MEMORY.0 {
        let what = format!("{what}, and a desktop with a web browser needs {}", amount(MEMORY.0));
        Check::bad(NAME, Outcome::Warning, what, remedy)
    } else {
        Check::ok(NAME, what)
    }
}

fn tasks(limit: Limit) -> Check {
    const NAME: &str = "processes";
    const REMEDY: &str = "docker update --pids-limit 4096 C";
    match limit {
        Limit::None => Check::ok(NAME, "the container has no limit of processes and threads"),
        Limit::Unknown => {
            let what = "the limit of processes and threads is not visible here (/sys/fs/cgroup/pids.max)";
            Check::bad(NAME, Outcome::Unknown, what, "docker inspect --format '{{.HostConfig.PidsLimit}}' C")
        }
        Limit::Of(limit) => {
            let what = format!("the container may have {limit} processes and threads");
            if limit < DESKTOP_TASKS {
                let what = format!("{what}, and a desktop has more than {DESKTOP_TASKS}");
                Check::bad(NAME, Outcome::Problem, what, REMEDY)
            } else if limit < 4 * DESKTOP_TASKS {
                let what =
                    format!("{what}; a desktop has {DESKTOP_TASKS} of them, and a web browser as many again");
                Check::bad(NAME, Outcome::Warning, what, REMEDY)
            } else {
                Check::ok(NAME, what)
            }
        }
    }
}

fn disk(disk: &Disk) -> Check {
    let name = format!("disk {}", disk.path.display());
    let remedy = format!("du -xh {} | sort -h | tail shows what takes the space", disk.path.display());
    let Space { free, files } = match &disk.space {
        Ok(space) => *space,
        Err(why) => {
            return Check::bad(
                &name,
                Outcome::Problem,
                why.clone(),
                "see to that volume, or mount another one",
            );
        }
    };
    let what = format!("{} are free in {}", amount(free), disk.path.display());
    if let Some(files) = files.filter(|files| *files < FILES) {
        let what = format!("{} has room for {files} more files, whatever their size", disk.path.display());
        let remedy =
            format!("du -x --inodes {} | sort -n | tail shows where the files are", disk.path.display());
        return Check::bad(&name, if files == 0 { Outcome::Problem } else { Outcome::Warning }, what, remedy);
    }
    if free < DISK.1 {
        Check::bad(&name, Outcome::Problem, what + ": programs cannot write their files", remedy)
    } else if free < DISK.0 {
        Check::bad(&name, Outcome::Warning, what, remedy)
    } else {
        Check::ok(&name, what)
    }
}

fn work(workspace: &Workspace, writable: Option<bool>) -> Check {
    const NAME: &str = "workspace";
    let path = workspace.path.display();
    if let Some(trouble) = &workspace.trouble {
        return Check::of_reason(NAME, Outcome::Problem, trouble, "mount another folder there");
    }
    match writable {
        Some(false) => {
            let what = format!("{path} cannot be written by the user of this command");
            Check::bad(
                NAME,
                Outcome::Problem,
                what,
                format!("chown the folder that is mounted at {path}, or run this as root"),
            )
        }
        _ if !workspace.is_mounted() => {
            let what = format!("nothing is mounted at {path}: what is kept there is lost with the container");
            Check::bad(NAME, Outcome::Warning, what, format!("docker run -v \"$PWD/workspace:{path}\" …"))
        }
        None => Check::ok(NAME, format!("{path} will be made at the start")),
        Some(true) => Check::ok(NAME, format!("{path} can be written")),
    }
}

/// A number of bytes for people.
fn amount(bytes: u64) -> String {
    match bytes {
        0..MIB => format!("{} KiB", bytes >> 10),
        MIB..GIB => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes % GIB) * 10 / GIB),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_amount_has_its_outcome() {
        let resources = |memory, machine_memory| Resources {
            shm: None,
            memory,
            machine_memory,
            tasks: Limit::None,
            disks: Vec::new(),
            writable: None,
        };
        let of_disk = |free, files| disk(&Disk { path: "/".into(), space: Ok(Space { free, files }) });
        for (check, expected, text) in [
            (shm(None), Outcome::Unknown, "not known"),
            (shm(Some(64 * MIB)), Outcome::Warning, "/dev/shm has 64 MiB"),
            (shm(Some(GIB)), Outcome::Ok, "1.0 GiB"),
            (
                memory(&resources(Limit::Of(512 * MIB), Some(64 * GIB))),
                Outcome::Problem,
                "the container has 512 MiB",
            ),
            (memory(&resources(Limit::Of(GIB), None)), Outcome::Warning, "web browser needs 2.0 GiB"),
            (memory(&resources(Limit::Of(8 * GIB), Some(4 * GIB))), Outcome::Ok, "the machine has 4.0 GiB"),
            (memory(&resources(Limit::None, Some(GIB / 2))), Outcome::Problem, "the machine has 512 MiB"),
            (memory(&resources(Limit::Unknown, None)), Outcome::Unknown, "neither"),
            (tasks(Limit::None), Outcome::Ok, "no limit"),
            (tasks(Limit::Unknown), Outcome::Unknown, "pids.max"),
            (tasks(Limit::Of(100)), Outcome::Problem, "100 processes"),
            (tasks(Limit::Of(300)), Outcome::Warning, "300 processes"),
            (tasks(Limit::Of(4096)), Outcome::Ok, "4096 processes"),
            (of_disk(9 * GIB / 2, Some(1_000_000)), Outcome::Ok, "4.5 GiB are free in /"),
            (of_disk(500 * MIB, None), Outcome::Warning, "500 MiB"),
            (of_disk(MIB, None), Outcome::Problem, "cannot write"),
            (of_disk(9 * GIB, Some(0)), Outcome::Problem, "0 more files"),
            (
                disk(&Disk { path: "/w".into(), space: Err("/w does not answer".into()) }),
                Outcome::Problem,
                "/w does not answer",
            ),
        ] {
            assert_eq!(check.result, expected, "{check:?}");
            assert!(check.what.contains(text), "{check:?}");
            assert_eq!(check.remedy.is_none(), expected == Outcome::Ok, "{check:?}");
        }
    }

    #[test]
    fn workspace_that_is_read_only_missing_or_not_mounted_is_named() {
        let at = |volume: Option<&str>, trouble: Option<&str>| Workspace {
            path: PathBuf::from("/workspace"),
            volume: volume.map(str::to_owned),
            trouble: trouble.map(str::to_owned),
            ..Workspace::default()
        };
        let read_only = at(Some("ext4"), Some("the workspace /w: it is read-only; mount it without `:ro`"));
        let found = work(&read_only, Some(false));
        assert_eq!(
            (found.result, found.remedy.as_deref()),
            (Outcome::Problem, Some("mount it without `:ro`"))
        );
        assert_eq!(work(&at(Some("ext4"), None), Some(false)).result, Outcome::Problem);
        assert_eq!(work(&at(Some("ext4"), None), Some(true)).result, Outcome::Ok);
        assert_eq!(work(&at(None, None), Some(true)).result, Outcome::Warning);
        assert_eq!(work(&at(None, None), None).result, Outcome::Warning);
    }
}

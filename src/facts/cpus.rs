//! The cores that this container sees, and how many of them and how many threads it may use: how many threads a program
//! should start.

use std::path::Path;

use crate::sys::read;

/// Where the limits of the control group are, in either version: quota and period in microseconds.
const QUOTAS: [(&str, &str); 2] = [
    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"),
];

/// Cores and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpus {
    /// How many cores programs count (`nproc`).
    pub visible: Option<u32>,
    /// How many cores the container may keep busy (`docker run --cpus`), rounded up; `None` without a limit.
    pub quota: Option<u32>,
    /// How many processes and threads the container may have, if that is limited.
    pub tasks: Option<u64>,
}

impl Cpus {
    /// Reads the kernel's files below `root`.
    pub fn probe(root: &Path) -> Self {
        let text = |file: &str| read::kernel_text(root.join(file));
        let status = text("proc/self/status");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let number = |file: &str| text(file).trim().parse::<i64>().ok();
        let old = || QUOTAS.iter().find_map(|(quota, period)| cores(number(quota)?, number(period)?));
        Self {
            visible: allowed.and_then(|list| count(list.trim())),
            quota: in_new(&text("sys/fs/cgroup/cpu.max"), cores).or_else(old),
            tasks: task_limit(root),
        }
    }
}

/// How many cores the container may keep busy, with fractions (`docker run --cpus 1.5`): the limit of its control group,
/// at most the cores that this process may use. Both can change while the container runs.
pub fn usable(root: &Path) -> Option<f64> {
    let text = |file: &str| read::kernel_text(root.join(file));
    let number = |file: &str| text(file).trim().parse::<i64>().ok();
    let old = || QUOTAS.iter().find_map(|(quota, period)| share(number(quota)?, number(period)?));
    let quota = in_new(&text("sys/fs/cgroup/cpu.max"), share).or_else(old);
    let status = text("proc/self/status");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let visible = allowed.and_then(|list| count(list.trim())).map(f64::from);
    match (quota, visible) {
        (Some(quota), Some(visible)) => Some(quota.min(visible)),
        (quota, visible) => quota.or(visible),
    }
}

/// The limit of the container's control group, in either version's folder.
pub(super) fn task_limit(root: &Path) -> Option<u64> {
    let files = ["sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max"];
    let text = files.iter().find_map(|file| read::text(&root.join(file), read::BY_HAND).ok())?;
    // "max" means no limit.
    text.trim().parse().ok()
}

/// The cores of a list such as `0-3,8`.
fn count(list: &str) -> Option<u32> {
    let range = |range: &str| {
        let (begin, end) = range.split_once('-').unwrap_or((range, range));
        let (begin, end): (u32, u32) = (begin.parse().ok()?, end.parse().ok()?);
        end.checked_sub(begin)?.checked_add(1)
    };
    list.split(',').map(range).try_fold(0, |sum: u32, count| sum.checked_add(count?))
}

/// The limit in `cpu.max`: `200000 100000`, or `max 100000`.
fn in_new<T>(text: &str, cores: fn(i64, i64) -> Option<T>) -> Option<T> {
    let (quota, period) = text.trim().split_once(' ')?;
    cores(quota.parse().ok()?, period.parse().ok()?)
}

/// Cores with a fraction. A quota of -1 is no limit.
fn share(quota: i64, period: i64) -> Option<f64> {
    if quota <= 0 || period <= 0 {
        return None;
    }
    // Both are far below 2^52 microseconds, which are 142 years.
    #[expect(clippy::cast_precision_loss, reason = "numbers that small are exact")]
    Some(quota as f64 / period as f64)
}

/// Whole cores. A quota of -1 is no limit.
fn cores(quota: i64, period: i64) -> Option<u32> {
    if quota <= 0 || period <= 0 {
        return None;
    }
    u32::try_from((quota - 1) / period + 1).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cores_are_read_from_the_files_of_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cpus::probe(dir.path()), Cpus::default());
        assert_eq!(usable(dir.path()), None);
        let write = |file: &str, text: &str| {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n");
        for (file, text, quota, whole) in [
            ("cpu/cpu.cfs_period_us", "100000\n", None, 7.0),
            ("cpu/cpu.cfs_quota_us", "-1\n", None, 7.0),
            ("cpu/cpu.cfs_quota_us", "150000\n", Some(2), 1.5),
            ("cpu.max", "max 100000\n", Some(2), 1.5),
            ("cpu.max", "400000 100000\n", Some(4), 4.0),
            ("cpu.max", "50000 100000\n", Some(1), 0.5),
            // More than the cores that there are.
            ("cpu.max", "6400000 100000\n", Some(64), 7.0),
            ("cpu.max", "rubbish\n", Some(2), 1.5),
        ] {
            write(&format!("sys/fs/cgroup/{file}"), text);
            assert_eq!(
                Cpus::probe(dir.path()),
                Cpus { visible: Some(7), quota, tasks: None },
                "{file}: {text}"
            );
            assert_eq!(usable(dir.path()), Some(whole), "{file}: {text}");
        }
        for list in ["", "x", "3-1", "0-", "0-4294967295"] {
            assert_eq!(count(list), None, "{list}");
        }
        assert!(Cpus::probe(Path::new("/")).visible.is_some());
    }

    #[test]
    fn the_limit_of_tasks_is_read_from_either_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(task_limit(root.path()), None);
        let folder = root.path().join("sys/fs/cgroup");
        fs::create_dir_all(folder.join("pids")).unwrap();
        fs::write(folder.join("pids/pids.max"), "60\n").unwrap();
        assert_eq!(task_limit(root.path()), Some(60));
        fs::write(folder.join("pids.max"), "max\n").unwrap();
        assert_eq!(task_limit(root.path()), None);
    }
}

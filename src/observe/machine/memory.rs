//! Memory: what is used, what is cache, and what the limit is.
//!
//! The kernel's own figure of a group contains the cache of files: after the download of a model it shows that all memory
//! is used. Without only the inactive part of the cache, as some programs show it, it still shows too much on a machine
//! that runs for long. Here both parts are cache, and what is used and the cache together are the kernel's figure.

use std::path::Path;

use super::groups::Groups;
use crate::sys::read;

/// Limits of this size and more are none: version 1 writes a number near 2^63. Bytes.
const NO_LIMIT: u64 = 1_000_000_000_000_000;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// What cannot be given back: anonymous and shared memory, and the kernel's.
    pub(super) used: Option<u64>,
    pub(super) cache: Option<u64>,
    pub(super) limit: Option<u64>,
    /// In use and limit of the swap space, if it is limited.
    pub(super) swap: Option<(u64, u64)>,
}

impl Memory {
    /// Reads the group's files, or those of the machine below `root` where there is no group.
    pub(super) fn read(groups: &Groups, root: &Path) -> Self {
        let machine = Machine::parse(&read::kernel_text(root.join("proc/meminfo")));
        let found = match (&groups.memory, &groups.unified) {
            (Some(folder), _) => of_old(folder, &machine),
            (None, Some(folder)) => of_new(folder, &machine),
            (None, None) => None,
        };
        found.unwrap_or_else(|| machine.alone())
    }
}

/// A group of version 1. The limit is the first of these that is one: the soft limit, which is what a provider has
/// rented out, and the hard limit. A soft limit that is exceeded limits nothing.
fn of_old(folder: &Path, machine: &Machine) -> Option<Memory> {
    let number = |file: &str| read::kernel_text(folder.join(file)).trim().parse::<u64>().ok();
    let stat = read::kernel_text(folder.join("memory.stat"));
    let all = number("memory.usage_in_bytes")?;
    // Below a group there may be others; `total_` has all of them.
    let (used, cache) = divided(all, &stat, "total_")?;
    let hard = [number("memory.limit_in_bytes"), entry(&stat, "hierarchical_memory_limit")];
    let hard = hard.into_iter().flatten().min();
    let soft = number("memory.soft_limit_in_bytes").filter(|soft| *soft >= used);
    let limit = machine.first_real([soft, hard]);
    let both = number("memory.memsw.limit_in_bytes").filter(|both| *both < NO_LIMIT);
    let swap = both.zip(hard).and_then(|(both, hard)| {
        let in_use = number("memory.memsw.usage_in_bytes")?.saturating_sub(all);
        Some((in_use, both.checked_sub(hard).filter(|limit| *limit > 0)?))
    });
    Some(Memory { used: Some(used), cache: Some(cache), limit, swap })
}

/// A group of version 2. The limit is the first of these that is one: the protected memory, which is what a provider has
/// rented out, and the hard limit.
fn of_new(folder: &Path, machine: &Machine) -> Option<Memory> {
    let number = |file: &str| read::kernel_text(folder.join(file)).trim().parse::<u64>().ok();
    let stat = read::kernel_text(folder.join("memory.stat"));
    let (used, cache) = divided(number("memory.current")?, &stat, "")?;
    let low = number("memory.low").filter(|low| *low >= used);
    let limit = machine.first_real([low, number("memory.max")]);
    let swap = number("memory.swap.max").filter(|limit| *limit > 0 && *limit < NO_LIMIT);
    let swap = swap.and_then(|limit| Some((number("memory.swap.current")?, limit)));
    Some(Memory { used: Some(used), cache: Some(cache), limit, swap })
}

/// What is used, and the cache.
fn divided(all: u64, stat: &str, prefix: &str) -> Option<(u64, u64)> {
    let files = |kind: &str| entry(stat, &format!("{prefix}{kind}_file"));
    // The two files are not read at the same moment.
    let cache = (files("inactive")? + files("active")?).min(all);
    Some((all - cache, cache))
}

/// The number in a line such as `anon 4096`.
fn entry(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// The whole machine, from `/proc/meminfo`.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    total: Option<u64>,
    free: Option<u64>,
    /// Buffers and cached files, without shared memory.
    cache: Option<u64>,
}

impl Machine {
    fn parse(text: &str) -> Self {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
        };
        let cached = bytes("Cached").map(|cached| {
            let more = bytes("Buffers").unwrap_or(0) + bytes("SReclaimable").unwrap_or(0);
            (cached + more).saturating_sub(bytes("Shmem").unwrap_or(0))
        });
        Self { total: bytes("MemTotal"), free: bytes("MemFree"), cache: cached }
    }

    /// The first limit that is one: neither 0 nor as much as the machine has. Without one, the machine's memory.
    fn first_real(&self, limits: [Option<u64>; 2]) -> Option<u64> {
        let below = self.total.unwrap_or(NO_LIMIT).min(NO_LIMIT);
        limits.into_iter().flatten().find(|limit| (1..below).contains(limit)).or(self.total)
    }

    /// For a container whose control group cannot be seen.
    fn alone(&self) -> Memory {
        let used = self
            .total
            .zip(self.free)
            .map(|(total, free)| total.saturating_sub(free).saturating_sub(self.cache.unwrap_or(0)));
        Memory { used, cache: self.cache, limit: self.total, swap: None }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GIB: u64 = 1 << 30;
    const NONE: &str = "9223372036854771712\n";

    const MEMINFO: &str = "MemTotal:       33554432 kB\nMemFree:         4194304 kB\nMemAvailable:   20971520 kB\n\
                           Buffers:          524288 kB\nCached:         16777216 kB\nSwapCached:            0 kB\n\
                           Shmem:           1048576 kB\nSReclaimable:     524288 kB\nSUnreclaim:       131072 kB\n";

    /// Of a container of Docker 20.10 with version 1, as the kernel writes it.
    const OLD_STAT: &str = "cache 42815488\nrss 8507392\nshmem 9580544\ninactive_file 15577088\nactive_file 17657856\n\
                            hierarchical_memory_limit 9223372036854771712\ntotal_cache 5726638080\ntotal_rss 700735488\n\
                            total_shmem 9580544\ntotal_inactive_anon 691994624\ntotal_active_anon 1646592\n\
                            total_inactive_file 4312551424\ntotal_active_file 1404510208\n\
                            total_unevictable 16556032\n";

    /// A process of 51 MB after weeks, whose files the kernel all counts as active.
    const NEW_STAT: &str = "anon 41943040\nfile 1992294400\nkernel 9437184\nkernel_stack 1048576\nshmem 2097152\n\
                            inactive_anon 0\nactive_anon 44040192\ninactive_file 10485760\nactive_file 1979711488\n\
                            unevictable 0\nslab 7340032\n";

    fn read(files: &[(&str, &str)]) -> Memory {
        let dir = tempfile::tempdir().unwrap();
        let mut groups = Groups::default();
        for (file, text) in files {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let group = |name: &str| Some(dir.path().join(name)).filter(|folder| folder.is_dir());
        (groups.memory, groups.unified) = (group("old"), group("new"));
        Memory::read(&groups, dir.path())
    }

    #[test]
    fn cache_is_not_used_and_both_are_what_the_kernel_counts() {
        let all = 6_500_000_000_u64;
        let text = all.to_string();
        let found = read(&[
            ("proc/meminfo", MEMINFO),
            ("old/memory.usage_in_bytes", &text),
            ("old/memory.stat", OLD_STAT),
            ("old/memory.limit_in_bytes", NONE),
            ("old/memory.soft_limit_in_bytes", NONE),
        ]);
        assert_eq!(found.cache, Some(4_312_551_424 + 1_404_510_208));
        assert_eq!(found.used.unwrap() + found.cache.unwrap(), all);
        assert_eq!((found.limit, found.swap), (Some(32 * GIB), None));

        let found = read(&[
            ("proc/meminfo", MEMINFO),
            ("new/memory.current", "2043674624\n"),
            ("new/memory.stat", NEW_STAT),
            ("new/memory.max", "max\n"),
            ("new/memory.low", "0\n"),
            ("new/memory.swap.max", "max\n"),
        ]);
        assert_eq!(found.used, Some(53_477_376), "anonymous, shared and the kernel's");
        assert_eq!(found.cache, Some(1_990_197_248));
        assert_eq!((found.limit, found.swap), (Some(32 * GIB), None));
    }

    #[test]
    fn the_limit_is_the_first_that_is_one() {
        let (gib8, gib16, more) = ("8589934592\n", "17179869184\n", "1000000000000000\n");
        let old = |soft: &str, hard: &str| {
            let files = [
                ("proc/meminfo", MEMINFO),
                ("old/memory.usage_in_bytes", "6500000000\n"),
                ("old/memory.stat", OLD_STAT),
                ("old/memory.soft_limit_in_bytes", soft),
                ("old/memory.limit_in_bytes", hard),
            ];
            read(&files).limit.unwrap() / GIB
        };
        for (soft, hard, expected) in [
            // What vast.ai rents out is the soft limit.
            (gib8, gib16, 8),
            (gib8, NONE, 8),
            (NONE, gib16, 16),
            (NONE, NONE, 32),
            ("0\n", gib16, 16),
            (more, more, 32),
            ("34359738368\n", NONE, 32),
            // A reservation of 64 MiB that is exceeded is no limit.
            ("67108864\n", gib16, 16),
        ] {
            assert_eq!(old(soft, hard), expected, "soft {soft} hard {hard}");
        }
        let new = |low: &str, max: &str| {
            let files = [
                ("proc/meminfo", MEMINFO),
                ("new/memory.current", "2043674624\n"),
                ("new/memory.stat", NEW_STAT),
                ("new/memory.low", low),
                ("new/memory.max", max),
            ];
            read(&files).limit.unwrap() / GIB
        };
        for (low, max, expected) in [
            (gib8, gib16, 8),
            ("0\n", gib16, 16),
            ("max\n", gib16, 16),
            ("0\n", "max\n", 32),
            ("1048576\n", gib8, 8),
        ] {
            assert_eq!(new(low, max), expected, "low {low} max {max}");
        }
    }

    #[test]
    fn a_limit_of_a_group_above_counts_in_version_1() {
        let stat = OLD_STAT.replace("memory_limit 9223372036854771712", "memory_limit 4294967296");
        let found = read(&[
            ("old/memory.usage_in_bytes", "6500000000\n"),
            ("old/memory.stat", &stat),
            ("old/memory.limit_in_bytes", NONE),
        ]);
        assert_eq!(found.limit, Some(4 * GIB));
    }

    #[test]
    fn swap_space_counts_where_it_is_limited() {
        let old = [
            ("old/memory.usage_in_bytes", "6500000000\n"),
            ("old/memory.stat", OLD_STAT),
            ("old/memory.limit_in_bytes", "8589934592\n"),
            ("old/memory.memsw.usage_in_bytes", "6600000000\n"),
            ("old/memory.memsw.limit_in_bytes", "17179869184\n"),
        ];
        assert_eq!(read(&old).swap, Some((100_000_000, 8 * GIB)));
        let new = [
            ("new/memory.current", "2043674624\n"),
            ("new/memory.stat", NEW_STAT),
            ("new/memory.swap.current", "4096\n"),
            ("new/memory.swap.max", "1073741824\n"),
        ];
        assert_eq!(read(&new).swap, Some((4096, GIB)));
        assert_eq!(read(&new[..3]).swap, None);
    }

    #[test]
    fn without_a_group_the_machine_counts_and_without_files_nothing_does() {
        let found = read(&[("proc/meminfo", MEMINFO)]);
        assert_eq!(found.limit, Some(32 * GIB));
        assert_eq!(found.cache, Some((16 << 30) + (1 << 29) + (1 << 29) - (1 << 30)));
        assert_eq!(found.used, Some(32 * GIB - 4 * GIB - 16 * GIB));
        assert_eq!(read(&[]), Memory::default());
        let broken = [("old/memory.usage_in_bytes", "rubbish\n"), ("old/memory.stat", "")];
        assert_eq!(read(&broken), Memory::default());
    }
}

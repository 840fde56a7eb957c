//! What the kernel counts up for this container: processor time, bytes of the network and of disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::groups::Groups;
use super::sample::Totals;
use crate::sys::read;

/// The kernel's unit of processor time for programs, in seconds. It is the same on all machines.
pub(super) const TICK: f64 = 0.01;

/// How many disks are remembered.
const MOST_DISKS: usize = 256;

/// Reads the counters.
#[derive(Debug)]
pub(super) struct Counters {
    root: PathBuf,
    /// Whether a disk, by its numbers, is made of others, which count the same bytes again.
    stacked: BTreeMap<String, bool>,
}

impl Counters {
    /// For the machine below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), stacked: BTreeMap::new() }
    }

    pub(super) fn read(&mut self, groups: &Groups) -> Totals {
        let network = network(&self.text("proc/self/net/dev"));
        let disks = self.disks(groups);
        Totals {
            cpu_seconds: self.cpu(groups),
            network_received_bytes: network.map(|bytes| bytes.0),
            network_sent_bytes: network.map(|bytes| bytes.1),
            disk_read_bytes: disks.map(|bytes| bytes.0),
            disk_written_bytes: disks.map(|bytes| bytes.1),
        }
    }

    fn text(&self, file: &str) -> String {
        read::kernel_text(self.root.join(file))
    }

    fn cpu(&self, groups: &Groups) -> Option<f64> {
        let old = || {
            let file = groups.cpu.as_ref()?.join("cpuacct.usage");
            Some(seconds(read::kernel_text(file).trim().parse().ok()?, 1e-9))
        };
        let new = || {
            let text = read::kernel_text(groups.unified.as_ref()?.join("cpu.stat"));
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            Some(seconds(line.trim().parse().ok()?, 1e-6))
        };
        old().or_else(new).or_else(|| machine_cpu(&self.text("proc/stat")))
    }

    /// Bytes that were read from all disks, and bytes written.
    fn disks(&mut self, groups: &Groups) -> Option<(u64, u64)> {
        let text = |folder: &PathBuf, file: &str| {
            let path = folder.join(file);
            path.exists().then(|| read::kernel_text(path))
        };
        let old = || text(groups.block.as_ref()?, "blkio.throttle.io_service_bytes_recursive");
        let new = || text(groups.unified.as_ref()?, "io.stat");
        let entries = match (old(), new()) {
            (Some(text), _) => old_entries(&text),
            (None, Some(text)) => new_entries(&text),
            (None, None) => return None,
        };
        let whole = entries.into_iter().filter(|(disk, ..)| !self.is_stacked(disk));
        Some(whole.fold((0, 0), |sum, (_, read, written)| (sum.0 + read, sum.1 + written)))
    }

    fn is_stacked(&mut self, disk: &str) -> bool {
        if let Some(known) = self.stacked.get(disk) {
            return *known;
        }
        let parts = self.root.join("sys/dev/block").join(disk).join("slaves");
        let stacked = !read::names_where(&parts, 1, |_| true).0.is_empty();
        if self.stacked.len() < MOST_DISKS {
            self.stacked.insert(disk.to_owned(), stacked);
        }
        stacked
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a counter below 2^52 is exact, and a larger one is only rounded"
)]
pub(super) fn seconds(count: u64, unit: f64) -> f64 {
    count as f64 * unit
}

/// The time that all processors of the machine worked: all fields of the first line but idle and waiting.
fn machine_cpu(text: &str) -> Option<f64> {
    let mut fields = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (user, nice, system, _idle, _wait) = (next()?, next()?, next()?, next()?, next()?);
    let rest: u64 = [next(), next(), next()].into_iter().flatten().sum();
    // Sandboxes such as gVisor have the file, with zeros.
    Some(seconds(user + nice + system + rest, TICK)).filter(|seconds| *seconds > 0.0)
}

/// Bytes received and sent on all interfaces but loopback, from `/proc/net/dev`.
fn network(text: &str) -> Option<(u64, u64)> {
    let mut sum = None;
    for line in text.lines() {
        // The first two lines are titles.
        let Some((name, counts)) = line.split_once(':') else { continue };
        let mut counts = counts.split_ascii_whitespace();
        let (Some(received), Some(sent)) = (counts.next(), counts.nth(7)) else { continue };
        let (Ok(received), Ok(sent)) = (received.parse::<u64>(), sent.parse::<u64>()) else { continue };
        let (before, after) = sum.unwrap_or((0_u64, 0_u64));
        sum = Some(if name.trim() == "lo" {
            (before, after)
        } else {
            (before.wrapping_add(received), after.wrapping_add(sent))
        });
    }
    sum
}

/// Disk, bytes read and bytes written.
type Entry = (String, u64, u64);

/// Lines such as `8:0 Read 4096`.
fn old_entries(text: &str) -> Vec<Entry> {
    let mut disks: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(disk), Some(kind), Some(bytes)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Ok(bytes) = bytes.parse::<u64>() else { continue };
        let sums = disks.entry(disk).or_default();
        match kind {
            "Read" => sums.0 += bytes,
            "Write" => sums.1 += bytes,
            _ => {}
        }
    }
    disks.into_iter().map(|(disk, (read, written))| (disk.to_owned(), read, written)).collect()
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn new_entries(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (disk, counts) = line.split_once(' ')?;
        let bytes = |key: &str| {
            let mut counts = counts.split_ascii_whitespace();
            counts.find_map(|count| count.strip_prefix(key)?.parse::<u64>().ok())
        };
        Some((disk.to_owned(), bytes("rbytes=")?, bytes("wbytes=")?))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NET: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n  \
        eth0: 944850369   29520    0    0    0     0          0         0  1351806   15958    0    0    0     0       0          0\n  \
        eth1:10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n";

    #[test]
    fn all_interfaces_but_loopback_are_added() {
        assert_eq!(network(NET), Some((944_850_379, 1_351_826)));
        let alone: String = NET.lines().take(3).flat_map(|line| [line, "\n"]).collect();
        assert_eq!(network(&alone), Some((0, 0)), "no network but loopback");
        assert_eq!(network(""), None);
        assert_eq!(network("titles\neth0: x y\n"), None);
    }

    #[test]
    fn counters_come_from_the_group_and_else_from_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let none = Groups::default();
        let mut counters = Counters::new(dir.path());
        assert_eq!(counters.read(&none), Totals::default());
        write("proc/stat", "cpu  100 50 50 9999 999 10 20 70 5 5\ncpu0 1 1 1 1\n");
        assert_eq!(counters.read(&none).cpu_seconds, Some(3.0));
        write("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n");
        assert_eq!(counters.read(&none).cpu_seconds, None);

        write("new/cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n");
        // 253:0 is made of 8:0 and counts its bytes a second time.
        write(
            "new/io.stat",
            "8:0 rbytes=4096 wbytes=100 rios=1 wios=1 dbytes=0 dios=0\n253:0 rbytes=4096 wbytes=100\n7:1 \n",
        );
        write("sys/dev/block/253:0/slaves/sda", "");
        let groups = Groups { unified: Some(new), ..Groups::default() };
        let found = counters.read(&groups);
        assert_eq!(
            (found.cpu_seconds, found.disk_read_bytes, found.disk_written_bytes),
            (Some(2.5), Some(4096), Some(100))
        );

        write("old/cpuacct.usage", "1500000000\n");
        let file = "old/blkio.throttle.io_service_bytes_recursive";
        write(
            file,
            "8:0 Read 8192\n8:0 Write 300\n8:0 Sync 8492\n8:0 Total 8492\n259:0 Read 8\nTotal 8500\n",
        );
        let groups = Groups { cpu: Some(old.clone()), block: Some(old), ..Groups::default() };
        let found = counters.read(&groups);
        assert_eq!(
            (found.cpu_seconds, found.disk_read_bytes, found.disk_written_bytes),
            (Some(1.5), Some(8200), Some(300))
        );
        write(file, "Total 0\n");
        assert_eq!(counters.read(&groups).disk_read_bytes, Some(0));
    }
}

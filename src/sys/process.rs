//! Inspects and signals processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::read;

/// Sends `signal` to the whole process group of `leader`, or to `leader` alone while it has not made its group yet.
/// A stopped process is continued, so that it can take the signal.
pub fn signal_group(leader: i32, signal: Signal) {
    let group = Pid::from_raw(-leader);
    if kill(group, signal) == Err(Errno::ESRCH) {
        // The process may have ended already.
        let _ = kill(Pid::from_raw(leader), signal);
    }
    let _ = kill(group, Signal::SIGCONT);
}

/// Sends `signal` to the remaining processes of the group of `leader`; `leader` itself may have ended.
pub fn signal_rest(leader: i32, signal: Signal) {
    let group = Pid::from_raw(-leader);
    // No process of the group may be left.
    let _ = kill(group, signal);
    let _ = kill(group, Signal::SIGCONT);
}

/// Whether no process of the group of `leader` is left. The kernel does not reuse the number before that.
pub fn group_is_gone(leader: i32) -> bool {
    kill(Pid::from_raw(-leader), None) == Err(Errno::ESRCH)
}

/// Sends `signal` to every process below this one.
pub fn signal_descendants(signal: Signal) {
    signal_all(&descendants(std::process::id().cast_signed()), signal);
}

/// Sends `signal` to each of `pids`. A stopped process is continued, so that it can take the signal.
pub(super) fn signal_all(pids: &BTreeSet<i32>, signal: Signal) {
    for pid in pids.iter().map(|pid| Pid::from_raw(*pid)) {
        // It may have ended since we looked.
        let _ = kill(pid, signal).and_then(|()| kill(pid, Signal::SIGCONT));
    }
}

/// A signal by the name that service files use: `TERM`, `SIGTERM`.
pub fn signal_by_name(name: &str) -> Option<Signal> {
    let name = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    name.parse().ok()
}

/// Every process below `root`, which is left out.
pub fn descendants(root: i32) -> BTreeSet<i32> {
    below(root, &processes())
}

/// Whether `pid` belongs to the session of `leader`.
pub fn in_session(pid: i32, leader: i32) -> bool {
    pid == leader || nix::unistd::getsid(Some(Pid::from_raw(pid))) == Ok(Pid::from_raw(leader))
}

/// Facts about a process that every user may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) session: i32,
}

impl Stat {
    /// Whether the process has ended and its parent has not collected it yet.
    pub(super) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    /// From a line of `/proc/PID/stat`: the fields after the name, which may hold anything in brackets.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // The field between them is the process group.
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { state, parent, session })
    }
}

/// All processes, by `/proc/PID/stat`, which every user may read.
pub(super) fn processes() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok())
        .filter_map(|pid| Some((pid, Stat::parse(&read::kernel_text(format!("/proc/{pid}/stat")))?)))
        .collect()
}

/// The program and the arguments of a process as one text, which every user may read; empty if the process has ended.
pub(super) fn command_line(pid: i32) -> Vec<u8> {
    read::kernel(format!("/proc/{pid}/cmdline"))
}

/// All of `processes` below `root`, which is left out.
pub(super) fn below(root: i32, processes: &BTreeMap<i32, Stat>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (&pid, stat) in processes {
            if stat.parent == root || found.contains(&stat.parent) {
                found.insert(pid);
            }
        }
        if found.len() == before {
            found.remove(&root);
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_line_is_parsed_with_brackets_and_spaces_in_the_name() {
        let stat = |state, parent, session| Some(Stat { state, parent, session });
        assert_eq!(Stat::parse("12 (a) S 3 (b)) S 7 12 11 0"), stat('S', 7, 11));
        assert_eq!(Stat::parse("12 (sh) Z 1 12 12 0"), stat('Z', 1, 12));
        assert_eq!(Stat::parse("garbage"), None);
    }

    #[test]
    fn signals_have_both_names() {
        assert_eq!(signal_by_name("TERM"), Some(Signal::SIGTERM));
        assert_eq!(signal_by_name("SIGINT"), Some(Signal::SIGINT));
        assert_eq!(signal_by_name("NOPE"), None);
    }

    #[test]
    fn descendants_are_found_through_every_generation() {
        let parents = [(10, 1), (11, 10), (5, 11), (12, 5), (20, 1), (21, 20)];
        let stat = |(pid, parent)| (pid, Stat { state: 'S', parent, session: 0 });
        assert_eq!(below(10, &parents.map(stat).into()), BTreeSet::from([5, 11, 12]));
    }
}

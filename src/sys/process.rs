//! Looking at and signalling processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends `signal` to the whole process group of `leader`, or to `leader` alone while it has not made its group yet.
/// A stopped process is continued, so that it can take the signal.
pub fn signal_group(leader: i32, signal: Signal) {
    let group = Pid::from_raw(-leader);
    if kill(group, signal) == Err(Errno::ESRCH) {
        // Gone already, perhaps.
        let _ = kill(Pid::from_raw(leader), signal);
    }
    let _ = kill(group, Signal::SIGCONT);
}

/// Sends `signal` to whoever is left of the group of `leader`, which need not be there any more.
pub fn signal_rest(leader: i32, signal: Signal) {
    let group = Pid::from_raw(-leader);
    // There may be nobody left.
    let _ = kill(group, signal);
    let _ = kill(group, Signal::SIGCONT);
}

/// Whether anybody is left of the group of `leader`. Its number is not given to others before.
pub fn group_is_gone(leader: i32) -> bool {
    kill(Pid::from_raw(-leader), None) == Err(Errno::ESRCH)
}

/// Sends `signal` to every process below this one.
pub fn signal_descendants(signal: Signal) {
    for pid in descendants(std::process::id().cast_signed()) {
        // It may have ended since we looked.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// A signal by the name that service files use: `TERM`, `SIGTERM`.
pub fn signal_by_name(name: &str) -> Option<Signal> {
    let name = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    name.parse().ok()
}

/// Every process below `root`, which is left out.
pub fn descendants(root: i32) -> BTreeSet<i32> {
    super::guard::below(root, &parents())
}

/// Whether `pid` belongs to the session of `leader`.
pub fn in_session(pid: i32, leader: i32) -> bool {
    pid == leader || nix::unistd::getsid(Some(Pid::from_raw(pid))) == Ok(Pid::from_raw(leader))
}

/// Who is whose parent, by `/proc/PID/stat`, which every user may read.
fn parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok())
        .filter_map(|pid| Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// The parent in a line of `/proc/PID/stat`: the second field after the name, which may hold anything in brackets.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        assert_eq!(parent("12 (a) S 3 (b)) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (sh) S 1 12 12 0"), Some(1));
        assert_eq!(parent("garbage"), None);
    }

    #[test]
    fn signals_have_both_names() {
        assert_eq!(signal_by_name("TERM"), Some(Signal::SIGTERM));
        assert_eq!(signal_by_name("SIGINT"), Some(Signal::SIGINT));
        assert_eq!(signal_by_name("NOPE"), None);
    }

    #[test]
    fn descendants_are_found_through_every_generation() {
        let parents = BTreeMap::from([(10, 1), (11, 10), (5, 11), (12, 5), (20, 1), (21, 20)]);
        assert_eq!(super::super::guard::below(10, &parents), BTreeSet::from([5, 11, 12]));
    }
}

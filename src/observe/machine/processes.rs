//! What the processes of each service use.
//!
//! A service has all processes below its guard, or below its main process where it has none, and those that are left of
//! its session. Processor time is added up from the differences of each process, and that of children that ended between
//! two looks is in their parents' counters, so that a build that starts thousands of short programs is not free. Memory is
//! that of a process alone: no file and nothing shared, which would be counted several times.
//!
//! A look costs 3 to 8 microseconds a process, and half as much again where memory is read as well.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::counters::{TICK, seconds};
use super::stat::{Name, Stat, own_pages};
use crate::sys::read::{self, KernelFolder};

/// How many processes are looked at. More of them cost too much time.
const MOST: usize = 4096;

/// Memory is read at each so-many-th look: it changes slowly, and costs half as much again.
const MEMORY_STEP: u64 = 3;

/// How many of the processes with the most memory, and of those with the most processor time, are named.
const LARGEST: usize = 12;

/// The size of a page of memory, in bytes, by the values that the kernel gives to each program. Only some processors of
/// ARM have larger pages than this.
fn page() -> u64 {
    const USUAL: u64 = 4096;
    /// `AT_PAGESZ`.
    const KEY: u64 = 6;
    let values = read::kernel("/proc/self/auxv");
    let mut words = values.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_ne_bytes));
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == KEY {
            return value;
        }
    }
    USUAL
}

/// Who a process belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The service with this position.
    Service(usize),
    /// The daemon itself.
    Daemon,
    /// No service.
    Others,
    /// Not in this container.
    Outside,
}

/// A process at the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) stat: Stat,
    pub(super) name: Name,
    /// Its own memory, in pages.
    pub(super) pages: u64,
}

/// What one owner's processes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Processor time since the look before.
    pub(super) ticks: u64,
    /// Own memory, in bytes.
    pub(super) memory: u64,
    pub(super) processes: u32,
}

/// A process that uses much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Large {
    pub(super) pid: i32,
    pub(super) name: Name,
    pub(super) owner: Owner,
    /// Processor time since the look before.
    pub(super) ticks: u64,
    /// Own memory, in bytes.
    pub(super) memory: u64,
}

/// What a look shows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// In the order of the services that were asked about.
    pub(super) services: Vec<Used>,
    pub(super) daemon: Used,
    pub(super) others: Used,
    /// The processes that use the most memory, and those that use the most processor time: those with more memory first.
    pub(super) largest: Vec<Large>,
    /// Whether there were more processes than were looked at.
    pub(super) left_out: bool,
}

/// Looks at processes again and again.
pub(super) struct Processes {
    folder: Option<KernelFolder>,
    daemon: i32,
    /// The size of a page.
    page: u64,
    pids: Vec<i32>,
    /// The last look, by process number.
    last: Vec<Process>,
    /// For the next look: the room of the one before the last.
    next: Vec<Process>,
    looks: u64,
}

impl Processes {
    /// For the processes in `proc`, `/proc` except in tests.
    pub(super) fn new(proc: &Path, daemon: i32) -> Self {
        let folder = KernelFolder::open(proc).ok();
        Self { folder, daemon, page: page(), pids: Vec::new(), last: Vec::new(), next: Vec::new(), looks: 0 }
    }

    /// Looks at all processes. `mains` has the main process of each service, if there is one.
    pub(super) fn look(&mut self, mains: &[Option<i32>]) -> Seen {
        let left_out = self.read();
        let owners = owners(&self.last, self.daemon, mains);
        let ticks = differences(&self.next, &self.last);
        let mut seen = Seen { services: vec![Used::default(); mains.len()], left_out, ..Seen::default() };
        let mut all = Vec::with_capacity(self.last.len());
        for ((process, owner), ticks) in self.last.iter().zip(owners).zip(ticks) {
            let used = match owner {
                Owner::Service(at) => &mut seen.services[at],
                Owner::Daemon => &mut seen.daemon,
                Owner::Others => &mut seen.others,
                Owner::Outside => continue,
            };
            used.ticks += ticks;
            used.memory += process.pages * self.page;
            used.processes += u32::from(!process.stat.zombie);
            let memory = process.pages * self.page;
            all.push(Large { pid: process.pid, name: process.name, owner, ticks, memory });
        }
        seen.largest = largest(all);
        seen
    }

    /// Reads all processes into `last`; `next` has the look before then.
    fn read(&mut self) -> bool {
        let Self { folder: Some(folder), pids, last, next, .. } = self else { return false };
        let left_out = folder.numbers(MOST, pids);
        pids.sort_unstable();
        next.clear();
        let all = self.looks.is_multiple_of(MEMORY_STEP);
        self.looks += 1;
        let mut name = String::with_capacity(32);
        for &pid in &*pids {
            name.clear();
            // Writing to a string cannot fail.
            let _ = write!(name, "{pid}/stat");
            let line = folder.file(&name);
            let Some((stat, called)) = line.and_then(|line| Some((Stat::parse(line)?, Name::parse(line))))
            else {
                continue;
            };
            let known =
                find(last, pid).filter(|known| known.stat.start == stat.start).map(|known| known.pages);
            let pages = match known {
                Some(pages) if !all && !stat.zombie => pages,
                _ if stat.zombie => 0,
                _ => {
                    name.push('m');
                    folder.file(&name).and_then(own_pages).unwrap_or(0)
                }
            };
            next.push(Process { pid, stat, name: called, pages });
        }
        std::mem::swap(last, next);
        left_out
    }
}

/// The first [`LARGEST`] by memory, and those by processor time that are not among them.
fn largest(mut all: Vec<Large>) -> Vec<Large> {
    let mut first = |from: usize, key: fn(&Large) -> u64| {
        let rest = &mut all[from..];
        if let Some(last) = rest.len().min(LARGEST).checked_sub(1) {
            rest.select_nth_unstable_by_key(last, |process| Reverse(key(process)));
        }
        from + rest.len().min(LARGEST)
    };
    let by_memory = first(0, |process| process.memory);
    let end = first(by_memory, |process| process.ticks);
    all.truncate(end);
    all.retain(|process| process.memory > 0 || process.ticks > 0);
    all.sort_unstable_by_key(|process| (Reverse(process.memory), process.pid));
    all
}

fn find(processes: &[Process], pid: i32) -> Option<&Process> {
    position(processes, pid).map(|at| &processes[at])
}

fn position(processes: &[Process], pid: i32) -> Option<usize> {
    processes.binary_search_by_key(&pid, |process| process.pid).ok()
}

/// Who each of `processes`, which are sorted, belongs to.
pub(super) fn owners(processes: &[Process], daemon: i32, mains: &[Option<i32>]) -> Vec<Owner> {
    let tops = tops(processes, daemon);
    // The daemon's child above each service: its guard, or the main process itself.
    let mut roots: BTreeMap<i32, usize> = BTreeMap::new();
    let mut sessions: BTreeMap<i32, usize> = BTreeMap::new();
    for (service, main) in mains.iter().enumerate() {
        let Some(main) = *main else { continue };
        sessions.insert(main, service);
        if let Some(top) = position(processes, main).and_then(|at| tops[at]) {
            roots.insert(top, service);
        }
    }
    let of = |(process, top): (&Process, &Option<i32>)| {
        if process.pid == daemon {
            return Owner::Daemon;
        }
        match top {
            // In a container of its own the daemon is the first process, and the engine starts others beside it.
            None if daemon == 1 => Owner::Others,
            None => Owner::Outside,
            Some(top) => {
                let service = roots.get(top).or_else(|| sessions.get(&process.stat.session));
                service.map_or(Owner::Others, |service| Owner::Service(*service))
            }
        }
    };
    processes.iter().zip(&tops).map(of).collect()
}

/// The daemon's child above each process, or the process itself if it is one; `None` for processes that are not below the
/// daemon.
fn tops(processes: &[Process], daemon: i32) -> Vec<Option<i32>> {
    let mut known: Vec<Option<Option<i32>>> = vec![None; processes.len()];
    let mut path = Vec::new();
    for begin in 0..processes.len() {
        let mut at = begin;
        let top = loop {
            if let Some(top) = known[at] {
                break top;
            }
            path.push(at);
            // A process whose parent ended between two reads could seem to be its own ancestor.
            if path.len() > processes.len() {
                break None;
            }
            let process = &processes[at];
            if process.stat.parent == daemon {
                break Some(process.pid);
            }
            match position(processes, process.stat.parent) {
                Some(parent) if process.pid != daemon => at = parent,
                _ => break None,
            }
        };
        path.drain(..).for_each(|at| known[at] = Some(top));
    }
    known.into_iter().map(Option::flatten).collect()
}

/// The processor time that each process of `now` used since `before`. A process has its own time and, since children
/// that have ended are added to their parents, the time of its children that `before` does not have yet.
pub(super) fn differences(before: &[Process], now: &[Process]) -> Vec<u64> {
    let same = |all: &[Process], process: &Process| {
        find(all, process.pid).filter(|found| found.stat.start == process.stat.start).copied()
    };
    // What the parents took over of processes that have ended.
    let mut taken: BTreeMap<i32, u64> = BTreeMap::new();
    for process in before {
        if same(now, process).is_none() {
            *taken.entry(process.stat.parent).or_default() += process.stat.own + process.stat.children;
        }
    }
    let of = |process: &Process| {
        let Stat { own, children, .. } = process.stat;
        let known = same(before, process).map(|known| known.stat).unwrap_or_default();
        let of_children = children.saturating_sub(known.children);
        let known_already = taken.get(&process.pid).copied().unwrap_or(0);
        own.saturating_sub(known.own) + of_children.saturating_sub(known_already)
    };
    now.iter().map(of).collect()
}

/// Processor time in seconds.
pub(super) fn in_seconds(ticks: u64) -> f64 {
    seconds(ticks, TICK)
}

#[cfg(test)]
mod tests;

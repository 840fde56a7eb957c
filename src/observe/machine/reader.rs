//! Reads all figures of one moment. Only files of the kernel are read here; what can hang is asked elsewhere (`disks.rs`,
//! `gpus.rs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::disks::Disks;
use super::gpus::Gpus;
use super::groups::Groups;
use super::memory::Memory;
use super::processes::{Large, Owner, Processes, Seen, Used, in_seconds};
use super::rate::{LONGEST, difference, rate, share};
use super::sample::{ProcessFigures, Sample, ServiceFigures, Totals, Usage};
use crate::config::own;
use crate::facts::cpus;
use crate::observe::UnitInfo;

/// Processes are looked at in every other sample: that is most of what a sample costs. A bit less than two seconds, so that
/// the sample then is not missed.
const LOOK_STEP: Duration = Duration::from_millis(1900);

/// They are looked at again after this many times as long as a look took, if that is longer: thousands of processes must
/// not cost a core.
const LOOK_PAUSE: u32 = 20;

/// How long the last figures of the processes are used when a look is left out.
const LOOK_KEPT: Duration = Duration::from_secs(30);

/// A service: what it is, and its main process.
pub(super) type Unit = (Arc<UnitInfo>, Option<i32>);

/// Reads figures again and again.
pub(super) struct Reader {
    groups: Groups,
    counters: Counters,
    processes: Processes,
    disks: Disks,
    /// The last counters, and when they were read.
    last: Option<(Instant, Totals)>,
    looked: Option<Looked>,
    /// The processor time of each owner so far, in the kernel's unit: services by name, the daemon, all others.
    ticks: BTreeMap<String, u64>,
    others: u64,
}

/// The last look at the processes.
struct Looked {
    at: Instant,
    took: Duration,
    /// Whether there are shares of processor time: not after the first look.
    rated: bool,
    services: Vec<ServiceFigures>,
    others: Usage,
    largest: Vec<ProcessFigures>,
    processes: u32,
    left_out: bool,
}

impl Reader {
    /// For this machine. `daemon` is the daemon's own process.
    pub(super) fn new(daemon: i32, workspace: Option<&Path>) -> Self {
        let root = Path::new("/");
        Self {
            groups: Groups::find(root),
            counters: Counters::new(root),
            processes: Processes::new(&root.join("proc"), daemon),
            disks: Disks::new(workspace),
            last: None,
            looked: None,
            ticks: BTreeMap::new(),
            others: 0,
        }
    }

    /// Reads everything.
    pub(super) fn read(&mut self, now: Instant, units: &[Unit], gpus: &Gpus) -> Sample {
        let root = Path::new("/");
        let cpu_cores = cpus::usable(root);
        self.look(now, units, cpu_cores);
        let totals = self.counters.read(&self.groups);
        let (then, before) = self.last.replace((now, totals)).unwrap_or((now, Totals::default()));
        let elapsed = now.saturating_duration_since(then);
        let cpu_seconds = totals.cpu_seconds.zip(before.cpu_seconds).map(|(after, before)| after - before);
        let busy = cpu_seconds.and_then(|seconds| difference(seconds, elapsed));
        let per_second = |of: fn(&Totals) -> Option<u64>| rate(of(&before), of(&totals), elapsed);
        let memory = Memory::read(&self.groups, root);
        let (gpus, gpus_pending) = gpus.read(now);
        let looked = self.looked.as_ref();
        Sample {
            seq: 0,
            at: 0,
            cpu_share: busy.zip(cpu_cores).map(|(busy, cores)| share(busy / cores)),
            cpu_cores,
            memory_used_bytes: memory.used,
            memory_cache_bytes: memory.cache,
            memory_limit_bytes: memory.limit,
            swap_used_bytes: memory.swap.map(|swap| swap.0),
            swap_limit_bytes: memory.swap.map(|swap| swap.1),
            network_received_bytes_per_second: per_second(|all| all.network_received_bytes),
            network_sent_bytes_per_second: per_second(|all| all.network_sent_bytes),
            disk_read_bytes_per_second: per_second(|all| all.disk_read_bytes),
            disk_written_bytes_per_second: per_second(|all| all.disk_written_bytes),
            disks: self.disks.read(now),
            gpus,
            services: looked.map(|looked| looked.services.clone()).unwrap_or_default(),
            others: looked.map(|looked| looked.others).unwrap_or_default(),
            largest: looked.map(|looked| looked.largest.clone()).unwrap_or_default(),
            processes: looked.map_or(0, |looked| looked.processes),
            processes_left_out: looked.is_some_and(|looked| looked.left_out),
            totals,
            gpus_pending,
        }
    }

    /// Looks at the processes, unless the last look took too long for another one now.
    fn look(&mut self, now: Instant, units: &[Unit], cores: Option<f64>) {
        let elapsed = self.looked.as_ref().map(|looked| now.saturating_duration_since(looked.at));
        if let (Some(elapsed), Some(looked)) = (elapsed, &self.looked) {
            let step = if looked.rated { LOOK_STEP } else { Duration::ZERO };
            if elapsed < (looked.took * LOOK_PAUSE).min(LOOK_KEPT).max(step) {
                return;
            }
        }
        let began = Instant::now();
        let mains: Vec<Option<i32>> = units.iter().map(|(_, pid)| *pid).collect();
        let seen = self.processes.look(&mains);
        // The time before the first look says nothing about now.
        let elapsed = elapsed.filter(|elapsed| *elapsed <= LONGEST.max(LOOK_KEPT));
        let busy = |ticks: u64| {
            let busy = elapsed.map(|elapsed| in_seconds(ticks) / elapsed.as_secs_f64().max(0.001));
            busy.zip(cores).map(|(busy, cores)| share(busy / cores))
        };
        let usage = |used: Used, all: u64| Usage {
            cpu_share: busy(used.ticks),
            memory_bytes: used.memory,
            processes: used.processes,
            cpu_seconds: in_seconds(all),
        };
        let Seen { services, daemon, others, largest, left_out } = seen;
        let mut rows = Vec::new();
        let names = units.iter().map(|(info, _)| info.name.as_str());
        self.ticks.retain(|name, _| own::is_own(name) || units.iter().any(|(info, _)| info.name == *name));
        for (name, used) in std::iter::once((own::NAMES[0], daemon)).chain(names.zip(services)) {
            if used.processes == 0 && used.ticks == 0 {
                continue;
            }
            if !self.ticks.contains_key(name) {
                self.ticks.insert(name.to_owned(), 0);
            }
            let all = self.ticks.get_mut(name).map_or(used.ticks, |all| {
                *all += used.ticks;
                *all
            });
            if used.processes > 0 {
                rows.push(ServiceFigures { name: name.to_owned(), usage: usage(used, all) });
            }
        }
        self.others += others.ticks;
        let others = usage(others, self.others);
        let processes = rows.iter().map(|row| row.usage.processes).sum::<u32>() + others.processes;
        let largest = largest.iter().map(|process| ProcessFigures {
            pid: process.pid,
            name: process.name.text(),
            service: owner(process, units).map(str::to_owned),
            cpu_share: busy(process.ticks),
            memory_bytes: process.memory,
        });
        let largest = largest.collect();
        let (took, rated) = (began.elapsed(), elapsed.is_some());
        self.looked =
            Some(Looked { at: now, took, rated, services: rows, others, largest, processes, left_out });
    }
}

/// The name of the service that the process belongs to.
fn owner<'a>(process: &Large, units: &'a [Unit]) -> Option<&'a str> {
    match process.owner {
        Owner::Service(at) => units.get(at).map(|(info, _)| info.name.as_str()),
        Owner::Daemon => Some(own::NAMES[0]),
        Owner::Others | Owner::Outside => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_has_levels_and_the_next_one_has_rates() {
        let own = std::process::id().cast_signed();
        let mut reader = Reader::new(own, None);
        let gpus = Gpus::default();
        let begin = Instant::now();
        let first = reader.read(begin, &[], &gpus);
        assert!(first.memory_used_bytes.is_some() && first.memory_limit_bytes.is_some());
        assert!(first.totals.cpu_seconds.is_some() && first.cpu_cores.is_some_and(|cores| cores > 0.0));
        assert_eq!((first.cpu_share, first.network_sent_bytes_per_second), (None, None));
        assert_eq!(first.disks[0].path, "/");
        let row = &first.services[0];
        assert_eq!((row.name.as_str(), row.usage.cpu_share, row.usage.processes), ("desktopd", None, 1));
        assert!(first.processes >= 1);
        let process = first.largest.iter().find(|process| process.pid == own).unwrap();
        assert_eq!((process.service.as_deref(), process.cpu_share), (Some("desktopd"), None));
        assert!(process.memory_bytes > 0 && process.memory_bytes <= row.usage.memory_bytes);
        let next = reader.read(begin + Duration::from_secs(5), &[], &gpus);
        assert!(next.largest.iter().all(|process| process.cpu_share.is_some()));
        assert!(next.cpu_share.is_some() && next.services[0].usage.cpu_share.is_some());
        assert!(next.services[0].usage.cpu_seconds >= row.usage.cpu_seconds);
        let later = reader.read(begin + Duration::from_secs(1000), &[], &gpus);
        assert_eq!((later.cpu_share, later.services[0].usage.cpu_share), (None, None), "after a pause");
    }
}

//! The figures of the GPUs: from a child process with NVML for NVIDIA's, from sysfs for others.
//!
//! Both can hang with a sick GPU. The child has a time limit (`facts/gpu/loads.rs`), and sysfs is read on a thread of its
//! own. A GPU without an answer has no figures, and the reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::aside::Aside;
use super::rate::{round, share};
use super::sample::GpuFigures;
use crate::facts::gpu::ask::Questions;
use crate::facts::gpu::load::Load;
use crate::facts::gpu::{Gpu, Vendor, loads};
use crate::sys::lock;
use crate::sys::reaper::Reaper;

/// The age at which an answer counts no more.
const STALE: Duration = Duration::from_millis(3500);

/// How long after a failure NVML is asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// Which GPUs there are, and how they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Targets {
    pub(super) gpus: Vec<Gpu>,
    pub(super) questions: Questions,
}

impl Targets {
    /// Those that can have figures: not the cards of virtual machines.
    pub(super) fn of(gpus: &[Gpu], questions: &Questions) -> Self {
        let real = |gpu: &&Gpu| matches!(gpu.vendor, Vendor::Nvidia | Vendor::Amd | Vendor::Intel);
        Self { gpus: gpus.iter().filter(real).cloned().collect(), questions: questions.clone() }
    }

    fn asks_nvml(&self, gpu: &Gpu) -> bool {
        gpu.vendor == Vendor::Nvidia && self.questions.ask_nvml()
    }

    fn ask_nvml(&self) -> bool {
        self.gpus.iter().any(|gpu| self.asks_nvml(gpu))
    }
}

/// What NVML's child said last.
#[derive(Debug, Default)]
struct Said {
    loads: Vec<Load>,
    at: Option<Instant>,
    /// Why there is no answer.
    failed: Option<String>,
}

/// A reading of counters that only mean something as differences.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at: Instant,
    energy: Option<u64>,
    idle: Option<u64>,
    power_watts: Option<f64>,
    awake_share: Option<f64>,
}

/// Asks the GPUs.
#[derive(Default)]
pub(super) struct Gpus {
    targets: Mutex<Arc<Targets>>,
    said: Arc<Mutex<Said>>,
    /// The task that asks NVML, while figures are wanted.
    asking: Mutex<Option<AbortHandle>>,
    sysfs: Aside<Vec<(Instant, Load)>>,
    counted: Mutex<BTreeMap<String, Counted>>,
}

impl Gpus {
    /// Replaces the GPUs. Returns whether they are others than before.
    pub(super) fn set(&self, targets: Targets) -> bool {
        let mut known = lock(&self.targets);
        let is_new = **known != targets;
        if is_new {
            *known = Arc::new(targets);
        }
        is_new
    }

    /// Begins to ask NVML, if there is a GPU to ask about. Must be called within a runtime.
    pub(super) fn begin(&self, reaper: Option<&Reaper>) {
        let targets = Arc::clone(&lock(&self.targets));
        let mut asking = lock(&self.asking);
        if let Some(before) = asking.take() {
            before.abort();
        }
        *lock(&self.said) = Said::default();
        let (Some(reaper), Ok(runtime), true) = (reaper.cloned(), Handle::try_current(), targets.ask_nvml())
        else {
            return;
        };
        let said = Arc::clone(&self.said);
        let task = runtime.spawn(async move {
            loop {
                let hear = |loads| {
                    *lock(&said) = Said { loads, at: Some(Instant::now()), failed: None };
                };
                if let Err(reason) = loads::watch(&reaper, &targets.questions, hear).await {
                    *lock(&said) = Said { failed: Some(reason), ..Said::default() };
                    tokio::time::sleep(AGAIN).await;
                }
            }
        });
        *asking = Some(task.abort_handle());
    }

    /// Asks no more.
    pub(super) fn end(&self) {
        if let Some(task) = lock(&self.asking).take() {
            task.abort();
        }
    }

    /// The figures of all GPUs, and whether NVML's first answer is still awaited.
    pub(super) fn read(&self, now: Instant) -> (Vec<GpuFigures>, bool) {
        let targets = Arc::clone(&lock(&self.targets));
        if targets.gpus.iter().any(|gpu| !targets.asks_nvml(gpu)) {
            let asked = Arc::clone(&targets);
            self.sysfs.ask(move || {
                let here = Path::new("/");
                let of = |gpu: &Gpu| (Instant::now(), Load::of_sysfs(here, gpu));
                asked.gpus.iter().map(of).collect()
            });
        }
        let sysfs = self.sysfs.last(now, Duration::from_millis(100));
        // Before the next lock: `begin` takes both the other way round.
        let asking = lock(&self.asking).is_some();
        let said = lock(&self.said);
        let mut counted = lock(&self.counted);
        let figures = targets.gpus.iter().enumerate().map(|(at, gpu)| {
            let place = place(gpu);
            if targets.asks_nvml(gpu) {
                return of_nvml(gpu, place, &said, now);
            }
            match &sysfs {
                Some((loads, age)) if *age < STALE && loads.len() == targets.gpus.len() => {
                    let (at, load) = &loads[at];
                    let counted = counted.entry(place.clone());
                    let counted = counted.and_modify(|counted| counted.advance(*at, load));
                    let counted = *counted.or_insert_with(|| Counted::first(*at, load));
                    GpuFigures {
                        power_watts: watts(load).or(counted.power_watts),
                        awake_share: counted.awake_share,
                        ..figures(gpu, place, load)
                    }
                }
                Some(_) => without(gpu, place, "the GPU's driver does not answer"),
                None => without(gpu, place, ""),
            }
        });
        let figures = figures.collect();
        let pending = targets.ask_nvml() && said.at.is_none() && said.failed.is_none();
        (figures, pending && asking)
    }
}

fn of_nvml(gpu: &Gpu, place: String, said: &Said, now: Instant) -> GpuFigures {
    if let Some(reason) = &said.failed {
        return without(gpu, place, reason);
    }
    match said.at {
        Some(at) if now.saturating_duration_since(at) < STALE => {
            let load = said.loads.iter().find(|load| load.pci.is_some() && load.pci == gpu.pci);
            // A GPU that is lost may not even say its address.
            let nameless = || said.loads.iter().find(|load| load.pci.is_none());
            match load.or_else(nameless) {
                Some(load) => GpuFigures { power_watts: watts(load), ..figures(gpu, place, load) },
                None => without(gpu, place, "NVML does not list this GPU"),
            }
        }
        Some(_) => without(gpu, place, "NVML does not answer"),
        None => without(gpu, place, ""),
    }
}

/// The GPU's place: its PCI address, or else a node.
fn place(gpu: &Gpu) -> String {
    let nodes = [&gpu.pci, &gpu.nodes.nvidia, &gpu.nodes.card, &gpu.nodes.render];
    nodes.into_iter().flatten().next().cloned().unwrap_or_default()
}

fn without(gpu: &Gpu, place: String, reason: &str) -> GpuFigures {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    GpuFigures { name: gpu.title().to_owned(), place, reason, ..GpuFigures::default() }
}

fn figures(gpu: &Gpu, place: String, load: &Load) -> GpuFigures {
    let percent = |percent: Option<u32>| percent.map(|percent| round(f64::from(percent) / 100.0));
    #[expect(clippy::cast_precision_loss, reason = "temperatures are small")]
    let temperature_celsius = load.temperature.map(|thousandths| thousandths as f64 / 1000.0);
    GpuFigures {
        busy_share: percent(load.busy_percent),
        encoder_share: percent(load.encoder_percent),
        memory_used_bytes: load.memory_used,
        memory_total_bytes: load.memory_total,
        temperature_celsius,
        ..without(gpu, place, load.reason.as_deref().unwrap_or_default())
    }
}

fn watts(load: &Load) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "microwatts of a card are exact")]
    load.power.map(|microwatts| round(microwatts as f64 / 1e6))
}

impl Counted {
    fn first(at: Instant, load: &Load) -> Self {
        Self { at, energy: load.energy, idle: load.idle, power_watts: None, awake_share: None }
    }

    /// Takes the next reading over. The same reading twice changes nothing.
    fn advance(&mut self, at: Instant, load: &Load) {
        let elapsed = at.saturating_duration_since(self.at);
        if elapsed.is_zero() {
            return;
        }
        // After a pause, a mean of the pause would pass for the load of now.
        let fresh = elapsed < STALE;
        let since = |before: Option<u64>, after: Option<u64>| after?.checked_sub(before?).filter(|_| fresh);
        #[expect(clippy::cast_precision_loss, reason = "differences are small")]
        let (energy, idle) = (
            since(self.energy, load.energy).map(|energy| energy as f64 / 1e6),
            since(self.idle, load.idle).map(|idle| idle as f64 / 1e3),
        );
        *self = Self {
            power_watts: energy.map(|joules| round(joules / elapsed.as_secs_f64())),
            awake_share: idle.map(|seconds| share(1.0 - seconds / elapsed.as_secs_f64())),
            ..Self::first(at, load)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> Gpu {
        Gpu { pci: Some("0000:01:00.0".into()), vendor: Vendor::Nvidia, ..Gpu::default() }
    }

    #[test]
    fn a_gpu_has_the_figures_that_its_driver_reports_or_the_reason() {
        let now = Instant::now();
        let load = Load {
            pci: Some("0000:01:00.0".into()),
            busy_percent: Some(37),
            temperature: Some(46_000),
            power: Some(31_500_000),
            ..Load::default()
        };
        let said = |loads: Vec<Load>, at| Said { loads, at, failed: None };
        let of = |said: &Said| of_nvml(&gpu(), "p".into(), said, now);
        let found = of(&said(vec![Load::default(), load.clone()], Some(now)));
        assert_eq!((found.busy_share, found.temperature_celsius), (Some(0.37), Some(46.0)));
        assert_eq!(
            (found.power_watts, found.encoder_share, found.memory_used_bytes),
            (Some(31.5), None, None)
        );
        assert_eq!((found.name.as_str(), found.reason), ("NVIDIA GPU", None));
        let lost = Load { reason: Some("GPU is lost".into()), ..Load::default() };
        assert_eq!(of(&said(vec![lost], Some(now))).reason.as_deref(), Some("GPU is lost"));
        for (said, reason) in [
            (said(vec![load.clone()], now.checked_sub(STALE)), Some("NVML does not answer")),
            (
                said(vec![Load { pci: Some("x".into()), ..load }], Some(now)),
                Some("NVML does not list this GPU"),
            ),
            (Said { failed: Some("it crashed".into()), ..Said::default() }, Some("it crashed")),
            (Said::default(), None),
        ] {
            let found = of(&said);
            assert_eq!((found.reason.as_deref(), found.busy_share), (reason, None), "{said:?}");
        }
    }

    #[test]
    fn power_and_time_awake_are_differences() {
        let begin = Instant::now();
        let load = |energy, idle| Load { energy: Some(energy), idle: Some(idle), ..Load::default() };
        let mut counted = Counted::first(begin, &load(1_000_000, 5000));
        assert_eq!((counted.power_watts, counted.awake_share), (None, None));
        let second = Duration::from_secs(1);
        counted.advance(begin + second, &load(16_000_000, 5250));
        assert_eq!((counted.power_watts, counted.awake_share), (Some(15.0), Some(0.75)));
        counted.advance(begin + second, &load(16_000_000, 5250));
        assert_eq!(counted.power_watts, Some(15.0), "the same reading");
        counted.advance(begin + second * 2, &load(3, 9000));
        assert_eq!(
            (counted.power_watts, counted.awake_share),
            (None, Some(0.0)),
            "it began again; more than asleep"
        );
        counted.advance(begin + second * 60, &load(4, 9001));
        assert_eq!((counted.power_watts, counted.awake_share), (None, None), "after a pause");
    }

    #[test]
    fn cards_of_virtual_machines_have_no_row() {
        let virtual_card = Gpu { vendor: Vendor::Virtual, ..Gpu::default() };
        let targets = Targets::of(&[virtual_card, gpu()], &Questions::default());
        assert_eq!(targets.gpus, [gpu()]);
        let gpus = Gpus::default();
        assert!(gpus.set(targets.clone()) && !gpus.set(targets));
        let (rows, pending) = gpus.read(Instant::now());
        assert_eq!((rows.len(), rows[0].busy_share, pending), (1, None, false));
    }
}

//! The figures of the past, in rings of fixed size: 10 minutes second by second, 24 hours minute by minute, and 10
//! minutes of each service in steps of 10 seconds.
//!
//! Slots are counted by a clock that never jumps; only an answer turns them into times of the day. Numbers have 32 bits,
//! which is enough for a picture.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::sample::{Chart, GpuChart, History, Sample, ServiceChart, ServiceCharts};

/// Steps in seconds, and how many values are kept.
const SECONDS: (u64, usize) = (1, 600);
const MINUTES: (u64, usize) = (60, 1440);
const SERVICES: (u64, usize) = (10, 60);

/// How many GPUs and services are kept: a limit for memory, above what machines have.
const MOST_GPUS: usize = 16;
const MOST_SERVICES: usize = 256;

/// The figures of the machine, those of a GPU, and those of a service.
const OF_MACHINE: usize = 8;
const OF_GPU: usize = 5;
const OF_SERVICE: usize = 2;

/// A ring of values that belong together.
#[derive(Debug)]
struct Ring<const N: usize> {
    step: u64,
    most: usize,
    /// The number of the newest slot.
    newest: u64,
    /// Not a number: not known.
    slots: VecDeque<[f32; N]>,
    /// The sums and counts of the newest slot's values.
    sums: [f64; N],
    counts: [u32; N],
}

impl<const N: usize> Ring<N> {
    fn new((step, most): (u64, usize)) -> Self {
        Self { step, most, newest: 0, slots: VecDeque::new(), sums: [0.0; N], counts: [0; N] }
    }

    /// Adds values; several in one slot become their mean.
    fn add(&mut self, since_start: Duration, values: [Option<f64>; N]) {
        let slot = since_start.as_secs() / self.step;
        if self.slots.is_empty() || slot > self.newest {
            if self.slots.capacity() == 0 {
                self.slots.reserve_exact(self.most);
            }
            let gap = if self.slots.is_empty() { 0 } else { slot - self.newest - 1 };
            let gap = usize::try_from(gap).unwrap_or(usize::MAX).min(self.most);
            for _ in 0..=gap {
                if self.slots.len() == self.most {
                    self.slots.pop_front();
                }
                self.slots.push_back([f32::NAN; N]);
            }
            (self.newest, self.sums, self.counts) = (slot, [0.0; N], [0; N]);
        }
        let Some(last) = self.slots.back_mut() else { return };
        for (at, value) in values.into_iter().enumerate() {
            let Some(value) = value else { continue };
            self.sums[at] += value;
            self.counts[at] += 1;
            #[expect(clippy::cast_possible_truncation, reason = "32 bits are enough for a picture")]
            let mean = (self.sums[at] / f64::from(self.counts[at])) as f32;
            last[at] = mean;
        }
    }

    /// The values of one figure in `length` slots that end with the slot `until`.
    fn column(&self, at: usize, until: u64, length: usize, digits: i32) -> Vec<Option<f64>> {
        let scale = 10_f64.powi(digits);
        let value = |back: u64| {
            let behind = (until - back).checked_sub(self.newest);
            let index = match behind {
                // A slot after the newest one.
                Some(1..) => return None,
                Some(0) => 0,
                None => usize::try_from(self.newest - (until - back)).ok()?,
            };
            let slot = self.slots.len().checked_sub(1 + index).map(|index| self.slots[index][at])?;
            (!slot.is_nan()).then(|| (f64::from(slot) * scale).round() / scale)
        };
        (0..length as u64).rev().map(|back| value(back.min(until))).collect()
    }

    /// Whether nothing in the ring is younger than its length.
    fn is_over(&self, since_start: Duration) -> bool {
        since_start.as_secs() / self.step >= self.newest + self.most as u64
    }
}

/// The figures of the past.
#[derive(Debug)]
pub(super) struct Past {
    machine: [Ring<OF_MACHINE>; 2],
    gpus: BTreeMap<String, [Ring<OF_GPU>; 2]>,
    services: BTreeMap<String, Ring<OF_SERVICE>>,
}

impl Past {
    pub(super) fn new() -> Self {
        let machine = [SECONDS, MINUTES].map(Ring::new);
        Self { machine, gpus: BTreeMap::new(), services: BTreeMap::new() }
    }

    /// Adds a sample that was made at this time since the start.
    pub(super) fn add(&mut self, since_start: Duration, sample: &Sample) {
        let values = [
            sample.cpu_share,
            sample.memory_used_bytes.map(float),
            sample.memory_cache_bytes.map(float),
            sample.swap_used_bytes.map(float),
            sample.network_received_bytes_per_second.map(float),
            sample.network_sent_bytes_per_second.map(float),
            sample.disk_read_bytes_per_second.map(float),
            sample.disk_written_bytes_per_second.map(float),
        ];
        self.machine.iter_mut().for_each(|ring| ring.add(since_start, values));
        for gpu in &sample.gpus {
            if !self.gpus.contains_key(&gpu.place) && self.gpus.len() >= MOST_GPUS {
                continue;
            }
            let rings = self.gpus.entry(gpu.place.clone());
            let values = [
                gpu.busy_share.or(gpu.awake_share),
                gpu.encoder_share,
                gpu.memory_used_bytes.map(float),
                gpu.temperature_celsius,
                gpu.power_watts,
            ];
            let rings = rings.or_insert_with(|| [SECONDS, MINUTES].map(Ring::new));
            for ring in rings {
                ring.add(since_start, values);
            }
        }
        // Services that have had no process for the whole time, or were removed.
        self.services.retain(|_, ring| !ring.is_over(since_start));
        for service in &sample.services {
            if !self.services.contains_key(&service.name) && self.services.len() >= MOST_SERVICES {
                continue;
            }
            let ring = self.services.entry(service.name.clone()).or_insert_with(|| Ring::new(SERVICES));
            ring.add(since_start, [service.usage.cpu_share, Some(float(service.usage.memory_bytes))]);
        }
    }

    /// The past as it is now: `since_start` and the time of day `now` are the same moment.
    pub(super) fn history(&self, since_start: Duration, now: i64) -> History {
        let chart = |at: usize| self.chart(at, since_start, now);
        History { seconds: chart(0), minutes: chart(1), services: self.services(since_start, now) }
    }

    fn chart(&self, which: usize, since_start: Duration, now: i64) -> Chart {
        let ring = &self.machine[which];
        let (until, length) = (ring.newest, ring.slots.len());
        let column = |at: usize, digits: i32| ring.column(at, until, length, digits);
        let gpus = self.gpus.iter().map(|(place, rings)| {
            let column = |at: usize, digits: i32| rings[which].column(at, until, length, digits);
            GpuChart {
                place: place.clone(),
                busy_share: column(0, 3),
                encoder_share: column(1, 3),
                memory_used_bytes: column(2, 0),
                temperature_celsius: column(3, 1),
                power_watts: column(4, 1),
            }
        });
        Chart {
            step_seconds: ring.step,
            until_at: time_of(until, ring.step, since_start, now),
            cpu_share: column(0, 4),
            memory_used_bytes: column(1, 0),
            memory_cache_bytes: column(2, 0),
            swap_used_bytes: column(3, 0),
            network_received_bytes_per_second: column(4, 0),
            network_sent_bytes_per_second: column(5, 0),
            disk_read_bytes_per_second: column(6, 0),
            disk_written_bytes_per_second: column(7, 0),
            gpus: gpus.collect(),
        }
    }

    /// That of the services alone.
    pub(super) fn services(&self, since_start: Duration, now: i64) -> ServiceCharts {
        let until = self.services.values().map(|ring| ring.newest).max().unwrap_or(0);
        // As far back as any service goes.
        let reach = |ring: &Ring<OF_SERVICE>| {
            ring.slots.len() + usize::try_from(until - ring.newest).unwrap_or(SERVICES.1)
        };
        let length = self.services.values().map(reach).max().unwrap_or(0).min(SERVICES.1);
        let services = self.services.iter().map(|(name, ring)| ServiceChart {
            name: name.clone(),
            cpu_share: ring.column(0, until, length, 4),
            memory_bytes: ring.column(1, until, length, 0),
        });
        ServiceCharts {
            step_seconds: SERVICES.0,
            until_at: time_of(until, SERVICES.0, since_start, now),
            services: services.collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers above 2^52 are only rounded")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The time of day at which a slot began.
fn time_of(slot: u64, step: u64, since_start: Duration, now: i64) -> i64 {
    let ago = since_start.saturating_sub(Duration::from_secs(slot * step));
    now - i64::try_from(ago.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

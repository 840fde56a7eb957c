//! Metrics for Prometheus: the numbers that all parts of the program register, the states of the units, and the figures of
//! the machine. This is the only place that prints them.
//!
//! Invariants: counting takes no lock; reading changes nothing; the name of a counter, and of no other metric, ends in
//! `_total`.

mod machine;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::machine::Sample;
use super::{Snapshot, UnitHealth};
use text::{labels, print};

/// The numbers of a metric family, by their labels.
type Samples = Vec<(String, u64)>;

/// A metric of the state: name, meaning, and numbers.
type OfTheState = (&'static str, &'static str, fn(&Snapshot) -> Samples);

/// All metrics of the state.
const OF_THE_STATE: [OfTheState; 8] = [
    ("desktopd_info", "the version that is running", |state| {
        vec![(labels(&[("version", &state.version)]), 1)]
    }),
    ("desktopd_up", "whether all services that should be up are up", |state| one(state.up.into())),
    ("desktopd_ready", "whether users can log in and see what they should", |state| one(state.ready.into())),
    ("desktopd_gpus_lost", "GPUs that were lost since the start and are not back", |state| {
        one(state.gpus_lost.len() as u64)
    }),
    ("desktopd_route_ready", "readiness of one port; 1 also if the configuration has it off", |state| {
        let routes = state.routes.iter().map(|route| {
            let of = labels(&[("port", &route.port.to_string()), ("unit", &route.unit)]);
            (of, route.seen.sight.is_well().into())
        });
        routes.collect()
    }),
    ("desktopd_unit_state", "1 for the state that a service is in", |state| {
        let of = |name, state| labels(&[("unit", name), ("state", state)]);
        state.units.iter().map(|unit| (of(&unit.name, unit.state.name()), 1)).collect()
    }),
    ("desktopd_unit_healthy", "whether a service with a health check is healthy", |state| {
        let health = |health| u64::from(health == UnitHealth::Healthy);
        state.units.iter().filter_map(|unit| Some((of_unit(&unit.name), health(unit.health?)))).collect()
    }),
    ("desktopd_unit_restarts_total", "restarts of a service", |state| {
        state.units.iter().map(|unit| (of_unit(&unit.name), unit.restarts.into())).collect()
    }),
];

/// A registered family: name, meaning, and how to read the numbers.
type Registered = (&'static str, &'static str, Box<dyn Fn() -> Samples + Send>);

/// All registered metric families. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Registered>>>);

/// Numbers with the same name and different labels.
#[derive(Default)]
pub struct Family(Mutex<BTreeMap<String, Number>>);

/// A number of a family. Cheap to clone.
#[derive(Clone, Default)]
pub struct Number(Arc<AtomicU64>);

/// Counts in a gauge from its creation until it is dropped.
pub struct Open(Number);

impl Metrics {
    /// Registers a family without numbers.
    pub fn family(&self, name: &'static str, meaning: &'static str) -> Arc<Family> {
        let family = Arc::new(Family::default());
        let read = Arc::clone(&family);
        let read = move || lock(&read.0).iter().map(|(of, number)| (of.clone(), number.get())).collect();
        lock(&self.0).push((name, meaning, Box::new(read)));
        family
    }

    /// Registers a number that `read` returns.
    pub fn read(&self, name: &'static str, meaning: &'static str, read: impl Fn() -> u64 + Send + 'static) {
        lock(&self.0).push((name, meaning, Box::new(move || one(read()))));
    }

    /// All metrics in Prometheus' text format, with the figures of the machine if there are any.
    pub fn text(&self, state: &Snapshot, figures: Option<&Sample>) -> String {
        let mut text = String::new();
        for (name, meaning, read) in OF_THE_STATE {
            print(&mut text, name, meaning, read(state));
        }
        for (name, meaning, read) in &*lock(&self.0) {
            print(&mut text, name, meaning, read());
        }
        if let Some(figures) = figures {
            machine::append(&mut text, figures);
        }
        text
    }
}

impl Family {
    /// The number with these labels: a new one, or the one that has them already.
    pub fn number(&self, of: &[(&str, &str)]) -> Number {
        lock(&self.0).entry(labels(of)).or_default().clone()
    }
}

impl Number {
    /// Adds to a counter.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Counts one more in a gauge for as long as the result lives.
    #[must_use]
    pub fn open(&self) -> Open {
        self.add(1);
        Open(self.clone())
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one(number: u64) -> Samples {
    vec![(String::new(), number)]
}

fn of_unit(name: &str) -> String {
    labels(&[("unit", name)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_numbers_are_printed_with_escaped_labels() {
        let metrics = Metrics::default();
        let family = metrics.family("a_total", "how many");
        family.number(&[("x", "1\"} 7\n\\"), ("y", "z")]).add(5);
        family.number(&[]).add(2);
        family.number(&[]).add(4);
        metrics.read("b", "that is read", || 8);
        let expected = "# HELP a_total how many\n# TYPE a_total counter\na_total 6\n\
                        a_total{x=\"1\\\"} 7\\n\\\\\",y=\"z\"} 5\n\
                        # HELP b that is read\n# TYPE b gauge\nb 8\n";
        let text = metrics.text(&Snapshot::default(), None);
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_gauge_counts_until_the_end() {
        let number = Number::default();
        let (one, two) = (number.open(), number.open());
        drop(one);
        assert_eq!(number.get(), 1);
        drop(two);
        assert_eq!(number.get(), 0);
    }
}

//! The one sampler: a thread that reads the figures once a second while at least one client looks.
//!
//! ```text
//! look() -> viewers: 0 -> 1   the thread starts; a sample at once, the next after a quarter of a second (first rates)
//!           viewers: n        one sample a second, whatever n is; each client gets the newest one
//! drop   -> viewers: 1 -> 0   the thread ends: no timer, no process, nothing is read
//! ```
//!
//! A thread of its own, because some files of the kernel take long on large hosts, and the threads of the gateway must not
//! wait for them. The channel holds one sample: a client that does not read costs no memory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::gpus::{Gpus, Targets};
use super::history::Past;
use super::reader::{Reader, Unit};
use super::sample::{History, Report, Sample, ServiceCharts};
use crate::facts::gpu::Gpu;
use crate::facts::gpu::ask::Questions;
use crate::observe::Snapshot;
use crate::sys::reaper::Reaper;
use crate::sys::{heap, lock};

/// The time between two samples.
const STEP: Duration = Duration::from_secs(1);

/// The time from the first sample to the first one with rates.
const FIRST_STEP: Duration = Duration::from_millis(250);

/// How long an answer waits for figures that need time: the first rates, and NVML.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a page waits for shares of processor time, which need two samples.
const GLANCE: Duration = Duration::from_millis(600);

/// The thread's stack. Bytes.
const STACK: usize = 256 << 10;

/// What the sampler needs to know about the machine, once that is known.
pub struct Places {
    /// The folder for the user's work.
    pub workspace: PathBuf,
    /// Starts the child process that asks NVML.
    pub reaper: Reaper,
}

/// The figures of the machine. Cheap to clone.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    places: OnceLock<Places>,
    gpus: Gpus,
    viewing: Mutex<Viewing>,
    /// Notified when the last client has left.
    left: Condvar,
    reader: Mutex<Option<Reader>>,
    past: Mutex<Past>,
    began: Instant,
    /// The newest sample, while there is a client.
    newest: watch::Sender<Option<Arc<Sample>>>,
    samples: AtomicU64,
}

#[derive(Default)]
struct Viewing {
    clients: usize,
    /// Whether the thread runs.
    running: bool,
}

/// A client that looks, for as long as this value lives.
pub struct View {
    machine: Machine,
    newest: watch::Receiver<Option<Arc<Sample>>>,
}

impl Machine {
    /// Figures of the services in `snapshot`, and of this machine. Nothing is read before a client looks.
    pub fn new(snapshot: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self(Arc::new(Inner {
            snapshot,
            places: OnceLock::new(),
            gpus: Gpus::default(),
            viewing: Mutex::default(),
            left: Condvar::new(),
            reader: Mutex::default(),
            past: Mutex::new(Past::new()),
            began: Instant::now(),
            newest: watch::Sender::new(None),
            samples: AtomicU64::new(0),
        }))
    }

    /// Where to look. To be called once, before the first client looks.
    pub fn set_places(&self, places: Places) {
        // A second call would change nothing.
        let _ = self.0.places.set(places);
    }

    /// Which GPUs there are, and how they are asked. Must be called within a runtime.
    pub fn set_gpus(&self, gpus: &[Gpu], questions: &Questions) {
        let viewing = lock(&self.0.viewing);
        if self.0.gpus.set(Targets::of(gpus, questions)) && viewing.clients > 0 {
            self.begin_gpus();
        }
    }

    fn begin_gpus(&self) {
        self.0.gpus.begin(self.0.places.get().map(|places| &places.reaper));
    }

    /// Looks from now on: figures are read until the result is dropped. Must be called within a runtime.
    #[must_use]
    pub fn look(&self) -> View {
        let mut viewing = lock(&self.0.viewing);
        viewing.clients += 1;
        if viewing.clients == 1 {
            self.begin_gpus();
        }
        if !viewing.running {
            let machine = self.clone();
            let started = std::thread::Builder::new()
                .name("machine".into())
                .stack_size(STACK)
                .spawn(move || machine.run());
            viewing.running = started.is_ok();
            if let Err(error) = started {
                tracing::warn!("the machine's figures are not read: starting a thread: {error}");
            }
        }
        drop(viewing);
        let mut newest = self.0.newest.subscribe();
        // What is there already is new for this client.
        newest.mark_changed();
        View { machine: self.clone(), newest }
    }

    /// The figures now and those of the past. Waits a moment for the first rates.
    pub async fn report(&self) -> Report {
        let good = |sample: &Sample| sample.cpu_share.is_some() && !sample.gpus_pending;
        let now = self.once(PATIENCE, good).await;
        Report { now: now.map(Arc::unwrap_or_clone), history: self.history() }
    }

    /// The figures now, for programs that make their own differences.
    pub async fn scrape(&self) -> Option<Arc<Sample>> {
        self.once(PATIENCE, |sample| !sample.gpus_pending).await
    }

    /// The figures of the services now. They are at hand while a client looks, and for a while after the last one left.
    pub async fn glance(&self) -> Option<Arc<Sample>> {
        let good = |sample: &Sample| sample.services.iter().any(|service| service.usage.cpu_share.is_some());
        self.once(GLANCE, good).await
    }

    /// The first sample that is good; after a while, any.
    async fn once(&self, patience: Duration, good: impl Fn(&Sample) -> bool) -> Option<Arc<Sample>> {
        let mut view = self.look();
        let complete = async {
            while let Some(sample) = view.next().await {
                if good(&sample) {
                    return Some(sample);
                }
            }
            None
        };
        let complete = tokio::time::timeout(patience, complete).await;
        complete.unwrap_or_else(|_| self.0.newest.borrow().clone())
    }

    /// The figures of the past.
    pub fn history(&self) -> History {
        lock(&self.0.past).history(self.0.began.elapsed(), jiff::Timestamp::now().as_millisecond())
    }

    /// The past of the services.
    pub fn services(&self) -> ServiceCharts {
        lock(&self.0.past).services(self.0.began.elapsed(), jiff::Timestamp::now().as_millisecond())
    }

    /// How many samples were made since the start.
    pub fn samples(&self) -> u64 {
        self.0.samples.load(Ordering::Relaxed)
    }

    /// The thread: a sample after the other until no client looks.
    fn run(&self) {
        let _ended = Ended(self);
        let mut step = FIRST_STEP;
        let mut due = Instant::now();
        loop {
            self.sample();
            // After a pause of the whole machine the samples that were missed are not made up for.
            due = (due + step).max(Instant::now());
            step = STEP;
            let viewing = lock(&self.0.viewing);
            let left = due.saturating_duration_since(Instant::now());
            let waited = self.0.left.wait_timeout_while(viewing, left, |viewing| viewing.clients > 0);
            let mut viewing = waited.unwrap_or_else(PoisonError::into_inner).0;
            if viewing.clients == 0 {
                viewing.running = false;
                // Old figures must not pass for those of now when the next client looks.
                self.0.newest.send_replace(None);
                break;
            }
        }
        heap::give_back();
    }

    fn sample(&self) {
        let (units, daemon) = {
            let snapshot = self.0.snapshot.borrow();
            let units = snapshot.units.iter().map(|unit| (Arc::clone(&unit.info), unit.pid));
            (units.collect::<Vec<Unit>>(), snapshot.pid)
        };
        let mut reader = lock(&self.0.reader);
        let workspace = || self.0.places.get().map(|places| places.workspace.as_path());
        let reader = reader.get_or_insert_with(|| Reader::new(daemon, workspace()));
        let mut sample = reader.read(Instant::now(), &units, &self.0.gpus);
        sample.seq = self.0.samples.fetch_add(1, Ordering::Relaxed) + 1;
        sample.at = jiff::Timestamp::now().as_millisecond();
        lock(&self.0.past).add(self.0.began.elapsed(), &sample);
        self.0.newest.send_replace(Some(Arc::new(sample)));
    }
}

/// A thread that has panicked does not run any more: the next client starts another one.
struct Ended<'a>(&'a Machine);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.0.viewing).running = false;
        }
    }
}

impl View {
    /// The next sample that this client has not got; those that it was too slow for are left out. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Sample>> {
        loop {
            self.newest.changed().await.ok()?;
            if let Some(sample) = self.newest.borrow_and_update().clone() {
                return Some(sample);
            }
        }
    }

    /// The figures of the past.
    pub fn history(&self) -> History {
        self.machine.history()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut viewing = lock(&self.machine.0.viewing);
        viewing.clients -= 1;
        if viewing.clients == 0 {
            self.machine.0.gpus.end();
            self.machine.0.left.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let (_, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        Machine::new(snapshot)
    }

    fn is_running(machine: &Machine) -> bool {
        lock(&machine.0.viewing).running
    }

    async fn until(what: &str, is: impl Fn() -> bool) {
        let waited = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap_or_else(|_| panic!("{what}"));
    }

    #[tokio::test]
    async fn nothing_is_read_without_a_client_and_all_clients_get_the_same_samples() {
        let machine = machine();
        assert_eq!((machine.samples(), is_running(&machine)), (0, false));
        let mut views: Vec<View> = (0..4).map(|_| machine.look()).collect();
        let mut seen = Vec::new();
        for view in &mut views {
            seen.push(view.next().await.unwrap().seq);
        }
        let rated = views[0].next().await.unwrap();
        assert!(rated.seq > seen[0] && rated.cpu_share.is_some());
        assert!(machine.samples() <= rated.seq + 1, "{seen:?}");
        views.truncate(1);
        assert!(is_running(&machine));
        views.clear();
        until("the thread ends with the last client", || !is_running(&machine)).await;
        assert!(machine.0.newest.borrow().is_none());
        let samples = machine.samples();
        let report = machine.report().await;
        assert!(report.now.unwrap().seq > samples && report.history.seconds.cpu_share.len() <= 600);
        until("the thread ends after a report", || !is_running(&machine)).await;
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_keeps_one_sample() {
        let machine = machine();
        let mut view = machine.look();
        let first = Arc::downgrade(&view.next().await.unwrap());
        until("there are newer samples", || machine.samples() > 2).await;
        assert!(
            first.upgrade().is_none(),
            "an old sample is gone although the client has not read the next one"
        );
        assert!(view.next().await.unwrap().seq > 2);
    }
}

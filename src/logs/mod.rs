//! What units print: kept in memory for people who look now, in rotated files for people who look later, and copied
//! to the container's output so that `docker logs` tells the whole story.
//!
//! Invariants: a unit's writer never waits for a reader (slow followers lose lines and are told how many); memory is
//! bounded per unit; a file that cannot be written stops only itself; values of secrets never appear.

mod console;
mod file;
mod ring;
mod tracing_layer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

pub use console::Console;
pub use tracing_layer::init as init_tracing;

/// The log that the daemon's own messages go to.
pub const OWN_LOG: &str = "desktopd";

/// Longer lines are split here, so that one line without an end cannot fill the memory. Bytes.
pub const MAX_LINE: usize = 16 * 1024;

/// How many lines a follower may lag behind before it loses some.
const FOLLOW_BACKLOG: usize = 1024;

/// One line of a unit's output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Line {
    /// When it was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The text without its newline; secrets are masked, bytes that are not UTF-8 are replaced.
    pub text: Arc<str>,
}

/// How much is kept, and where.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The folder of the rotated files; `None` keeps logs in memory only.
    pub dir: Option<PathBuf>,
    /// A file is rotated when it would grow beyond this many bytes.
    pub file_size: u64,
    /// How many rotated files are kept beside the current one.
    pub files: u32,
    /// How many bytes of text each unit's ring holds.
    pub ring: usize,
}

/// All logs of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    console: Console,
    secrets: RwLock<Vec<String>>,
    logs: Mutex<BTreeMap<String, Arc<UnitLog>>>,
}

struct UnitLog {
    name: String,
    sink: Mutex<Sink>,
    live: broadcast::Sender<Line>,
}

struct Sink {
    ring: ring::Ring,
    file: file::RotatedFile,
}

/// A lock whose holder panicked still guards usable data here: every critical section leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logs {
    /// Logs that keep to `limits` and copy every line to `console`.
    pub fn new(limits: Limits, console: Console) -> Self {
        Self {
            inner: Arc::new(Inner { limits, console, secrets: RwLock::default(), logs: Mutex::default() }),
        }
    }

    /// Values that must never be shown. Very short ones would mask ordinary text and are ignored.
    pub fn hide(&self, values: impl IntoIterator<Item = String>) {
        let mut secrets = self.inner.secrets.write().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(values.into_iter().filter(|v| v.len() >= 4));
        // The longest first: one secret may contain another.
        secrets.sort_by_key(|v| std::cmp::Reverse(v.len()));
        secrets.dedup();
    }

    /// Text with every known secret replaced.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.inner.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut masked = text.to_owned();
        for secret in secrets.iter() {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), "******");
            }
        }
        masked
    }

    /// Adds a line to `unit`'s log.
    pub fn push(&self, unit: &str, text: &str) {
        let line = Line { at: jiff::Timestamp::now().as_millisecond(), text: self.mask(text).into() };
        let log = self.unit(unit);
        self.inner.console.print(&log.name, &line.text);
        let trouble = {
            let mut sink = lock(&log.sink);
            sink.ring.push(line.clone());
            let trouble = sink.file.write(&line);
            // Under the ring's lock, so that `follow` sees each line once. Nobody listening is the normal case.
            let _ = log.live.send(line);
            trouble
        };
        if let Some(trouble) = trouble
            && unit != OWN_LOG
        {
            tracing::warn!(
                "log of {unit}: {trouble}; it is kept in memory only until the file can be written"
            );
        }
    }

    /// Waits, a short time, until the container's output has everything.
    pub fn flush(&self) {
        self.inner.console.flush();
    }

    /// The last `lines` lines of a unit, oldest first. Empty for a unit that never printed.
    pub fn tail(&self, unit: &str, lines: usize) -> Vec<Line> {
        let log = lock(&self.inner.logs).get(unit).cloned();
        log.map(|log| lock(&log.sink).ring.tail(lines)).unwrap_or_default()
    }

    /// The last `lines` lines and everything after them, without a gap and without a line twice.
    pub fn follow(&self, unit: &str, lines: usize) -> (Vec<Line>, broadcast::Receiver<Line>) {
        let log = self.unit(unit);
        let sink = lock(&log.sink);
        let live = log.live.subscribe();
        (sink.ring.tail(lines), live)
    }

    fn unit(&self, name: &str) -> Arc<UnitLog> {
        let mut logs = lock(&self.inner.logs);
        if let Some(log) = logs.get(name) {
            return Arc::clone(log);
        }
        let limits = &self.inner.limits;
        let log = Arc::new(UnitLog {
            name: name.to_owned(),
            sink: Mutex::new(Sink {
                ring: ring::Ring::new(limits.ring),
                file: file::RotatedFile::new(limits.dir.as_deref(), name, limits.file_size, limits.files),
            }),
            live: broadcast::channel(FOLLOW_BACKLOG).0,
        });
        logs.insert(name.to_owned(), Arc::clone(&log));
        log
    }
}

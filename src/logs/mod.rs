//! The logs of units: the newest lines in memory, all lines in rotated files, and, as `LOG_TO_STDOUT` says, a copy on
//! the container's output (`docker logs`).
//!
//! Invariants: a unit that writes never waits for a reader (a slow follower loses lines and gets their number); memory
//! is bounded per unit; a file that cannot be written affects nothing else; values of secrets never appear; stored and
//! shown lines contain no terminal control sequences except colours.
//!
//! Each row has a number that grows over all logs: the numbers are the order of the rows, also where the clock was set
//! back. A row that has not ended yet, such as a progress bar, is shown to followers; its later states and its end have
//! numbers of their own, and name the first one (`replaces`). A file contains a row once, in its final form.
//!
//! [`Window`] makes rows of bytes, [`Reader`] reads the rows of any set of logs in one order.

mod console;
mod file;
mod filter;
mod hits;
mod level;
mod mask;
mod queue;
mod reader;
mod ring;
mod row;
mod tracing_layer;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::unistd::{AccessFlags, access};
use tokio::sync::{broadcast, watch};

use crate::sys::{lock, terminal};

pub use console::Console;
pub use filter::{BadPattern, Filter, Pattern};
pub use hits::parts;
pub use level::Level;
pub use mask::Mask;
pub use reader::{Chosen, Cursor, Reader, Start};
pub use ring::Line;
pub use row::{Row, width};
pub use tracing_layer::{QUIET, init as init_tracing};
pub use window::Window;

use file::RotatedFile;
use queue::Queue;

/// The log of the daemon's own messages.
pub const OWN_LOG: &str = "desktopd";

/// The log of the gateway's requests, if `WEB_ACCESS_LOG` is set.
pub const ACCESS_LOG: &str = "gateway";

/// Longer lines are split at this length, so that one line without an end cannot fill the memory. Bytes.
pub const MAX_LINE: usize = 16 * 1024;

/// How many batches may wait for the disk before the printing unit has to wait. A batch is at most a few times as large
/// as a read.
const FILE_BACKLOG: usize = 64;

/// A row that has not ended is printed to the container's output no more often than this.
const ROW_PACE: Duration = Duration::from_secs(10);

/// How many of its last lines are copied to the container's output when a quiet unit fails.
const LAST_LINES: usize = 10;

/// How many lines a follower may lag behind before it loses some.
const FOLLOW_BACKLOG: usize = 1024;

/// Which lines are copied to the container's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copied {
    /// Everything.
    All,
    /// All lines except those of quiet units (`log-to-stdout = false`) and the daemon's messages about their normal
    /// operation.
    #[default]
    Loud,
    /// Nothing.
    Nothing,
}

/// How many lines are kept, and where.
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
    ring: usize,
    /// When these logs were made. Positions in the logs of another daemon mean nothing here.
    boot: i64,
    /// The number of the next row. Code that adds rows holds the lock until the rows are in their ring: a reader that sees
    /// a number here finds all rows before it.
    next: Mutex<u64>,
    /// Notified when there are new rows.
    changed: watch::Sender<()>,
    /// The units whose lines are not copied.
    quiet: Mutex<BTreeSet<String>>,
    console: Console,
    mask: Mask,
    files: Queue,
    logs: Mutex<BTreeMap<Arc<str>, Arc<UnitLog>>>,
}

struct UnitLog {
    name: Arc<str>,
    lines: Mutex<Lines>,
}

/// The lines of one unit. One lock guards the newest lines and the followers, so that `follow` sees each line once.
struct Lines {
    newest: ring::Ring,
    /// The followers' channel. It exists only while there are followers, because its whole capacity is allocated at
    /// once.
    live: Option<broadcast::Sender<Line>>,
    /// When the row that has not ended was last printed to the container's output, or first shown.
    row: Option<Instant>,
}

impl Lines {
    /// Sends lines to the followers, if there are any.
    fn send(&mut self, lines: impl Iterator<Item = Line>) {
        let Some(live) = &self.live else { return };
        if live.receiver_count() == 0 {
            self.live = None;
            return;
        }
        for line in lines {
            let _ = live.send(line);
        }
    }
}

/// Puts `prefix` before every line.
fn prefixed(prefix: &str, lines: &str) -> String {
    let mut out = String::with_capacity(lines.len() + prefix.len() * (lines.len() / 64 + 2));
    for line in lines.split_inclusive('\n') {
        out.push_str(prefix);
        out.push_str(line);
    }
    out
}

/// Checks that files can be created in `dir`, and creates `dir` if it is missing.
pub fn usable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    Ok(access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

impl Logs {
    /// Logs within `limits`, with copies on `console`.
    pub fn new(limits: Limits, console: Console) -> Self {
        let Limits { dir, file_size, files, ring } = limits;
        let files = dir.map(|dir| {
            let mut open: HashMap<Arc<str>, RotatedFile> = HashMap::new();
            Queue::new("log files", FILE_BACKLOG, move |unit, mut text, lost| {
                if let Some(lines) = lost {
                    text = format!("({lines} lines are missing here: the disk was too slow)\n{text}");
                }
                let make = || RotatedFile::new(&dir, unit, file_size, files);
                let file = open.entry(Arc::clone(unit)).or_insert_with(make);
                // Only the first of several failures in a row.
                if let Some(error) = file.write(&text) {
                    tracing::warn!(
                        "log of {unit}: {error}; it is kept in memory only until the file can be written"
                    );
                }
            })
        });
        let files = files.unwrap_or_default();
        Self {
            inner: Arc::new(Inner {
                ring,
                boot: jiff::Timestamp::now().as_millisecond(),
                next: Mutex::new(1),
                changed: watch::Sender::new(()),
                quiet: Mutex::default(),
                console,
                mask: Mask::default(),
                files,
                logs: Mutex::default(),
            }),
        }
    }

    /// Adds values that must never be shown. Very short values would mask ordinary text and are ignored.
    pub fn hide(&self, values: impl IntoIterator<Item = String>) {
        self.inner.mask.hide(values);
    }

    /// Text with every known secret replaced.
    pub fn mask(&self, text: &str) -> String {
        self.inner.mask.apply(text).into_owned()
    }

    /// Sets the units whose lines are no longer copied to the container's output.
    pub fn set_quiet(&self, units: BTreeSet<String>) {
        *lock(&self.inner.quiet) = units;
    }

    /// Whether a unit's lines are not copied to the container's output.
    pub fn is_quiet(&self, unit: &str) -> bool {
        match self.inner.console.copied {
            Copied::All => false,
            Copied::Loud => lock(&self.inner.quiet).contains(unit),
            Copied::Nothing => true,
        }
    }

    /// Adds a line to `unit`'s log without waiting for the disk; if the disk is too slow, the file loses the line.
    pub fn push(&self, unit: &str, line: &str) {
        self.push_one(unit, line, !self.is_quiet(unit));
    }

    /// Like [`Logs::push`] for a line that is only copied to the container's output if all lines are.
    pub fn push_quietly(&self, unit: &str, line: &str) {
        self.push_one(unit, line, self.inner.console.copied == Copied::All);
    }

    fn push_one(&self, unit: &str, line: &str, copied: bool) {
        let log = self.unit(unit);
        let line = self.inner.mask.apply(line.trim_end_matches(['\r', '\n']));
        let text = self.keep(&log, &format!("{}\n", terminal::safe_line(&line)), None, copied);
        self.inner.files.write_or_drop(&log.name, text);
    }

    /// Copies the last lines of a quiet unit that has failed to the container's output.
    pub fn print_last_lines(&self, unit: &str) {
        if self.inner.console.copied != Copied::Loud || !self.is_quiet(unit) {
            return;
        }
        let lines = self.tail(unit, LAST_LINES);
        let text: String = lines.iter().flat_map(|line| [&*line.text, "\n"]).collect();
        if !text.is_empty() {
            self.inner.console.print(unit, &text);
        }
    }

    /// Shows a row that has not ended to all followers, and returns the row's number. A row that was shown before has
    /// its number in `replaces`. `moves` says that the row is a progress bar and not a prompt.
    pub fn show_row(&self, unit: &str, row: &str, replaces: Option<u64>, moves: bool) -> u64 {
        let log = self.unit(unit);
        let row = self.inner.mask.apply(row);
        let row = terminal::safe_line(&row);
        let text: Arc<str> = (*row).into();
        let (id, due) = {
            let mut next = lock(&self.inner.next);
            let at = jiff::Timestamp::now().as_millisecond();
            let mut lines = lock(&log.lines);
            let id = lines.newest.show(replaces, *next, at, Arc::clone(&text));
            *next += 1;
            drop(next);
            lines.send(std::iter::once(Line { at, text, open: true }));
            let due = lines.row.map_or(!moves, |printed| printed.elapsed() >= ROW_PACE);
            if due || lines.row.is_none() {
                lines.row = Some(Instant::now());
            }
            (id, due)
        };
        self.tell();
        if due && !self.is_quiet(unit) {
            self.inner.console.print(unit, &format!("{row}\n"));
        }
        id
    }

    /// How many bytes at the end of `text` may be the beginning of a secret whose rest has not arrived yet.
    pub fn unfinished(&self, text: &[u8]) -> usize {
        self.inner.mask.unfinished(text)
    }

    /// Adds whole lines, each with its newline, to `unit`'s log. A line that ends a row that was shown before has the
    /// number of that row in `replaces`. Waits while the disk is too slow, and thereby slows down the unit that prints.
    pub async fn push_all(&self, unit: &str, lines: &str, replaces: Option<u64>) {
        if lines.is_empty() {
            return;
        }
        let log = self.unit(unit);
        let text = self.keep(&log, lines, replaces, !self.is_quiet(unit));
        self.inner.files.write(&log.name, text).await;
    }

    /// Shows lines to all followers, and returns the text for the file.
    fn keep(&self, log: &UnitLog, lines: &str, replaces: Option<u64>, copied: bool) -> String {
        let lines = self.inner.mask.apply(lines);
        let lines = terminal::safe(&lines);
        if copied {
            self.inner.console.print(&log.name, &lines);
        }
        let text: Arc<str> = (*lines).into();
        let now = {
            let mut next = lock(&self.inner.next);
            let now = jiff::Timestamp::now();
            let at = now.as_millisecond();
            let mut shown = lock(&log.lines);
            shown.row = None;
            *next += shown.newest.push(at, *next, replaces, text);
            drop(next);
            shown.send(lines.lines().map(|text| Line { at, text: text.into(), open: false }));
            now
        };
        self.tell();
        prefixed(&format!("{now:.3} "), &lines)
    }

    /// Wakes the readers that wait for new rows.
    fn tell(&self) {
        if self.inner.changed.receiver_count() > 0 {
            self.inner.changed.send_replace(());
        }
    }

    /// Waits a short time until all lines are on the container's output and in the files.
    pub fn flush(&self) {
        self.inner.console.queue.flush();
        self.inner.files.flush();
    }

    /// The last `lines` lines of a unit, oldest first. Empty for a unit that never printed.
    pub fn tail(&self, unit: &str, lines: usize) -> Vec<Line> {
        let log = lock(&self.inner.logs).get(unit).cloned();
        log.map(|log| lock(&log.lines).newest.tail(lines)).unwrap_or_default()
    }

    /// The last `lines` lines and a channel with all later lines: no line is missing and none comes twice.
    pub fn follow(&self, unit: &str, lines: usize) -> (Vec<Line>, broadcast::Receiver<Line>) {
        let log = self.unit(unit);
        let mut shown = lock(&log.lines);
        let live = shown.live.get_or_insert_with(|| broadcast::channel(FOLLOW_BACKLOG).0).subscribe();
        (shown.newest.tail(lines), live)
    }

    fn unit(&self, name: &str) -> Arc<UnitLog> {
        let mut logs = lock(&self.inner.logs);
        if let Some(log) = logs.get(name) {
            return Arc::clone(log);
        }
        let name: Arc<str> = name.into();
        let lines = Lines { newest: ring::Ring::new(self.inner.ring), live: None, row: None };
        let log = Arc::new(UnitLog { name: Arc::clone(&name), lines: Mutex::new(lines) });
        logs.insert(name, Arc::clone(&log));
        log
    }
}

#[cfg(test)]
mod tests;

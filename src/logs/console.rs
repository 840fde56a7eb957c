//! The container's standard output, written by a separate thread: its reader may be slow or may have closed it, and no
//! code that logs may wait for the reader.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use super::Copied;

/// Batches of lines that may wait for a slow reader before new ones are dropped.
const BACKLOG: usize = 256;

/// A message to the thread.
enum Message {
    Lines(String),
    /// A request for an answer as soon as all messages before it are written.
    Written(mpsc::SyncSender<()>),
}

/// A handle to the container's output. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    pub(super) copied: Copied,
    lines: Option<mpsc::SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
}

impl Console {
    /// A console that prints nothing, for commands and tests.
    pub fn silent() -> Self {
        Self { copied: Copied::All, lines: None, dropped: Arc::default() }
    }

    /// A console on standard output. `copied` says which lines are copied there.
    pub fn stdout(copied: Copied) -> Self {
        let (lines, queue) = mpsc::sync_channel::<Message>(BACKLOG);
        let dropped = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&dropped);
        let started = thread::Builder::new().name("console".into()).stack_size(64 * 1024).spawn(move || {
            let mut out = std::io::stdout();
            for message in queue {
                let lines = match message {
                    Message::Lines(lines) => lines,
                    Message::Written(heard) => {
                        // The caller may have stopped waiting.
                        let _ = heard.try_send(());
                        continue;
                    }
                };
                let missed = counter.swap(0, Ordering::Relaxed);
                if missed > 0 {
                    let _ = writeln!(
                        out,
                        "desktopd | {missed} lines were dropped: the reader of this output is slow"
                    );
                }
                // A closed output must not end this program.
                let _ = out.write_all(lines.as_bytes());
            }
        });
        Self { copied, lines: started.is_ok().then_some(lines), dropped }
    }

    /// Waits a short time until everything that was printed is written: the last lines say why the program ended.
    pub fn flush(&self) {
        let Some(lines) = &self.lines else { return };
        let (heard, written) = mpsc::sync_channel(1);
        if lines.try_send(Message::Written(heard)).is_ok() {
            let _ = written.recv_timeout(super::LAST_WORDS);
        }
    }

    /// Prints whole lines, each with its newline, after the unit's name.
    pub(super) fn print(&self, unit: &str, lines: &str) {
        let Some(queue) = &self.lines else { return };
        let text = super::prefixed(&format!("{unit} | "), lines);
        if queue.try_send(Message::Lines(text)).is_err() {
            let count = u64::try_from(lines.lines().count()).unwrap_or(u64::MAX);
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

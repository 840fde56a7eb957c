//! The container's standard output, written by a separate thread: its reader may be slow or may have closed it, and no
//! code that logs may wait for the reader.

use std::io::Write;
use std::sync::Arc;

use super::queue::Queue;
use super::{Copied, prefixed};

/// Batches of lines that may wait for a slow reader before new ones are dropped.
const BACKLOG: usize = 256;

/// A handle to the container's output.
pub struct Console {
    pub(super) copied: Copied,
    pub(super) queue: Queue,
}

impl Console {
    /// A console that prints nothing, for commands and tests.
    pub fn silent() -> Self {
        Self { copied: Copied::All, queue: Queue::default() }
    }

    /// A console on standard output. `copied` says which lines are copied there.
    pub fn stdout(copied: Copied) -> Self {
        let queue = Queue::new("console", BACKLOG, |_, lines, missed| {
            let mut out = std::io::stdout();
            if let Some(missed) = missed {
                let _ = writeln!(
                    out,
                    "desktopd | {missed} lines were dropped: the reader of this output is slow"
                );
            }
            // A closed output must not end this program.
            let _ = out.write_all(lines.as_bytes());
        });
        Self { copied, queue }
    }

    /// Prints whole lines, each with its newline, after the unit's name.
    pub(super) fn print(&self, unit: &str, lines: &str) {
        // Dropped lines of all units are counted together.
        self.queue.write_or_drop(&Arc::default(), prefixed(&format!("{unit} | "), lines));
    }
}

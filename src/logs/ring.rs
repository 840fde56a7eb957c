//! The newest lines of one unit, bounded by bytes.
//!
//! Lines are kept in the batches in which they arrived: a unit that prints a million lines a second costs one
//! allocation per batch, and a batch is split into lines only when it is read.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One line of a unit's output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Line {
    /// When it was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The text without its newline; secrets are masked, bytes that are not UTF-8 are replaced.
    pub text: Arc<str>,
    /// Whether the row has not ended: the next line of the same log takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// The memory of a batch beside its text: its entry in the queue and the header of its allocation.
const OVERHEAD: usize = 48;

struct Batch {
    at: i64,
    /// Lines, each with its newline.
    text: Arc<str>,
}

pub(super) struct Ring {
    batches: VecDeque<Batch>,
    /// The row that has not ended.
    row: Option<Line>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self { batches: VecDeque::new(), row: None, bytes: 0, limit }
    }

    /// Sets the row that has not ended. The next lines replace it.
    pub(super) fn set_row(&mut self, row: Line) {
        self.row = Some(row);
    }

    /// Adds whole lines, each with its newline. They replace a row that had not ended.
    pub(super) fn push(&mut self, at: i64, text: &str) {
        self.row = None;
        self.bytes += text.len() + OVERHEAD;
        self.batches.push_back(Batch { at, text: text.into() });
        while self.bytes > self.limit && self.batches.len() > 1 {
            if let Some(old) = self.batches.pop_front() {
                self.bytes -= old.text.len() + OVERHEAD;
            }
        }
    }

    pub(super) fn tail(&self, lines: usize) -> Vec<Line> {
        let newest = self.batches.iter().rev().flat_map(|batch| {
            batch.text.lines().rev().map(|text| Line { at: batch.at, text: text.into(), open: false })
        });
        let newest = self.row.iter().cloned().chain(newest);
        let mut tail: Vec<Line> = newest.take(lines).collect();
        tail.reverse();
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ring: &Ring, lines: usize) -> Vec<String> {
        ring.tail(lines).iter().map(|line| line.text.to_string()).collect()
    }

    #[test]
    fn newest_lines_are_kept_within_the_limit() {
        let mut ring = Ring::new(3 * (OVERHEAD + 2));
        for text in ["a\n", "b\n", "c\n", "d\n"] {
            ring.push(0, text);
        }
        assert_eq!(texts(&ring, 10), ["b", "c", "d"]);
        assert_eq!(texts(&ring, 1), ["d"]);
    }

    #[test]
    fn lines_of_a_batch_keep_their_order() {
        let mut ring = Ring::new(1000);
        ring.push(1, "a\n\nb\n");
        ring.push(2, "c\n");
        assert_eq!(texts(&ring, 10), ["a", "", "b", "c"]);
        assert_eq!(texts(&ring, 2), ["b", "c"]);
    }

    #[test]
    fn unfinished_row_is_shown_until_lines_follow() {
        let mut ring = Ring::new(1000);
        let row = |text: &str| Line { at: 2, text: text.into(), open: true };
        ring.push(1, "a\n");
        ring.set_row(row("10 %"));
        ring.set_row(row("20 %"));
        assert_eq!(texts(&ring, 10), ["a", "20 %"]);
        assert!(ring.tail(1)[0].open);
        ring.push(3, "done\n");
        assert_eq!(texts(&ring, 10), ["a", "done"]);
    }

    #[test]
    fn a_line_larger_than_the_ring_is_still_shown() {
        let mut ring = Ring::new(10);
        ring.push(0, "short\n");
        ring.push(0, &format!("{}\n", "x".repeat(500)));
        assert_eq!(texts(&ring, 10).len(), 1);
    }
}

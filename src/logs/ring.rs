//! The newest rows of one unit, bounded by bytes.
//!
//! Rows are kept in the batches in which they came: a unit that prints a million lines a second costs one allocation
//! per batch, and a batch is split into lines only when it is read. The rows of a batch have numbers in a row, so that
//! batches of several logs can be put in order without being split.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One line of a unit's output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "LogLine"))]
pub struct Line {
    /// When it was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The text without its newline; secrets are masked, bytes that are not UTF-8 are replaced.
    pub text: Arc<str>,
    /// Whether the row has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// The memory of a batch beside its text: its entry in the queue and the header of its allocation.
const OVERHEAD: usize = 72;

/// Rows that came together.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) at: i64,
    /// The number of the first row, among the rows of all logs.
    pub(super) seq: u64,
    /// How many rows of this log came before.
    pub(super) nth: u64,
    /// How many rows these are.
    pub(super) rows: u64,
    /// The number under which the only row was shown first, if it was shown before its end.
    pub(super) replaces: Option<u64>,
    /// Lines, each with its newline.
    pub(super) text: Arc<str>,
}

/// A row that has not ended.
#[derive(Clone)]
pub(super) struct Open {
    /// The number under which it was shown first.
    pub(super) id: u64,
    /// The number of this state.
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) text: Arc<str>,
}

pub(super) struct Ring {
    batches: VecDeque<Batch>,
    /// The rows that have not ended, in the order in which they were shown first.
    open: Vec<Open>,
    /// How many rows this log has had.
    total: u64,
    bytes: usize,
    limit: usize,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self { batches: VecDeque::new(), open: Vec::new(), total: 0, bytes: 0, limit }
    }

    /// Sets the state of a row that has not ended, and returns the row's number.
    pub(super) fn show(&mut self, replaces: Option<u64>, seq: u64, at: i64, text: Arc<str>) -> u64 {
        let id = replaces.unwrap_or(seq);
        let state = Open { id, seq, at, text };
        match self.open.iter_mut().find(|open| open.id == id) {
            Some(open) => *open = state,
            None => self.open.push(state),
        }
        id
    }

    /// Adds whole lines, each with its newline, and returns their number. `seq` is the number of the first one.
    pub(super) fn push(&mut self, at: i64, seq: u64, replaces: Option<u64>, text: Arc<str>) -> u64 {
        if let Some(id) = replaces {
            self.open.retain(|open| open.id != id);
            // Without bars, a log needs no memory for them.
            if self.open.is_empty() {
                self.open = Vec::new();
            }
        }
        let rows = memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        self.bytes += text.len() + OVERHEAD;
        self.batches.push_back(Batch { at, seq, nth: self.total, rows, replaces, text });
        self.total += rows;
        while self.bytes > self.limit && self.batches.len() > 1 {
            if let Some(old) = self.batches.pop_front() {
                self.bytes -= old.text.len() + OVERHEAD;
            }
        }
        rows
    }

    pub(super) fn tail(&self, lines: usize) -> Vec<Line> {
        let newest = self.batches.iter().rev().flat_map(|batch| {
            batch.text.lines().rev().map(|text| Line { at: batch.at, text: text.into(), open: false })
        });
        let open = |open: &Open| Line { at: open.at, text: Arc::clone(&open.text), open: true };
        let newest = self.open.iter().rev().map(open).chain(newest);
        let mut tail: Vec<Line> = newest.take(lines).collect();
        tail.reverse();
        tail
    }

    /// How many rows this log has had.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many rows came before the oldest one that is left.
    pub(super) fn first(&self) -> u64 {
        self.batches.front().map_or(self.total, |batch| batch.nth)
    }

    /// How many rows of this log came up to the row with this number among the rows of all logs.
    pub(super) fn until(&self, seq: u64) -> u64 {
        let next = seq.saturating_add(1);
        let place = self.batches.partition_point(|batch| batch.seq + batch.rows <= next);
        self.batches.get(place).map_or(self.total, |batch| batch.nth + next.saturating_sub(batch.seq))
    }

    /// The rows that have not ended.
    pub(super) fn open(&self) -> &[Open] {
        &self.open
    }

    /// Adds batches with the rows from row `nth` on to `found`, oldest first, up to about `bytes`, and returns the
    /// number of the first row that is left out.
    pub(super) fn after(&self, nth: u64, bytes: usize, found: &mut Vec<Batch>) -> Option<u64> {
        let begin = self.batches.partition_point(|batch| batch.nth + batch.rows <= nth);
        let mut taken = 0;
        for batch in self.batches.range(begin..) {
            if taken > bytes {
                return Some(batch.seq);
            }
            taken += batch.text.len() + OVERHEAD;
            found.push(batch.clone());
        }
        None
    }

    /// Adds batches with the rows before row `nth` to `found`, newest first, up to about `bytes`, and returns the
    /// number of the oldest row found if there are more.
    pub(super) fn before(&self, nth: u64, bytes: usize, found: &mut Vec<Batch>) -> Option<u64> {
        let end = self.batches.partition_point(|batch| batch.nth < nth);
        let (mut taken, mut oldest) = (0, None);
        for batch in self.batches.range(..end).rev() {
            if taken > bytes {
                return oldest;
            }
            taken += batch.text.len() + OVERHEAD;
            oldest = Some(batch.seq);
            found.push(batch.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ring: &Ring, lines: usize) -> Vec<String> {
        ring.tail(lines).iter().map(|line| line.text.to_string()).collect()
    }

    fn push(ring: &mut Ring, text: &str) {
        let seq = ring.total() + 1;
        ring.push(0, seq, None, text.into());
    }

    #[test]
    fn newest_lines_are_kept_within_the_limit() {
        let mut ring = Ring::new(3 * (OVERHEAD + 2));
        for text in ["a\n", "b\n", "c\n", "d\n"] {
            push(&mut ring, text);
        }
        assert_eq!(texts(&ring, 10), ["b", "c", "d"]);
        assert_eq!(texts(&ring, 1), ["d"]);
        assert_eq!((ring.first(), ring.total()), (1, 4));
    }

    #[test]
    fn lines_of_a_batch_keep_their_order() {
        let mut ring = Ring::new(1000);
        push(&mut ring, "a\n\nb\n");
        push(&mut ring, "c\n");
        assert_eq!(texts(&ring, 10), ["a", "", "b", "c"]);
        assert_eq!(texts(&ring, 2), ["b", "c"]);
    }

    #[test]
    fn unfinished_rows_are_shown_until_they_end() {
        let mut ring = Ring::new(1000);
        push(&mut ring, "a\n");
        let id = ring.show(None, 2, 2, "10 %".into());
        assert_eq!(ring.show(Some(id), 3, 2, "20 %".into()), id);
        let other = ring.show(None, 4, 2, "other".into());
        assert_eq!(texts(&ring, 10), ["a", "20 %", "other"]);
        assert!(ring.tail(1)[0].open);
        ring.push(3, 5, Some(id), "done\n".into());
        assert_eq!(texts(&ring, 10), ["a", "done", "other"]);
        ring.push(3, 6, Some(other), "too\n".into());
        assert_eq!((texts(&ring, 10).len(), ring.open().len()), (3, 0));
    }

    #[test]
    fn a_line_larger_than_the_ring_is_still_shown() {
        let mut ring = Ring::new(10);
        push(&mut ring, "short\n");
        push(&mut ring, &format!("{}\n", "x".repeat(500)));
        assert_eq!(texts(&ring, 10).len(), 1);
    }

    #[test]
    fn rows_are_counted_up_to_a_number() {
        let mut ring = Ring::new(1000);
        // The numbers between are those of other logs.
        ring.push(0, 5, None, "a\nb\n".into());
        ring.push(0, 10, None, "c\n".into());
        for (seq, rows) in [(0, 0), (4, 0), (5, 1), (6, 2), (9, 2), (10, 3), (u64::MAX, 3)] {
            assert_eq!(ring.until(seq), rows, "{seq}");
        }
    }

    #[test]
    fn batches_are_found_in_both_directions() {
        let mut ring = Ring::new(1000);
        for text in ["a\nb\n", "c\n", "d\ne\n"] {
            push(&mut ring, text);
        }
        let first = |found: &[Batch]| found.iter().map(|batch| batch.nth).collect::<Vec<_>>();
        for (nth, bytes, after, left) in [
            (0, 1000, &[0, 2, 3][..], None),
            (1, 0, &[0], Some(3)),
            (2, 1000, &[2, 3], None),
            (5, 0, &[], None),
        ] {
            let mut found = Vec::new();
            assert_eq!(ring.after(nth, bytes, &mut found), left, "{nth}");
            assert_eq!(first(&found), after, "{nth}");
        }
        for (nth, bytes, before, left) in [
            (5, 1000, &[3, 2, 0][..], None),
            (4, 0, &[3], Some(4)),
            (3, 1000, &[2, 0], None),
            (0, 0, &[], None),
        ] {
            let mut found = Vec::new();
            assert_eq!(ring.before(nth, bytes, &mut found), left, "{nth}");
            assert_eq!(first(&found), before, "{nth}");
        }
    }
}

//! The newest lines of one unit, bounded by bytes.

use std::collections::VecDeque;

use super::Line;

/// What a line costs beside its text: its place in the queue and its allocation's header.
const OVERHEAD: usize = 48;

pub(super) struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit }
    }

    pub(super) fn push(&mut self, line: Line) {
        self.bytes += line.text.len() + OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > self.limit && self.lines.len() > 1 {
            if let Some(old) = self.lines.pop_front() {
                self.bytes -= old.text.len() + OVERHEAD;
            }
        }
    }

    pub(super) fn tail(&self, lines: usize) -> Vec<Line> {
        self.lines.iter().skip(self.lines.len().saturating_sub(lines)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { at: 0, text: text.into() }
    }

    #[test]
    fn keeps_the_newest_within_its_bytes() {
        let mut ring = Ring::new(3 * (OVERHEAD + 1));
        for text in ["a", "b", "c", "d"] {
            ring.push(line(text));
        }
        assert_eq!(ring.tail(10), [line("b"), line("c"), line("d")]);
        assert_eq!(ring.tail(1), [line("d")]);
    }

    #[test]
    fn a_line_larger_than_the_ring_is_still_shown() {
        let mut ring = Ring::new(10);
        ring.push(line("short"));
        ring.push(line(&"x".repeat(500)));
        assert_eq!(ring.tail(10).len(), 1);
    }
}

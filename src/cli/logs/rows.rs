//! Prints the lines of logs, on a terminal or into a file or a pipe.

use serde::Serialize;

use crate::cli::screen::Screen;
use crate::cli::{Failure, render};
use crate::sys::{print, terminal};

/// Prints lines. On a terminal, an unfinished line is overwritten by the next one. In a file or a pipe, unfinished
/// lines are left out while more follows.
pub(super) struct Rows {
    moves: bool,
    json: bool,
    /// The number of the log whose unfinished line is the last one on the screen.
    open: Option<usize>,
}

impl Rows {
    pub(super) fn new(screen: Screen, json: bool) -> Self {
        Self { moves: screen.terminal, json, open: None }
    }

    /// Prints a line of log number `at`.
    pub(super) fn print(
        &mut self,
        at: usize,
        open: bool,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return render::print_line(true, value, text);
        }
        if open && !self.moves {
            return Ok(());
        }
        print::data(self.text(at, open, &terminal::safe_line(&text())).as_bytes())?;
        Ok(())
    }

    fn text(&mut self, at: usize, open: bool, line: &str) -> String {
        // Go back to the beginning of the line and erase it; or to a new line, if the line belongs to another log.
        let begin = match std::mem::replace(&mut self.open, open.then_some(at)) {
            Some(before) if before == at => "\r\u{1b}[K",
            Some(_) => "\n",
            None => "",
        };
        // Without wrapping, because otherwise more than one row would have to be erased.
        if open { format!("{begin}\u{1b}[?7l{line}\u{1b}[?7h") } else { format!("{begin}{line}\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_is_overwritten() {
        let mut rows = Rows { moves: true, json: false, open: None };
        let mut all = String::new();
        for (at, open, line) in [
            (0, false, "a"),
            (0, true, "10 %"),
            (0, true, "20 %"),
            (1, false, "b"),
            (0, true, "30 %"),
            (0, false, "c"),
        ] {
            all += &rows.text(at, open, line);
        }
        let [on, off, back] = ["\u{1b}[?7h", "\u{1b}[?7l", "\r\u{1b}[K"];
        assert_eq!(all, format!("a\n{off}10 %{on}{back}{off}20 %{on}\nb\n{off}30 %{on}{back}c\n"));
    }
}

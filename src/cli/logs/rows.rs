//! Prints the rows of logs, on a terminal or into a file or a pipe.

use std::fmt::Write as _;

use crate::cli::Failure;
use crate::cli::screen::Screen;
use crate::logs::Row;
use crate::sys::print;

/// The most unfinished rows on a screen.
const MOST: usize = 12;

/// Prints rows. On a terminal, the unfinished ones are at the bottom, and change there. In a file or a pipe, unfinished
/// rows are left out while more follows.
pub(super) struct Rows {
    moves: bool,
    follow: bool,
    /// What is to be printed, each with its newline.
    ready: String,
    /// The unfinished rows with their numbers.
    open: Vec<(u64, String)>,
    /// How many unfinished rows are on the screen.
    drawn: usize,
    /// Whether the unfinished rows have changed.
    changed: bool,
}

impl Rows {
    pub(super) fn new(screen: Screen, follow: bool) -> Self {
        let moves = screen.terminal && follow;
        Self { moves, follow, ready: String::new(), open: Vec::new(), drawn: 0, changed: false }
    }

    /// Takes a row, with its line as it is to be shown.
    pub(super) fn add(&mut self, row: &Row, line: String) {
        if !self.moves {
            if !row.gone && !(row.open && self.follow) {
                self.ready.extend([&*line, "\n"]);
            }
            return;
        }
        // A row about lost rows takes the place of none.
        if row.lost.is_none() {
            let before = self.open.len();
            let id = row.id();
            if let Some(open) = self.open.iter_mut().find(|open| row.open && !row.gone && open.0 == id) {
                open.1 = line;
                self.changed = true;
                return;
            }
            self.open.retain(|open| open.0 != id);
            self.changed |= self.open.len() != before;
            if row.gone {
                return;
            }
            if row.open {
                self.open.push((id, line));
                self.changed = true;
                return;
            }
        }
        self.ready.extend([&*line, "\n"]);
    }

    /// Prints what there is.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        let text = self.text();
        if !text.is_empty() {
            print::data(text.as_bytes())?;
        }
        Ok(())
    }

    fn text(&mut self) -> String {
        let ready = std::mem::take(&mut self.ready);
        if !self.moves || (ready.is_empty() && !std::mem::take(&mut self.changed)) {
            return ready;
        }
        self.changed = false;
        let mut text = String::new();
        // Back to the first unfinished row, and erase all of them.
        if self.drawn > 0 {
            text.push('\r');
            if self.drawn > 1 {
                // Writing to a string cannot fail.
                let _ = write!(text, "\u{1b}[{}A", self.drawn - 1);
            }
            text.push_str("\u{1b}[J");
        }
        text.push_str(&ready);
        let shown = &self.open[self.open.len().saturating_sub(MOST)..];
        self.drawn = shown.len();
        if self.drawn > 0 {
            // Without wrapping, because otherwise more rows than these would have to be erased.
            let lines: Vec<&str> = shown.iter().map(|(_, line)| line.as_str()).collect();
            let _ = write!(text, "\u{1b}[?7l{}\u{1b}[?7h", lines.join("\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, replaces: Option<u64>, open: bool) -> Row {
        let row = serde_json::json!({
            "seq": seq, "at": 0, "service": "a", "text": "", "replaces": replaces, "open": open,
        });
        serde_json::from_value(row).unwrap()
    }

    fn rows(moves: bool, follow: bool) -> Rows {
        let screen = Screen { terminal: moves, ..Screen::PLAIN };
        Rows::new(screen, follow)
    }

    #[test]
    fn unfinished_rows_move_at_the_bottom() {
        let mut rows = rows(true, true);
        let mut all = Vec::new();
        for (row, line) in [
            (row(1, None, false), "a"),
            (row(2, None, true), "10 %"),
            (row(3, Some(2), true), "20 %"),
            (row(4, None, true), "other"),
            (row(5, None, false), "b"),
            (row(6, Some(2), false), "30 %"),
            (Row { gone: true, ..row(7, Some(4), true) }, ""),
        ] {
            rows.add(&row, line.to_owned());
            all.push(rows.text());
        }
        let [off, on] = ["\u{1b}[?7l", "\u{1b}[?7h"];
        let two = |first: &str, second: &str| format!("{off}{first}\n{second}{on}");
        let expected = [
            "a\n".to_owned(),
            format!("{off}10 %{on}"),
            format!("\r\u{1b}[J{off}20 %{on}"),
            format!("\r\u{1b}[J{}", two("20 %", "other")),
            format!("\r\u{1b}[1A\u{1b}[Jb\n{}", two("20 %", "other")),
            format!("\r\u{1b}[1A\u{1b}[J30 %\n{off}other{on}"),
            "\r\u{1b}[J".to_owned(),
        ];
        assert_eq!(all, expected);
        assert_eq!(rows.text(), "");
    }

    #[test]
    fn in_a_file_only_whole_rows_are_kept_while_more_follows() {
        for (follow, expected) in [(true, "a\n"), (false, "a\n10 %\n")] {
            let mut rows = rows(false, follow);
            rows.add(&row(1, None, false), "a".into());
            rows.add(&row(2, None, true), "10 %".into());
            assert_eq!(rows.text(), expected);
        }
    }
}

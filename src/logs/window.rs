//! Makes rows of the bytes that a program prints. Pure but for the clock that says when a row should be shown.
//!
//! A program can change what it has printed: a carriage return starts its row again, and a block of progress bars goes
//! up to rows above (as `docker pull` and nested bars of tqdm do). The window holds the rows that may still change; all
//! others are whole. A row is whole when its newline has come, except where a bar may be the first one of a block: then
//! it waits for what follows. The same bytes give the same rows, in whatever pieces they come.
//!
//! Of the control sequences (CSI), colours stay in the text, those of progress bars are obeyed, and all others are
//! dropped: they move or clear, and have no text. Every other control character stays, and is made visible where the
//! text is stored.

mod row;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::MAX_LINE;

pub use row::{Hold, Unfinished, Whole};

use row::{Row, text};

/// How long a line may lack its end before it is shown without it. A row with carriage returns is shown at once.
const PARTIAL: Duration = Duration::from_secs(2);

/// The shortest time between two updates of rows that change.
const PACE: Duration = Duration::from_millis(200);

/// The most rows that may still change. The oldest ones end when there are more.
const MOST_ROWS: usize = 32;

/// The most text of rows that may still change. Bytes.
const MOST_TEXT: usize = 4 * MAX_LINE;

/// The longest control sequence. Bytes.
const LONGEST_SEQUENCE: usize = 64;

/// The rows that may still change, and those that are whole by now.
#[derive(Default)]
pub struct Window {
    whole: Vec<Whole>,
    rows: VecDeque<Row>,
    /// The row that is printed to. If there are rows, it is one of them.
    cursor: usize,
    /// Whether the program went up: the rows are a block, and any of them may change.
    block: bool,
    /// A carriage return whose meaning the next byte decides: before a newline it has none.
    returned: bool,
    /// The beginning of a control sequence.
    sequence: Vec<u8>,
    /// When rows were shown last.
    shown: Option<Instant>,
}

impl Window {
    /// Takes bytes.
    pub fn feed(&mut self, mut bytes: &[u8], hold: Hold<'_>) {
        while !bytes.is_empty() {
            if !self.sequence.is_empty() {
                self.continue_sequence(bytes[0], hold);
                bytes = &bytes[1..];
                continue;
            }
            if self.rows.is_empty() && !self.returned {
                bytes = self.plain_lines(bytes, hold);
                if bytes.is_empty() {
                    return;
                }
            }
            let end = memchr::memchr3(b'\n', b'\r', 0x1b, bytes).unwrap_or(bytes.len());
            if end > 0 {
                self.print(&bytes[..end], hold);
                bytes = &bytes[end..];
                continue;
            }
            match bytes[0] {
                b'\n' => self.newline(),
                b'\r' => self.returned = true,
                _ => {
                    self.settle_return();
                    self.sequence.push(0x1b);
                }
            }
            bytes = &bytes[1..];
        }
    }

    /// Takes whole plain lines, which are most of all output, at once; returns the rest.
    fn plain_lines<'a>(&mut self, bytes: &'a [u8], hold: Hold<'_>) -> &'a [u8] {
        let plain = memchr::memchr2(b'\r', 0x1b, bytes).unwrap_or(bytes.len());
        let Some(end) = memchr::memrchr(b'\n', &bytes[..plain]) else { return bytes };
        let (mut from, mut start) = (0, 0);
        for newline in memchr::memchr_iter(b'\n', &bytes[..=end]) {
            if newline - start > MAX_LINE {
                self.line(&text(&bytes[from..start]), None);
                self.print(&bytes[start..newline], hold);
                self.newline();
                from = newline + 1;
            }
            start = newline + 1;
        }
        self.line(&text(&bytes[from..=end]), None);
        &bytes[end + 1..]
    }

    /// The row that is printed to.
    fn row(&mut self) -> &mut Row {
        if self.rows.is_empty() {
            self.rows.push_back(Row::default());
            self.cursor = 0;
        }
        &mut self.rows[self.cursor]
    }

    /// A carriage return that was not followed by a newline starts the row again.
    fn settle_return(&mut self) {
        if std::mem::take(&mut self.returned) {
            let row = self.row();
            row.moves = true;
            row.again = true;
        }
    }

    /// Appends to the row. A row that becomes too long is ended, but not within a possible secret.
    fn print(&mut self, mut part: &[u8], hold: Hold<'_>) {
        self.settle_return();
        if self.row().again {
            self.row().clear();
        }
        loop {
            let room = self.room();
            if part.len() <= room {
                break;
            }
            let (fits, rest) = part.split_at(room);
            let row = self.row();
            row.text.extend_from_slice(fits);
            part = rest;
            let end = row.text.len() - hold(&row.text).min(MAX_LINE / 2);
            let rest = row.text.split_off(end - row::incomplete(&row.text[..end]));
            self.end_all(true);
            self.row().text = rest;
        }
        let row = self.row();
        row.text.extend_from_slice(part);
        row.above = false;
        row.since.get_or_insert_with(Instant::now);
    }

    /// How many bytes the row may still get.
    fn room(&mut self) -> usize {
        let own = MAX_LINE - self.row().text.len().min(MAX_LINE);
        if self.rows.len() > 1 { own.min(MOST_TEXT.saturating_sub(self.size())) } else { own }
    }

    fn size(&self) -> usize {
        self.rows.iter().map(Row::size).sum()
    }

    fn newline(&mut self) {
        self.returned = false;
        let Some(row) = self.rows.get(self.cursor) else {
            self.line("\n", None);
            return;
        };
        if self.cursor + 1 < self.rows.len() {
            self.go(self.cursor + 1);
        } else if row.moves {
            // A second bar, and no way up between the two: they are no block.
            if !self.block {
                while self.rows.len() > 1 {
                    self.end_first();
                }
            }
            self.rows.push_back(Row::default());
            self.cursor = self.rows.len() - 1;
            self.limit();
        } else {
            self.end_all(true);
        }
    }

    /// Moves to a row, whose text begins again with the next text.
    fn go(&mut self, place: usize) {
        self.cursor = place;
        let row = &mut self.rows[place];
        row.again = true;
        row.moves |= row.size() > 0;
    }

    fn up(&mut self, count: usize) {
        self.row();
        self.block = true;
        while self.cursor < count && self.rows.len() < MOST_ROWS {
            self.rows.push_front(Row { above: true, ..Row::default() });
            self.cursor += 1;
        }
        self.go(self.cursor.saturating_sub(count));
    }

    fn down(&mut self, count: usize) {
        self.row();
        self.go(self.cursor.saturating_add(count).min(self.rows.len() - 1));
    }

    fn continue_sequence(&mut self, byte: u8, hold: Hold<'_>) {
        let control = match self.sequence.len() {
            1 => byte == b'[',
            _ => (0x20..=0x7e).contains(&byte),
        };
        if !control || self.sequence.len() >= LONGEST_SEQUENCE {
            // Not what it seemed to be: it is text. The byte may begin something else.
            let seeming = std::mem::take(&mut self.sequence);
            self.print(&seeming, hold);
            self.feed(&[byte], hold);
            return;
        }
        self.sequence.push(byte);
        if self.sequence.len() > 2 && byte >= 0x40 {
            let sequence = std::mem::take(&mut self.sequence);
            self.obey(&sequence, hold);
        }
    }

    /// Carries out a control sequence.
    fn obey(&mut self, sequence: &[u8], hold: Hold<'_>) {
        let (parameters, command) = (&sequence[2..sequence.len() - 1], sequence[sequence.len() - 1]);
        let number = std::str::from_utf8(parameters).ok().and_then(|text| match text {
            "" => Some(None),
            text => text.parse::<usize>().ok().map(Some),
        });
        match (command, number) {
            (b'm', _) if parameters.iter().all(|byte| byte.is_ascii_digit() || b";:".contains(byte)) => {
                self.print(sequence, hold);
            }
            (b'A' | b'F', Some(count)) => self.up(count.unwrap_or(1).max(1)),
            (b'B' | b'E', Some(count)) => self.down(count.unwrap_or(1).max(1)),
            (b'G', Some(None | Some(0 | 1))) => {
                let row = self.row();
                (row.moves, row.again) = (true, true);
            }
            (b'K', Some(Some(1 | 2))) => {
                let row = self.row();
                row.moves = true;
                row.clear();
            }
            (b'J', Some(None | Some(0))) => {
                for row in self.rows.iter_mut().skip(self.cursor + 1) {
                    row.clear();
                }
            }
            _ => {}
        }
    }

    /// When rows should be shown, or a bar is taken for the last one.
    pub fn due(&self) -> Option<Instant> {
        let paced = |at: Instant| self.shown.map_or(at, |shown| at.max(shown + PACE));
        let dirty = |row: &Row| row.since.map(|since| if row.moves { since } else { since + PARTIAL });
        let shown = self.rows.iter().filter_map(dirty).min().map(paced);
        let ended = self.is_over().then(|| self.shown.map(|shown| shown + PARTIAL)).flatten();
        shown.into_iter().chain(ended).min()
    }

    /// Whether bars have ended with a newline, and nothing says yet that they are a block.
    fn is_over(&self) -> bool {
        let last = self.rows.back();
        !self.block && self.rows.len() > 1 && last.is_some_and(|row| row.content().is_empty())
    }

    /// The rows that have changed. A possible beginning of a secret is left out until the rest comes.
    pub fn show(&mut self, hold: Hold<'_>) -> Vec<Unfinished> {
        let now = Instant::now();
        if self.is_over() && self.shown.is_some_and(|shown| shown + PARTIAL <= now) {
            self.end_all(false);
            return Vec::new();
        }
        self.shown = Some(now);
        let mut changed = Vec::new();
        for (place, row) in self.rows.iter_mut().enumerate() {
            let due = row.since.is_some_and(|since| row.moves || since + PARTIAL <= now);
            if !due {
                continue;
            }
            row.since = None;
            let text = row.shown(hold);
            changed.push(Unfinished { place, text, replaces: row.id, moves: row.moves });
        }
        changed
    }

    /// Remembers the number under which a row was shown.
    pub fn set_id(&mut self, place: usize, id: u64) {
        if let Some(row) = self.rows.get_mut(place) {
            row.id = Some(id);
        }
    }

    /// The rows that are whole by now.
    pub fn take(&mut self) -> Vec<Whole> {
        std::mem::take(&mut self.whole)
    }

    /// Ends all rows, at the end of the output.
    pub fn finish(&mut self) {
        if !self.sequence.is_empty() {
            let seeming = std::mem::take(&mut self.sequence);
            self.print(&seeming, &|_| 0);
        }
        self.returned = false;
        self.end_all(false);
    }

    /// Ends the oldest rows where there are too many.
    fn limit(&mut self) {
        while self.rows.len() > MOST_ROWS || (self.rows.len() > 1 && self.size() > MOST_TEXT) {
            self.end_first();
        }
    }

    /// Ends all rows. Without `last`, a last row without text is none.
    fn end_all(&mut self, last: bool) {
        if !last && self.rows.back().is_some_and(|row| row.content().is_empty() && row.id.is_none()) {
            self.rows.pop_back();
        }
        while !self.rows.is_empty() {
            self.end_first();
        }
        // Without rows, a window needs no memory for them.
        self.rows = VecDeque::new();
        self.cursor = 0;
        self.block = false;
        self.shown = None;
    }

    fn end_first(&mut self) {
        let Some(row) = self.rows.pop_front() else { return };
        self.cursor = self.cursor.saturating_sub(1);
        if !row.above || row.id.is_some() {
            self.line(&(text(row.content()) + "\n"), row.id);
        }
    }

    /// Adds lines to those that are whole.
    fn line(&mut self, lines: &str, replaces: Option<u64>) {
        if lines.is_empty() {
            return;
        }
        match self.whole.last_mut() {
            Some(last) if last.replaces.is_none() && replaces.is_none() => last.text.push_str(lines),
            _ => self.whole.push(Whole { text: lines.to_owned(), replaces }),
        }
    }
}

#[cfg(test)]
mod tests;

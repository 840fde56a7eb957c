//! Reads a unit's output line by line, until the last writer has closed the pipe.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::logs::{Logs, MAX_LINE};

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// How long a line may lack its end before it is shown without it. A row with carriage returns is shown at once.
const PARTIAL: Duration = Duration::from_secs(2);

/// The shortest time between two updates of a row that changes.
const PACE: Duration = Duration::from_millis(200);

/// Reads `pipe` into `unit`'s log. Ends when no process holds the other end open any more, which may be long after the
/// unit.
pub(super) async fn read(pipe: OwnedFd, unit: &str, logs: &Logs) {
    let pipe = match pipe::Receiver::from_owned_fd(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            tracing::warn!("the output of {unit} cannot be read: {error}");
            return;
        }
    };
    let hold = |text: &[u8]| logs.unfinished(text);
    let mut lines = Lines::default();
    loop {
        let due = lines.due();
        let ended = tokio::select! {
            came = pipe.readable() => match came.and_then(|()| read_some(&pipe)) {
                Ok(bytes) if bytes.is_empty() => true,
                Ok(bytes) => {
                    lines.feed(&bytes, hold);
                    false
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => true,
            },
            // A prompt or a progress bar has no newline, but should be seen.
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let row = lines.show(hold);
                logs.show_row(unit, &row, lines.moves);
                continue;
            }
        };
        if ended {
            lines.finish();
        }
        logs.push_all(unit, &lines.take()).await;
        if ended {
            return;
        }
    }
}

/// The bytes that can be read now; empty at the end of the file. The buffer is allocated only for a read: most services
/// print nothing most of the time.
fn read_some(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(READ);
    pipe.try_read_buf(&mut bytes)?;
    Ok(bytes)
}

/// Splits bytes into lines. A carriage return starts the row again, as on a terminal: only the last text of a row
/// counts.
#[derive(Default)]
struct Lines {
    /// Whole lines, each with its newline.
    whole: String,
    /// The row since its beginning, or since the last carriage return.
    partial: Vec<u8>,
    /// The row's text before the last carriage return.
    before: Vec<u8>,
    /// Whether the row had a carriage return, as a progress bar has.
    moves: bool,
    /// Since when the row has text that was not shown.
    since: Option<Instant>,
    /// When the row was shown last.
    shown: Option<Instant>,
}

impl Lines {
    /// Takes bytes. `hold` returns how many bytes at the end of a text must not be separated from the bytes that
    /// follow.
    fn feed(&mut self, bytes: &[u8], hold: impl Fn(&[u8]) -> usize) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut parts = piece.strip_suffix(b"\n").unwrap_or(piece).split(|byte| *byte == b'\r');
            self.append(parts.next().unwrap_or_default(), &hold);
            for part in parts {
                self.moves = true;
                if !self.partial.is_empty() {
                    std::mem::swap(&mut self.before, &mut self.partial);
                    self.partial.clear();
                }
                self.append(part, &hold);
            }
            if piece.ends_with(b"\n") {
                self.end_row();
            } else {
                self.since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Appends to the row. A row that becomes too long is ended, but not within a possible secret.
    fn append(&mut self, mut part: &[u8], hold: &impl Fn(&[u8]) -> usize) {
        while self.partial.len() + part.len() > MAX_LINE {
            let (fits, rest) = part.split_at(MAX_LINE - self.partial.len());
            self.partial.extend_from_slice(fits);
            part = rest;
            let end = self.partial.len() - hold(&self.partial).min(MAX_LINE / 2);
            let rest_of_secret = self.partial.split_off(end);
            self.end_row();
            self.partial = rest_of_secret;
        }
        self.partial.extend_from_slice(part);
    }

    /// When the row should be shown, if it has new text.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let paced = self.shown.map(|shown| shown + PACE);
        let first = if self.moves { since } else { since + PARTIAL };
        Some(paced.map_or(first, |paced| paced.max(since)))
    }

    /// The current row. A possible beginning of a secret is left out until the rest arrives.
    fn show(&mut self, hold: impl Fn(&[u8]) -> usize) -> String {
        (self.since, self.shown) = (None, Some(Instant::now()));
        let whole = |row: &[u8]| {
            let row = &row[..row.len() - hold(row)];
            // The last character may be incomplete as well.
            let end = match std::str::from_utf8(row) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => row.len(),
            };
            text(&row[..end])
        };
        Some(whole(&self.partial)).filter(|row| !row.is_empty()).unwrap_or_else(|| whole(&self.before))
    }

    /// The lines that are complete by now.
    fn take(&mut self) -> String {
        std::mem::take(&mut self.whole)
    }

    /// Makes a line of the rest, at the end of the output.
    fn finish(&mut self) {
        if !self.partial.is_empty() || !self.before.is_empty() {
            self.end_row();
        }
    }

    fn end_row(&mut self) {
        self.whole.push_str(&text(if self.partial.is_empty() { &self.before } else { &self.partial }));
        self.whole.push('\n');
        self.partial.clear();
        self.before.clear();
        (self.moves, self.since, self.shown) = (false, None, None);
    }
}

/// Replaces NUL, at which many programs end a text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{2400}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        for piece in pieces {
            lines.feed(piece, |_| 0);
        }
        lines.finish();
        lines.take().lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_joined_from_any_pieces() {
        assert_eq!(split(&[b"on", b"e\ntw", b"o\r\n\nlast"]), ["one", "two", "", "last"]);
        assert_eq!(split(&[b"a\0b\xff\n"]), ["a\u{2400}b\u{fffd}"]);
    }

    #[test]
    fn only_the_last_state_of_a_rewritten_row_is_kept() {
        for (pieces, expected) in [
            (&[&b"10 %\r20 %\r30 %\nnext\n"[..]][..], &["30 %", "next"][..]),
            (&[b"10 %\r", b"20 %\r", b"\n"], &["20 %"]),
            (&[b"\r10 %", b"\r20 %\r\r", b"\r\n"], &["20 %"]),
            (&[b"10 %\r20 %\r"], &["20 %"]),
            (&[b"\r\n", b"\r", b"\n"], &["", ""]),
            (&[b"evil\rgood\r", b"\nevil\rgood\n"], &["good", "good"]),
        ] {
            assert_eq!(split(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_split() {
        let long = vec![b'x'; MAX_LINE * 2 + 10];
        let lines = split(&[&long, b"\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 10]);
    }

    #[test]
    fn a_possible_secret_is_not_split() {
        let mut lines = Lines::default();
        lines.feed(&vec![b'x'; MAX_LINE - 3], |_| 0);
        lines.feed(b"hunter22\n", |text| if text.ends_with(b"hun") { 3 } else { 0 });
        let text = lines.take();
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!((lengths, text.ends_with("\nhunter22\n")), (vec![MAX_LINE - 3, 8], true));
        // Even if everything is held back, long rows are ended.
        let mut lines = Lines::default();
        lines.feed(&vec![b'x'; MAX_LINE * 3], <[u8]>::len);
        assert!(lines.take().len() > MAX_LINE);
    }

    fn logs() -> Logs {
        use crate::logs::{Console, Limits};
        let limits = Limits { dir: None, file_size: 0, files: 0, ring: 1000 };
        Logs::new(limits, Console::silent())
    }

    #[tokio::test]
    async fn a_changing_row_is_shown_live_and_its_last_state_kept() {
        let logs = logs();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reading = tokio::spawn({
            let logs = logs.clone();
            async move { read(reader.into(), "unit", &logs).await }
        });
        let mut live = logs.follow("unit", 0).1;
        let mut write = |text: &[u8]| std::io::Write::write_all(&mut writer, text).unwrap();
        write(b"done\n10 %\r20 %");
        for (next, expected, open) in [
            (&b""[..], "done", false),
            (b"", "20 %", true),
            (b"\r\xc3", "20 %", true),
            (b"\xa4hm\r", "\u{e4}hm", true),
            (b"30 %\r\n", "30 %", false),
        ] {
            write(next);
            let shown = live.recv().await.unwrap();
            assert_eq!((&*shown.text, shown.open), (expected, open));
        }
        drop(writer);
        reading.await.unwrap();
        let kept: Vec<_> = logs.tail("unit", 10).iter().map(|line| line.text.to_string()).collect();
        assert_eq!(kept, ["done", "30 %"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_in_two_parts_is_never_shown() {
        let logs = logs();
        logs.hide(["hunter22".to_owned()]);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reading = tokio::spawn({
            let logs = logs.clone();
            async move { read(reader.into(), "unit", &logs).await }
        });
        let mut live = logs.follow("unit", 0).1;
        std::io::Write::write_all(&mut writer, b"password: hunt").unwrap();
        let shown = live.recv().await.unwrap();
        assert_eq!((&*shown.text, shown.open), ("password: ", true));
        std::io::Write::write_all(&mut writer, b"er22!\n").unwrap();
        let shown = live.recv().await.unwrap();
        assert_eq!((&*shown.text, shown.open), ("password: ******!", false));
        drop(writer);
        reading.await.unwrap();
    }

    proptest::proptest! {
        #[test]
        fn splits_do_not_change_the_lines(bytes in proptest::collection::vec(0..5u8, 0..200), cut in 0..200usize) {
            let bytes: Vec<u8> = bytes.into_iter().map(|b| b"ab\nc\r"[usize::from(b)]).collect();
            let cut = cut.min(bytes.len());
            proptest::prop_assert_eq!(split(&[&bytes]), split(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}

//! A unit's output, line by line, until its last writer is gone.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::logs::{Logs, MAX_LINE};

/// How much is read at once. Bytes.
const READ: usize = 64 * 1024;

/// How long a line may lack its end before it is shown without.
const PARTIAL: Duration = Duration::from_secs(2);

/// Reads `pipe` into `unit`'s log. Ends when nobody holds the other end any more, which may be long after the unit.
pub(super) async fn read(pipe: OwnedFd, unit: &str, logs: &Logs) {
    let mut pipe = match pipe::Receiver::from_owned_fd(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            tracing::warn!("the output of {unit} cannot be read: {error}");
            return;
        }
    };
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ];
    loop {
        let waiting = lines.since();
        let ended = tokio::select! {
            read = pipe.read(&mut buffer) => match read {
                Ok(0) | Err(_) => true,
                Ok(n) => {
                    lines.feed(&buffer[..n]);
                    false
                }
            },
            // A prompt or a progress bar has no newline, and is worth seeing.
            () = shown_by(waiting) => {
                lines.flush();
                false
            }
        };
        if ended {
            lines.flush();
        }
        logs.push_all(unit, &lines.take()).await;
        if ended {
            return;
        }
    }
}

async fn shown_by(since: Option<Instant>) {
    match since {
        Some(since) => tokio::time::sleep_until(since + PARTIAL).await,
        None => std::future::pending().await,
    }
}

/// Bytes to lines.
#[derive(Default)]
struct Lines {
    /// Whole lines, each with its newline.
    whole: String,
    partial: Vec<u8>,
    since: Option<Instant>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.is_empty() && piece.len() <= MAX_LINE && piece.ends_with(b"\n") {
                add(&mut self.whole, piece);
                continue;
            }
            for part in piece.chunks(MAX_LINE) {
                if self.partial.len() + part.len() > MAX_LINE {
                    self.flush();
                }
                self.partial.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.flush();
            }
        }
        if self.partial.is_empty() {
            self.since = None;
        } else {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Since when a line lacks its end.
    fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The lines that are whole by now.
    fn take(&mut self) -> String {
        std::mem::take(&mut self.whole)
    }

    /// Makes a line of what there is.
    fn flush(&mut self) {
        self.since = None;
        if self.partial.is_empty() {
            return;
        }
        add(&mut self.whole, &self.partial);
        self.partial.clear();
    }
}

/// Adds a line that may have its newline or not.
fn add(whole: &mut String, line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains('\0') => whole.push_str(text),
        // NUL would end the line for many a reader.
        _ => whole.push_str(&String::from_utf8_lossy(line).replace('\0', "\u{2400}")),
    }
    whole.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        for piece in pieces {
            lines.feed(piece);
        }
        lines.flush();
        lines.take().lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        assert_eq!(split(&[b"on", b"e\ntw", b"o\r\n\nlast"]), ["one", "two", "", "last"]);
        assert_eq!(split(&[b"a\0b\xff\n"]), ["a\u{2400}b\u{fffd}"]);
    }

    #[test]
    fn a_line_without_an_end_is_split() {
        let long = vec![b'x'; MAX_LINE * 2 + 10];
        let lines = split(&[&long, b"\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 10]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_shown_after_a_while() {
        use crate::logs::{Console, Limits};
        let limits = Limits { dir: None, file_size: 0, files: 0, ring: 1000 };
        let logs = Logs::new(limits, Console::silent());
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reading = tokio::spawn({
            let logs = logs.clone();
            async move { read(reader.into(), "unit", &logs).await }
        });
        let mut live = logs.follow("unit", 0).1;
        std::io::Write::write_all(&mut writer, b"done\n10 %\r20 %").unwrap();
        assert_eq!(&*live.recv().await.unwrap().text, "done");
        assert_eq!(&*live.recv().await.unwrap().text, "10 %\r20 %");
        drop(writer);
        reading.await.unwrap();
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_no_split_matters(bytes in proptest::collection::vec(0..4u8, 0..200), cut in 0..200usize) {
            let bytes: Vec<u8> = bytes.into_iter().map(|b| [b'a', b'b', b'\n', b'c'][usize::from(b)]).collect();
            let cut = cut.min(bytes.len());
            proptest::prop_assert_eq!(split(&[&bytes]), split(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}

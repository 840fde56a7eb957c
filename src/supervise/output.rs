//! A unit's output, line by line, until its last writer is gone.

use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::logs::{Logs, MAX_LINE};

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
    let mut buffer = vec![0; 8 * 1024];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => lines.feed(&buffer[..n], |line| logs.push(unit, line)),
        }
    }
    lines.finish(|line| logs.push(unit, line));
}

/// Bytes to lines.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE) {
                if self.partial.len() + part.len() > MAX_LINE {
                    self.flush(&mut emit);
                }
                self.partial.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.flush(&mut emit);
            }
        }
    }

    fn finish(mut self, mut emit: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.flush(&mut emit);
        }
    }

    fn flush(&mut self, emit: &mut impl FnMut(&str)) {
        let mut line = self.partial.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        // NUL would end the line for many a reader.
        emit(&String::from_utf8_lossy(line).replace('\0', "\u{2400}"));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| out.push(line.to_owned()));
        }
        lines.finish(|line| out.push(line.to_owned()));
        out
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

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_no_split_matters(bytes in proptest::collection::vec(0..4u8, 0..200), cut in 0..200usize) {
            let bytes: Vec<u8> = bytes.into_iter().map(|b| [b'a', b'b', b'\n', b'c'][usize::from(b)]).collect();
            let cut = cut.min(bytes.len());
            proptest::prop_assert_eq!(split(&[&bytes]), split(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}

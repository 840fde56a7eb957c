//! The rows of a window.

use tokio::time::Instant;

/// How many bytes at the end of a text must not be separated from the bytes that follow.
pub type Hold<'a> = &'a dyn Fn(&[u8]) -> usize;

/// Rows that are whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Lines, each with its newline.
    pub text: String,
    /// The number under which the only row was shown before its end.
    pub replaces: Option<u64>,
}

/// A row that has not ended, as it is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its place in the window.
    pub place: usize,
    /// The text.
    pub text: String,
    /// The number under which it was shown first, if it was.
    pub replaces: Option<u64>,
    /// Whether it is a progress bar and not a prompt.
    pub moves: bool,
}

/// A row that may still change.
#[derive(Default)]
pub(super) struct Row {
    pub(super) text: Vec<u8>,
    /// The last text before the row was started again.
    pub(super) before: Vec<u8>,
    /// Whether the next text starts the row again.
    pub(super) again: bool,
    /// Whether the row was started again, as a progress bar is.
    pub(super) moves: bool,
    /// Whether the row is above the first one that the program printed since the window was empty. It has no text of
    /// its own, and ends without a trace if it never gets one.
    pub(super) above: bool,
    /// Since when the row has text that was not shown.
    pub(super) since: Option<Instant>,
    /// The number under which it was shown first.
    pub(super) id: Option<u64>,
}

impl Row {
    /// What the row shows: an empty row shows its last text, which says more.
    pub(super) fn content(&self) -> &[u8] {
        if is_blank(&self.text) && !self.before.is_empty() { &self.before } else { &self.text }
    }

    /// The same as long as more may follow: without the possible beginning of a secret, and without the part of a
    /// character at the end.
    pub(super) fn shown(&self, hold: Hold<'_>) -> String {
        let clipped = |bytes: &[u8]| {
            let end = bytes.len() - hold(bytes).min(bytes.len());
            text(&bytes[..end - incomplete(&bytes[..end])])
        };
        let now = clipped(&self.text);
        if is_blank(now.as_bytes()) && !self.before.is_empty() { clipped(&self.before) } else { now }
    }

    /// Starts the row again.
    pub(super) fn clear(&mut self) {
        if !is_blank(&self.text) {
            std::mem::swap(&mut self.before, &mut self.text);
        }
        self.text.clear();
        self.again = false;
    }

    pub(super) fn size(&self) -> usize {
        self.text.len() + self.before.len()
    }
}

/// Whether a text shows nothing: it has only spaces and colours.
fn is_blank(mut text: &[u8]) -> bool {
    loop {
        match text {
            [] => return true,
            [b' ', rest @ ..] => text = rest,
            [0x1b, b'[', ..] => match text.iter().position(|byte| *byte == b'm') {
                Some(end) => text = &text[end + 1..],
                None => return false,
            },
            _ => return false,
        }
    }
}

/// How many bytes at the end are the beginning of a character whose rest is missing.
pub(super) fn incomplete(bytes: &[u8]) -> usize {
    let end = &bytes[bytes.len().saturating_sub(4)..];
    // The first byte of the last character is one of the last four.
    let first = end.iter().rposition(|byte| *byte >= 0xc0);
    let last = first.map_or(&[][..], |first| &end[first..]);
    match std::str::from_utf8(last) {
        Err(error) if error.error_len().is_none() => last.len() - error.valid_up_to(),
        _ => 0,
    }
}

/// Text of any bytes. NUL is replaced, because many programs end a text there.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if memchr::memchr(0, text.as_bytes()).is_some() {
        text.replace('\0', "\u{2400}")
    } else {
        text.into_owned()
    }
}

//! Makes untrusted text safe for a terminal: colours stay, all other control sequences are shown as text.
//!
//! The output of a service, a request or the name of a file may contain any bytes. A terminal executes some of them: it
//! sets its title, fills the clipboard (OSC 52), clears the screen, or lets later text overwrite earlier text. The
//! reader of a log must see the bytes that were sent instead.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest sequence that counts as a colour. Bytes.
const LONGEST_COLOUR: usize = 64;

/// `text` as it may be written to a terminal. Line ends and tabs stay.
///
/// Colours (SGR) stay, and end with the line. The two harmless sequences that programs send together with colours,
/// "erase to the end of the line" and "choose ASCII", are removed. All other control characters, and the invisible ones
/// that change the direction of text, become an escape such as `\x1b` or `\u{202e}`.
pub fn safe(text: &str) -> Cow<'_, str> {
    made_safe(text, true)
}

/// Like [`safe`] for text that is one line: a line end is shown as `\n`.
pub fn safe_line(text: &str) -> Cow<'_, str> {
    made_safe(text, false)
}

/// `text`, which was made safe already, without its colours.
pub fn without_colours(text: &str) -> Cow<'_, str> {
    let mut escapes = memchr::memchr_iter(0x1b, text.as_bytes()).peekable();
    if escapes.peek().is_none() {
        return text.into();
    }
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for at in escapes {
        if let Some(Sequence::Colour(length)) = sequence(&text[at..]) {
            out.push_str(&text[from..at]);
            from = at + length;
        }
    }
    (out + &text[from..]).into()
}

fn made_safe(text: &str, lines: bool) -> Cow<'_, str> {
    // Nearly all text is plain, and a check is cheaper than a copy.
    if is_plain(text.as_bytes(), lines) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut coloured = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\u{1b}' => match sequence(rest) {
                Some(Sequence::Colour(end)) => {
                    length = end;
                    out.push_str(&rest[..end]);
                    coloured = !resets(&rest[2..end - 1]);
                }
                Some(Sequence::Harmless(end)) => length = end,
                None => out.push_str("\\x1b"),
            },
            '\n' if lines => {
                if std::mem::take(&mut coloured) {
                    out.push_str("\u{1b}[0m");
                }
                out.push('\n');
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push('\t'),
            // Writing to a string cannot fail.
            c if c.is_ascii_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if c.is_control() || is_invisible(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
        rest = &rest[length..];
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out.into()
}

/// Whether no byte needs an escape. Without an early end, so that the compiler checks many bytes together: all log
/// lines pass through this function.
fn is_plain(bytes: &[u8], lines: bool) -> bool {
    let drives = |byte: u8| may_drive(byte) || (byte == b'\n' && !lines);
    !bytes.iter().fold(false, |found, byte| found | drives(*byte))
}

/// Whether a character that needs an escape may begin with this byte.
fn may_drive(byte: u8) -> bool {
    let control = byte < 0x20 && byte != b'\n' && byte != b'\t';
    control || matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2)
}

/// Direction marks, which can make text look like different text, and the line ends of Unicode.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An escape sequence that may be in a log, with its length.
enum Sequence {
    Colour(usize),
    Harmless(usize),
}

fn sequence(text: &str) -> Option<Sequence> {
    let harmless = ["\u{1b}[K", "\u{1b}[0K", "\u{1b}(B"].into_iter().find(|known| text.starts_with(known));
    if let Some(known) = harmless {
        return Some(Sequence::Harmless(known.len()));
    }
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    (end < LONGEST_COLOUR && parameters[end..].starts_with('m')).then_some(Sequence::Colour(2 + end + 1))
}

/// Whether a colour sequence with these parameters ends all colours.
fn resets(parameters: &str) -> bool {
    // In a colour from an extended palette the last number is a part of the colour.
    let large = ["38", "48", "58"].iter().any(|code| parameters.contains(code));
    !large && parameters.rsplit(';').next().is_none_or(|last| last.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_kept_and_other_sequences_are_escaped() {
        for (text, expected) in [
            ("plain, größe, 日本語, 👩‍💻\ttab\nline\n", "plain, größe, 日本語, 👩‍💻\ttab\nline\n"),
            ("\u{1b}[1;31merror\u{1b}[0m: x", "\u{1b}[1;31merror\u{1b}[0m: x"),
            ("\u{1b}[38;5;9mred\u{1b}[m", "\u{1b}[38;5;9mred\u{1b}[m"),
            // A colour, or hidden text, ends with its line.
            ("\u{1b}[8mhidden\nnext", "\u{1b}[8mhidden\u{1b}[0m\nnext"),
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
            // Title, clipboard, link, clearing, moving, answers, other screens, keyboard, strings, reset.
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{1b}]52;c;ZXZpbA==\u{1b}\\", "\\x1b]52;c;ZXZpbA==\\x1b\\"),
            ("\u{1b}[2J\u{1b}[H", "\\x1b[2J\\x1b[H"),
            ("\u{1b}[1A\u{1b}[6n\u{1b}[?1049h\u{1b}[>4;1m", "\\x1b[1A\\x1b[6n\\x1b[?1049h\\x1b[>4;1m"),
            ("\u{1b}P$q\u{1b}\\\u{1b}c\u{1b}#8\u{1b}", "\\x1bP$q\\x1b\\\\x1bc\\x1b#8\\x1b"),
            // The same sequences with single C1 characters, and other control characters.
            ("\u{9b}2J\u{9d}0;x\u{9c}\u{85}", "\\u{9b}2J\\u{9d}0;x\\u{9c}\\u{85}"),
            ("good\rfake\u{8}\u{8}\u{7f}\u{e}\u{0}", "good\\rfake\\x08\\x08\\x7f\\x0e\\x00"),
            ("abc\u{202e}txt.exe\u{2066}\u{200f}\u{2028}", "abc\\u{202e}txt.exe\\u{2066}\\u{200f}\\u{2028}"),
            // What programs send with their colours.
            ("\u{1b}[01;31m\u{1b}[Kerror\u{1b}[m\u{1b}[K\u{1b}(B", "\u{1b}[01;31merror\u{1b}[m"),
            ("\u{1b}[", "\\x1b["),
            ("\u{1b}[31", "\\x1b[31"),
        ] {
            assert_eq!(safe(text), expected, "{text:?}");
        }
        let long = format!("\u{1b}[{}m", "1;".repeat(100));
        assert!(safe(&long).starts_with("\\x1b[1;"));
    }

    #[test]
    fn every_byte_is_checked_at_every_position() {
        for byte in 0..=127 {
            for at in 0..17 {
                let mut text = vec![b'x'; 17];
                text[at] = byte;
                let plain = !may_drive(byte) && byte != b'\n';
                assert_eq!(is_plain(&text, false), plain, "{byte} at {at}");
                assert_eq!(is_plain(&text, true), plain || byte == b'\n', "{byte} at {at}");
            }
        }
    }

    #[test]
    fn colours_can_be_left_out() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\u{1b}[1;31merror\u{1b}[0m: x", "error: x"),
            ("\u{1b}[38;2;1;2;3mä\u{1b}[m", "ä"),
            ("\u{1b}[38:5:9m\u{1b}[0m", ""),
        ] {
            assert_eq!(without_colours(text), expected);
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(safe_line("one\ntwo\r\n"), "one\\ntwo\\r\\n");
        assert!(matches!(safe_line("one"), Cow::Borrowed("one")));
    }

    proptest::proptest! {
        #[test]
        fn safe_text_has_no_control_sequences_but_colours(text in "(\u{1b}|\\[|[0-9;:]{0,3}|m|K|\\(B|\n|\r|\u{9b}|\u{202e}|[a-z]){0,40}") {
            let shown = safe(&text);
            for (at, c) in shown.char_indices() {
                let colour = c == '\u{1b}' && matches!(sequence(&shown[at..]), Some(Sequence::Colour(_)));
                proptest::prop_assert!(colour || !c.is_control() || c == '\n', "{text:?}: {shown:?}");
            }
            // A second pass changes nothing: commands print log lines that were made safe already.
            proptest::prop_assert_eq!(safe(&shown), shown.as_ref());
        }
    }
}

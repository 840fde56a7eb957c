//! Parses the messages of a unit on its `NOTIFY_SOCKET`: systemd's `sd_notify` protocol, from bytes to a value. The
//! sender is not trusted: the bytes may be anything.

/// The maximum length of a `STATUS=` text, in characters.
pub const MAX_STATUS: usize = 200;

/// One message: lines of `NAME=value`. Other names and invalid values are left out. If a text or a number occurs twice,
/// the last one counts; a flag that was set stays set. `STOPPING` and `RELOADING` change nothing: the unit's exit and
/// its next `READY` do. `MAINPID` changes nothing either: the daemon stops and waits for the process that it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `READY=1`: the unit is ready.
    pub ready: bool,
    /// `STATUS=…`: a status text for users. One line, printable and of limited length; an empty text removes the last
    /// one.
    pub status: Option<String>,
    /// `ERRNO=…`: why the unit cannot work, as an error number of the system.
    pub errno: Option<i32>,
}

impl Message {
    /// Parses a datagram. No input is an error.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&line[..equals], &line[equals + 1..]);
            match name {
                b"READY" => message.ready |= value == b"1",
                b"STATUS" => message.status = Some(printable(value)),
                b"ERRNO" => message.errno = number(value),
                _ => {}
            }
        }
        message
    }
}

/// A positive number.
fn number(value: &[u8]) -> Option<i32> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|number| *number > 0)
}

/// A text that is safe to show anywhere: without characters that control a terminal or a page.
fn printable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown: String =
        text.chars().filter(|c| !is_formatting(*c)).map(|c| if c == '\t' { ' ' } else { c }).collect();
    if let Some((end, _)) = shown.char_indices().nth(MAX_STATUS) {
        shown.truncate(end);
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Control characters, and characters that change the direction of the text after them.
fn is_formatting(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_line_of_its_own() {
        for (message, expected) in [
            (&b"READY=1"[..], true),
            (b"STATUS=up\nREADY=1\n", true),
            (b"READY=1\nREADY=0", true),
            (b"XREADY=1", false),
            (b"READY=10", false),
            (b"READY=1 ", false),
            (b"READY", false),
            (b"", false),
            (b"\n\n=\n", false),
            (b"STATUS=READY=1", false),
        ] {
            assert_eq!(Message::parse(message).ready, expected, "{message:?}");
        }
    }

    #[test]
    fn a_status_is_reduced_to_printable_text() {
        for (value, expected) in [
            (&b"serving 3 clients"[..], "serving 3 clients"),
            (b"a=b", "a=b"),
            (b"", ""),
            (b" tab\there ", "tab here"),
            (b"\x1b[31mred\x07\r", "[31mred"),
            ("\u{202e}txt.exe".as_bytes(), "txt.exe"),
            (b"not \xff utf-8 \0", "not \u{fffd} utf-8"),
        ] {
            let status = Message::parse(&[b"STATUS=", value].concat()).status;
            assert_eq!(status.as_deref(), Some(expected), "{value:?}");
        }
        assert_eq!(Message::parse(b"READY=1").status, None);
        assert_eq!(Message::parse(b"STATUS=a\nSTATUS=b").status.as_deref(), Some("b"));
        let long = Message::parse(format!("STATUS={}", "ä".repeat(5000)).as_bytes()).status.unwrap();
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (MAX_STATUS + 1, true));
    }

    #[test]
    fn an_error_is_parsed_and_other_fields_and_invalid_values_are_left_out() {
        let message = Message::parse(
            b"RELOADING=1\nMONOTONIC_USEC=1\nSTOPPING=1\nERRNO=2\nMAINPID=77\nWATCHDOG=1\nFDSTORE=1",
        );
        assert_eq!(message, Message { errno: Some(2), ..Message::default() });
        for odd in ["ERRNO=-1", "ERRNO=0", "ERRNO=99999999999", "ERRNO=", "ERRNO=EIO", "STOPPING=yes"] {
            assert_eq!(Message::parse(odd.as_bytes()), Message::default(), "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn status_is_printable(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let status = Message::parse(&[b"STATUS=", &bytes[..]].concat()).status.unwrap_or_default();
            proptest::prop_assert!(status.chars().count() <= MAX_STATUS + 1);
            proptest::prop_assert!(!status.chars().any(is_formatting), "{:?}", status);
        }
    }
}

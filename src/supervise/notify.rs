//! What a unit says on its `NOTIFY_SOCKET`: systemd's `sd_notify` protocol, bytes to a value. Pure: whoever sent the
//! bytes may have sent anything.

/// What is kept of a `STATUS=`. Characters.
pub const MAX_STATUS: usize = 200;

/// One message: lines of `NAME=value`. Names that are not listed here, and values that are not what they should be,
/// are left out. Of a text or number that comes twice the last one counts; a flag that was raised stays so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `READY=1`: it does its work.
    pub ready: bool,
    /// `RELOADING=1`: it reads its configuration again, and says `READY=1` after that.
    pub reloading: bool,
    /// `STOPPING=1`: it is about to end.
    pub stopping: bool,
    /// `STATUS=…`: what it does, for people. One line, printable and not too long; empty takes back what it said.
    pub status: Option<String>,
    /// `ERRNO=…`: why it cannot work, as the system numbers errors.
    pub errno: Option<i32>,
    /// `MAINPID=…`: which process it takes for its main one. The supervisor knows better: it started it.
    pub main_pid: Option<i32>,
}

impl Message {
    /// Reads a datagram. Nothing is too odd for it.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&line[..equals], &line[equals + 1..]);
            match name {
                b"READY" => message.ready |= value == b"1",
                b"RELOADING" => message.reloading |= value == b"1",
                b"STOPPING" => message.stopping |= value == b"1",
                b"STATUS" => message.status = Some(printable(value)),
                b"ERRNO" => message.errno = number(value),
                b"MAINPID" => message.main_pid = number(value),
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

/// A text that can be shown anywhere: neither a terminal nor a page takes anything in it for more than letters.
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

/// Control characters, and those that turn the direction of what follows.
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
    fn a_status_is_what_can_be_shown() {
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
    fn everything_else_is_understood_or_left_out() {
        let message = Message::parse(
            b"RELOADING=1\nMONOTONIC_USEC=1\nSTOPPING=1\nERRNO=2\nMAINPID=77\nWATCHDOG=1\nFDSTORE=1",
        );
        let expected = Message {
            reloading: true,
            stopping: true,
            errno: Some(2),
            main_pid: Some(77),
            ..Message::default()
        };
        assert_eq!(message, expected);
        for odd in ["MAINPID=-1", "MAINPID=0", "MAINPID=99999999999", "MAINPID=", "ERRNO=EIO", "STOPPING=yes"]
        {
            assert_eq!(Message::parse(odd.as_bytes()), Message::default(), "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let status = Message::parse(&[b"STATUS=", &bytes[..]].concat()).status.unwrap_or_default();
            proptest::prop_assert!(status.chars().count() <= MAX_STATUS + 1);
            proptest::prop_assert!(!status.chars().any(is_formatting), "{:?}", status);
        }
    }
}

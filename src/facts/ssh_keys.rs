//! Lines of `authorized_keys`: which of them hold a key.
//!
//! Only the form is checked here. A crate for this rejects options with blanks (`command="a b"`) and new kinds of keys,
//! and both are for the SSH server to decide.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sys::read;

/// The prefixes of the kinds of keys that SSH servers know, including certificates and hardware keys.
const KINDS: [&str; 5] = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-", "webauthn-sk-"];

/// At most this much of a file is read, in bytes; more keys are not expected.
pub const ENOUGH: u64 = 1 << 20;

/// The meaning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// No key: the line is empty or a comment.
    Nothing,
    /// A key: its kind and its body, without options and comment.
    Key(&'a str, &'a str),
    /// Something else, with the reason why it is no key.
    Invalid(&'static str),
}

/// Reads one line.
pub fn line(text: &str) -> Line<'_> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Line::Nothing;
    }
    match key(text) {
        Ok(line) => line,
        Err(why) => match key(after_options(text)) {
            Ok(line) => line,
            // The error after the options is more useful than the one about the options.
            Err(NO_KIND) => Line::Invalid(why),
            Err(deeper) => Line::Invalid(deeper),
        },
    }
}

const NO_KIND: &str = "it does not begin with the kind of a key, such as ssh-ed25519";

fn key(text: &str) -> Result<Line<'_>, &'static str> {
    let mut words = text.split_ascii_whitespace();
    let kind = words.next().filter(|kind| KINDS.iter().any(|known| kind.starts_with(known)));
    let kind = kind.ok_or(NO_KIND)?;
    let body = words.next().ok_or("the key itself is missing")?;
    let bytes = STANDARD.decode(body).map_err(|_| "the key is not base64: some of it may be missing")?;
    let parts = parts(&bytes).ok_or("the key is cut off")?;
    match parts[..] {
        [name, _, ..] if name == kind.as_bytes() => {}
        [_, _, ..] => return Err("the key is of another kind than it says"),
        _ => return Err("the key is cut off"),
    }
    if kind == "ssh-ed25519" && !(parts.len() == 2 && parts[1].len() == 32) {
        return Err("the key has a wrong length");
    }
    Ok(Line::Key(kind, body))
}

/// The fields of a key, each after its length of four bytes. Certificates also contain numbers, which are not parsed.
fn parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let part = behind.get(..length)?;
        rest = &behind[length..];
        let certificate = parts.is_empty() && part.ends_with(b"-cert-v01@openssh.com");
        parts.push(part);
        if certificate {
            parts.push(rest);
            return (rest.len() > 64).then_some(parts);
        }
    }
    rest.is_empty().then_some(parts)
}

/// The text after the options: they end at the first blank that is not in quotes.
fn after_options(text: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.find(|c: char| {
        let ends = !quoted && matches!(c, ' ' | '\t');
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or("", |end| text[end..].trim_start())
}

/// The keys in a variable's value: clouds add quotes, and write line breaks as two characters.
pub fn unescaped(value: &str) -> String {
    let value = value.trim();
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    // A quote before a line break belongs to an option.
    let value = unquoted.filter(|value| !value.contains('\n')).unwrap_or(value);
    value.replace("\\r\\n", "\n").replace("\\n", "\n")
}

/// Whether the value of a variable contains a key.
pub fn given(value: &str) -> bool {
    any_key(&unescaped(value))
}

/// Whether a file contains a key.
pub(super) fn has_key(path: &Path) -> bool {
    read::bytes(path, ENOUGH).is_ok_and(|bytes| any_key(&String::from_utf8_lossy(&bytes)))
}

fn any_key(text: &str) -> bool {
    text.lines().any(|text| matches!(line(text), Line::Key(..)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn blob(parts: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(part);
        }
        STANDARD.encode(bytes)
    }

    #[test]
    fn keys_of_all_kinds_and_with_options_are_accepted() {
        let ed = blob(&[b"ssh-ed25519", &[7; 32]]);
        let rsa = blob(&[b"ssh-rsa", &[1, 0, 1], &[9; 257]]);
        let sk = blob(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]);
        let ec = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[4; 65]]);
        let cert = blob(&[b"ssh-ed25519-cert-v01@openssh.com", &[1; 32], &[7; 32], &[0; 300]]);
        for (text, kind, body) in [
            (format!("ssh-ed25519 {ed}"), "ssh-ed25519", &ed),
            (format!("  ssh-rsa\t{rsa} a comment # of words \r"), "ssh-rsa", &rsa),
            (format!("sk-ssh-ed25519@openssh.com {sk} key"), "sk-ssh-ed25519@openssh.com", &sk),
            (format!("ecdsa-sha2-nistp256 {ec}"), "ecdsa-sha2-nistp256", &ec),
            (format!("ssh-ed25519-cert-v01@openssh.com {cert}"), "ssh-ed25519-cert-v01@openssh.com", &cert),
            (format!("cert-authority,principals=\"a b\" ssh-ed25519 {ed}"), "ssh-ed25519", &ed),
            (format!(r#"command="echo \"a b\" #",from="10.0.0.0/8" ssh-rsa {rsa} x"#), "ssh-rsa", &rsa),
            (format!("restrict,pty ssh-ed25519 {ed}"), "ssh-ed25519", &ed),
        ] {
            assert_eq!(line(&text), Line::Key(kind, body), "{text}");
        }
    }

    #[test]
    fn lines_without_a_key_are_rejected_with_a_reason() {
        let ed = blob(&[b"ssh-ed25519", &[7; 32]]);
        for (text, expected) in [
            ("hello".to_owned(), "does not begin"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "does not begin"),
            ("ssh-ed25519".to_owned(), "is missing"),
            ("restrict ssh-ed25519".to_owned(), "is missing"),
            (format!("ssh-ed25519 {}", &ed[..40]), "cut off"),
            (format!("ssh-ed25519 {}", &ed[..41]), "base64"),
            (format!("ssh-rsa {ed}"), "another kind"),
            (format!("ssh-ed25519 {}", blob(&[b"ssh-ed25519", &[7; 31]])), "wrong length"),
            (format!("ssh-rsa {}", blob(&[b"ssh-rsa"])), "cut off"),
            (format!("command=\"never ends ssh-ed25519 {ed}"), "does not begin"),
            (ed.clone(), "does not begin"),
        ] {
            match line(&text) {
                Line::Invalid(told) => assert!(told.contains(expected), "{text}: {told}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["", "  ", "# ssh-ed25519", "\r"] {
            assert_eq!(line(text), Line::Nothing, "{text:?}");
        }
    }

    #[test]
    fn files_and_values_with_a_key_are_recognized() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        for (text, expected) in [
            (format!("# mine\r\nrubbish\r\nssh-ed25519 {}\r\n", blob(&[b"ssh-ed25519", &[7; 32]])), true),
            ("rubbish\nssh-ed25519 AAAA me\n".to_owned(), false),
            (String::new(), false),
        ] {
            fs::write(&file, &text).unwrap();
            assert_eq!([has_key(&file), given(&text)], [expected; 2], "{text}");
        }
        assert!(!has_key(dir.path()) && !has_key(&dir.path().join("missing")));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_safe(text in "(ssh-ed25519 |command=\"|[ -~]|\\PC){0,20}") {
            let _ = line(&text);
        }
    }
}

//! Normalizes the environment: removes the workarounds that clouds and older templates need, before the values are
//! passed on.
//!
//! One pair of quotes around a value is removed, and `___` becomes a blank, because some clouds can pass neither quotes
//! nor blanks. Secrets, keys, URLs and `PORTAL_CONFIG` stay unchanged. Bytes that are not UTF-8 stay as they are.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::names::{looks_secret, row, twin};
use super::table::{Flag, TABLE, read};
use super::value::{RELAY_PORTS, WEB_PORTS, Workspace, named_port};
use crate::config::provider::is_vast;
use crate::sys::env_file::{Raw, is_name};

/// Normalizes one value of the environment or of an argument.
pub(super) fn normalize(name: &OsStr, value: &OsStr) -> OsString {
    let literal = name.to_str().is_none_or(|name| {
        looks_secret(name) || row(name).is_some_and(|variable| variable.is(Flag::Literal))
    });
    let bytes = value.as_bytes();
    // A name that is not a valid variable name comes from a shell (an exported function, for example), whose value must
    // stay.
    if literal || !is_name(name) || memchr::memmem::find(bytes, b"://").is_some() {
        return value.to_owned();
    }
    let mut rest = unquoted(bytes);
    let mut out = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.first() {
        let step = if rest.starts_with(b"___") { 3 } else { 1 };
        out.push(if step == 3 { b' ' } else { *byte });
        rest = &rest[step..];
    }
    OsString::from_vec(out)
}

/// Removes the quotes around a value. `"a" "b"` as a whole is not in quotes.
pub(crate) fn unquoted(bytes: &[u8]) -> &[u8] {
    match bytes {
        [quote @ (b'"' | b'\''), inside @ .., end] if quote == end && !inside.contains(quote) => inside,
        _ => bytes,
    }
}

/// The folder where users keep their work.
pub(super) fn workspace(raw: &Raw) -> Workspace {
    let names = row("WORKSPACE").map_or(&[][..], |row| row.names);
    read(raw, names, "/workspace/", &|_| String::new(), &mut Vec::new())
}

/// Merged variables with derived values, as they are passed on: the workspace, newer names of variables, and the ports
/// that a provider's names mean.
pub(super) fn complete(mut raw: Raw) -> Raw {
    // Scripts append names to it, so it must end with a slash.
    let workspace = workspace(&raw);
    raw.insert("WORKSPACE".into(), workspace.text().into());
    if is_vast(&raw) {
        // The name of the workspace's variable on vast.ai.
        fill(&mut raw, "DATA_DIRECTORY", workspace.text().into());
    }
    renamed(&mut raw, |name| {
        Some(format!("{}_ARGS", name.strip_suffix("_FLAGS").filter(|name| !name.is_empty())?))
    });
    ports(&mut raw);
    renamed(&mut raw, twin);
    for variable in TABLE {
        if let Some(value) = variable.set(&raw).cloned() {
            fill(&mut raw, variable.names[0], value);
        }
    }
    raw
}

/// Sets a variable that is unset or empty.
fn fill(raw: &mut Raw, name: &str, value: OsString) {
    let there = raw.entry(name.into()).or_default();
    if there.is_empty() {
        *there = value;
    }
}

/// Copies each variable to its other name, if `other` returns one.
fn renamed(raw: &mut Raw, other: impl Fn(&str) -> Option<String>) {
    let found: Vec<(String, OsString)> = raw
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((other(name.to_str()?)?, value.clone())))
        .collect();
    for (name, value) in found {
        fill(raw, &name, value);
    }
}

/// Replaces a provider's names for ports by the ports.
fn ports(raw: &mut Raw) {
    let names: Vec<OsString> =
        raw.keys().filter(|name| name.as_bytes().ends_with(b"PORT_HOST")).cloned().collect();
    for name in names {
        let Some(text) = raw.get(&name).and_then(|value| value.to_str()) else { continue };
        let kinds: &[&str] = if name == "COTURN_PORT_HOST" { &RELAY_PORTS } else { &WEB_PORTS };
        if let Ok(port) = named_port(text.trim().to_owned(), kinds, raw)
            && port != text.trim()
        {
            raw.insert(name, port.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(name: &str, value: &[u8]) -> Vec<u8> {
        normalize(OsStr::new(name), OsStr::from_bytes(value)).into_vec()
    }

    #[test]
    fn quotes_are_removed_and_underscores_become_blanks() {
        for (name, value, expected) in [
            ("A", &b"plain"[..], &b"plain"[..]),
            ("A", b"\"a___b\"", b"a b"),
            ("A", b"'a b'", b"a b"),
            ("A", b"____", b" _"),
            ("A", b"\"", b"\""),
            ("A", b"\"\"", b""),
            ("A", b"'a\"", b"'a\""),
            ("A", b"\"a\" \"b\"", b"\"a\" \"b\""),
            ("A", b"\"'a'\"", b"'a'"),
            ("A", b"{\"a\": \"%=\n\"}", b"{\"a\": \"%=\n\"}"),
            ("A", b"\xff___\xfe", b"\xff \xfe"),
            ("A", b"https://a/___", b"https://a/___"),
            ("HF_TOKEN", b"\"a___b\"", b"\"a___b\""),
            ("SSH_PUBKEY", b"ssh-ed25519 A me___too", b"ssh-ed25519 A me___too"),
            ("PUBLIC_KEY", b"'a'", b"'a'"),
            ("PORTAL_CONFIG", b"a___b", b"a___b"),
            ("BASH_FUNC_f%%", b"() {  g ___; }", b"() {  g ___; }"),
        ] {
            assert_eq!(normalized(name, value), expected, "{name} {}", value.escape_ascii());
        }
    }

    #[test]
    fn newer_names_are_filled_in_and_set_values_do_not_change() {
        let raw: Raw = [
            ("COTURN_FLAGS", "--verbose"),
            ("X_FLAGS", "old"),
            ("X_ARGS", "new"),
            ("_FLAGS", "no name"),
            ("WEBRTC_FRAMERATE", "30"),
            ("SELKIES_CRF", "20"),
            ("WEBRTC_CRF", "10"),
            ("SIZEW", "800"),
            ("DISPLAY_SIZEW", ""),
            ("VNC_PORT_HOST", "70001"),
            ("MY_PORT_HOST", "70001"),
            ("OTHER_PORT_HOST", "79999"),
            ("COTURN_PORT_HOST", "73478"),
            ("VAST_TCP_PORT_70001", "40001"),
            ("VAST_TCP_PORT_73478", "40100"),
            ("VAST_UDP_PORT_73478", "40200"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let raw = complete(raw);
        for (name, expected) in [
            ("COTURN_FLAGS", Some("--verbose")),
            ("COTURN_ARGS", Some("--verbose")),
            ("X_ARGS", Some("new")),
            ("_ARGS", None),
            ("SELKIES_FRAMERATE", Some("30")),
            ("WEBRTC_FRAMERATE", Some("30")),
            ("SELKIES_CRF", Some("20")),
            ("WEBRTC_CRF", Some("10")),
            ("DISPLAY_SIZEW", Some("800")),
            ("SIZEW", Some("800")),
            ("VNC_PORT_HOST", Some("40001")),
            ("MY_PORT_HOST", Some("40001")),
            ("OTHER_PORT_HOST", Some("79999")),
            ("COTURN_PORT_HOST", Some("40200")),
        ] {
            let found = raw.get(OsStr::new(name)).and_then(|value| value.to_str());
            assert_eq!(found, expected, "{name}");
        }
    }
}

//! Changes variables in a file that a user owns. Everything else stays as it was written, including comments and
//! mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::{Parsed, line};

/// Returns `bytes`, whose parsed form is `parsed`, with every variable of `wanted` set to its value, or removed if it
/// has none. A value that a shell would read differently is put in quotes.
pub fn rewrite(bytes: &[u8], parsed: &Parsed, wanted: &BTreeMap<&OsStr, Option<OsString>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut seen = BTreeSet::new();
    // The last assignment of a name counts, so only that one is changed.
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for statement in parsed.statements.iter().rev() {
        let text = &bytes[statement.bytes.clone()];
        let set = &parsed.variables[statement.variables.clone()];
        let new = match set {
            [(name, value)] => match wanted.get(name.as_os_str()) {
                Some(None) => Vec::new(),
                Some(Some(new)) if new != value && !seen.contains(name) => line(name, new),
                _ if statement.loose => line(name, value),
                _ => text.to_vec(),
            },
            _ => text.to_vec(),
        };
        seen.extend(set.iter().map(|(name, _)| name));
        kept.push(new);
    }
    for text in kept.into_iter().rev() {
        if out.last().is_some_and(|byte| *byte != b'\n') {
            out.push(b'\n');
        }
        out.extend(text);
    }
    for (name, value) in wanted {
        if let Some(value) = value
            && !seen.contains(&OsString::from(name))
        {
            if out.last().is_some_and(|byte| *byte != b'\n') {
                out.push(b'\n');
            }
            out.extend(line(name, value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn only_what_is_wanted_changes() {
        let wanted = |pairs: &[(&'static str, Option<&str>)]| -> BTreeMap<&OsStr, Option<OsString>> {
            pairs.iter().map(|(name, value)| (OsStr::new(*name), value.map(OsString::from))).collect()
        };
        for (text, pairs, expected) in [
            ("", &[("A", Some("1"))][..], "A=1\n"),
            (
                "# mine\nA=1 # one\nrubbish\n",
                &[("A", Some("1")), ("B", None)],
                "# mine\nA=1 # one\nrubbish\n",
            ),
            ("export A='x\ny'\nB=2", &[("A", Some("2")), ("C", Some("3"))], "A=2\nB=2\nC=3\n"),
            ("A=1\nB=2\nA=3", &[("A", None)], "B=2\n"),
            ("PATH=/a\nPATH=$PATH:/b\n", &[("PATH", Some("/c"))], "PATH=/a\nPATH=/c\n"),
            ("A=1 B=2\n", &[("A", None)], "A=1 B=2\n"),
            // As `env` writes it.
            (
                "A=x:/:My Portal|y; z\nB=2\nC=a b\n",
                &[("B", Some("3")), ("C", Some("d"))],
                "A=\"x:/:My Portal|y; z\"\nB=3\nC=d\n",
            ),
            ("A=hush $(date) x\n", &[("B", None)], "A=hush $(date) x\n"),
        ] {
            let found = rewrite(text.as_bytes(), &parse(text.as_bytes()), &wanted(pairs));
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{text:?}");
        }
    }
}

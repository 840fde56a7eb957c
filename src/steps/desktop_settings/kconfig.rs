//! Reads and writes settings files of KDE's programs: groups in brackets, `key=value`. All other bytes of a file stay
//! the same.

/// A key of a settings file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    /// The name of the file in `~/.config`.
    pub(super) file: &'a str,
    /// The name of the group, without its brackets.
    pub(super) group: &'a str,
    /// The name of the key.
    pub(super) name: &'a str,
}

/// The value of a key; `None` if a program has marked the key as deleted.
pub(super) fn get(text: &[u8], key: Key<'_>) -> Option<String> {
    let line = lines(text, key).last()?;
    let (name, value) = split(line)?;
    (!name.ends_with(b"[$d]")).then(|| unescaped(&String::from_utf8_lossy(value)))
}

/// Returns the text with a new value for the key, or without the key.
pub(super) fn set(text: &[u8], key: Key<'_>, value: Option<&str>) -> Vec<u8> {
    let entry = value.map(|value| format!("{}={}\n", key.name, escaped(value)));
    let mut entry = entry.as_deref().map(str::as_bytes);
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut inside = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if let Some(group) = group(line) {
            inside = group == key.group.as_bytes();
            out.extend_from_slice(line);
            // The last line may have no line feed.
            if !line.ends_with(b"\n") {
                out.push(b'\n');
            }
            // The new entry comes first in its group: the order of the program's own entries stays.
            if inside && let Some(entry) = entry.take() {
                out.extend_from_slice(entry);
            }
        } else if !(inside && is_of(line, key.name)) {
            out.extend_from_slice(line);
        }
    }
    if let Some(entry) = entry {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        let gap = if out.is_empty() { "" } else { "\n" };
        out.extend_from_slice(format!("{gap}[{}]\n", key.group).as_bytes());
        out.extend_from_slice(entry);
    }
    out
}

/// The lines that set the key.
fn lines<'a>(text: &'a [u8], key: Key<'a>) -> impl Iterator<Item = &'a [u8]> {
    let mut inside = false;
    text.split(|byte| *byte == b'\n').filter(move |line| {
        if let Some(group) = group(line) {
            inside = group == key.group.as_bytes();
        }
        inside && is_of(line, key.name)
    })
}

/// The group that a line begins: `[Name]`, or `[Name][Inner]`, which is a different group.
fn group(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let inner = line.strip_prefix(b"[")?.strip_suffix(b"]")?;
    // The lock mark of a whole group follows its name.
    Some(inner.strip_suffix(b"][$i").unwrap_or(inner))
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    match line.iter().position(|byte| *byte == b'=') {
        Some(at) => Some((line[..at].trim_ascii_end(), line[at + 1..].trim_ascii_start())),
        // `key[$d]` has no value.
        None => line.ends_with(b"[$d]").then_some((line, &line[..0])),
    }
}

/// Whether a line sets this key, with or without options after the name (`[$i]`, `[$e]`). A key with a language
/// (`key[de]`) is a different key.
fn is_of(line: &[u8], name: &str) -> bool {
    let Some((found, _)) = split(line) else { return false };
    let rest = found.strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"[$"))
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    match value.strip_prefix(' ') {
        Some(rest) => format!("\\s{rest}"),
        None => value,
    }
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('s') => ' ',
                other => other.unwrap_or(c),
            },
            _ => c,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANG: Key<'_> = Key { file: "", group: "Formats", name: "LANG" };

    #[test]
    fn a_value_is_found_only_in_its_own_group() {
        for (text, expected) in [
            ("", None),
            ("[Formats]\nLANG=fr_FR.UTF-8\n", Some("fr_FR.UTF-8")),
            ("[Formats]\n LANG = fr_FR.UTF-8 ", Some("fr_FR.UTF-8")),
            ("[Formats][$i]\nLANG[$i]=fr\n", Some("fr")),
            ("[Formats]\nLANG[$d]\n", None),
            ("[Formats]\nLANG[de]=fr\n# LANG=x\nLANGUAGE=y\n", None),
            ("LANG=a\n[Formats][Inner]\nLANG=b\n[Other]\nLANG=c\n", None),
            // As in KDE's programs, the last entry applies.
            ("[Formats]\nLANG=a\n[Other]\n[Formats]\nLANG=b\n", Some("b")),
            ("[Formats]\nLANG=\\sa\\\\b\n", Some(" a\\b")),
        ] {
            assert_eq!(get(text.as_bytes(), LANG).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_set_and_everything_else_stays() {
        for (text, value, expected) in [
            ("", Some("fr"), "[Formats]\nLANG=fr\n"),
            ("[Other]\na=b", Some("fr"), "[Other]\na=b\n\n[Formats]\nLANG=fr\n"),
            (
                "[Formats]\n# mine\nLANG=de\nLC_TIME=x\n",
                Some("fr"),
                "[Formats]\nLANG=fr\n# mine\nLC_TIME=x\n",
            ),
            ("[Formats]", Some("fr"), "[Formats]\nLANG=fr\n"),
            ("[Formats]\nLANG[$d]\n", Some("fr"), "[Formats]\nLANG=fr\n"),
            (
                "[Formats]\nLANG=a\n[O]\nLANG=c\n[Formats]\nLANG=b\n",
                None,
                "[Formats]\n[O]\nLANG=c\n[Formats]\n",
            ),
            ("[O]\nrubbish\n", None, "[O]\nrubbish\n"),
        ] {
            let set = set(text.as_bytes(), LANG, value);
            assert_eq!(String::from_utf8(set).unwrap(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_value_that_was_set_is_found_again(text in "[\\[\\]a-cLANGFormts=$\n ]{0,40}", value in "\\PC{0,8}") {
            let value = value.trim_end();
            let set_text = set(text.as_bytes(), LANG, Some(value));
            let found = get(&set_text, LANG);
            proptest::prop_assert_eq!(found.as_deref(), Some(value));
            proptest::prop_assert_eq!(get(&set(&set_text, LANG, None), LANG), None);
        }
    }
}

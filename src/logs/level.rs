//! The level of a row, guessed from its text. Pure.
//!
//! Programs mark a level in few forms: a letter or a sign at the start (`(EE)`, `[W]`, `E0131 12:00:00`), a word in
//! capitals as a field of its own (`ERROR`), a word as a label (`error: text`, `[error]`, `level=error`), or the name
//! of an exception (`ValueError: text`). Only these forms count. A word within a sentence ("0 errors", "the error
//! was") is no mark, and neither is a part of a word ("terror").

use serde::{Deserialize, Serialize};

/// How bad a row says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "LogLevel"))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For developers.
    Debug,
    /// What happens normally.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// How much of a text is looked at: a mark is near the start. Bytes.
const LOOKED_AT: usize = 200;

/// The words for each level.
const WORDS: [(&str, Level); 22] = [
    ("error", Level::Error),
    ("err", Level::Error),
    ("fatal", Level::Error),
    ("critical", Level::Error),
    ("crit", Level::Error),
    ("severe", Level::Error),
    ("alert", Level::Error),
    ("emerg", Level::Error),
    ("panic", Level::Error),
    ("failure", Level::Error),
    ("warning", Level::Warning),
    ("warn", Level::Warning),
    ("notice", Level::Info),
    ("info", Level::Info),
    ("information", Level::Info),
    ("message", Level::Info),
    ("debug", Level::Debug),
    ("debug1", Level::Debug),
    ("debug2", Level::Debug),
    ("debug3", Level::Debug),
    ("trace", Level::Debug),
    ("verbose", Level::Debug),
];

/// The signs of Xorg.
const XORG: [(&str, Level); 8] = [
    ("(EE)", Level::Error),
    ("(WW)", Level::Warning),
    ("(NI)", Level::Warning),
    ("(II)", Level::Info),
    ("(--)", Level::Info),
    ("(**)", Level::Info),
    ("(==)", Level::Info),
    ("(++)", Level::Info),
];

/// Beginnings of texts that say the level in another way.
const BEGINNINGS: [&str; 3] =
    ["Traceback (most recent call last)", "Segmentation fault", "Aborted (core dumped)"];

/// Keys whose value is a level.
const KEYS: [&str; 5] = ["level", "lvl", "loglevel", "levelname", "severity"];

/// Words that say that there is none: "no error: all is well".
const NEGATIONS: [&str; 5] = ["no", "0", "zero", "without", "not"];

impl Level {
    /// The level of a text without colours, if it has a mark.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let end = (0..=text.len().min(LOOKED_AT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let text = &text[..end];
        at_start(text).or_else(|| by_word(text))
    }

    /// The level of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "error" | "err" => Some(Self::Error),
            "warning" | "warn" => Some(Self::Warning),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// Marks that have a place of their own: the start, after a time at most.
fn at_start(text: &str) -> Option<Level> {
    let rest = match text.strip_prefix('[') {
        // `[    12.345] (II) text`
        Some(inner) => match inner.split_once(']') {
            Some((time, rest)) if time.bytes().all(|byte| byte.is_ascii_digit() || b" .".contains(&byte)) => {
                rest.trim_start()
            }
            _ => text,
        },
        None => text,
    };
    if let Some((_, level)) = XORG.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Some(*level);
    }
    if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        return Some(Level::Error);
    }
    // A place in the code of a traceback of Python's, and a panic of Rust's.
    if (text.starts_with("File \"") && text.contains("\", line "))
        || (text.starts_with("thread '") && text.contains("' panicked at "))
        || (text.starts_with("thread '") && text.contains(") panicked at "))
    {
        return Some(Level::Error);
    }
    let mut bytes = text.bytes();
    let (first, second, third) = (bytes.next()?, bytes.next(), bytes.next());
    match (first, second, third) {
        // PipeWire: `[E][12345.678] text`; apt, PulseAudio: `E: text`.
        (b'[', Some(letter), Some(b']')) | (letter, Some(b':'), Some(b' ')) => by_letter(letter),
        // WirePlumber: `W 12:34:56.789 text`.
        (letter, Some(b' '), Some(digit)) if digit.is_ascii_digit() && is_time(&text[2..]) => {
            by_letter(letter)
        }
        // Google's programs: `E0131 12:34:56.789 text`.
        (letter, Some(digit), _) if digit.is_ascii_digit() => {
            let (date, rest) = text[1..].split_once(' ')?;
            let is_date = date.len() == 4 && date.bytes().all(|byte| byte.is_ascii_digit());
            if is_date && is_time(rest) { by_letter(letter) } else { None }
        }
        _ => None,
    }
}

/// Whether a text begins as `12:34:`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 5
        && [0, 1, 3, 4].iter().all(|at| bytes[*at].is_ascii_digit())
        && bytes[2] == b':'
        && matches!(bytes[5], b':' | b' ' | b'.')
}

fn by_letter(letter: u8) -> Option<Level> {
    match letter {
        b'E' | b'F' | b'C' => Some(Level::Error),
        b'W' => Some(Level::Warning),
        b'I' | b'M' | b'N' => Some(Level::Info),
        b'D' | b'T' | b'V' => Some(Level::Debug),
        _ => None,
    }
}

/// The first word that is a mark.
fn by_word(text: &str) -> Option<Level> {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let (mut before, mut at) = ("", 0);
    while at < bytes.len() {
        if !is_word(&bytes[at]) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().position(|byte| !is_word(byte)).unwrap_or(bytes.len() - at);
        let (word, rest) = (&text[at..at + length], &text[at + length..]);
        if let Some(level) = marked(word, before, &text[..at], rest) {
            return Some(level);
        }
        (before, at) = (word, at + length);
    }
    None
}

/// The level of `word`, if its surroundings make it a mark. `before` is the word before it.
fn marked(word: &str, before: &str, left: &str, right: &str) -> Option<Level> {
    let prev = left.bytes().next_back().unwrap_or(b' ');
    let next = right.bytes().next().unwrap_or(b' ');
    let label = next == b':' && matches!(right.as_bytes().get(1), None | Some(b' ' | b'\t' | b':'));
    let known = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level);
    let level = known.or_else(|| if label || right.is_empty() { exception(word) } else { None })?;
    let adjacent = left.strip_suffix(' ').is_some_and(|left| left.ends_with(before));
    if adjacent && NEGATIONS.iter().any(|no| no.eq_ignore_ascii_case(before)) {
        return None;
    }
    if known.is_none() {
        return Some(level);
    }
    let capitals = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let opened = matches!(prev, b' ' | b'\t' | b'[' | b'(' | b'<' | b':' | b'|' | b'=' | b'"' | b']' | b'*');
    let closed = matches!(next, b' ' | b'\t' | b']' | b')' | b'>' | b':' | b'|' | b'"' | b',');
    let boxed = matches!((prev, next), (b'[', b']') | (b'<', b'>')) || (prev == b'[' && label);
    let value = matches!(prev, b'=' | b'"') && KEYS.iter().any(|key| key.eq_ignore_ascii_case(before));
    // GLib: `(kwin:12): Gtk-WARNING **: text`, `GLib-GIO-Message: text`.
    let glib = prev == b'-' && (right.starts_with(" **") || label);
    let mark = boxed || value || glib || (label && opened) || (capitals && opened && closed);
    mark.then_some(level)
}

/// The level of the name of an exception, such as `ValueError` or `DeprecationWarning`.
fn exception(word: &str) -> Option<Level> {
    const ENDS: [(&str, Level); 4] = [
        ("Error", Level::Error),
        ("Exception", Level::Error),
        ("Interrupt", Level::Error),
        ("Warning", Level::Warning),
    ];
    let (_, level) = ENDS.iter().find(|(end, _)| word.len() > end.len() && word.ends_with(end))?;
    word.starts_with(|c: char| c.is_ascii_uppercase()).then_some(*level)
}

#[cfg(test)]
mod tests;

//! Files of `NAME=value` lines, as people, shells and `pam_env` write and read them: `/etc/environment`, `.env`.
//!
//! [`parse`] reads what a POSIX shell would: `export`, comments, quotes of both kinds over several lines, backslashes.
//! It runs nothing: `$(…)` and backticks are letters. `$NAME` and `${NAME}` outside single quotes stand for a name from
//! earlier in the file or for what [`parse_with`] is given, so that `PATH="$PATH:/more"` means what it says; a name that
//! nobody knows stays as it is written. Where a shell would take a line for a command, what `pam_env` and Docker read
//! is taken: the rest of the line, as `env >> /etc/environment` writes it. [`rewrite()`] puts such a value between quotes,
//! so that shells read the same and run nothing. Whatever is neither is skipped and told, by its line and never with its
//! value.

mod rewrite;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub use rewrite::rewrite;

/// What stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Names and values in their order; of a name that stands twice the last one holds.
    pub variables: Vec<(OsString, OsString)>,
    /// What was not understood, with its line.
    pub told: Vec<String>,
    /// Where each line is, or those over which its quotes reach, and which of the variables it sets.
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    bytes: Range<usize>,
    variables: Range<usize>,
    /// Whether a shell would read something else there.
    loose: bool,
}

/// Whether a shell can have a variable of this name.
pub fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && !bytes[0].is_ascii_digit() && bytes.iter().all(|byte| is_word(*byte))
}

/// One line that gives `name` this value, with its end. Empty for a name that no shell could have.
///
/// Shells and [`parse`] read it back exactly. So does `pam_env`, but for what it has no way to write: line ends, `#`,
/// a backslash at the end, and an apostrophe together with one of `"`, `$`, `` ` `` and a backslash.
pub fn line(name: &OsStr, value: &OsStr) -> Vec<u8> {
    if !is_name(name) {
        return Vec::new();
    }
    let value = value.as_bytes();
    let mut line = [name.as_bytes(), b"="].concat();
    if value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_@%+:,./-".contains(byte)) {
        line.extend(value);
    } else if !value.iter().any(|byte| b"\"$`\\!".contains(byte)) {
        line.extend([b"\"", value, b"\""].concat());
    } else {
        line.push(b'\'');
        for byte in value {
            match byte {
                b'\'' => line.extend(b"'\\''"),
                other => line.push(*other),
            }
        }
        line.push(b'\'');
    }
    line.push(b'\n');
    line
}

/// An environment as the kernel shows it: `NAME=value`, each with a NUL behind it.
pub fn of_entries(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let entry = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        Some((owned(&entry[..at]), owned(&entry[at + 1..])))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// The same written.
pub fn entries<'a>(variables: impl IntoIterator<Item = (&'a OsString, &'a OsString)>) -> Vec<u8> {
    let entry =
        |(name, value): (&OsString, &OsString)| [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat();
    variables.into_iter().flat_map(entry).collect()
}

/// All lines of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    parse_with(bytes, |_| None)
}

/// All lines of `bytes`; `known` says what names stand for that are used before the file gives them a value.
pub fn parse_with(bytes: &[u8], known: impl Fn(&OsStr) -> Option<OsString>) -> Parsed {
    let mut reader = Reader {
        whole: bytes.len(),
        rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
        line: 1,
        known: &known,
        set: HashMap::new(),
        parsed: Parsed::default(),
        loose: false,
    };
    while !reader.rest.is_empty() {
        reader.statement();
    }
    reader.parsed
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

struct Reader<'a> {
    whole: usize,
    rest: &'a [u8],
    line: usize,
    known: &'a dyn Fn(&OsStr) -> Option<OsString>,
    set: HashMap<OsString, OsString>,
    parsed: Parsed,
    /// Whether the statement is one that a shell would take for a command.
    loose: bool,
}

impl<'a> Reader<'a> {
    /// One line, or those over which its quotes reach.
    fn statement(&mut self) {
        let (start, line, count) = (self.rest, self.line, self.parsed.variables.len());
        self.blanks();
        for word in [&b"export"[..], b"declare -x"] {
            if let Some(after) =
                self.rest.strip_prefix(word).filter(|after| after.first().is_some_and(|b| is_blank(*b)))
            {
                self.rest = after;
                self.blanks();
                break;
            }
        }
        let at = self.whole - start.len();
        self.loose = false;
        if let Err(why) = self.assignments() {
            // What stood before the mistake would have held in a shell, but nobody should have half a line.
            self.parsed.variables.truncate(count);
            self.parsed.told.push(format!("line {line}: {why}"));
            (self.rest, self.line, self.loose) = (start, line, false);
            self.skip_line();
        }
        self.parsed.statements.push(Statement {
            bytes: at..self.whole - self.rest.len(),
            variables: count..self.parsed.variables.len(),
            loose: self.loose,
        });
    }

    /// `NAME=value`, more of them, and a comment.
    fn assignments(&mut self) -> Result<(), &'static str> {
        let mut last = None;
        loop {
            self.blanks();
            if self.at_end() || self.rest.starts_with(b"#") {
                self.skip_line();
                return Ok(());
            }
            let (name, after) =
                self.rest.split_at(self.rest.iter().take_while(|byte| is_word(**byte)).count());
            let is_name = is_name(OsStr::from_bytes(name));
            match after.strip_prefix(b"=") {
                Some(value) if is_name => {
                    last = Some((name, value));
                    self.rest = value;
                    let value = self.value()?;
                    self.keep(name, value)?;
                }
                // `NAME=value; export NAME`.
                None if is_name && last.is_some_and(|(last, _)| last == name) => self.rest = after,
                None if after.starts_with(b";") && name.is_empty() && last.is_some() => {
                    self.rest = &after[1..];
                    self.blanks();
                    self.rest = self.rest.strip_prefix(b"export ").unwrap_or(self.rest);
                }
                _ => return self.whole_line(last),
            }
        }
    }

    /// A value with blanks and without quotes.
    fn whole_line(&mut self, last: Option<(&[u8], &'a [u8])>) -> Result<(), &'static str> {
        let Some((name, value)) = last else { return Err("it is not NAME=value") };
        // What follows a closed quote is no part of the value for anybody.
        if value.first().is_some_and(|byte| b"'\"".contains(byte)) {
            return Err("something follows the value's closing quote");
        }
        self.parsed.variables.pop();
        self.rest = value;
        self.skip_line();
        let taken = &value[..value.len() - self.rest.len()];
        // Somebody who writes that wants a shell to run it.
        if taken.windows(2).any(|two| two == b"$(") || taken.contains(&b'`') {
            self.parsed.told.push(format!(
                "line {}: nothing is run here; the value is taken as it is written, up to the end of the line",
                self.line - usize::from(taken.ends_with(b"\n")),
            ));
        } else {
            self.loose = true;
        }
        self.keep(name, taken.trim_ascii().to_vec())
    }

    fn keep(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), &'static str> {
        if value.contains(&0) {
            return Err("no variable can hold a NUL");
        }
        let (name, value) = (OsString::from_vec(name.to_vec()), OsString::from_vec(value));
        self.set.insert(name.clone(), value.clone());
        self.parsed.variables.push((name, value));
        Ok(())
    }

    /// One word, without its quotes.
    fn value(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut value = Vec::new();
        loop {
            if self.at_end() || is_blank(self.rest[0]) || self.ends_statement() {
                return Ok(value);
            }
            match self.next() {
                b'\'' => loop {
                    match self.within(UNCLOSED_APOSTROPHE)? {
                        b'\'' => break,
                        byte => value.push(byte),
                    }
                },
                b'"' => self.double_quoted(&mut value)?,
                b'\\' if self.at_end() => self.skip_line(),
                b'\\' => value.push(self.next()),
                b'$' if self.rest.starts_with(b"'") => {
                    return Err("$'…' is bash's own; plain quotes hold the same");
                }
                b'$' => self.dollar(&mut value),
                byte => value.push(byte),
            }
        }
    }

    fn double_quoted(&mut self, value: &mut Vec<u8>) -> Result<(), &'static str> {
        loop {
            match self.within(UNCLOSED_QUOTE)? {
                b'"' => return Ok(()),
                b'$' => self.dollar(value),
                b'\\' => match self.within(UNCLOSED_QUOTE)? {
                    b'\n' => {}
                    byte @ (b'$' | b'`' | b'"' | b'\\') => value.push(byte),
                    byte => value.extend([b'\\', byte]),
                },
                byte => value.push(byte),
            }
        }
    }

    /// What stands after a `$`.
    fn dollar(&mut self, value: &mut Vec<u8>) {
        let braces = self.rest.starts_with(b"{");
        let after = &self.rest[usize::from(braces)..];
        let length = after.iter().take_while(|byte| is_word(**byte)).count();
        let name = OsStr::from_bytes(&after[..length]);
        let closed = !braces || after.get(length) == Some(&b'}');
        let known = || self.set.get(name).cloned().or_else(|| (self.known)(name));
        match known().filter(|_| closed && is_name(name)) {
            Some(known) => {
                value.extend(known.as_bytes());
                self.rest = &after[length + usize::from(braces)..];
            }
            None => value.push(b'$'),
        }
    }

    /// The end of the file, or of a line, which some editors write with two bytes.
    fn at_end(&self) -> bool {
        matches!(self.rest, [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..])
    }

    /// A `;` that can hardly be part of a value.
    fn ends_statement(&self) -> bool {
        matches!(self.rest, [b';'] | [b';', b' ' | b'\t' | b'\r' | b'\n', ..])
            || self.rest.starts_with(b";export ")
    }

    fn blanks(&mut self) {
        while let [byte, after @ ..] = self.rest
            && is_blank(*byte)
        {
            self.rest = after;
        }
    }

    fn skip_line(&mut self) {
        while !self.rest.is_empty() && self.next() != b'\n' {}
    }

    fn next(&mut self) -> u8 {
        let byte = self.rest[0];
        self.line += usize::from(byte == b'\n');
        self.rest = &self.rest[1..];
        byte
    }

    fn within(&mut self, unclosed: &'static str) -> Result<u8, &'static str> {
        if self.rest.is_empty() { Err(unclosed) } else { Ok(self.next()) }
    }
}

const UNCLOSED_APOSTROPHE: &str = "an apostrophe opens a quotation that never ends";
const UNCLOSED_QUOTE: &str = "a quotation mark opens a quotation that never ends";

#[cfg(test)]
mod tests;

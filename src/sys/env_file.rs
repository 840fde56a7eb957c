//! Parser for files of `NAME=value` lines, as people, shells and `pam_env` write and read them: `/etc/environment`,
//! `.env`.
//!
//! [`parse`] reads a file as a POSIX shell would: `export`, comments, single and double quotes over several lines,
//! backslashes. No command is run: `$(…)` and backticks are ordinary characters. `$NAME` and `${NAME}` outside single
//! quotes are replaced by the value from earlier in the file, or by the value that [`parse_with`] is given, so that
//! `PATH="$PATH:/more"` has its usual meaning; an unknown name stays as it is written. Where a shell would run part of
//! a line as a command, the line is read as `pam_env` and Docker read it: the value is the rest of the line, as
//! `env >> /etc/environment` writes values. [`rewrite()`] puts such a value in quotes, so that shells read the same
//! value and run nothing. Any other line is skipped and reported with its number, never with its value.

mod rewrite;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::sys::error::unless_missing;
use crate::sys::read;

pub use rewrite::rewrite;

/// Variables by name, as texts.
pub type Raw = BTreeMap<OsString, OsString>;

/// What the daemon knows about the system's file, to tell the edits of users from other values.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// What the daemon last wrote there: any difference is an edit. The copy must contain the values as they would be
    /// without the edits; otherwise the daemon would take an edit for its own value the next time.
    pub written: Option<Raw>,
    /// What the file had when the daemon first started on this instance, before any of our scripts ran.
    pub noted: Option<Raw>,
}

impl Baseline {
    /// Reads both, with [`lock`] held if the system's file is read as well. A file that cannot be read counts as
    /// missing.
    pub fn read(written: &Path, noted: &Path) -> Self {
        let of = |path| read::bytes(path, read::BY_HAND).ok().map(|bytes| of_entries(&bytes));
        Self { written: of(written), noted: of(noted) }
    }

    /// Whether a variable's value in the file is an edit; `None` means that the file lacks the variable. Before the
    /// daemon has written the file, the noted values come from the image, and a variable that was `given` to the
    /// container wins over them; changes that a script made since then are newer.
    pub fn is_edit(&self, name: &OsStr, value: Option<&OsString>, given: impl FnOnce() -> bool) -> bool {
        match (&self.written, &self.noted) {
            (Some(written), _) => written.get(name) != value,
            (None, Some(noted)) => noted.get(name) != value || !given(),
            (None, None) => !given(),
        }
    }
}

/// Takes the lock under which processes of ours change the system's file and the copy of what they wrote. A reader of
/// both takes it too: between the two changes, every new value would look like an edit.
///
/// `state` is the daemon's own folder. The folder is locked, because any user can lock a file that they can read. While
/// the folder does not exist, as when an image is built, no other process writes, and there is no lock.
pub fn lock(state: &Path, operation: FlockOperation) -> io::Result<Option<File>> {
    let folder = read::folder(state).map(Some).or_else(unless_missing)?;
    if let Some(folder) = &folder {
        flock(folder, operation)?;
    }
    Ok(folder)
}

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Names and values in the order of the file; if a name occurs twice, the last value counts.
    pub variables: Vec<(OsString, OsString)>,
    /// Messages about what was not understood, with line numbers.
    pub told: Vec<String>,
    /// The position of each line (or of several lines, if a quotation spans them) and the variables that the line sets.
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    bytes: Range<usize>,
    variables: Range<usize>,
    /// Whether a shell would read the line in another way.
    loose: bool,
}

/// Whether a shell can have a variable of this name.
pub fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && !bytes[0].is_ascii_digit() && bytes.iter().all(|byte| is_word(*byte))
}

/// One line that gives `name` this value, with its end. Empty for a name that no shell could have.
///
/// Shells and [`parse`] read the value back exactly. So does `pam_env`, except for values that its syntax cannot
/// express: line ends, `#`, a backslash at the end, and an apostrophe together with one of `"`, `$`, `` ` `` and a
/// backslash.
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

/// Parses an environment in the kernel's form: `NAME=value`, each followed by a NUL.
pub fn of_entries(bytes: &[u8]) -> Raw {
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let entry = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        Some((owned(&entry[..at]), owned(&entry[at + 1..])))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// Writes an environment in the kernel's form.
pub fn entries<'a>(variables: impl IntoIterator<Item = (&'a OsString, &'a OsString)>) -> Vec<u8> {
    let entry =
        |(name, value): (&OsString, &OsString)| [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat();
    variables.into_iter().flat_map(entry).collect()
}

/// All lines of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    parse_with(bytes, |_| None)
}

/// All lines of `bytes`; `known` gives the value of a name that is used before the file sets it.
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
    /// Whether a shell would run part of the statement as a command.
    loose: bool,
}

impl<'a> Reader<'a> {
    /// One line, or several if a quotation spans them.
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
            // A shell would keep the assignments before the mistake. Here the whole line is dropped: half a line helps
            // no user.
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

    /// One or more `NAME=value` on a line, and a comment.
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

    /// A value that contains blanks and is not in quotes.
    fn whole_line(&mut self, last: Option<(&[u8], &'a [u8])>) -> Result<(), &'static str> {
        let Some((name, value)) = last else { return Err("it is not NAME=value") };
        // No reader (shell, `pam_env` or Docker) takes text after a closing quote as part of the value.
        if value.first().is_some_and(|byte| b"'\"".contains(byte)) {
            return Err("something follows the value's closing quote");
        }
        self.parsed.variables.pop();
        self.rest = value;
        self.skip_line();
        let taken = &value[..value.len() - self.rest.len()];
        // The author of such a line expects a shell to run the command.
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

    /// Reads a variable reference after a `$`.
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

    /// Whether this is the end of the file or of a line. Some editors end a line with two bytes.
    fn at_end(&self) -> bool {
        matches!(self.rest, [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..])
    }

    /// Whether this is a `;` that ends the assignment and is not part of the value.
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
